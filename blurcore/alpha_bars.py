r"""A table of alpha-bar as a noise schedule: what a DDPM scheduler of diffusers has.

.. math:: a_t^2 = \bar\alpha_k = \prod_{i \le k} (1 - \beta_i), \qquad \sigma_t^2 = 1 - a_t^2, \qquad t = k / N .

Between the steps log alpha-bar is linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, final

import array_api_compat as compat
import numpy as np

from blurcore._arrays import device_beside, quiet, root, schedule_time
from blurcore._checks import make_plain, require
from blurcore._typing import Array, Namespace, Time
from blurcore.schedules import NoiseRates, NoiseScales


@final
@dataclass(frozen=True, kw_only=True)
class AlphaBars:
    """Variance-preserving noise of given alpha-bars; sigma_0 = 0, and t = k / len(values) is step k exactly.

    Parameters
    ----------
    values
        alpha-bar of steps 1 .. N, in (0, 1), none above the one before it.

    Raises
    ------
    ArgumentError
        They are not so.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        make_plain(self)
        require(len(self.values) > 0, "alphas_cumprod", self.values, "one or more numbers")
        for k, value in enumerate(self.values):
            require(0 < value < 1, f"alphas_cumprod[{k}]", value, "in (0, 1), as betas in (0, 1) give it")
        for k, (before, after) in enumerate(pairwise(self.values), start=1):
            require(after <= before, f"alphas_cumprod[{k}]", after, f"at most the one before it, {before}")

    def _interval(self, xp: Namespace, t: Array) -> tuple[Array, Array]:
        """Return log alpha-bar at t, and its slope there."""
        logs = _table(self.values, xp, device_beside(xp, t), t.dtype)
        place = t * len(self.values)
        low = xp.clip(xp.astype(xp.floor(place), xp.int64), 0, len(self.values) - 1)
        flat = xp.reshape(low, (-1,))
        start, end = (xp.reshape(xp.take(logs, flat + i, axis=0), t.shape) for i in (0, 1))
        slope = end - start
        return start + (place - xp.astype(low, t.dtype)) * slope, slope * len(self.values)

    @quiet
    def scales(self, t: Time) -> NoiseScales:
        """Return a_t = sqrt(alpha-bar), in (0, 1], and sigma_t = sqrt(1 - alpha-bar), in [0, 1)."""
        xp, (t,) = schedule_time(t=t)
        log, _ = self._interval(xp, t)
        return NoiseScales(a=xp.exp(log / 2), sigma=root(-xp.expm1(log)))

    @quiet
    def log_snr(self, t: Time) -> Array:
        """Return g_t; infinite at t = 0."""
        xp, (t,) = schedule_time(t=t)
        log, _ = self._interval(xp, t)
        clean = log == 0
        safe = xp.where(clean, -xp.ones_like(log), log)
        return xp.where(clean, xp.full_like(log, np.inf), safe - xp.log(-xp.expm1(safe)))

    @quiet
    def log_snr_difference(self, t: Time, s: Time) -> Array:
        """Return g_t - g_s = -S - log1p((1 - e^-S) / (e^S_s - 1)), with S the decay from s to t and S_s that up to s."""
        xp, (t, s) = schedule_time(t=t, s=s)
        before = -self._interval(xp, s + 0 * t)[0]
        step = -self._interval(xp, t + 0 * s)[0] - before
        clean = before == 0
        finite = -step - xp.log1p(-xp.expm1(-step) / xp.expm1(xp.where(clean, xp.ones_like(before), before)))
        infinite = xp.where(step > 0, xp.full_like(step, -np.inf), xp.zeros_like(step))
        return xp.where(clean, infinite, finite)

    @quiet
    def rates(self, t: Time) -> NoiseRates:
        """Return d log a / dt and -sigma^2 dg/dt, constant between two steps, and d sigma / dt."""
        xp, (t,) = schedule_time(t=t)
        log, slope = self._interval(xp, t)
        return NoiseRates(log_a=slope / 2, noise=-slope, sigma=-xp.exp(log) * slope / (2 * root(-xp.expm1(log))))


@lru_cache(maxsize=32)  # a table is moved to a device once, not in each step
def _table(alpha_bars: tuple[float, ...], xp: Namespace, device: Any, dtype: Any) -> Array:
    """Return log alpha-bar at steps 0 .. N."""
    logs = np.log(np.asarray([1.0, *alpha_bars], np.float64))
    return xp.asarray(logs, dtype=dtype, device=None if compat.is_numpy_namespace(xp) else device)
