r"""Noise and blur as functions of time, t in [0, 1] (SPEC 2), with exact differences and analytic derivatives.

A noise schedule gives :math:`a_t, \sigma_t` and :math:`g_t = \log (a_t^2 / \sigma_t^2)`; a blur schedule gives the heat
time :math:`\tau_t = \sigma_B(t)^2 / 2`. Differences :math:`g_t - g_s` and :math:`\tau_t - \tau_s` are worked out from
:math:`t - s` by an identity of each schedule, never by subtracting two values: at a million steps the subtraction
would leave nothing in float32 (SPEC 4).

Times are Python numbers (the result is then a NumPy float64 scalar) or arrays of any Array API library. Schedules are
frozen dataclasses of Python scalars: hashable, comparable, static under ``jit``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import numpy as np

from blurcore._arrays import quiet, root, schedule_time
from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import Array, Namespace, Time


class NoiseScales(NamedTuple):
    """Scale of the signal and standard deviation of the noise."""

    a: Array
    sigma: Array


class NoiseRates(NamedTuple):
    """Derivatives with respect to t: d log a / dt, the noise fed in, -sigma^2 dg/dt (finite where g is not), and d sigma / dt."""

    log_a: Array
    noise: Array
    sigma: Array
    """Infinite where sigma leaves 0 like the square root of t."""


@runtime_checkable
class NoiseSchedule(Protocol):
    """How signal and noise change with time, the same for all frequencies."""

    def scales(self, t: Time) -> NoiseScales:
        """Return a_t and sigma_t."""
        ...

    def log_snr(self, t: Time) -> Array:
        """Return g_t = log(a_t^2 / sigma_t^2); infinite where sigma_t = 0."""
        ...

    def log_snr_difference(self, t: Time, s: Time) -> Array:
        """Return g_t - g_s without cancellation; -inf where s has no noise and t has."""
        ...

    def rates(self, t: Time) -> NoiseRates:
        """Return d log a / dt, -sigma^2 dg/dt and d sigma / dt."""
        ...


@runtime_checkable
class BlurSchedule(Protocol):
    """How the heat time grows."""

    def tau(self, t: Time) -> Array:
        """Return tau_t = sigma_B(t)^2 / 2, in pixel^2."""
        ...

    def tau_difference(self, t: Time, s: Time) -> Array:
        """Return tau_t - tau_s without cancellation."""
        ...

    def tau_rate(self, t: Time) -> Array:
        """Return d tau / dt."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class CosineLogSNR:
    r"""Clipped cosine log-SNR, variance preserving: the paper's noise schedule (its section 4 and appendix A).

    .. math:: g_t = -2 \log \tan(m t + b), \quad a_t = \cos(m t + b), \quad \sigma_t = \sin(m t + b),

    with b = atan(exp(-g_max / 2)) and m + b = atan(exp(-g_min / 2)), so that g runs from `log_snr_max` to `log_snr_min`.

    Parameters
    ----------
    log_snr_min, log_snr_max
        Range of the log-SNR, natural logarithm; log_snr_min < log_snr_max.

    Raises
    ------
    ArgumentError
        A bound is not finite, or they are not in order.
    """

    log_snr_min: float = -10.0
    log_snr_max: float = 10.0

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("log_snr_min", self.log_snr_min)
        require_finite("log_snr_max", self.log_snr_max)
        for name, value in (("log_snr_min", self.log_snr_min), ("log_snr_max", self.log_snr_max)):
            require(abs(value) <= 1000, name, value, "between -1000 and 1000")  # beyond, exp(value / 2) leaves float64
        require(
            self.log_snr_min < self.log_snr_max,
            "log_snr_min",
            self.log_snr_min,
            f"below log_snr_max = {self.log_snr_max}",
        )

    def _angles(self) -> tuple[float, float, float]:
        """Return b, the slope m, and the distance of the last angle from pi / 2."""
        first = math.atan(math.exp(-self.log_snr_max / 2))
        rest = math.atan(math.exp(self.log_snr_min / 2))
        return first, math.pi / 2 - first - rest, rest

    def _scales(self, xp: Namespace, t: Array, s: Array) -> NoiseScales:
        """Return a_t and sigma_s."""
        b, m, rest = self._angles()
        # The cosine of m t + b as a sine of its complement, which does not cancel near t = 1.
        return NoiseScales(a=xp.sin(m * (1 - t) + rest), sigma=xp.sin(m * s + b))

    @quiet
    def scales(self, t: Time) -> NoiseScales:
        """Return a_t and sigma_t = sqrt(1 - a_t^2), both in (0, 1)."""
        xp, (t,) = schedule_time(t=t)
        return self._scales(xp, t, t)

    @quiet
    def log_snr(self, t: Time) -> Array:
        """Return g_t, from log_snr_max at t = 0 to log_snr_min at t = 1."""
        xp, (t,) = schedule_time(t=t)
        a, sigma = self._scales(xp, t, t)
        return 2 * xp.log(a / sigma)

    @quiet
    def log_snr_difference(self, t: Time, s: Time) -> Array:
        r"""Return g_t - g_s = -2 log1p( sin(m (t - s)) / (a_t sigma_s) ), as tan A / tan B - 1 = sin(A - B) / (cos A sin B)."""
        xp, (t, s) = schedule_time(t=t, s=s)
        _, m, _ = self._angles()
        a, sigma = self._scales(xp, t, s)
        return -2 * xp.log1p(xp.sin(m * (t - s)) / (a * sigma))

    @quiet
    def rates(self, t: Time) -> NoiseRates:
        """Return d log a / dt = -m sigma / a, -sigma^2 dg/dt = 2 m sigma / a and d sigma / dt = m a."""
        _, m, _ = self._angles()
        a, sigma = self.scales(t)
        slope = m * sigma / a
        return NoiseRates(log_a=-slope, noise=2 * slope, sigma=m * a)


def _gauss_legendre(order: int) -> tuple[tuple[float, float], ...]:
    """Return the positive nodes and their weights of the rule on [-1, 1]; the order is even."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return tuple((float(x), float(w)) for x, w in zip(nodes, weights, strict=True) if x > 0)


_MAX_DECAY = 80.0  # its exponential is a float32 number, with room
_RULES = tuple((order, _gauss_legendre(order)) for order in (4, 8, 16, 32))


@final
@dataclass(frozen=True, kw_only=True)
class LinearBeta:
    r"""DDPM's linear betas (Ho et al. 2020), variance preserving; t = k / num_steps is exactly its step k.

    .. math:: a_t^2 = \bar\alpha_k = \prod_{i \le k} (1 - \beta_i), \qquad \sigma_t^2 = 1 - a_t^2 .

    Between the steps the sum of logarithms is continued by the Euler-Maclaurin formula (midpoint form, to the fifth
    derivative), which is smooth and meets the product at every step to rounding where neighbouring betas are close, as
    DDPM's are: it misses log alpha-bar by about 6e-4 p^7, where p is the distance of two betas over 1 - beta_end (2e-5
    for DDPM; 0.1 would leave 6e-11). sigma_0 = 0: t = 0 is clean data.

    Parameters
    ----------
    beta_start, beta_end
        First and last beta, 0 < beta_start <= beta_end < 0.9.
    num_steps
        Number of betas, at least 2.

    Raises
    ------
    ArgumentError
        A value is out of range, or beta_start is below half the distance of two betas, where the continuation would
        not be monotone (the usual betas are for 1000 steps; fewer times to sample at need no other schedule). Or there
        are so many that a_1 underflows.
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02
    num_steps: int = 1000

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("beta_start", self.beta_start)
        require_finite("beta_end", self.beta_end)
        require(
            isinstance(self.num_steps, int) and self.num_steps >= 2, "num_steps", self.num_steps, "a whole number >= 2"
        )
        require(
            0 < self.beta_start <= self.beta_end < 0.9,
            "beta_start, beta_end",
            (self.beta_start, self.beta_end),
            "0 < beta_start <= beta_end < 0.9",
        )
        delta = self._delta
        require(
            self.beta_start >= delta / 2 + delta**2,
            "beta_start",
            self.beta_start,
            f"at least {delta / 2 + delta**2:.3g}, half the distance of two betas"
            " (the usual betas are for 1000 steps: keep them, and sample at fewer times)",
        )
        decay = float(self._decay(np, np.asarray(1.0), 0.0))
        require(
            decay <= _MAX_DECAY,
            "beta_start, beta_end, num_steps",
            (self.beta_start, self.beta_end, self.num_steps),
            f"such that the log-SNR at t = 1 is at least {-_MAX_DECAY:.0f}, or a_1 underflows; here it is {-decay:.4g}",
        )

    @property
    def _delta(self) -> float:
        return (self.beta_end - self.beta_start) / (self.num_steps - 1)

    def _beta(self, t: Array | float) -> Any:
        """Return beta half a step after t, the end of the interval that the sum up to t covers."""
        return (self.beta_start - self._delta / 2) + self._delta * self.num_steps * t

    @property
    def _rule(self) -> tuple[tuple[float, float], ...]:
        """The shortest quadrature that is exact to rounding for -log(1 - beta) over any interval of these betas.

        Its error falls like rho^(-2 order), where rho belongs to the ellipse through the singularity at beta = 1.
        """
        distance = 2 / self.beta_end - 1  # from the middle of [0, beta_end] to 1, in halves of the interval
        digits = 2 * math.log(distance + math.sqrt(distance**2 - 1))
        return next(rule for order, rule in _RULES if order * digits > 53 * math.log(2))

    def _correction_difference(self, x: Array, y: Array | float, x_less_y: Array) -> Array:
        """Return the Euler-Maclaurin terms at beta = x less those at y, factored by the difference of delta / (1 - beta).

        At one end they are -f'/24 + 7 f^(3)/5760 - 31 f^(5)/967680 with f = -log(1 - beta).
        """
        d = self._delta
        p, q = d / (1 - x), d / (1 - y)
        apart = d * x_less_y / ((1 - x) * (1 - y))
        cubes = p * p + p * q + q * q
        fifths = p**4 + p**3 * q + p**2 * q**2 + p * q**3 + q**4
        return apart * (-1 / 24 + (2 * 7 / 5760) * cubes - (24 * 31 / 967680) * fifths)

    def _decay(self, xp: Namespace, t: Array, s: Array | float) -> Array:
        """Return log a_s^2 - log a_t^2 >= 0; every term of the quadrature is positive, so nothing cancels."""
        high, low = self._beta(t), self._beta(s)
        half = (t - s) * (self.num_steps * self._delta / 2)
        middle = (high + low) / 2
        total = 0.0 * half
        for node, weight in self._rule:
            total = total - weight * (xp.log1p(-(middle + half * node)) + xp.log1p(-(middle - half * node)))
        return total * ((t - s) * (self.num_steps / 2)) + self._correction_difference(high, low, 2 * half)

    @quiet
    def scales(self, t: Time) -> NoiseScales:
        """Return a_t = sqrt(alpha-bar), in (0, 1], and sigma_t = sqrt(1 - alpha-bar), in [0, 1)."""
        xp, (t,) = schedule_time(t=t)
        decay = self._decay(xp, t, 0.0)
        return NoiseScales(a=xp.exp(-decay / 2), sigma=root(-xp.expm1(-decay)))

    @quiet
    def log_snr(self, t: Time) -> Array:
        """Return g_t; infinite at t = 0."""
        xp, (t,) = schedule_time(t=t)
        decay = self._decay(xp, t, 0.0)
        safe = xp.where(decay == 0, xp.ones_like(decay), decay)
        return xp.where(decay == 0, xp.full_like(decay, math.inf), -xp.log(xp.expm1(safe)))

    @quiet
    def log_snr_difference(self, t: Time, s: Time) -> Array:
        """Return g_t - g_s = -S - log1p((1 - e^-S) / (e^S_s - 1)), with S the decay from s to t and S_s that up to s."""
        xp, (t, s) = schedule_time(t=t, s=s)
        step, before = self._decay(xp, t, s), self._decay(xp, s + 0 * t, 0.0)
        safe = xp.where(before == 0, xp.ones_like(before), before)
        finite = -step - xp.log1p(-xp.expm1(-step) / xp.expm1(safe))
        infinite = xp.where(step > 0, xp.full_like(step, -math.inf), xp.zeros_like(step))
        return xp.where(before == 0, infinite, finite)

    @quiet
    def rates(self, t: Time) -> NoiseRates:
        """Return d log a / dt = -S'/2, -sigma^2 dg/dt = S' and d sigma / dt = a^2 S' / (2 sigma); S' is the continuous-time beta."""
        xp, (t,) = schedule_time(t=t)
        a, sigma = self.scales(t)
        beta = self._beta(t)
        r = self._delta / (1 - beta)
        slope = -xp.log1p(-beta) + r**2 * (-1 / 24 + r**2 * (6 * 7 / 5760 - r**2 * (120 * 31 / 967680)))
        slope = slope * self.num_steps
        return NoiseRates(log_a=-slope / 2, noise=slope, sigma=a**2 * slope / (2 * sigma))


@final
@dataclass(frozen=True, kw_only=True)
class ConstantSigma:
    """No decay of the signal and the same noise at all times, a = 1: heat dissipation's (sigma = 0.01) and cold's (0).

    Parameters
    ----------
    sigma
        Standard deviation of the noise, >= 0, in units of the data.

    Raises
    ------
    ArgumentError
        `sigma` is negative or not finite.
    """

    sigma: float = 0.01

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("sigma", self.sigma)
        require(0 <= self.sigma <= 1e6, "sigma", self.sigma, "0 or more, and at most 1e6")

    @quiet
    def scales(self, t: Time) -> NoiseScales:
        """Return 1 and the constant."""
        xp, (t,) = schedule_time(t=t)
        return NoiseScales(a=xp.ones_like(t), sigma=xp.full_like(t, self.sigma))

    @quiet
    def log_snr(self, t: Time) -> Array:
        """Return -2 log sigma; infinite for sigma = 0."""
        xp, (t,) = schedule_time(t=t)
        return xp.full_like(t, -2 * math.log(self.sigma) if self.sigma else math.inf)

    @quiet
    def log_snr_difference(self, t: Time, s: Time) -> Array:
        """Return 0."""
        xp, (t, s) = schedule_time(t=t, s=s)
        return xp.zeros_like(t - s)

    @quiet
    def rates(self, t: Time) -> NoiseRates:
        """Return 0, 0, 0."""
        xp, (t,) = schedule_time(t=t)
        return NoiseRates(log_a=xp.zeros_like(t), noise=xp.zeros_like(t), sigma=xp.zeros_like(t))


@final
@dataclass(frozen=True, kw_only=True)
class Rectified:
    r"""Signal and noise on a straight line: rectified flow, flow matching (Liu et al. 2022, Lipman et al. 2023).

    .. math:: a_t = 1 - t + \alpha_{min} t, \qquad \sigma_t = t + \sigma_{min} (1 - t) .

    Parameters
    ----------
    alpha_min
        What is left of the signal at t = 1, in (0, 1): where it is 0 there is no log-SNR, and no step back.
    sigma_min
        Standard deviation of the noise at t = 0, in [0, 1); with 0 t = 0 is clean data.

    Raises
    ------
    ArgumentError
        A value is out of its range, or a_1 would underflow.
    """

    alpha_min: float = 1e-3
    sigma_min: float = 1e-3

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("alpha_min", self.alpha_min)
        require_finite("sigma_min", self.sigma_min)
        least = math.exp(-_MAX_DECAY / 2)
        require(
            least <= self.alpha_min < 1,
            "alpha_min",
            self.alpha_min,
            f"below 1 and at least {least:.1e} (1e-3 is usual): without signal at t = 1 there is no log-SNR",
        )
        require(0 <= self.sigma_min < 1, "sigma_min", self.sigma_min, "in [0, 1)")

    @quiet
    def scales(self, t: Time) -> NoiseScales:
        """Return a_t and sigma_t, sums of what is not negative."""
        _, (t,) = schedule_time(t=t)
        return NoiseScales(a=self.alpha_min * t + (1 - t), sigma=t + self.sigma_min * (1 - t))

    @quiet
    def log_snr(self, t: Time) -> Array:
        """Return g_t; infinite at t = 0 if `sigma_min` is 0."""
        xp, (t,) = schedule_time(t=t)
        a, sigma = self.scales(t)
        return 2 * xp.log(a) - 2 * xp.log(sigma)

    @quiet
    def log_snr_difference(self, t: Time, s: Time) -> Array:
        """Return g_t - g_s = -2 log1p((a_s - a_t) / a_t) - 2 log1p((sigma_t - sigma_s) / sigma_s), both parts <= 0."""
        xp, (t, s) = schedule_time(t=t, s=s)
        a, sigma = self.scales(t).a, self.scales(s).sigma + 0 * t
        lost = xp.log1p((1 - self.alpha_min) * (t - s) / a)
        clean = sigma == 0
        gained = xp.log1p((1 - self.sigma_min) * (t - s) / xp.where(clean, xp.ones_like(sigma), sigma))
        infinite = xp.where(t - s > 0, xp.full_like(sigma, math.inf), xp.zeros_like(sigma))
        return -2 * lost - 2 * xp.where(clean, infinite, gained)

    @quiet
    def rates(self, t: Time) -> NoiseRates:
        """Return d log a / dt = a' / a, -sigma^2 dg/dt = 2 sigma (sigma' - sigma a' / a) and sigma' = 1 - sigma_min."""
        xp, (t,) = schedule_time(t=t)
        a, sigma = self.scales(t)
        falls, rises = (1 - self.alpha_min) / a, 1 - self.sigma_min
        return NoiseRates(log_a=-falls, noise=2 * sigma * (rises + sigma * falls), sigma=xp.full_like(t, rises))


@final
@dataclass(frozen=True, kw_only=True)
class LogSigma:
    r"""Noise that grows by the same factor in the same time, on a signal that does not decay: Karras et al. 2022 (EDM).

    .. math:: a_t = 1, \qquad \sigma_t = \sigma_{min}^{1 - t} \sigma_{max}^t .

    What the network sees is as large as the noise. Training and sampling in `LogSigma` are those of a variance-preserving
    schedule of the same log-SNR whose states are multiplied by :math:`\sqrt{1 + \sigma_t^2}`.

    Parameters
    ----------
    sigma_min, sigma_max
        Standard deviations of the noise at t = 0 and 1, in units of the data, 1e-6 <= sigma_min < sigma_max <= 1e6.

    Raises
    ------
    ArgumentError
        A value is out of its range.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("sigma_min", self.sigma_min)
        require_finite("sigma_max", self.sigma_max)
        require(self.sigma_min >= 1e-6, "sigma_min", self.sigma_min, "at least 1e-6")
        require(
            self.sigma_min < self.sigma_max <= 1e6,
            "sigma_max",
            self.sigma_max,
            f"above sigma_min = {self.sigma_min} and at most 1e6",
        )

    @property
    def _growth(self) -> float:
        """d log sigma / dt."""
        return math.log(self.sigma_max / self.sigma_min)

    @quiet
    def scales(self, t: Time) -> NoiseScales:
        """Return 1 and sigma_t."""
        xp, (t,) = schedule_time(t=t)
        return NoiseScales(a=xp.ones_like(t), sigma=self.sigma_min * xp.exp(self._growth * t))

    @quiet
    def log_snr(self, t: Time) -> Array:
        """Return g_t = -2 log sigma_t."""
        _, (t,) = schedule_time(t=t)
        return -2 * (math.log(self.sigma_min) + self._growth * t)

    @quiet
    def log_snr_difference(self, t: Time, s: Time) -> Array:
        """Return g_t - g_s = -2 log(sigma_max / sigma_min) (t - s)."""
        _, (t, s) = schedule_time(t=t, s=s)
        return -2 * self._growth * (t - s)

    @quiet
    def rates(self, t: Time) -> NoiseRates:
        """Return 0, -sigma^2 dg/dt = 2 sigma sigma', and sigma' = sigma log(sigma_max / sigma_min)."""
        xp, (t,) = schedule_time(t=t)
        sigma = self.scales(t).sigma
        return NoiseRates(log_a=xp.zeros_like(t), noise=2 * self._growth * sigma**2, sigma=self._growth * sigma)


@final
@dataclass(frozen=True, kw_only=True)
class NoBlur:
    """tau = 0 at all times."""

    def tau(self, t: Time) -> Array:
        """Return 0."""
        xp, (t,) = schedule_time(t=t)
        return xp.zeros_like(t)

    def tau_difference(self, t: Time, s: Time) -> Array:
        """Return 0."""
        xp, (t, s) = schedule_time(t=t, s=s)
        return xp.zeros_like(t - s)

    def tau_rate(self, t: Time) -> Array:
        """Return 0."""
        return self.tau(t)


def _check_sigma_blur_max(value: float) -> None:
    require_finite("sigma_blur_max", value)
    require(0 <= value <= 1e6, "sigma_blur_max", value, "0 or more pixels, and at most 1e6")


def _sine_squares_difference(xp: Namespace, t: Array, s: Array) -> Array:
    """Return sin^2(pi t / 2) - sin^2(pi s / 2) = sin(A + B) sin(A - B); near t = s = 1 the sum is taken from pi."""
    total = t + s
    reflected = (1 - t) + (1 - s)
    sum_sine = xp.sin(xp.where(total > 1, reflected, total) * (math.pi / 2))
    return sum_sine * xp.sin((t - s) * (math.pi / 2))


@final
@dataclass(frozen=True, kw_only=True)
class SinSquared:
    r""":math:`\sigma_B(t) = \sigma_{B,max} \sin^2(\pi t / 2)`: the paper's blur schedule (its section 4).

    Parameters
    ----------
    sigma_blur_max
        Width of the blur at t = 1, in pixels, >= 0 (the paper: 20; ablated: 0, 1, 10, 20).

    Raises
    ------
    ArgumentError
        `sigma_blur_max` is negative or not finite.
    """

    sigma_blur_max: float = 20.0

    def __post_init__(self) -> None:
        make_plain(self)
        _check_sigma_blur_max(self.sigma_blur_max)

    @quiet
    def tau(self, t: Time) -> Array:
        """Return sigma_blur_max^2 / 2 sin^4(pi t / 2), in pixel^2."""
        xp, (t,) = schedule_time(t=t)
        return self.sigma_blur_max**2 / 2 * xp.sin(t * (math.pi / 2)) ** 4

    @quiet
    def tau_difference(self, t: Time, s: Time) -> Array:
        """Return tau_t - tau_s as a product of sums and differences of the angles."""
        xp, (t, s) = schedule_time(t=t, s=s)
        squares = xp.sin(t * (math.pi / 2)) ** 2 + xp.sin(s * (math.pi / 2)) ** 2
        return self.sigma_blur_max**2 / 2 * _sine_squares_difference(xp, t, s) * squares

    @quiet
    def tau_rate(self, t: Time) -> Array:
        """Return d tau / dt = pi sigma_blur_max^2 sin^3(pi t / 2) cos(pi t / 2)."""
        xp, (t,) = schedule_time(t=t)
        return math.pi * self.sigma_blur_max**2 * xp.sin(t * (math.pi / 2)) ** 3 * xp.sin((1 - t) * (math.pi / 2))


@final
@dataclass(frozen=True, kw_only=True)
class Sin:
    r""":math:`\sigma_B(t) = \sigma_{B,max} \sin(\pi t / 2)`: the paper's ablation (its table 4).

    Parameters
    ----------
    sigma_blur_max
        Width of the blur at t = 1, in pixels, >= 0.

    Raises
    ------
    ArgumentError
        `sigma_blur_max` is negative or not finite.
    """

    sigma_blur_max: float = 20.0

    def __post_init__(self) -> None:
        make_plain(self)
        _check_sigma_blur_max(self.sigma_blur_max)

    @quiet
    def tau(self, t: Time) -> Array:
        """Return sigma_blur_max^2 / 2 sin^2(pi t / 2), in pixel^2."""
        xp, (t,) = schedule_time(t=t)
        return self.sigma_blur_max**2 / 2 * xp.sin(t * (math.pi / 2)) ** 2

    @quiet
    def tau_difference(self, t: Time, s: Time) -> Array:
        """Return tau_t - tau_s = sigma_blur_max^2 / 2 sin(A + B) sin(A - B)."""
        xp, (t, s) = schedule_time(t=t, s=s)
        return self.sigma_blur_max**2 / 2 * _sine_squares_difference(xp, t, s)

    @quiet
    def tau_rate(self, t: Time) -> Array:
        """Return d tau / dt = pi / 2 sigma_blur_max^2 sin(pi t / 2) cos(pi t / 2)."""
        xp, (t,) = schedule_time(t=t)
        return math.pi / 2 * self.sigma_blur_max**2 * xp.sin(t * (math.pi / 2)) * xp.sin((1 - t) * (math.pi / 2))


@final
@dataclass(frozen=True, kw_only=True)
class LogLinear:
    r"""Widths evenly spaced in their logarithm: inverse heat dissipation's (Rissanen et al. 2022, section 3).

    With K = num_levels, t = k / K is level k: :math:`\sigma_B = 0` at level 0, then K values from `sigma_blur_min`
    (level 1) to `sigma_blur_max` (level K). Below level 1 the width grows linearly.

    Parameters
    ----------
    sigma_blur_min, sigma_blur_max
        Widths of levels 1 and K, in pixels, 0 < sigma_blur_min < sigma_blur_max.
    num_levels
        K, at least 2 (their CIFAR-10: 200).

    Raises
    ------
    ArgumentError
        A value is out of range.
    """

    sigma_blur_min: float = 0.5
    sigma_blur_max: float = 24.0
    num_levels: int = 200

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("sigma_blur_min", self.sigma_blur_min)
        require_finite("sigma_blur_max", self.sigma_blur_max)
        require(self.sigma_blur_min > 0, "sigma_blur_min", self.sigma_blur_min, "positive")
        require(
            self.sigma_blur_min < self.sigma_blur_max <= 1e6,
            "sigma_blur_max",
            self.sigma_blur_max,
            f"above sigma_blur_min = {self.sigma_blur_min} and at most 1e6",
        )
        require(
            isinstance(self.num_levels, int) and self.num_levels >= 2,
            "num_levels",
            self.num_levels,
            "a whole number >= 2",
        )

    def _split(self, xp: Namespace, t: Array) -> tuple[Array, Array]:
        """Return min(t, knee) and max(t, knee), where the knee is the time of level 1."""
        knee = xp.full_like(t, 1 / self.num_levels)
        return xp.minimum(t, knee), xp.maximum(t, knee)

    @property
    def _growth(self) -> float:
        """d log sigma_B / dt above the first level."""
        return math.log(self.sigma_blur_max / self.sigma_blur_min) * self.num_levels / (self.num_levels - 1)

    def _tau_above(self, xp: Namespace, t: Array) -> Array:
        """Return tau at a time from level 1 on."""
        return self.sigma_blur_min**2 / 2 * xp.exp(2 * self._growth * (t - 1 / self.num_levels))

    @quiet
    def tau(self, t: Time) -> Array:
        """Return sigma_B(t)^2 / 2, in pixel^2."""
        _, (t,) = schedule_time(t=t)
        return self.tau_difference(t, 0 * t)

    @quiet
    def tau_difference(self, t: Time, s: Time) -> Array:
        """Return tau_t - tau_s, the growth on the linear and on the exponential stretch added up."""
        xp, (t, s) = schedule_time(t=t, s=s)
        (low_t, high_t), (low_s, high_s) = self._split(xp, t), self._split(xp, s)
        linear = (self.sigma_blur_min * self.num_levels) ** 2 / 2 * (low_t - low_s) * (low_t + low_s)
        start = self._tau_above(xp, high_s)
        return linear + start * xp.expm1(2 * self._growth * (high_t - high_s))

    @quiet
    def tau_rate(self, t: Time) -> Array:
        """Return d tau / dt; at the knee, the slope above it."""
        xp, (t,) = schedule_time(t=t)
        low, high = self._split(xp, t)
        below = (self.sigma_blur_min * self.num_levels) ** 2 * low
        above = 2 * self._growth * self._tau_above(xp, high)
        return xp.where(t < 1 / self.num_levels, below, above)


NOISE_SCHEDULES = {cls.__name__: cls for cls in (CosineLogSNR, LinearBeta, Rectified, LogSigma, ConstantSigma)}
"""The noise schedules that a configuration can name."""
BLUR_SCHEDULES = {cls.__name__: cls for cls in (SinSquared, Sin, LogLinear, NoBlur)}
"""The blur schedules that a configuration can name."""
