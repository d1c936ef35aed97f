"""Inverse heat dissipation (Rissanen et al. 2022): blur alone, with a little noise that stays the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from blurcore._checks import make_plain, require, require_finite
from blurcore.processes._affine import AffineProcess, Parts
from blurcore.schedules import BlurSchedule, ConstantSigma, LogLinear
from blurcore.transforms import DCT, DST, Identity, RealFourier


@final
@dataclass(frozen=True, kw_only=True)
class HeatDissipation(AffineProcess):
    """alpha_t = exp(-lambda tau_t) and sigma_t = sigma for all t; the DC frequency is never destroyed.

    Parameters
    ----------
    sigma
        Standard deviation of the noise, > 0 (their training noise: 0.01, data in [0, 1]).
    blur
        Blur schedule; their K log-spaced levels by default (CIFAR-10: K = 200, up to 24 pixels).
    basis
        Where the blur is diagonal; DCT for a reflecting boundary.

    Raises
    ------
    ArgumentError
        `sigma` is not positive.
    NotMarkovError
        The blur shrinks with time.
    """

    sigma: float = 0.01
    blur: BlurSchedule = LogLinear()
    basis: DCT | DST | RealFourier | Identity = DCT()

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("sigma", self.sigma)
        require(self.sigma > 0, "sigma", self.sigma, "positive (ColdDiffusion is the process without noise)")
        self._require_markov()

    def _parts(self) -> Parts:
        return Parts(noise=ConstantSigma(sigma=self.sigma), blur=self.blur, min_scale=0.0, basis=self.basis)
