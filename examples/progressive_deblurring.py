"""A process of one's own, 1: Lee et al. 2022, *Progressive Deblurring of Diffusion Models*, as a schedule in one file.

Every frequency is diffused at its own speed and keeps its variance: each step multiplies by sqrt(1 - beta) times a narrow
blur, and adds as much noise as that took away. So sigma differs between frequencies, where Hoogeboom & Salimans keep it
white and blur on top.

    python examples/progressive_deblurring.py check
    python examples/progressive_deblurring.py train examples/progressive_deblurring.toml --out runs/progressive
    python examples/progressive_deblurring.py sample runs/progressive
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from array_api_compat import array_namespace

import blurcore as bc
from blurcore.cli import main
from blurcore.errors import ArgumentError
from blurcore.testing import check_process


@bc.register_kind
@dataclass(frozen=True, kw_only=True)
class ProgressiveDeblurring(bc.SpectralProcess):
    """log alpha_t = log a_t - lambda tau_t, sigma_t^2 = 1 - alpha_t^2 in each frequency.

    Parameters
    ----------
    noise
        Variance-preserving schedule, a_t; linear betas in their code.
    sigma_blur_max
        Width of the whole blur at t = 1, in pixels, >= 0. Their 1,000 steps have widths up to 0.15 pixels: 2.1 together.
    power
        > -1: the squared width of a step's blur grows as t^power (theirs: quartic), that of the whole as t^(power + 1).
    """

    noise: bc.NoiseSchedule = bc.LinearBeta()
    sigma_blur_max: float = 2.1
    power: float = 4.0

    def __post_init__(self) -> None:
        if not (self.sigma_blur_max >= 0 and self.power > -1):
            raise ArgumentError(
                f"sigma_blur_max must be >= 0 and power > -1; got {self.sigma_blur_max} and {self.power}"
            )
        super().__post_init__()

    def logs(self, t, lam):
        xp = array_namespace(t)
        tau = self.sigma_blur_max**2 / 2 * t ** (self.power + 1)
        # log a_t from the log-SNR, because a_t itself rounds to 1 for small t.
        log_alpha = -xp.log1p(xp.exp(-self.noise.log_snr(t))) / 2 - lam * tau
        variance = -xp.expm1(2 * log_alpha)
        clean = variance == 0  # at t = 0
        log_variance = xp.log(xp.where(clean, xp.ones_like(variance), variance))
        infinite = xp.full_like(log_variance, math.inf)
        return bc.Logs(alpha=log_alpha, snr=xp.where(clean, infinite, 2 * log_alpha - log_variance))

    def rates(self, t, lam):
        tau_rate = self.sigma_blur_max**2 / 2 * (self.power + 1) * t**self.power
        drift = self.noise.rates(t).log_a - lam * tau_rate
        return bc.SDE(drift=drift, diffusion=-2 * drift)  # the variance stays 1: 0 = 2 f sigma^2 + g2 + 2 f alpha^2


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        check_process(ProgressiveDeblurring())
        print("every identity holds")
    else:
        sys.exit(main())
