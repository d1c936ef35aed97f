"""Heat that does not diffuse: frequencies fade with a power of their eigenvalue, and the noise stays as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import blurcore as bc


@dataclass(frozen=True, kw_only=True)
class FractionalHeat(bc.SpectralProcess):
    r""":math:`\alpha_t = e^{-\lambda^p \tau_t}`, constant sigma: inverse heat dissipation is p = 1.

    Parameters
    ----------
    basis
        Where it is diagonal.
    blur
        tau.
    power
        p > 0; below 1 the blur has long tails.
    sigma
        Standard deviation of the noise, > 0.
    """

    blur: bc.BlurSchedule = bc.LogLinear(num_levels=20)
    power: float = 0.8
    sigma: float = 0.02

    def logs(self, t, lam):
        fading = -(lam**self.power) * self.blur.tau(t)
        return bc.Logs(alpha=fading, snr=2 * (fading - math.log(self.sigma)))

    def rates(self, t, lam):
        drift = -(lam**self.power) * self.blur.tau_rate(t)
        return bc.SDE(drift=drift, diffusion=-2 * self.sigma**2 * drift)
