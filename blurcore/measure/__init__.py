"""What is measured on a trained network: its error in each frequency, likelihoods, the loss by bands, the curve of a run's samples."""

from blurcore.measure.bands import SpectralLoss, measure_spectral_loss, octave_bands
from blurcore.measure.bits import Terms, evaluate
from blurcore.measure.calibration import calibrate_run, measure_x0_error, read_calibration
from blurcore.measure.curve import Reference, curve_of

__all__ = [
    "Reference",
    "SpectralLoss",
    "Terms",
    "calibrate_run",
    "curve_of",
    "evaluate",
    "measure_spectral_loss",
    "measure_x0_error",
    "octave_bands",
    "read_calibration",
]
