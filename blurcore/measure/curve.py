"""The curve of a run's samples during training: how far they are from its training images, as docs/evaluation.md says.

The reference is looked at once, before the first step. Samples follow from the seed and the averaged weights, and drawing them
changes nothing in training: a run with the curve has the weights of one without.
"""

from __future__ import annotations

import numpy as np

from blurcore.config import RunConfig
from blurcore.data import Dataset
from blurcore.data.values import Samples
from blurcore.errors import ArgumentError, ConfigError, DataError
from blurcore.metrics import (
    View,
    check_metrics,
    default_features,
    distance_of_moments,
    get_features,
    moments,
    observe,
    spectrum_distance,
)

_IMAGES = 10_000  # of the training set that stand for all of it


def check_evaluation(config: RunConfig, image_shape: tuple[int, ...]) -> None:
    """Refuse, before any work, samples that are too few for the Frechet distance.

    Raises
    ------
    ConfigError
        Says how many there must be.
    """
    features = get_features(default_features(image_shape))
    dim = features(np.zeros((1, *image_shape), dtype=np.uint8)).shape[1]
    if config.train.evaluate_samples <= dim:
        raise ConfigError(
            f"train.evaluate_samples must be at least {dim + 1}, more than the {dim} dimensions of the features"
            f" {features.name!r}; got {config.train.evaluate_samples}"
        )


def curve_of(config: RunConfig, data: Dataset, leads: bool) -> Reference | None:
    """Return what the process that leads compares a run's samples with; None for the others.

    Raises
    ------
    ConfigError
        As :func:`check_evaluation`.
    """
    check_evaluation(config, data.image_shape)
    return Reference(data) if leads else None


class Reference:
    """Training images as the curve sees them: a Gaussian of their features, and their spectrum.

    Parameters
    ----------
    data
        The training set; of more than 10,000 images a fixed choice of so many stands for it.

    Raises
    ------
    DataError
        There are too few images.
    """

    def __init__(self, data: Dataset) -> None:
        self._features = get_features(default_features(data.image_shape))
        seen = observe(View(data, limit=_IMAGES), self._features)
        count, dim = seen.features.shape
        try:
            check_metrics(("frechet",), (count, count), dim)
        except ArgumentError:
            raise DataError(
                f"train.evaluate_every needs at least {dim + 1} training images, more than the {dim} dimensions of the features"
                f" {self._features.name!r}; the data set {data.name} has {count}"
            ) from None
        self._moments, self._power = moments(seen.features), seen.power.mean(axis=0, keepdims=True)

    def distances(self, samples: Samples) -> dict[str, float]:
        """Return the distances of the samples that are finite, by the names that metrics.jsonl has for them.

        How many are not is one of them where there are any; it stands alone where too few are left for the others.
        """
        lost: dict[str, float] = {"samples_not_finite": int((~samples.finite).sum())} if samples.lost else {}
        if samples.finite.sum() <= len(self._moments.mean):
            return lost
        seen = observe(samples.images[samples.finite], self._features)
        return lost | {
            f"frechet_distance_{self._features.name}": distance_of_moments(moments(seen.features), self._moments),
            "spectrum_distance": spectrum_distance(seen.power, self._power),
        }
