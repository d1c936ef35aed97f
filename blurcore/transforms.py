r"""Orthonormal bases in which blur is diagonal (SPEC 1).

A basis is (forward, inverse, eigenvalues): :math:`u = V^T x`, :math:`x = V u` with :math:`V^T V = 1`, separable over
the axes of the grid, and the eigenvalues of the negative Laplacian with the boundary that the basis implies,

.. math:: \lambda_k = \sum_n \lambda^{(n)}_{k_n}, \qquad \text{DCT: } \lambda^{(n)}_k = (\pi k / N_n)^2 .

============== ================== ==============================
basis          boundary           eigenvalue of one axis
============== ================== ==============================
DCT (DCT-II)   reflecting         (pi k / N)^2
DST (DST-II)   absorbing          (pi (k + 1) / N)^2
RealFourier    periodic           (2 pi f / N)^2
Identity       none               0
Dense          any (graph, mesh)  given
============== ================== ==============================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, final

import array_api_compat as compat
import numpy as np

from blurcore._arrays import Frame, as_result, frame, normalize_axes, quiet, require_floating, upcast
from blurcore._arrays.choice import fft_axes, has_scipy, threads
from blurcore._arrays.constants import constant, fixed, recipe, where
from blurcore._arrays.cosine import dct, dst, idct, idst
from blurcore._arrays.fourier import inverse_real_fourier, real_fourier
from blurcore._arrays.products import multiply
from blurcore._checks import plain, require
from blurcore._typing import A, Array, Matrix
from blurcore.errors import ArgumentError

Transform = Callable[[Array], Array]


class Basis(Protocol):
    """An orthonormal basis of the grid and the eigenvalues of its Laplacian."""

    def forward(self, x: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        """Return the coefficients u = V^T x along `axes`."""
        ...

    def inverse(self, u: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        """Return the data x = V u along `axes`."""
        ...

    def eigenvalues(self, shape: tuple[int, ...], *, like: Array | None = None) -> Array:
        """Return lambda on the grid `shape`."""
        ...

    def eigenvalues_in(self, shape: tuple[int, ...], f: Frame) -> Array:
        """Return lambda in a frame's working dtype, for the coefficients of processes, which must not write to it."""
        ...


def check_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a grid shape as a tuple of positive integers, or refuse it."""
    sizes = shape if hasattr(shape, "__iter__") else (shape,)
    shape = tuple(plain(n) for n in sizes)
    require(
        len(shape) >= 1 and all(isinstance(n, int) and n >= 1 for n in shape), "shape", shape, "a tuple of sizes >= 1"
    )
    return shape


_MOST_MERGED = 64
"""Axes of together no more points are one axis, with the Kronecker product of their matrices: one product instead of two."""


def _groups(shape: tuple[int, ...], axes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the runs (first, last) of neighbouring axes that are transformed together."""
    groups: list[tuple[int, int]] = []
    for axis in sorted(axes):
        first = groups[-1][0] if groups and groups[-1][1] == axis - 1 else axis
        if first < axis and math.prod(shape[first : axis + 1]) <= _MOST_MERGED:
            groups[-1] = (first, axis)
        else:
            groups.append((axis, axis))
    return groups


class _Separable:
    """A basis that is one analysis matrix (rows: basis vectors) and one vector of eigenvalues for each axis."""

    def analysis(self, n: int) -> np.ndarray[Any, Any]:
        """Return the analysis matrix of an axis, (N, N), float64, on the host."""
        raise NotImplementedError

    def _axis_eigenvalues(self, n: int) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def matrices(self, shape: tuple[int, ...], *, like: Array | None = None) -> tuple[Array, ...]:
        """Return the orthonormal analysis matrix of each axis, (N, N): u = M x, x = M^T u.

        Parameters
        ----------
        shape
            Sizes of the grid.
        like
            An array whose library, device and compute dtype (float32, or float64 for float64) the matrices get;
            NumPy float64 where not given.
        """
        f = frame(like, on_host=True)
        return tuple(
            f.out_xp.asarray(self.analysis(n), dtype=f.out, device=f.out_device, copy=True) for n in check_shape(shape)
        )

    def forward(self, x: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        r"""Return :math:`u = V^T x` along `axes`.

        Parameters
        ----------
        x
            Real floating array; half precision is accumulated in float32.
        axes
            The axes of the grid, in any position and number.

        Returns
        -------
        Array
            Of the shape, library, dtype and device of `x`.

        Raises
        ------
        ArgumentError
            `x` is not real floating, or `axes` are out of range or repeated.
        """
        return self._transform(x, axes, inverse=False)

    def inverse(self, u: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        r"""Return :math:`x = V u` along `axes`; the inverse of :meth:`forward`, with the same arguments and errors."""
        return self._transform(u, axes, inverse=True)

    @quiet
    def _transform(self, x: Array, axes: tuple[int, ...] | int, *, inverse: bool) -> Any:
        """Go there or back in float32 or better, and give the dtype of `x` back."""
        require_floating("u" if inverse else "x", x)
        return as_result(self._along(upcast(x), normalize_axes(axes, x.ndim), inverse=inverse), x)

    def _fast(self, *, inverse: bool) -> Transform | None:
        """Return the transform of a last axis by an FFT, or None where there is none."""
        del inverse
        return None

    def _scipy(self, *, inverse: bool) -> Callable[..., Any] | None:
        """Return SciPy's function for all axes of a NumPy array at once, or None where there is none."""
        del inverse
        return None

    def _along(self, x: Array, axes: tuple[int, ...], *, inverse: bool) -> Array:
        """Transform axes of float32 or float64 data: long ones by an FFT, where the basis has one, the others by matrices."""
        fast = self._fast(inverse=inverse)
        if fast is None:
            return self._by_matrices(x, axes, inverse=inverse)
        whole = self._scipy(inverse=inverse) if compat.is_numpy_array(x) and has_scipy() else None
        by_fft = fft_axes(x, axes, inverse=inverse, at_once=whole is not None)
        x = self._by_matrices(x, tuple(axis for axis in axes if axis not in by_fft), inverse=inverse)
        if by_fft and whole is not None:
            return whole(x, axes=by_fft, norm="ortho", workers=threads(x))
        for axis in by_fft:
            x = _on_last_axis(fast, x, axis)
        return x

    def _by_matrices(self, x: Array, axes: tuple[int, ...], *, inverse: bool) -> Array:
        for first, last in _groups(tuple(x.shape), axes):
            matrix = self._matrix_of(tuple(fixed(n) for n in x.shape[first : last + 1]), x)
            x = multiply(matrix.T if inverse else matrix, x, first, last)
        return x

    def _matrix_of(self, sizes: tuple[int, ...], x: Array) -> Matrix:
        matrix: Any = constant(type(self).__name__, sizes, *where(x))
        return matrix

    def eigenvalues(self, shape: tuple[int, ...], *, like: Array | None = None) -> Array:
        r"""Return :math:`\lambda` on the grid, in units of 1 / pixel^2 (SPEC 1).

        Parameters
        ----------
        shape
            Sizes of the grid.
        like
            An array whose library, device and compute dtype the result gets; NumPy float64 where not given.

        Returns
        -------
        Array
            Of shape `shape`.
        """
        f = frame(like, on_host=True)
        return f.out_xp.asarray(self.spectrum(check_shape(shape)), dtype=f.out, device=f.out_device, copy=True)

    def eigenvalues_in(self, shape: tuple[int, ...], f: Frame) -> Array:
        """Return the eigenvalues in a frame's working dtype, for the processes' coefficients, who must not write to them."""
        sizes = tuple(fixed(n) for n in shape)
        return constant(f"{type(self).__name__}.eigenvalues", sizes, f.xp, f.work, f.device)

    def eigenvalues_by_axis(self, shape: tuple[int, ...], f: Frame) -> tuple[Array, ...]:
        """Return for each axis its eigenvalues, laid out to broadcast over the grid, where they add up to lambda."""
        last = len(shape) - 1
        return tuple(
            f.xp.reshape(self.eigenvalues_in((n,), f), (*[1] * i, n, *[1] * (last - i))) for i, n in enumerate(shape)
        )

    def spectrum(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Return the eigenvalues, float64, on the host: the sum of those of the axes."""
        return sum(values for values in np.ix_(*(self._axis_eigenvalues(n) for n in shape)))  # type: ignore[return-value]

    def nests(self, n: int, m: int) -> bool:
        r"""Whether the first m of n coefficients, times :math:`\sqrt{m / n}`, are those of a smaller image (SPEC 11).

        That is the image of n points without its higher frequencies, read off at m points.
        """
        return m == n


@final
@dataclass(frozen=True, kw_only=True)
class DCT(_Separable):
    """Orthonormal DCT-II: reflecting boundary, the paper's choice."""

    def analysis(self, n: int) -> np.ndarray[Any, Any]:
        """Return sqrt(2 / N) cos(pi k (2 i + 1) / 2N), with sqrt(1 / N) for k = 0."""
        # The argument is a multiple of pi / 2N: taking the integer modulo 4N first keeps the cosine's argument small
        # and exact, whatever N, and leaves 4N cosines to be worked out.
        k, i = np.ogrid[:n, :n]
        rows = np.cos(np.arange(4 * n) * (math.pi / (2 * n)))[(2 * i + 1) * k % (4 * n)]
        return np.where(k == 0, math.sqrt(1 / n), rows * math.sqrt(2 / n))

    def _axis_eigenvalues(self, n: int) -> np.ndarray[Any, Any]:
        return (np.arange(n) * (math.pi / n)) ** 2

    def nests(self, n: int, m: int) -> bool:
        """Whether there are n frequencies or fewer."""
        return 1 <= m <= n

    def _fast(self, *, inverse: bool) -> Transform:
        return idct if inverse else dct

    def _scipy(self, *, inverse: bool) -> Callable[..., Any]:
        from scipy import fft

        whole: Callable[..., Any] = fft.idctn if inverse else fft.dctn
        return whole


def _on_last_axis(transform: Transform, x: Array, axis: int) -> Array:
    last, xp = x.ndim - 1, compat.array_namespace(x)
    if axis == last:
        return transform(x)
    swap = tuple({axis: last, last: axis}.get(i, i) for i in range(x.ndim))  # its own inverse
    return xp.permute_dims(transform(xp.permute_dims(x, swap)), swap)


@final
@dataclass(frozen=True, kw_only=True)
class DST(_Separable):
    """Orthonormal DST-II: absorbing boundary (the data is zero outside)."""

    def analysis(self, n: int) -> np.ndarray[Any, Any]:
        """Return sqrt(2 / N) sin(pi (k + 1) (2 i + 1) / 2N), with sqrt(1 / N) for k = N - 1."""
        k, i = np.ogrid[1 : n + 1, :n]
        rows: np.ndarray[Any, Any] = np.sin(np.arange(4 * n) * (math.pi / (2 * n)))[(2 * i + 1) * k % (4 * n)]
        return rows * np.where(k == n, math.sqrt(1 / n), math.sqrt(2 / n))

    def _axis_eigenvalues(self, n: int) -> np.ndarray[Any, Any]:
        return (np.arange(1, n + 1) * (math.pi / n)) ** 2

    def _fast(self, *, inverse: bool) -> Transform:
        return idst if inverse else dst

    def _scipy(self, *, inverse: bool) -> Callable[..., Any]:
        from scipy import fft

        whole: Callable[..., Any] = fft.idstn if inverse else fft.dstn
        return whole


@final
@dataclass(frozen=True, kw_only=True)
class RealFourier(_Separable):
    """Orthonormal real Fourier basis, ordered 1, cos 1, sin 1, cos 2, sin 2, ...: periodic boundary."""

    def analysis(self, n: int) -> np.ndarray[Any, Any]:
        """Return 1 / sqrt(N), then sqrt(2 / N) cos(2 pi f i / N) and the sine by turns."""
        j, i = np.ogrid[:n, :n]
        freq = (j + 1) // 2
        angles, place = np.arange(n) * (2 * math.pi / n), freq * i % n
        rows: np.ndarray[Any, Any] = np.cos(angles)[place]
        rows[2::2] = np.sin(angles)[place[2::2]]
        unpaired = (j == 0) | (2 * freq == n)  # the constant and, for even N, the Nyquist cosine
        return rows * np.where(unpaired, math.sqrt(1 / n), math.sqrt(2 / n))

    def _axis_eigenvalues(self, n: int) -> np.ndarray[Any, Any]:
        return ((np.arange(n) + 1) // 2 * (2 * math.pi / n)) ** 2

    def nests(self, n: int, m: int) -> bool:
        """Whether m takes whole pairs of cosine and sine: it is odd, or all of them."""
        return m == n or (1 <= m < n and m % 2 == 1)

    def _fast(self, *, inverse: bool) -> Transform:
        return inverse_real_fourier if inverse else real_fourier


@final
@dataclass(frozen=True, kw_only=True)
class Identity(_Separable):
    """No transform: what standard Gaussian diffusion needs, whose coefficients are the same for all frequencies."""

    def analysis(self, n: int) -> np.ndarray[Any, Any]:
        """Return the unit matrix."""
        return np.eye(n)

    def _axis_eigenvalues(self, n: int) -> np.ndarray[Any, Any]:
        return np.zeros(n)

    def forward(self, x: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        """Return `x` itself."""
        require_floating("x", x)
        normalize_axes(axes, x.ndim)
        return as_result(x, x)

    def inverse(self, u: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        """Return `u` itself."""
        require_floating("u", u)
        normalize_axes(axes, u.ndim)
        return as_result(u, u)


@final
class Dense(_Separable):
    """An eigenbasis given as a matrix, for graphs and meshes: one axis of P nodes.

    Parameters
    ----------
    vectors
        Orthonormal columns, (P, P), a host array (NumPy or what converts to it): x = vectors @ u.
    eigenvalues
        Of the negative Laplacian, (P,), all >= 0.

    Raises
    ------
    ArgumentError
        The shapes disagree, the columns are not orthonormal to 1e-6, or an eigenvalue is negative or not finite.

    Notes
    -----
    The one basis that holds arrays: it is compared by identity and is not saved in configurations.
    """

    def __init__(self, vectors: Array, eigenvalues: Array) -> None:
        self._vectors = np.array(vectors, dtype=np.float64)
        self._values = np.array(eigenvalues, dtype=np.float64)
        size = self._values.size
        require(size >= 1 and self._values.shape == (size,), "eigenvalues", self._values.shape, "a vector")
        require(
            self._vectors.shape == (size, size), "vectors", self._vectors.shape, f"a matrix of shape {(size, size)}"
        )
        error = float(np.max(np.abs(self._vectors.T @ self._vectors - np.eye(size))))
        require(error < 1e-6, "vectors", f"columns with an error of {error:.1e}", "orthonormal to 1e-6")
        wrong = self._values[~(np.isfinite(self._values) & (self._values >= 0))]
        require(wrong.size == 0, "eigenvalues", wrong.tolist(), "finite, 0 or more")

    def _check(self, n: int) -> None:
        if n != self._values.size:
            raise ArgumentError(f"shape must be ({self._values.size},) for this eigenbasis; got an axis of {n}")

    def analysis(self, n: int) -> np.ndarray[Any, Any]:
        """Return the transposed vectors."""
        self._check(n)
        return self._vectors.T

    def _along(self, x: Array, axes: tuple[int, ...], *, inverse: bool) -> Array:
        for axis in axes:
            matrix = self._matrix_of((x.shape[axis],), x)
            x = multiply(matrix.T if inverse else matrix, x, axis, axis)
        return x

    def _matrix_of(self, sizes: tuple[int, ...], x: Array) -> Matrix:
        xp, dtype, device = where(x)
        return xp.asarray(self.analysis(*sizes), dtype=dtype, device=device)

    def _axis_eigenvalues(self, n: int) -> np.ndarray[Any, Any]:
        self._check(n)
        return self._values

    def eigenvalues_in(self, shape: tuple[int, ...], f: Frame) -> Array:
        """Return the eigenvalues in a frame's working dtype."""
        return f.xp.asarray(self.spectrum(shape), dtype=f.work, device=f.device)


BASES: dict[str, type[DCT] | type[DST] | type[RealFourier] | type[Identity]] = {
    cls.__name__: cls for cls in (DCT, DST, RealFourier, Identity)
}
"""The bases that a configuration can name."""


def eigenvalues_by_axis(basis: Basis, shape: tuple[int, ...], f: Frame) -> tuple[Array, ...]:
    """Return terms that broadcast over the grid and add up to lambda: one for each axis if the basis has them, or lambda."""
    by_axis: Callable[..., tuple[Array, ...]] | None = getattr(basis, "eigenvalues_by_axis", None)
    return (basis.eigenvalues_in(shape, f),) if by_axis is None else by_axis(shape, f)


def with_frequencies(basis: Basis) -> Basis:
    """Return the basis, or the DCT in the place of standard diffusion's, which knows no frequencies."""
    return DCT() if isinstance(basis, Identity) else basis


def _declare(kind: str, basis: _Separable) -> None:
    recipe(kind)(lambda *sizes: reduce(np.kron, map(basis.analysis, sizes)))
    recipe(f"{kind}.eigenvalues")(lambda *sizes: basis.spectrum(sizes))


for _kind, _basis in BASES.items():
    _declare(_kind, _basis())
