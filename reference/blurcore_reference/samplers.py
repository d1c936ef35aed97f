"""Samplers as linear recursions on Gaussian data, so that their error is a number (SPEC 7, 9).

Every sampler here is linear in the state, the prediction and fresh noise. For data ``u_0 ~ N(0, diag c)`` the exact
prediction is ``x = k_t u_t`` with ``k_t = alpha_t c / (alpha_t^2 c + sigma_t^2)``, so the state stays normal with mean
0 and its variance follows from the coefficients: no random number is drawn. The one-step samplers are

    u_s = z_coef u_t + x_coef x + sqrt(variance) n

======================  ==================  ==============================  =======================================
kind                    z_coef              x_coef                          variance
======================  ==================  ==============================  =======================================
``ancestral``           posterior's         posterior's                     sigma_{t->s}^2 ("fixed small")
``ancestral_upper``     posterior's         posterior's                     sigma_{t|s}^2 ("fixed large")
``calibrated``          posterior's         posterior's                     sigma_{t->s}^2 + x_coef^2 Var[u_0 | u_t]
``ddim``                r / sigma_t         alpha_s - alpha_t r / sigma_t   eta^2 sigma_{t->s}^2
``dpmpp_1``             sigma_s / sigma_t   alpha_s (1 - exp(-h))           0
``ihdm``                0                   alpha_s                         delta^2
``cold_naive``          0                   alpha_s                         0
``cold_improved``       1                   alpha_s - alpha_t               0
======================  ==================  ==============================  =======================================

with ``r^2 = sigma_s^2 - eta^2 sigma_{t->s}^2`` and ``h = (l_s - l_t) / 2``. ``dpmpp_2m`` keeps the last prediction,
``euler`` and ``heun`` integrate the probability-flow ODE.
"""

from collections.abc import Sequence

import numpy as np

from blurcore_reference.denoisers import gaussian_gain
from blurcore_reference.kernels import posterior, sde, transition
from blurcore_reference.marginals import Process, alpha, log_snr, noise_levels, sigma

ONE_STEP = ("ancestral", "ancestral_upper", "ddim", "dpmpp_1", "ihdm", "cold_naive", "cold_improved")


def uniform_grid(steps: int, first: float = 1.0, last: float = 0.0) -> list[float]:
    """Times from ``first`` down to ``last``, evenly spaced.

    ``t_i = first + (last - first) i / steps``

    Parameters
    ----------
    steps : number of steps, at least 1.
    first, last : the two ends, in [0, 1].

    Returns
    -------
    list of ``steps + 1`` decreasing floats.

    References
    ----------
    SPEC 7.
    """
    return [float(t) for t in np.linspace(first, last, steps + 1)]


def log_snr_grid(process: Process, steps: int, first: float = 1.0, last: float = 0.0) -> list[float]:
    """Times from ``first`` down to ``last``, evenly spaced in the log-SNR of the noise schedule, by bisection.

    ``g(t_i) = g(first) + (g(last) - g(first)) i / steps,  g = log(a^2 / sigma^2)``

    Parameters
    ----------
    process : the dictionary of a process whose g falls strictly and is finite at both ends.
    steps : number of steps, at least 1.
    first, last : the two ends, in [0, 1].

    Returns
    -------
    list of ``steps + 1`` decreasing floats.

    References
    ----------
    SPEC 7.
    """

    def g(t: float) -> float:
        a, noise = noise_levels(process, t)
        return 2 * float(np.log(a) - np.log(noise))

    times = [first]
    for target in np.linspace(g(first), g(last), steps + 1)[1:-1]:
        low, high = last, first
        # 60 halvings exhaust a float64 in [0, 1]
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if g(middle) > target else (low, middle)
        times.append((low + high) / 2)
    return [*times, last]


def sampler_step(
    process: Process, t: float, s: float, shape: Sequence[int], kind: str, eta: float = 0.0, delta: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of a one-step sampler.

    ``u_s = z_coef u_t + x_coef x + sqrt(variance) n``, see the table of the module

    Parameters
    ----------
    process : the dictionary of a process.
    t, s : times, 0 <= s < t <= 1.
    shape : grid sizes.
    kind : one of ``ONE_STEP``.
    eta : for ``ddim``, 0 (deterministic) to 1 (the posterior's variance).
    delta : for ``ihdm``, the standard deviation of the sampling noise; 1.25 sigma_t where not given.

    Returns
    -------
    ``(z_coef, x_coef, variance)``, float64 arrays of ``shape``.

    References
    ----------
    SPEC 7; Song et al. 2021 (DDIM), Lu et al. 2022 (DPM-Solver++), Rissanen et al. 2022 (IHDM), Bansal et al. 2022.
    """
    alpha_t, alpha_s = alpha(process, t, shape), alpha(process, s, shape)
    sigma_t, sigma_s = sigma(process, t, shape), sigma(process, s, shape)
    zero, one = np.zeros(tuple(shape)), np.ones(tuple(shape))
    if kind == "ancestral":
        return posterior(process, t, s, shape)
    if kind == "ancestral_upper":
        z_coef, x_coef, _ = posterior(process, t, s, shape)
        return z_coef, x_coef, transition(process, t, s, shape)[1]
    if kind == "ddim":
        added = eta**2 * posterior(process, t, s, shape)[2]
        # eps = (u_t - alpha_t x) / sigma_t
        direction = np.sqrt(np.maximum(sigma_s**2 - added, 0.0)) / sigma_t
        return direction, alpha_s - alpha_t * direction, added
    if kind == "dpmpp_1":
        h = (log_snr(process, s, shape) - log_snr(process, t, shape)) / 2
        return sigma_s / sigma_t, -alpha_s * np.expm1(-h), zero
    if kind == "ihdm":
        width = 1.25 * sigma_t if delta is None else delta * one
        return zero, alpha_s, width**2
    if kind == "cold_naive":
        return zero, alpha_s, zero
    if kind == "cold_improved":
        return one, alpha_s - alpha_t, zero
    raise ValueError(f"one-step sampler {kind!r} is unknown; known: {', '.join(ONE_STEP)}")


def sampler_variance(
    process: Process,
    grid: Sequence[float],
    spectrum: np.ndarray,
    kind: str,
    *,
    eta: float = 0.0,
    delta: float | None = None,
    last_noise: bool = False,
    first_order_last: bool = False,
    initial: np.ndarray | None = None,
) -> np.ndarray:
    """Variance of a sampler's output on Gaussian data with the exact denoiser, in closed form.

    ``v_s = (z_coef + x_coef k_t)^2 v_t + variance``

    Parameters
    ----------
    process : the dictionary of a process.
    grid : decreasing times, from the first to the last.
    spectrum : variance c of the data in each frequency; its shape is the grid's shape.
    kind : one of ``ONE_STEP`` or ``"calibrated"``, ``"dpmpp_2m"``, ``"euler"``, ``"heun"``.
    eta, delta : see ``sampler_step``.
    last_noise : whether the last step draws noise, too.
    first_order_last : for ``dpmpp_2m``, whether the last step is of first order (the table of SPEC 9 has it so).
    initial : variance of the start; sigma^2 at ``grid[0]`` where not given.

    Returns
    -------
    float64 array of the shape of ``spectrum``; a perfect sampler's is ``target_variance(process, grid[-1], spectrum)``.

    References
    ----------
    SPEC 9.
    """
    shape = spectrum.shape
    variance = sigma(process, grid[0], shape) ** 2 if initial is None else initial
    if kind == "dpmpp_2m":
        return _dpmpp_2m_gain(process, grid, spectrum, first_order_last) ** 2 * variance
    if kind == "euler":
        return _euler_gain(process, grid, spectrum) ** 2 * variance
    if kind == "heun":
        return _heun_gain(process, grid, spectrum) ** 2 * variance
    for t, s in zip(grid[:-1], grid[1:], strict=True):
        step = "ancestral" if kind == "calibrated" else kind
        z_coef, x_coef, added = sampler_step(process, t, s, shape, step, eta, delta)
        if kind == "calibrated":
            added = added + x_coef**2 * posterior_data_variance(process, t, spectrum)
        if s == grid[-1] and not last_noise:
            added = np.zeros(shape)
        variance = (z_coef + x_coef * _gain(process, t, spectrum)) ** 2 * variance + added
    return variance


def target_variance(process: Process, t: float, spectrum: np.ndarray) -> np.ndarray:
    """Variance of u_t for Gaussian data.

    ``alpha_t^2 c + sigma_t^2``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].
    spectrum : variance c of the data in each frequency.

    Returns
    -------
    float64 array of the shape of ``spectrum``.

    References
    ----------
    SPEC 2, SPEC 9.
    """
    return alpha(process, t, spectrum.shape) ** 2 * spectrum + sigma(process, t, spectrum.shape) ** 2


def posterior_data_variance(process: Process, t: float, spectrum: np.ndarray) -> np.ndarray:
    """Var[u_0 | u_t] for Gaussian data, what calibrated ancestral sampling adds.

    ``c sigma_t^2 / (alpha_t^2 c + sigma_t^2)``

    Parameters
    ----------
    process : the dictionary of a process with sigma_t > 0.
    t : time in [0, 1].
    spectrum : variance c of the data in each frequency.

    Returns
    -------
    float64 array of the shape of ``spectrum``.

    References
    ----------
    SPEC 9.
    """
    return spectrum * sigma(process, t, spectrum.shape) ** 2 / target_variance(process, t, spectrum)


def _gain(process: Process, t: float, spectrum: np.ndarray) -> np.ndarray:
    """Factor k_t of the exact prediction ``x = k_t u_t``."""
    return gaussian_gain(spectrum, alpha(process, t, spectrum.shape), sigma(process, t, spectrum.shape))


def _dpmpp_2m_gain(process: Process, grid: Sequence[float], spectrum: np.ndarray, first_order_last: bool) -> np.ndarray:
    """Factor from the start to the end; the first step is of first order, having no previous prediction."""
    shape = spectrum.shape
    state = np.ones(shape)
    previous_x = previous_h = None
    for t, s in zip(grid[:-1], grid[1:], strict=True):
        h = (log_snr(process, s, shape) - log_snr(process, t, shape)) / 2
        x = _gain(process, t, spectrum) * state
        guess = x
        if previous_x is not None and not (first_order_last and s == grid[-1]):
            # (x - x_prev) / (2 r) with r = h_prev / h; a frequency that does not move has no slope
            slope = np.divide(h, previous_h, out=np.zeros(shape), where=previous_h != 0)
            guess = x + (x - previous_x) * slope / 2
        kept = sigma(process, s, shape) / sigma(process, t, shape)
        state = kept * state - alpha(process, s, shape) * np.expm1(-h) * guess
        previous_x, previous_h = x, h
    return state


def _ode_rate(process: Process, t: float, spectrum: np.ndarray) -> np.ndarray:
    """``(du/dt) / u = f + (g2 / 2) / (alpha^2 c + sigma^2)`` on the probability-flow ODE, the score being linear."""
    drift, diffusion = sde(process, t, spectrum.shape)
    return drift + diffusion / (2 * target_variance(process, t, spectrum))


def _euler_gain(process: Process, grid: Sequence[float], spectrum: np.ndarray) -> np.ndarray:
    state = np.ones(spectrum.shape)
    for t, s in zip(grid[:-1], grid[1:], strict=True):
        state = state + (s - t) * _ode_rate(process, t, spectrum) * state
    return state


def _heun_gain(process: Process, grid: Sequence[float], spectrum: np.ndarray) -> np.ndarray:
    state = np.ones(spectrum.shape)
    for t, s in zip(grid[:-1], grid[1:], strict=True):
        slope = _ode_rate(process, t, spectrum) * state
        guess = state + (s - t) * slope
        state = state + (s - t) / 2 * (slope + _ode_rate(process, s, spectrum) * guess)
    return state
