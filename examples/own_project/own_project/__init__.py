"""A process and a solver of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

import blurcore as bc
from blurcore.samplers import Coefficients, LinearStepper


@bc.register_kind
@dataclass(frozen=True, kw_only=True)
class Fading(bc.SpectralProcess):
    """High frequencies of the data fade first, the noise is white: log alpha_t = log a_t - lambda (width t)^2 / 2."""

    noise: bc.NoiseSchedule = bc.CosineLogSNR()
    width: float = 1.0

    def logs(self, t, lam):
        blur = lam * (self.width * t) ** 2 / 2
        log_a = array_namespace(t).log(self.noise.scales(t).a)
        return bc.Logs(alpha=log_a - blur, snr=self.noise.log_snr(t) - 2 * blur)

    def rates(self, t, lam):
        rates, blur_rate = self.noise.rates(t), lam * self.width**2 * t
        variance = self.noise.scales(t).sigma ** 2
        return bc.SDE(drift=rates.log_a - blur_rate, diffusion=rates.noise + 2 * variance * blur_rate)


@dataclass(frozen=True, kw_only=True)
class Restart(LinearStepper):
    """DDIM to s - overshoot (t - s), then forward again to s, with fresh noise."""

    process: bc.Process
    overshoot: float = 0.2
    axes: tuple[int, ...] = (-2, -1)

    @property
    def uses_noise(self):
        return self.overshoot > 0

    def coefficients(self, t, s, *, shape, like=None):
        low = np.maximum(s - self.overshoot * (t - s), 0.0)
        m = self.process.marginal(low, shape=shape, like=like)
        if low == s:
            return Coefficients(x0=m.alpha, eps=m.sigma)
        up = bc.transition(self.process, s, low, shape=shape, like=like)
        return Coefficients(x0=up.alpha * m.alpha, eps=up.alpha * m.sigma, noise=up.variance**0.5)
