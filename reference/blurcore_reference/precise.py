"""The coefficients in 50-digit arithmetic, one frequency at a time (SPEC 2-4).

The arguments are taken at face value: ``t`` and ``s`` are the exact rational numbers that their floats are, and so are
the settings of the process. The result is then limited by nothing but the last rounding of ``float(...)``, which makes
these functions the yardstick for float32 coefficients down to steps of 1e-6.

Returned values carry 50 digits, but mpmath rounds what a caller computes with them to ``mpmath.mp.dps`` digits: keep
further arithmetic inside ``mpmath.workdps(precise.DIGITS)``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
from mpmath import mpf

from blurcore_reference.bases import eigenvalue_ratios
from blurcore_reference.marginals import Process, basis_kind

DIGITS = 50


def eigenvalue(kind: str, index: Sequence[int], shape: Sequence[int]) -> mpf:
    """Eigenvalue of one frequency.

    ``lambda_k = pi^2 sum_n (k_n / N_n)^2`` for the DCT

    Parameters
    ----------
    kind : kind of the basis.
    index : the frequency ``(k_1, .., k_n)``.
    shape : grid sizes.

    Returns
    -------
    mpf with 50 digits.

    References
    ----------
    SPEC 1.
    """
    return _times_pi_squared(eigenvalue_ratios(kind, shape)[tuple(index)])


def marginal(process: Process, t: float, eigenvalue: mpf) -> tuple[mpf, mpf]:
    """Scale and standard deviation of q(u_t | u_0).

    ``alpha_t = a_t d_t,  sigma_t``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1], taken at face value.
    eigenvalue : lambda of the frequency.

    Returns
    -------
    ``(alpha, sigma)``, mpf with 50 digits.

    References
    ----------
    SPEC 2.
    """
    with mpmath.workdps(DIGITS):
        log_a, variance = log_marginal(process, mpf(t), eigenvalue)
        return mpmath.exp(log_a), mpmath.sqrt(variance)


def log_marginal(process: Process, t: mpf, eigenvalue: mpf) -> tuple[mpf, mpf]:
    """Logarithm of the scale, and the variance, of q(u_t | u_0).

    ``log alpha_t = log a_t + log((1 - d_min) exp(-lambda tau_t) + d_min),  sigma_t^2``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].
    eigenvalue : lambda of the frequency.

    Returns
    -------
    ``(log_alpha, sigma^2)``, mpf with 50 digits.

    References
    ----------
    SPEC 2.
    """
    with mpmath.workdps(DIGITS):
        signal, variance, dissipation = _scalars(json.dumps(process, sort_keys=True), mpf(t))
        floor = mpf(process.get("min_scale", 0))
        return signal + mpmath.log((1 - floor) * mpmath.exp(-eigenvalue * dissipation) + floor), variance


def transition(process: Process, t: float, s: float, eigenvalue: mpf) -> tuple[mpf, mpf]:
    """Scale and variance of q(u_t | u_s).

    ``alpha_{t|s} = alpha_t / alpha_s,  sigma_{t|s}^2 = sigma_t^2 - alpha_{t|s}^2 sigma_s^2``

    Parameters
    ----------
    process : the dictionary of a process.
    t, s : times, 0 <= s <= t <= 1, taken at face value.
    eigenvalue : lambda of the frequency.

    Returns
    -------
    ``(alpha_ts, variance)``, mpf with 50 digits less those lost to the difference.

    References
    ----------
    SPEC 3.
    """
    with mpmath.workdps(DIGITS):
        alpha_t, sigma_t = marginal(process, t, eigenvalue)
        alpha_s, sigma_s = marginal(process, s, eigenvalue)
        ratio = alpha_t / alpha_s
        return ratio, sigma_t**2 - ratio**2 * sigma_s**2


def posterior(process: Process, t: float, s: float, eigenvalue: mpf) -> tuple[mpf, mpf, mpf]:
    """Coefficients of q(u_s | u_t, u_0), by Bayes' rule for two jointly normal variables.

    Given u_0, ``Cov[u_s, u_t] = alpha_{t|s} sigma_s^2`` and ``Var[u_t] = sigma_t^2``, hence
    ``z_coef = alpha_{t|s} sigma_s^2 / sigma_t^2,  x_coef = alpha_s - z_coef alpha_t,
    variance = sigma_s^2 - z_coef alpha_{t|s} sigma_s^2``

    Parameters
    ----------
    process : the dictionary of a process with sigma_t > 0.
    t, s : times, 0 <= s <= t <= 1, taken at face value.
    eigenvalue : lambda of the frequency.

    Returns
    -------
    ``(z_coef, x_coef, variance)``, mpf with 50 digits less those lost to differences.

    References
    ----------
    SPEC 4.
    """
    with mpmath.workdps(DIGITS):
        alpha_t, sigma_t = marginal(process, t, eigenvalue)
        alpha_s, sigma_s = marginal(process, s, eigenvalue)
        if sigma_t == 0:
            raise ValueError(f"the process {process['kind']} has no noise at t = {t}: its posterior is degenerate")
        ratio = alpha_t / alpha_s
        z_coef = ratio * sigma_s**2 / sigma_t**2
        return z_coef, alpha_s - z_coef * alpha_t, sigma_s**2 - z_coef * ratio * sigma_s**2


def on_grid(
    coefficients: Callable[..., tuple[mpf, ...]], process: Process, *times: float, shape: Sequence[int]
) -> tuple[np.ndarray, ...]:
    """Evaluate coefficients of a single frequency on a whole grid.

    ``on_grid(posterior, process, t, s, shape=(32, 32))``; equal eigenvalues are computed once

    Parameters
    ----------
    coefficients : ``marginal``, ``transition``, ``posterior``, or another function of (process, \\*times, eigenvalue).
    process : the dictionary of a process.
    times : the times that the function takes.
    shape : grid sizes.

    Returns
    -------
    tuple of float64 arrays of ``shape``, each value the nearest float64.

    References
    ----------
    SPEC 4 (the target of 1e-6 for float32).
    """
    ratios = eigenvalue_ratios(basis_kind(process), shape)
    known = {ratio: coefficients(process, *times, _times_pi_squared(ratio)) for ratio in set(ratios.flat)}
    columns = zip(*(known[ratio] for ratio in ratios.flat), strict=True)
    return tuple(np.array([float(value) for value in column]).reshape(ratios.shape) for column in columns)


def _times_pi_squared(ratio: Fraction) -> mpf:
    with mpmath.workdps(DIGITS):
        return mpmath.pi**2 * ratio.numerator / ratio.denominator


@lru_cache(maxsize=4096)
def _scalars(process_json: str, t: mpf) -> tuple[mpf, mpf, mpf]:
    """``log a_t``, ``sigma_t^2``, ``tau_t``: what all frequencies share, so that thousands of them are affordable."""
    process = json.loads(process_json)
    with mpmath.workdps(DIGITS):
        blur = process.get("blur", {"kind": "NoBlur"})
        if process["kind"] == "HeatDissipation":
            noise = {"kind": "ConstantSigma", "sigma": process["sigma"]}
        elif process["kind"] == "ColdDiffusion":
            noise = {"kind": "ConstantSigma", "sigma": 0.0}
        else:
            noise = process["noise"]
        return *_noise(noise, t), _blur(blur, t) ** 2 / 2


def _noise(noise: Mapping[str, Any], t: mpf) -> tuple[mpf, mpf]:
    if noise["kind"] == "ConstantSigma":
        return mpf(0), mpf(noise["sigma"]) ** 2
    if noise["kind"] == "CosineLogSNR":
        first = mpmath.atan(mpmath.exp(-mpf(noise["log_snr_max"]) / 2))
        span = mpmath.atan(mpmath.exp(-mpf(noise["log_snr_min"]) / 2)) - first
        g = -2 * mpmath.log(mpmath.tan(span * t + first))
        return -mpmath.log(1 + mpmath.exp(-g)) / 2, 1 / (1 + mpmath.exp(g))
    if noise["kind"] == "LinearBeta":
        log_abar = linear_beta_log_abar(noise, t * noise["num_steps"])
        return log_abar / 2, -mpmath.expm1(log_abar)
    if noise["kind"] == "Rectified":
        low, first = mpf(noise["alpha_min"]), mpf(noise["sigma_min"])
        return mpmath.log(1 - (1 - low) * t), (first + (1 - first) * t) ** 2
    if noise["kind"] == "LogSigma":
        first, last = mpf(noise["sigma_min"]), mpf(noise["sigma_max"])
        return mpf(0), (first * (last / first) ** t) ** 2
    raise ValueError(f"noise schedule {noise['kind']!r} is unknown")


def linear_beta_log_abar(noise: Mapping[str, Any], step: mpf) -> mpf:
    """Euler-Maclaurin interpolant of DDPM's ``log abar``, with the integral in closed form.

    ``int -log w dy = (w log w - w) / slope``, ``w = 1 - beta(y)``

    Parameters
    ----------
    noise : the dictionary of a ``LinearBeta`` schedule.
    step : real number in [0, num_steps].

    Returns
    -------
    ``log abar(step)``; at whole steps it misses the product by less than 1e-25 for DDPM's setting.

    References
    ----------
    ``blurcore_reference.marginals``, module docstring.
    """
    with mpmath.workdps(DIGITS):
        start, end, steps = mpf(noise["beta_start"]), mpf(noise["beta_end"]), noise["num_steps"]
        if step == 0 or steps == 1 or start == end:
            return step * mpmath.log(1 - start)
        slope = (end - start) / (steps - 1)
        left = 1 - start + slope / 2
        right = left - step * slope
        total = (right * mpmath.log(right) - right - left * mpmath.log(left) + left) / slope
        for coefficient, order in ((-mpf(1) / 24, 1), (mpf(7) / 5760, 3), (-mpf(31) / 967680, 5)):
            jump = (slope / right) ** order - (slope / left) ** order
            total += coefficient * mpmath.factorial(order - 1) * jump
        return -total


def _blur(blur: Mapping[str, Any], t: mpf) -> mpf:
    if blur["kind"] == "NoBlur":
        return mpf(0)
    top = mpf(blur["sigma_blur_max"])
    if blur["kind"] == "SinSquared":
        return top * mpmath.sin(mpmath.pi * t / 2) ** 2
    if blur["kind"] == "Sin":
        return top * mpmath.sin(mpmath.pi * t / 2)
    if blur["kind"] == "LogLinear":
        bottom, levels = mpf(blur["sigma_blur_min"]), blur["num_levels"]
        level = t * levels
        if level < 1:
            return bottom * level
        return bottom * (top / bottom) ** ((level - 1) / (levels - 1))
    raise ValueError(f"blur schedule {blur['kind']!r} is unknown")
