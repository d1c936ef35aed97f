"""Likelihoods from their definitions: normal distributions by scipy, chains by dense linear algebra, no shortcut (SPEC 8)."""

from __future__ import annotations

import numpy as np
import scipy.integrate
import scipy.stats


def bin_nll(x: np.ndarray, mean: np.ndarray, std: float, low: float, high: float, levels: int) -> float:
    """Minus log probability of data on levels, by the normal distribution's mass in each bin.

    Parameters
    ----------
    x : data on the levels, any shape.
    mean : of the shape of ``x``.
    std : standard deviation.
    low, high, levels : the levels, evenly spaced, ends included; the outer bins reach to infinity.

    Returns
    -------
    Nats, summed over all entries.

    References
    ----------
    SPEC 8.
    """
    half = (high - low) / (levels - 1) / 2
    total = 0.0
    for value, centre in zip(x.ravel(), mean.ravel(), strict=True):
        left = -np.inf if value < low + half else (value - half - centre) / std
        right = np.inf if value > high - half else (value + half - centre) / std
        if left > 0:  # the other tail has the digits
            left, right = -right, -left
        upper, lower = scipy.stats.norm.logcdf(right), scipy.stats.norm.logcdf(left)
        total -= upper + np.log1p(-np.exp(lower - upper))
    return float(total)


def gaussian_divergence(mean_p: np.ndarray, cov_p: np.ndarray, mean_q: np.ndarray, cov_q: np.ndarray) -> float:
    """KL(p || q) of normal distributions with dense covariances.

    ``(tr(C_q^-1 C_p) - D + (m_q - m_p)^T C_q^-1 (m_q - m_p) + log det C_q - log det C_p) / 2``
    """
    solved = np.linalg.solve(cov_q, cov_p)
    gap = mean_q - mean_p
    log_det = np.linalg.slogdet(cov_q)[1] - np.linalg.slogdet(cov_p)[1]
    return float((np.trace(solved) - len(gap) + gap @ np.linalg.solve(cov_q, gap) + log_det) / 2)


def gaussian_nll(z: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> float:
    """Minus log density of independent normal variables."""
    return float(-scipy.stats.norm.logpdf(z, mean, np.sqrt(variance)).sum())


def binned_gaussian_nll(
    value: float, variance: float, low: float, high: float, levels: int, std: float, mean: float = 0.0
) -> float:
    """Minus log probability that a normal variable, seen through noise ``std`` and binned, falls on a level.

    ``-log integral of N(z; mean, variance + std^2) ... P(value | z)`` by quadrature: what a decoder of width ``std`` makes of
    Gaussian data.
    """
    half = (high - low) / (levels - 1) / 2

    def integrand(z: float) -> float:
        left = -np.inf if value < low + half else (value - half - z) / std
        right = np.inf if value > high - half else (value + half - z) / std
        mass = scipy.stats.norm.cdf(right) - scipy.stats.norm.cdf(left)
        return float(mass * scipy.stats.norm.pdf(z, mean, np.sqrt(variance + std**2)))

    near = (value - 12 * std - half, value + 12 * std + half)
    return float(-np.log(scipy.integrate.quad(integrand, *near, epsabs=0, epsrel=1e-10, limit=200)[0]))
