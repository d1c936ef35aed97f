"""Smaller images of larger ones, in pixel space by linear algebra on full matrices (SPEC 11).

An image on N points is a finite sum of waves, hence a function of a place between them. Its smaller image has the waves that
M points can show, read off at the M places; ``R`` is that as a matrix over pixels. A chain of images ``z_t`` makes a chain of
smaller ones ``R z_t``, whose transitions and posteriors are conditional distributions of jointly normal vectors.
"""

import math
from collections.abc import Sequence

import numpy as np

from blurcore_reference.bases import basis_matrix
from blurcore_reference.dense import marginal_dense, transition_dense
from blurcore_reference.marginals import Process, basis_kind, sigma
from blurcore_reference.samplers import sampler_variance


def restriction_matrix(kind: str, shape: Sequence[int], to: Sequence[int]) -> np.ndarray:
    """Return the matrix from an image to its smaller one.

    ``(R x)_j = sum_{k < M} w_k(p_j) sum_n w_k(n) x_n`` for each axis, ``p_j`` the place of small point j

    Parameters
    ----------
    kind : ``DCT`` (places ``(j + 1/2) N / M``) or ``RealFourier`` (``j N / M``).
    shape : sizes of the larger grid.
    to : sizes of the smaller one; odd, or the larger one's, for ``RealFourier``.

    Returns
    -------
    float64 array (smaller pixels, pixels).

    References
    ----------
    SPEC 11.
    """
    matrix = np.ones((1, 1))
    for size, small in zip(shape, to, strict=True):
        waves = np.empty((small, small))
        for j in range(small):
            for k in range(small):
                if kind == "DCT":
                    height = math.sqrt((1 if k == 0 else 2) / size)
                    waves[j, k] = height * math.cos(math.pi * k * ((j + 0.5) * size / small) / size)
                else:
                    frequency = (k + 1) // 2
                    height = math.sqrt((1 if k == 0 or 2 * frequency == size else 2) / size)
                    wave = math.sin if k > 0 and k % 2 == 0 else math.cos
                    waves[j, k] = height * wave(2 * math.pi * frequency * (j * size / small) / size)
        matrix = np.kron(matrix, waves @ basis_matrix(kind, size)[:, :small].T)
    return matrix


def restricted_marginal(
    process: Process, t: float, shape: Sequence[int], to: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return matrix and covariance of q(R z_t | x): ``R A_t`` and ``R C_t R^T``."""
    r = restriction_matrix(basis_kind(process), shape, to)
    matrix, covariance = marginal_dense(process, t, shape)
    return r @ matrix, r @ covariance @ r.T


def restricted_transition(
    process: Process, t: float, s: float, shape: Sequence[int], to: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return matrix and covariance of q(R z_t | R z_s, x), for sigma_s > 0.

    ``K = R A C_s R^T (R C_s R^T)^-1,  cov = R (A C_s A^T + C) R^T - K R C_s A^T R^T``
    """
    r = restriction_matrix(basis_kind(process), shape, to)
    _, before = marginal_dense(process, s, shape)
    step, added = transition_dense(process, t, s, shape)
    cross = r @ step @ before @ r.T
    gain = np.linalg.solve(r @ before @ r.T, cross.T).T
    return gain, r @ (step @ before @ step.T + added) @ r.T - gain @ cross.T


def restricted_posterior(
    process: Process, t: float, s: float, shape: Sequence[int], to: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return matrices and covariance of q(R z_s | R z_t, x): the mean is ``K R z_t + B x``, x the larger image.

    ``K = R C_s A^T R^T (R (A C_s A^T + C) R^T)^-1,  B = R A_s - K R A A_s,  cov = R C_s R^T - K R A C_s R^T``
    """
    r = restriction_matrix(basis_kind(process), shape, to)
    signal, before = marginal_dense(process, s, shape)
    step, added = transition_dense(process, t, s, shape)
    cross = r @ before @ step.T @ r.T
    gain = np.linalg.solve((r @ (step @ before @ step.T + added) @ r.T).T, cross.T).T
    return gain, r @ signal - gain @ r @ step @ signal, r @ before @ r.T - gain @ cross.T


def nested_variance(
    process: Process,
    grid: Sequence[float],
    spectrum: np.ndarray,
    sizes: Sequence[tuple[int, ...]],
    kind: str,
    **how: float,
) -> np.ndarray:
    """Variance of the output of a sampler that works on smaller images first, on Gaussian data with the exact denoiser.

    A frequency that joins before step i starts there, from ``N(0, sigma^2)``; until then it does not exist.

    Parameters
    ----------
    process : the dictionary of a process.
    grid : decreasing times.
    spectrum : variance of the data in each frequency of the larger image.
    sizes : grid of each step; none smaller than the one before it, the last that of ``spectrum``.
    kind, how : see ``sampler_variance``.

    Returns
    -------
    float64 array of the shape of ``spectrum``, in the larger image's units.

    References
    ----------
    SPEC 9, SPEC 11.
    """
    result = np.full(spectrum.shape, np.nan)
    for first in reversed(range(len(sizes))):
        start = sigma(process, grid[first], spectrum.shape) ** 2
        whole = sampler_variance(process, grid[first:], spectrum, kind, initial=start, **how)
        there = tuple(slice(0, size) for size in sizes[first])
        result[there] = whole[there]
    return result
