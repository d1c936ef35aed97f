"""Standard Gaussian diffusion (Sohl-Dickstein et al. 2015; Ho et al. 2020): every frequency alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from blurcore._checks import make_plain
from blurcore.processes._affine import AffineProcess, Parts
from blurcore.schedules import CosineLogSNR, NoBlur, NoiseSchedule
from blurcore.transforms import Identity


@final
@dataclass(frozen=True, kw_only=True)
class GaussianDiffusion(AffineProcess):
    """alpha_t = a_t: no blur, so no transform is needed and data space is as good as frequency space.

    Parameters
    ----------
    noise
        Noise schedule: the clipped cosine, or DDPM's ``LinearBeta()``.

    Raises
    ------
    NotMarkovError
        The log-SNR increases with time.
    """

    noise: NoiseSchedule = CosineLogSNR()

    def __post_init__(self) -> None:
        make_plain(self)
        self._require_markov()

    @property
    def basis(self) -> Identity:
        """The data's own space."""
        return Identity()

    def _parts(self) -> Parts:
        return Parts(noise=self.noise, blur=NoBlur(), min_scale=1.0, basis=self.basis)
