"""Blurring diffusion: heat dissipation and Gaussian noise in one process (Hoogeboom & Salimans 2023, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from blurcore._checks import make_plain, require, require_finite
from blurcore.processes._affine import AffineProcess, Parts
from blurcore.schedules import BlurSchedule, CosineLogSNR, NoiseSchedule, SinSquared
from blurcore.transforms import DCT, DST, Identity, RealFourier


@final
@dataclass(frozen=True, kw_only=True)
class BlurringDiffusion(AffineProcess):
    """alpha_t = a_t ((1 - min_scale) exp(-lambda tau_t) + min_scale), with noise that destroys all frequencies at t = 1.

    Parameters
    ----------
    noise
        Noise schedule; the paper's clipped cosine by default.
    blur
        Blur schedule; the paper's sin^2 up to 20 pixels by default.
    min_scale
        d_min in [0, 1]: the least that the blur leaves of a frequency (the paper: 0.001).
    basis
        Where the blur is diagonal; DCT for a reflecting boundary.

    Raises
    ------
    ArgumentError
        `min_scale` is outside [0, 1].
    NotMarkovError
        The log-SNR of a frequency increases with time.
    """

    noise: NoiseSchedule = CosineLogSNR()
    blur: BlurSchedule = SinSquared()
    min_scale: float = 1e-3
    basis: DCT | DST | RealFourier | Identity = DCT()

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("min_scale", self.min_scale)
        require(0.0 <= self.min_scale <= 1.0, "min_scale", self.min_scale, "in [0, 1]")
        self._require_markov()

    def _parts(self) -> Parts:
        return Parts(noise=self.noise, blur=self.blur, min_scale=self.min_scale, basis=self.basis)
