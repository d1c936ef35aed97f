"""A process of one's own, 2: EqualSNR (Falck et al. 2025, *A Fourier Space Perspective on Diffusion Models*) in one file.

Images have little power at high frequencies, so white noise drowns those first. Noise with the data's own spectrum
C drowns all frequencies at once: u_t = a_t u_0 + sqrt(1 - a_t^2) sqrt(C) eps, the same signal-to-noise ratio everywhere.

    python examples/equal_snr.py check
    python examples/equal_snr.py spectrum mnist         (prints the line of the configuration)
    python examples/equal_snr.py train examples/equal_snr.toml --out runs/equal
    python examples/equal_snr.py sample runs/equal
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

import blurcore as bc
from blurcore.cli import main
from blurcore.data import to_float
from blurcore.errors import ArgumentError
from blurcore.testing import check_process


@bc.register_kind
@dataclass(frozen=True, kw_only=True)
class EqualSNR(bc.SpectralProcess):
    """alpha_t = a_t, sigma_t^2 = (1 - a_t^2) C in each frequency.

    Parameters
    ----------
    noise
        Variance-preserving schedule.
    spectrum
        Variances C > 0 of the data at sqrt(lambda) = 0, pi / (n - 1), .., pi; log C is linear in between, and goes on
        as it ends towards the corner of the grid. White where not given, which is standard diffusion.
    """

    noise: bc.NoiseSchedule = bc.CosineLogSNR()
    spectrum: tuple[float, ...] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.spectrum) < 2 or not all(0 < c < math.inf for c in self.spectrum):
            raise ArgumentError(f"spectrum must be two or more positive numbers; got {self.spectrum}")
        super().__post_init__()

    def _log_spectrum(self, lam):
        xp = array_namespace(lam)
        place = xp.sqrt(lam) * ((len(self.spectrum) - 1) / math.pi)
        logs = np.log(self.spectrum)
        slopes = np.diff(logs)
        value = float(logs[0]) + float(slopes[0]) * place
        for knot, bend in enumerate(np.diff(slopes), start=1):
            value = value + float(bend) * xp.clip(place - knot, 0.0, None)
        return value

    def logs(self, t, lam):
        xp = array_namespace(t)
        return bc.Logs(alpha=xp.log(self.noise.scales(t).a), snr=self.noise.log_snr(t) - self._log_spectrum(lam))

    def rates(self, t, lam):
        rates = self.noise.rates(t)
        return bc.SDE(drift=rates.log_a, diffusion=rates.noise * array_namespace(lam).exp(self._log_spectrum(lam)))


def measure(images: np.ndarray, num_knots: int = 9) -> tuple[float, ...]:
    """Return the spectrum of images (n, H, W, C) in [-1, 1]: the mean variance of the frequencies nearest to each knot."""
    u = bc.DCT().forward(images, axes=(1, 2))
    place = np.sqrt(bc.DCT().eigenvalues(u.shape[1:3])) * ((num_knots - 1) / math.pi)
    variance = u.var(axis=0).mean(axis=-1)
    return tuple(float(max(variance[np.rint(place) == k].mean(), 1e-6)) for k in range(num_knots))


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        check_process(EqualSNR(spectrum=(30.0, 1.0, 0.01)))
        print("every identity holds")
    elif sys.argv[1:2] == ["spectrum"] and len(sys.argv) == 3:
        found = measure(to_float(bc.find_kind(sys.argv[2], "data")().load()[:]).astype(np.float64))
        print(f"spectrum = [{', '.join(f'{c:.3g}' for c in found)}]")
    else:
        sys.exit(main())
