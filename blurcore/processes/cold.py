"""Cold diffusion with blur as its degradation (Bansal et al. 2022): deterministic, no noise at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from blurcore._checks import make_plain, require, require_finite
from blurcore.processes._affine import AffineProcess, Parts
from blurcore.schedules import BlurSchedule, ConstantSigma, LogLinear
from blurcore.transforms import DCT, DST, Identity, RealFourier


@final
@dataclass(frozen=True, kw_only=True)
class ColdDiffusion(AffineProcess):
    """u_t = alpha_t u_0 with alpha_t = (1 - min_scale) exp(-lambda tau_t) + min_scale; its posterior is degenerate.

    Parameters
    ----------
    blur
        Blur schedule.
    min_scale
        d_min in [0, 1]; 0 by default.
    basis
        Where the blur is diagonal; DCT for a reflecting boundary.

    Raises
    ------
    ArgumentError
        `min_scale` is outside [0, 1].
    NotMarkovError
        The blur shrinks with time.
    """

    blur: BlurSchedule = LogLinear()
    min_scale: float = 0.0
    basis: DCT | DST | RealFourier | Identity = DCT()

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("min_scale", self.min_scale)
        require(0.0 <= self.min_scale <= 1.0, "min_scale", self.min_scale, "in [0, 1]")
        self._require_markov()

    def _parts(self) -> Parts:
        return Parts(noise=ConstantSigma(sigma=0.0), blur=self.blur, min_scale=self.min_scale, basis=self.basis)
