"""Linear observations of Gaussian data: the posterior by linear algebra on full matrices, in pixel space (SPEC 11, 12).

``y = A x + n`` with ``x ~ N(m, P)``, ``n ~ N(0, r)``; everything is a matrix over all pixels of a grid, so that operators
that are diagonal in the basis and those that are not go through the same few lines.
"""

import math
from collections.abc import Sequence

import numpy as np

from blurcore_reference.bases import basis_matrix, dense_basis, eigenvalues


def blur_matrix(kind: str, shape: Sequence[int], sigma: float) -> np.ndarray:
    """Return ``V exp(-lambda sigma^2 / 2) V^T``, (pixels, pixels)."""
    v = dense_basis(kind, shape)
    return v @ np.diag(np.exp(-eigenvalues(kind, shape).reshape(-1) * sigma**2 / 2)) @ v.T


def low_pass_matrix(kind: str, shape: Sequence[int], cutoff: float) -> np.ndarray:
    """Return the projection on the frequencies with ``lambda <= (pi cutoff)^2``, (pixels, pixels)."""
    v = dense_basis(kind, shape)
    return v @ np.diag((eigenvalues(kind, shape).reshape(-1) <= (math.pi * cutoff) ** 2) * 1.0) @ v.T


def restrict_matrix(shape: Sequence[int], factor: int) -> np.ndarray:
    """Return the low-passed image at fewer points, (coarse pixels, pixels): SPEC 11, axis by axis with the DCT."""
    result = np.ones((1, 1))
    for size in shape:
        small = size // factor
        fine, coarse = basis_matrix("DCT", size), basis_matrix("DCT", small)
        result = np.kron(result, math.sqrt(small / size) * coarse @ fine[:, :small].T)
    return result


def average_matrix(shape: Sequence[int], factor: int) -> np.ndarray:
    """Return the means of boxes of pixels, (coarse pixels, pixels)."""
    result = np.ones((1, 1))
    for size in shape:
        box = np.zeros((size // factor, size))
        for i in range(size):
            box[i // factor, i] = 1 / factor
        result = np.kron(result, box)
    return result


def posterior_given(
    mean: np.ndarray, covariance: np.ndarray, matrix: np.ndarray, y: np.ndarray, variance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of ``x`` given ``y = A x + n``, by precisions.

    Parameters
    ----------
    mean : of x, (pixels,).
    covariance : of x, (pixels, pixels), positive definite.
    matrix : A, (observed, pixels).
    y : what was observed, (observed,).
    variance : of n, > 0.

    Returns
    -------
    Mean (pixels,) and covariance (pixels, pixels).
    """
    precision = np.linalg.inv(covariance)
    after = np.linalg.inv(precision + matrix.T @ matrix / variance)
    return after @ (precision @ mean + matrix.T @ y / variance), after


def diagonal_posterior(
    mean: np.ndarray, variance: np.ndarray, gain: np.ndarray, y: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each frequency given ``y = H u + n``: SPEC 12 without a state u_t.

    Parameters
    ----------
    mean, variance : of the data, one for each frequency; variance > 0.
    gain : H.
    y : what was observed of each frequency.
    noise : variance of n, > 0.
    """
    after = 1 / (1 / variance + gain**2 / noise)
    return after * (mean / variance + gain * y / noise), after


def ddrm_step(
    x: float,
    u: float,
    y: float,
    gain: float,
    now: tuple[float, float],
    after: tuple[float, float],
    noise: float,
    eta: float,
    eta_b: float,
) -> tuple[float, float]:
    """Return mean and standard deviation of one frequency's next state: Kawar et al. 2022, equation 8, in their variables.

    Theirs are ``u / alpha`` with the noise ``sigma / alpha`` and ``y / H`` with the noise ``sigma_y / H``.

    Parameters
    ----------
    x : predicted data.
    u : state at t.
    y, gain, noise : what was observed, H, and the variance of its noise.
    now, after : (alpha, sigma) at t and at s.
    eta, eta_b : the paper's.
    """
    level_t, level = now[1] / now[0], after[1] / after[0]
    state = u / now[0]
    if gain == 0:
        mean, deviation = x + math.sqrt(1 - eta**2) * level * (state - x) / level_t, eta * level
    else:
        seen, blurred = y / gain, math.sqrt(noise) / gain
        if level < blurred:
            mean, deviation = x + math.sqrt(1 - eta**2) * level * (seen - x) / blurred, eta * level
        else:
            mean = (1 - eta_b) * x + eta_b * seen
            deviation = math.sqrt(level**2 - blurred**2 * eta_b**2)
    return after[0] * mean, after[0] * deviation
