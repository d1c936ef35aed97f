"""Transition, posterior and stochastic differential equation of every process, per frequency (SPEC 3, 4, 6).

Everything here is the definition, not the numerically careful form: the transition's variance is a difference of
variances, the posterior is Bayes' rule by adding precisions, the SDE is a difference quotient. In float64 the
cancellation that this costs is about ``1e-16 / |l_t - l_s|``, relative; ``blurcore_reference.precise`` has 50 digits
for intervals where that is too much.
"""

from collections.abc import Callable, Sequence

import mpmath
import numpy as np

from blurcore_reference import precise
from blurcore_reference.marginals import Process, alpha, check_time, log_alpha, noise_levels, sigma

# a variance below -TOLERANCE * sigma_t^2 is no rounding error: the chain is not Markov on the interval
TOLERANCE = 1e-12


def transition(process: Process, t: float, s: float, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Scale and variance of q(u_t | u_s).

    ``alpha_{t|s} = alpha_t / alpha_s,  sigma_{t|s}^2 = sigma_t^2 - alpha_{t|s}^2 sigma_s^2``

    Parameters
    ----------
    process : the dictionary of a process.
    t, s : times, 0 <= s <= t <= 1.
    shape : grid sizes.

    Returns
    -------
    ``(alpha_ts, variance)``, float64 arrays of ``shape``.

    Raises
    ------
    ValueError : some frequency's SNR increases from s to t, so that the chain is not Markov.

    References
    ----------
    SPEC 3; the paper, section 3.
    """
    check_time(t, s)
    # the ratio through logarithms, because both alphas may underflow
    ratio = np.exp(log_alpha(process, t, shape) - log_alpha(process, s, shape))
    variance = sigma(process, t, shape) ** 2 - ratio**2 * sigma(process, s, shape) ** 2
    floor = -TOLERANCE * noise_levels(process, t)[1] ** 2
    if np.any(variance < floor):
        worst = np.unravel_index(np.argmin(variance), variance.shape)
        raise ValueError(f"not Markov: the SNR of frequency {tuple(map(int, worst))} increases from s = {s} to t = {t}")
    return ratio, np.maximum(variance, 0.0)


def posterior(process: Process, t: float, s: float, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of q(u_s | u_t, u_0), by Bayes' rule with precisions.

    ``1 / variance = 1 / sigma_s^2 + alpha_{t|s}^2 / sigma_{t|s}^2``
    ``mean = variance (alpha_{t|s} / sigma_{t|s}^2 u_t + alpha_s / sigma_s^2 u_0) = z_coef u_t + x_coef u_0``

    Parameters
    ----------
    process : the dictionary of a process with noise, sigma_t > 0.
    t, s : times, 0 <= s <= t <= 1.
    shape : grid sizes.

    Returns
    -------
    ``(z_coef, x_coef, variance)``, float64 arrays of ``shape``. Where one of the two precisions is infinite, its limit.

    Raises
    ------
    ValueError : sigma_t = 0 (two certainties that may contradict each other), or the chain is not Markov.

    References
    ----------
    SPEC 4; the paper, section 3 and appendix.
    """
    ratio, likelihood_variance = transition(process, t, s, shape)
    prior_scale = alpha(process, s, shape)
    prior_variance = noise_levels(process, s)[1] ** 2
    if noise_levels(process, t)[1] == 0:
        raise ValueError(f"the process {process['kind']} has no noise at t = {t}: its posterior is degenerate")
    if prior_variance == 0:
        # u_s = alpha_s u_0 with certainty
        return np.zeros_like(ratio), prior_scale, np.zeros_like(ratio)
    z_coef, x_coef, variance = np.empty_like(ratio), np.empty_like(ratio), np.empty_like(ratio)
    for k in np.ndindex(*ratio.shape):
        if likelihood_variance[k] == 0:
            # u_t = alpha_{t|s} u_s with certainty: the DC term of heat dissipation
            z_coef[k], x_coef[k], variance[k] = 1 / ratio[k], 0.0, 0.0
            continue
        variance[k] = 1 / (1 / prior_variance + ratio[k] ** 2 / likelihood_variance[k])
        z_coef[k] = variance[k] * ratio[k] / likelihood_variance[k]
        x_coef[k] = variance[k] * prior_scale[k] / prior_variance
    return z_coef, x_coef, variance


def compose(process: Process, times: Sequence[float], shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Marginal at the last time, from the marginal at the first one and the transitions between.

    ``alpha <- alpha_{t|s} alpha,  sigma^2 <- alpha_{t|s}^2 sigma^2 + sigma_{t|s}^2``

    Parameters
    ----------
    process : the dictionary of a process.
    times : at least one time, not decreasing, in [0, 1].
    shape : grid sizes.

    Returns
    -------
    ``(alpha, sigma)``, float64 arrays of ``shape``; equal to the marginal at ``times[-1]``.

    References
    ----------
    SPEC 2, SPEC 3.
    """
    scale = alpha(process, times[0], shape)
    variance = sigma(process, times[0], shape) ** 2
    for s, t in zip(times[:-1], times[1:], strict=True):
        ratio, added = transition(process, t, s, shape)
        scale = ratio * scale
        variance = ratio**2 * variance + added
    return scale, np.sqrt(variance)


def sde(process: Process, t: float, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Drift and squared diffusion of the SDE, by numerical differentiation in 50-digit arithmetic.

    ``f = d log alpha / dt,  g2 = d sigma^2 / dt - 2 f sigma^2``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1]; at the two ends the derivative is one-sided.
    shape : grid sizes.

    Returns
    -------
    ``(f, g2)``, float64 arrays of ``shape``.

    References
    ----------
    SPEC 6.
    """
    check_time(t)
    return precise.on_grid(_sde_of_frequency, process, t, shape=shape)


def _slopes(function: Callable[[mpmath.mpf], tuple[mpmath.mpf, mpmath.mpf]], t: float) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Derivatives of two functions of time."""
    # the error of the quotient is of the order width^2, that of its rounding 10^-DIGITS / width
    width = mpmath.mpf(10) ** -16
    middle = mpmath.mpf(t)
    if t == 0 or t == 1:
        inward = width if t == 0 else -width
        points, weights = (middle, middle + inward, middle + 2 * inward), (-3, 4, -1)
        denominator = 2 * inward
    else:
        points, weights, denominator = (middle + width, middle - width), (1, -1), 2 * width
    values = [function(point) for point in points]
    first, second = (sum(w * pair[i] for w, pair in zip(weights, values, strict=True)) / denominator for i in range(2))
    return first, second


def _sde_of_frequency(process: Process, t: float, eigenvalue: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
    with mpmath.workdps(precise.DIGITS):
        drift, growth = _slopes(lambda time: precise.log_marginal(process, time, eigenvalue), t)
        return drift, growth - 2 * drift * precise.log_marginal(process, mpmath.mpf(t), eigenvalue)[1]


def velocity(process: Process, t: float, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the scale and of the standard deviation, by numerical differentiation in 50-digit arithmetic.

    ``d alpha / dt,  d sigma / dt``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1]; at the two ends the derivative is one-sided.
    shape : grid sizes.

    Returns
    -------
    ``(alpha', sigma')``, float64 arrays of ``shape``; a slope of the order 1e8 where sigma leaves 0 like a root.

    References
    ----------
    SPEC 5.
    """
    check_time(t)
    return precise.on_grid(_velocity_of_frequency, process, t, shape=shape)


def _velocity_of_frequency(process: Process, t: float, eigenvalue: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
    def scales(time: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        log_alpha, variance = precise.log_marginal(process, time, eigenvalue)
        return mpmath.exp(log_alpha), mpmath.sqrt(variance)

    with mpmath.workdps(precise.DIGITS):
        return _slopes(scales, t)
