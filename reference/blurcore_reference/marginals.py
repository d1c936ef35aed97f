"""The marginal q(u_t | u_0) of every process, from its dictionary (SPEC 2).

    q(u_t | u_0) = N(alpha_t u_0, sigma_t^2 I),   alpha_t = a_t d_t,
    d_t = (1 - d_min) exp(-lambda tau_t) + d_min,   tau_t = sigma_B(t)^2 / 2

A process is the plain dictionary that a checkpoint stores, for example ::

    {"kind": "BlurringDiffusion", "noise": {"kind": "CosineLogSNR", "log_snr_min": -10.0, "log_snr_max": 10.0},
     "blur": {"kind": "SinSquared", "sigma_blur_max": 20.0}, "min_scale": 0.001, "basis": {"kind": "DCT"}}

A schedule of somebody's own, which has no kind here, may be a function in its place: of t, that returns ``(a_t, sigma_t)``, or
``sigma_B(t)``.

The four processes are one formula: ``GaussianDiffusion`` has d = 1, ``HeatDissipation`` has a = 1, a constant sigma and
d_min = 0, ``ColdDiffusion`` has a = 1 and sigma = 0.

The linear beta schedule is DDPM's at ``t = k / num_steps``: ``abar_k = prod_{i <= k} (1 - beta_i)``. Between two steps
it is the Euler-Maclaurin interpolant of the logarithm of that product, with ``f(y) = -log(1 - beta(y))``::

    log abar(x) = -[ int_{1/2}^{x+1/2} f - [f']/24 + 7 [f''']/5760 - 31 [f^(5)]/967680 ],   [.] from 1/2 to x + 1/2
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from blurcore_reference.bases import eigenvalues

Process = Mapping[str, Any]
"""A process as plain values, the dictionary that JSON gives."""

# t * num_steps closer than this to a whole number is that DDPM step: k / num_steps * num_steps may miss k by an ulp
WHOLE_STEP = 1e-10


def noise_levels(process: Process, t: float) -> tuple[float, float]:
    """Scale of the signal and of the noise that all frequencies share.

    ``a_t = sqrt(sigmoid(g_t)), sigma_t = sqrt(sigmoid(-g_t))`` for the variance-preserving schedules

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].

    Returns
    -------
    ``(a_t, sigma_t)``.

    References
    ----------
    SPEC 2; the paper, section 3.
    """
    check_time(t)
    if process["kind"] == "HeatDissipation":
        return 1.0, float(process["sigma"])
    if process["kind"] == "ColdDiffusion":
        return 1.0, 0.0
    noise = process["noise"]
    if callable(noise):
        return noise(t)
    if noise["kind"] == "ConstantSigma":
        return 1.0, float(noise["sigma"])
    if noise["kind"] == "CosineLogSNR":
        first = math.atan(math.exp(-noise["log_snr_max"] / 2))
        span = math.atan(math.exp(-noise["log_snr_min"] / 2)) - first
        g = -2 * math.log(math.tan(span * t + first))
        return math.sqrt(1 / (1 + math.exp(-g))), math.sqrt(1 / (1 + math.exp(g)))
    if noise["kind"] == "LinearBeta":
        log_abar = linear_beta_log_abar(noise, t)
        return math.exp(log_abar / 2), math.sqrt(-math.expm1(log_abar))
    if noise["kind"] == "Rectified":
        return 1 - (1 - noise["alpha_min"]) * t, noise["sigma_min"] + (1 - noise["sigma_min"]) * t
    if noise["kind"] == "LogSigma":
        return 1.0, noise["sigma_min"] * (noise["sigma_max"] / noise["sigma_min"]) ** t
    raise ValueError(f"noise schedule {noise['kind']!r} is unknown")


def linear_beta_log_abar(noise: Mapping[str, Any], t: float) -> float:
    """Logarithm of DDPM's cumulative product, between whole steps its interpolant.

    ``log abar_k = sum_{i <= k} log(1 - beta_i)``, ``beta = linspace(beta_start, beta_end, num_steps)``

    Parameters
    ----------
    noise : the dictionary of a ``LinearBeta`` schedule.
    t : time in [0, 1]; ``t * num_steps`` is the step.

    Returns
    -------
    ``log abar``, 0 at t = 0.

    References
    ----------
    SPEC 2; Ho et al. 2020, section 4; the interpolant is in the module docstring.
    """
    step = t * noise["num_steps"]
    whole = round(step)
    if abs(step - whole) > WHOLE_STEP:
        return linear_beta_interpolant(noise, step)
    betas = np.linspace(noise["beta_start"], noise["beta_end"], noise["num_steps"])
    return math.fsum(np.log1p(-betas[:whole]))


def linear_beta_interpolant(noise: Mapping[str, Any], step: float) -> float:
    """Euler-Maclaurin interpolant of the sum of ``log(1 - beta_i)``, by numerical quadrature.

    ``-[ int f - [f']/24 + 7 [f''']/5760 - 31 [f^(5)]/967680 ]`` from 1/2 to ``step + 1/2``, ``f = -log(1 - beta)``

    Parameters
    ----------
    noise : the dictionary of a ``LinearBeta`` schedule.
    step : real number in [0, num_steps].

    Returns
    -------
    ``log abar(step)``.

    References
    ----------
    Module docstring; the midpoint form of the Euler-Maclaurin sum.
    """
    start, end, steps = noise["beta_start"], noise["beta_end"], noise["num_steps"]
    slope = (end - start) / (steps - 1) if steps > 1 else 0.0

    def derivative(order: int, y: float) -> float:
        # n-th derivative of -log(1 - beta(y)), n >= 1, with beta linear
        return math.factorial(order - 1) * (slope / (1 - start - (y - 1) * slope)) ** order

    nodes, weights = np.polynomial.legendre.leggauss(64)
    y = 0.5 + step * (nodes + 1) / 2
    total = step / 2 * float(np.sum(weights * -np.log1p(-(start + (y - 1) * slope))))
    for coefficient, order in ((-1 / 24, 1), (7 / 5760, 3), (-31 / 967680, 5)):
        total += coefficient * (derivative(order, step + 0.5) - derivative(order, 0.5))
    return -total


def blur_level(blur: Mapping[str, Any], t: float) -> float:
    """Standard deviation of the blur in pixels.

    ``sigma_B(t) = sigma_B,max sin(pi t / 2)^2`` for ``SinSquared``

    Parameters
    ----------
    blur : the dictionary of a blur schedule.
    t : time in [0, 1].

    Returns
    -------
    ``sigma_B``, in pixels.

    References
    ----------
    SPEC 2; Rissanen et al. 2022 for ``LogLinear``: 0 at t = 0, then ``num_levels`` log-spaced values at t = k / num_levels.
    Before the first of them it is linear in t.
    """
    if callable(blur):
        return blur(t)
    if blur["kind"] == "NoBlur":
        return 0.0
    top = blur["sigma_blur_max"]
    if blur["kind"] == "SinSquared":
        return top * math.sin(math.pi * t / 2) ** 2
    if blur["kind"] == "Sin":
        return top * math.sin(math.pi * t / 2)
    if blur["kind"] == "LogLinear":
        bottom, levels = blur["sigma_blur_min"], blur["num_levels"]
        level = t * levels
        if level < 1:
            return bottom * level
        return bottom * (top / bottom) ** ((level - 1) / (levels - 1))
    raise ValueError(f"blur schedule {blur['kind']!r} is unknown")


def tau(process: Process, t: float) -> float:
    """Dissipation time of the heat equation.

    ``tau_t = sigma_B(t)^2 / 2``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].

    Returns
    -------
    ``tau_t``, in pixels squared; 0 for a process without blur.

    References
    ----------
    SPEC 2.
    """
    check_time(t)
    return blur_level(process.get("blur", {"kind": "NoBlur"}), t) ** 2 / 2


def min_scale(process: Process) -> float:
    """Floor ``d_min`` of the decay, 0 for a process that has none (SPEC 2)."""
    return float(process.get("min_scale", 0.0))


def basis_kind(process: Process) -> str:
    """Kind of the basis; a process without blur needs none and gets the identity (SPEC 2)."""
    return process.get("basis", {"kind": "Identity"})["kind"]


def decay(process: Process, t: float, shape: Sequence[int]) -> np.ndarray:
    """Factor by which the blur has damped each frequency.

    ``d_t = (1 - d_min) exp(-lambda tau_t) + d_min``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].
    shape : grid sizes.

    Returns
    -------
    float64 array of ``shape``, in [d_min, 1]; underflows to 0 where d_min = 0 and the blur is strong.

    References
    ----------
    SPEC 2; the paper, equation 8 and section 4.
    """
    floor = min_scale(process)
    return (1 - floor) * np.exp(-eigenvalues(basis_kind(process), shape) * tau(process, t)) + floor


def log_alpha(process: Process, t: float, shape: Sequence[int]) -> np.ndarray:
    """Logarithm of the signal's scale; finite where ``alpha`` underflows.

    ``log alpha_t = log a_t + log d_t``, with ``log d_t = -lambda tau_t`` where d_min = 0

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].
    shape : grid sizes.

    Returns
    -------
    float64 array of ``shape``.

    References
    ----------
    SPEC 2, SPEC 5.
    """
    a, _ = noise_levels(process, t)
    if min_scale(process) == 0:
        return math.log(a) - eigenvalues(basis_kind(process), shape) * tau(process, t)
    return math.log(a) + np.log(decay(process, t, shape))


def alpha(process: Process, t: float, shape: Sequence[int]) -> np.ndarray:
    """Scale of the signal in each frequency.

    ``alpha_t = a_t d_t``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].
    shape : grid sizes.

    Returns
    -------
    float64 array of ``shape``.

    References
    ----------
    SPEC 2.
    """
    a, _ = noise_levels(process, t)
    return a * decay(process, t, shape)


def sigma(process: Process, t: float, shape: Sequence[int]) -> np.ndarray:
    """Standard deviation of the noise, the same in each frequency.

    ``sigma_t``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].
    shape : grid sizes.

    Returns
    -------
    float64 array of ``shape``, constant.

    References
    ----------
    SPEC 2.
    """
    return np.full(tuple(shape), noise_levels(process, t)[1])


def log_snr(process: Process, t: float, shape: Sequence[int]) -> np.ndarray:
    """Logarithm of the signal-to-noise ratio of each frequency.

    ``l_t = 2 log alpha_t - 2 log sigma_t``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].
    shape : grid sizes.

    Returns
    -------
    float64 array of ``shape``; +inf where sigma_t = 0.

    References
    ----------
    SPEC 2.
    """
    _, noise = noise_levels(process, t)
    if noise == 0:
        return np.full(tuple(shape), np.inf)
    return 2 * log_alpha(process, t, shape) - 2 * math.log(noise)


def check_time(t: float, s: float = 0.0) -> None:
    """Refuse times that are not ``0 <= s <= t <= 1``."""
    if not 0 <= s <= t <= 1:
        raise ValueError(f"times must satisfy 0 <= s <= t <= 1, got s = {s}, t = {t}")
