"""How far samples are from real images: Frechet distance, KID, precision and recall over features, and spectra.

Everything is NumPy. :func:`compare` does it all; the rest are its parts. The features that need nothing but this package are
`digits`, of a small classifier, and `dct`; the name FID is kept for the Inception network's (`blurcore evaluate
--inception-weights`).
"""

from blurcore.metrics.bootstrap import Estimate, interval, resample
from blurcore.metrics.comparison import METRICS, check_metrics, check_shapes, compare, compare_observed
from blurcore.metrics.digits import DigitFeatures
from blurcore.metrics.features import FEATURES, DctFeatures, Features, default_features, get_features
from blurcore.metrics.frechet import Moments, distance_of_moments, frechet_distance, moments
from blurcore.metrics.inception import InceptionFeatures, check_inception_weights
from blurcore.metrics.kernel import kid
from blurcore.metrics.neighbours import PrecisionRecall, precision_recall
from blurcore.metrics.observation import Observation, View, observe
from blurcore.metrics.spectrum import band_frequencies, band_power, decibels, spectrum_distance

__all__ = [
    "FEATURES",
    "METRICS",
    "DctFeatures",
    "DigitFeatures",
    "Estimate",
    "Features",
    "InceptionFeatures",
    "Moments",
    "Observation",
    "PrecisionRecall",
    "View",
    "band_frequencies",
    "band_power",
    "check_inception_weights",
    "check_metrics",
    "check_shapes",
    "compare",
    "compare_observed",
    "decibels",
    "default_features",
    "distance_of_moments",
    "frechet_distance",
    "get_features",
    "interval",
    "kid",
    "moments",
    "observe",
    "precision_recall",
    "resample",
    "spectrum_distance",
]
