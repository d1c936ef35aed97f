"""The orthonormal bases, written out as dense matrices (SPEC 1).

A basis of an axis with ``N`` points is a matrix ``V`` whose columns are the basis vectors: ``x = V u`` (synthesis),
``u = V^T x`` (analysis), ``V^T V = I``. On a grid the basis is the Kronecker product of the bases of its axes, and the
eigenvalues of the negative Laplacian add up. With ``n = 0 .. N - 1`` the points and ``k = 0 .. N - 1`` the columns:

===============  ====================================================================  ====================
kind             column k                                                              eigenvalue
===============  ====================================================================  ====================
``DCT``          ``sqrt(2/N) cos(pi k (n + 1/2) / N)``; ``sqrt(1/N)`` for k = 0        ``(pi k / N)^2``
``DST``          ``sqrt(2/N) sin(pi (k+1) (n + 1/2) / N)``; factor ``sqrt(1/N)`` last  ``(pi (k+1) / N)^2``
``RealFourier``  ``1``, then pairs ``cos, sin`` of ``2 pi f n / N``; normalised        ``(2 pi f / N)^2``
``Identity``     unit vector k                                                         ``0``
===============  ====================================================================  ====================

The DCT has reflecting boundaries, the DST (type II) absorbing ones half a sample outside the grid, the real Fourier
basis periodic ones. Its columns are ordered ``const, cos 1, sin 1, cos 2, sin 2, ..``, with the Nyquist cosine last
where ``N`` is even.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

KINDS = ("DCT", "DST", "RealFourier", "Identity")


def basis_matrix(kind: str, size: int) -> np.ndarray:
    """Dense synthesis matrix of one axis.

    ``x[n] = sum_k V[n, k] u[k]``

    Parameters
    ----------
    kind : one of ``KINDS``.
    size : number of grid points ``N``, at least 1.

    Returns
    -------
    float64 array (N, N) whose columns are the orthonormal basis vectors.

    References
    ----------
    SPEC 1; the paper, appendix A (DCT-II).
    """
    _check(kind, size)
    grid = np.arange(size)
    columns = []
    for k in range(size):
        if kind == "DCT":
            columns.append(np.cos(np.pi * k * (grid + 0.5) / size))
        elif kind == "DST":
            columns.append(np.sin(np.pi * (k + 1) * (grid + 0.5) / size))
        elif kind == "RealFourier":
            frequency = (k + 1) // 2
            # k = 1, 3, 5, .. are cosines (the last of them, for even N, is the Nyquist cosine), k = 2, 4, .. sines
            wave = np.sin if k > 0 and k % 2 == 0 else np.cos
            columns.append(wave(2 * np.pi * frequency * grid / size))
        else:
            columns.append((grid == k).astype(np.float64))
    matrix = np.stack(columns, axis=1)
    # dividing by the length gives the factors sqrt(1/N) and sqrt(2/N) without telling the special columns apart
    return matrix / np.sqrt(np.sum(matrix**2, axis=0))


def dense_basis(kind: str, shape: Sequence[int]) -> np.ndarray:
    """Dense synthesis matrix of a whole grid, the Kronecker product over its axes.

    ``vec(x) = (V_1 (x) V_2 (x) ..) vec(u)``, with ``vec`` in C order

    Parameters
    ----------
    kind : one of ``KINDS``.
    shape : grid sizes ``(N_1, .., N_k)``.

    Returns
    -------
    float64 array (P, P), ``P = N_1 * .. * N_k``.

    References
    ----------
    SPEC 1.
    """
    matrix = np.ones((1, 1))
    for size in shape:
        matrix = np.kron(matrix, basis_matrix(kind, size))
    return matrix


def eigenvalue_ratios(kind: str, shape: Sequence[int]) -> np.ndarray:
    """Eigenvalues divided by pi^2, as exact fractions.

    ``lambda_k / pi^2 = sum_n (q_n / N_n)^2``, ``q = k`` (DCT), ``k + 1`` (DST), ``2 f`` (RealFourier), 0 (Identity)

    Parameters
    ----------
    kind : one of ``KINDS``.
    shape : grid sizes.

    Returns
    -------
    object array of ``fractions.Fraction``, of ``shape``.

    References
    ----------
    SPEC 1.
    """
    return _eigenvalue_ratios(kind, tuple(shape)).copy()


@lru_cache(maxsize=32)
def _eigenvalue_ratios(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    ratios = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        total = Fraction(0)
        for k, size in zip(index, shape, strict=True):
            _check(kind, size)
            half_waves = {"DCT": k, "DST": k + 1, "RealFourier": 2 * ((k + 1) // 2), "Identity": 0}[kind]
            total += Fraction(half_waves, size) ** 2
        ratios[index] = total
    return ratios


def eigenvalues(kind: str, shape: Sequence[int]) -> np.ndarray:
    """Eigenvalues of the negative Laplacian on a grid.

    ``lambda_k = sum_n (pi k_n / N_n)^2`` for the DCT

    Parameters
    ----------
    kind : one of ``KINDS``.
    shape : grid sizes.

    Returns
    -------
    float64 array of ``shape``.

    References
    ----------
    SPEC 1, SPEC 10 (check values).
    """
    return _eigenvalues(kind, tuple(shape)).copy()


@lru_cache(maxsize=32)
def _eigenvalues(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.pi**2 * _eigenvalue_ratios(kind, shape).astype(np.float64)


def forward(x: np.ndarray, axes: Sequence[int], kind: str) -> np.ndarray:
    """Analysis along some axes of an array.

    ``u = V^T x``

    Parameters
    ----------
    x : array of any rank, pixel space.
    axes : the grid axes; the others are batch and channel axes.
    kind : one of ``KINDS``.

    Returns
    -------
    float64 array of the shape of ``x``, frequency space.

    References
    ----------
    SPEC 1.
    """
    u = np.asarray(x, dtype=np.float64)
    for axis in axes:
        u = np.moveaxis(np.tensordot(basis_matrix(kind, u.shape[axis]).T, u, axes=(1, axis)), 0, axis)
    return u


def inverse(u: np.ndarray, axes: Sequence[int], kind: str) -> np.ndarray:
    """Synthesis along some axes of an array.

    ``x = V u``

    Parameters
    ----------
    u : array of any rank, frequency space.
    axes : the grid axes; the others are batch and channel axes.
    kind : one of ``KINDS``.

    Returns
    -------
    float64 array of the shape of ``u``, pixel space.

    References
    ----------
    SPEC 1.
    """
    x = np.asarray(u, dtype=np.float64)
    for axis in axes:
        x = np.moveaxis(np.tensordot(basis_matrix(kind, x.shape[axis]), x, axes=(1, axis)), 0, axis)
    return x


def _check(kind: str, size: int) -> None:
    if kind not in KINDS:
        raise ValueError(f"basis {kind!r} is unknown; known: {', '.join(KINDS)}")
    if size < 1:
        raise ValueError(f"a grid axis has at least 1 point, not {size}")
