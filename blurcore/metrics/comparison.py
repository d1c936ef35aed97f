"""Samples against real images: which metrics, over which features, with which intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from blurcore._checks import require
from blurcore.errors import ArgumentError
from blurcore.metrics._inputs import Array
from blurcore.metrics.bootstrap import Estimate, interval, resample
from blurcore.metrics.features import Features, default_features, get_features
from blurcore.metrics.frechet import check_frechet, frechet_distance, frechet_resampled
from blurcore.metrics.inception import InceptionFeatures
from blurcore.metrics.kernel import check_kid, kid, kid_resampled, shared_pairs
from blurcore.metrics.neighbours import NEIGHBOURS, check_precision_recall, covered
from blurcore.metrics.observation import Observation, observe
from blurcore.metrics.spectrum import spectrum_distance, spectrum_resampled

METRICS = ("frechet", "kid", "precision_recall", "spectrum")
"""Names of the metrics."""

_Counts = tuple[Array, Array] | None


def check_metrics(metrics: Sequence[str], counts: tuple[int, int], dim: int, *, neighbours: int = NEIGHBOURS) -> None:
    """Refuse metrics that are unknown, and sets that are too small for them.

    Parameters
    ----------
    metrics
        Some of :data:`METRICS`.
    counts
        Numbers of samples and of reference images.
    dim
        Dimensions of the features.
    neighbours
        Of precision and recall.

    Raises
    ------
    ArgumentError
        Says which, the numbers, and the least that serves.
    """
    known = bool(metrics) and all(name in METRICS for name in metrics)
    require(known, "metrics", ",".join(metrics), f"some of {', '.join(METRICS)}")
    if "frechet" in metrics:
        check_frechet(counts, dim)
    if "kid" in metrics:
        check_kid(counts)
    if "precision_recall" in metrics:
        check_precision_recall(counts, neighbours)


def compare(
    samples: Any,
    reference: Any,
    *,
    metrics: Sequence[str] = METRICS,
    features: str | Features | None = None,
    neighbours: int = NEIGHBOURS,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return how far samples are from real images.

    Parameters
    ----------
    samples, reference
        uint8 ``(n, *grid, C)`` and ``(m, *grid, C)``, of one size: arrays or data sets.
    metrics
        Some of :data:`METRICS`.
    features
        A name or an object; see :func:`get_features`. Where not given, `digits` for images, else `dct`.
    neighbours
        Of precision and recall.
    bootstrap
        Resamples for the intervals; 0: no intervals.
    seed
        Of the resamples.

    Returns
    -------
    dict
        `frechet_distance` (`fid`, if the features are those of FID), `kid`, `precision`, `recall`, `spectrum_distance`: those
        that were asked for.

    Raises
    ------
    ArgumentError
        The sets differ in size, are too small, or are no pixels; a number is out of its range.
    ConfigError
        There are no such features.
    """
    shape, other = (tuple(np.asarray(images[0:1]).shape[1:]) for images in (reference, samples))
    check_shapes(other, shape)
    function = features if isinstance(features, Features) else get_features(features or default_features(shape))
    pair = observe(samples, function), observe(reference, function)
    return compare_observed(*pair, metrics=metrics, neighbours=neighbours, bootstrap=bootstrap, seed=seed)


def compare_observed(
    samples: Observation,
    reference: Observation,
    *,
    metrics: Sequence[str] = METRICS,
    neighbours: int = NEIGHBOURS,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return how far samples are from real images, both looked at already; see :func:`compare`.

    Parameters
    ----------
    samples, reference
        What :func:`observe` returned, by the same features.
    metrics, neighbours, bootstrap, seed
        As for :func:`compare`.

    Raises
    ------
    ArgumentError
        As for :func:`compare`.
    """
    check_shapes(samples.image_shape, reference.image_shape)
    counts = (len(samples.keys), len(reference.keys))
    check_metrics(metrics, counts, reference.features.shape[1], neighbours=neighbours)
    require(bootstrap == 0 or bootstrap >= 2, "bootstrap", bootstrap, "0 or at least 2")
    require(seed >= 0, "seed", seed, "0 or more")
    rng = np.random.default_rng(seed)
    drawn = (resample(counts[0], bootstrap, rng), resample(counts[1], bootstrap, rng)) if bootstrap else None
    result: dict[str, Estimate] = {}
    if "frechet" in metrics:
        # The name is kept for the features that define it: no other distance compares with the literature's.
        is_fid = isinstance(reference.by, InceptionFeatures)
        result["fid" if is_fid else "frechet_distance"] = _frechet(samples, reference, drawn)
    if "kid" in metrics:
        result["kid"] = _kid(samples, reference, drawn)
    if "precision_recall" in metrics:
        hits = covered(samples.features, reference.features, neighbours)
        result |= {key: _share(hits[i], drawn and drawn[i]) for i, key in enumerate(("precision", "recall"))}
    if "spectrum" in metrics:
        result["spectrum_distance"] = _spectrum(samples, reference, drawn)
    return result


def check_shapes(samples: tuple[int, ...], reference: tuple[int, ...]) -> None:
    """Refuse images of two shapes ``(*grid, C)``."""
    if samples != reference:
        raise ArgumentError(
            f"samples and reference images must have one size; got {' x '.join(map(str, samples))} and"
            f" {' x '.join(map(str, reference))}"
        )


def _frechet(samples: Observation, reference: Observation, drawn: _Counts) -> Estimate:
    value = frechet_distance(samples.features, reference.features)
    if drawn is None:
        return Estimate(value)
    return interval(value, frechet_resampled(samples.features, reference.features, *drawn), lowest=0.0)


def _kid(samples: Observation, reference: Observation, drawn: _Counts) -> Estimate:
    shared = shared_pairs(samples.keys, reference.keys)
    value = kid(samples.features, reference.features, shared=shared)
    if drawn is None:
        return Estimate(value)
    return interval(value, kid_resampled(samples.features, reference.features, *drawn, shared=shared))


def _share(hits: Array, counts: Array | None) -> Estimate:
    """Return a share; its resamples keep the balls as they are, which copies of a point would shrink."""
    value = float(hits.mean())
    if counts is None:
        return Estimate(value)
    return interval(value, counts @ hits / len(hits), lowest=0.0, highest=1.0)


def _spectrum(samples: Observation, reference: Observation, drawn: _Counts) -> Estimate:
    value = spectrum_distance(samples.power, reference.power)
    if drawn is None:
        return Estimate(value)
    return interval(value, spectrum_resampled(samples.power, reference.power, *drawn), lowest=0.0)
