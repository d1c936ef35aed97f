r"""Confidence intervals by the bootstrap (Efron 1979): how far a number would move if other images had been drawn.

A resample of n images is a vector of counts, how often each was taken; a metric is recomputed with the counts as weights, so
that nothing is copied. The interval is that of the percentiles, moved so that the resamples' mean lies at the estimate:

.. math:: [\hat\theta + q_{\alpha/2} - \bar\theta^*, \; \hat\theta + q_{1 - \alpha/2} - \bar\theta^*] .

Unmoved, it would often miss the estimate altogether: the Frechet distance of finite sets is too large, resampling adds as much
again, and all resamples of two equal sets have a positive distance. For a number without bias the shift is nearly none.
The interval says how much chance there is in the images that were drawn. It does not take away the bias that the estimate
itself has: only more images do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from blurcore._checks import require

Array = np.ndarray[Any, Any]

CONFIDENCE = 0.95
"""Share of the resamples that lie in an interval."""


class Estimate(NamedTuple):
    """A metric's value, and the interval that the bootstrap gives it; None without."""

    value: float
    low: float | None = None
    high: float | None = None


def resample(count: int, num_resamples: int, rng: np.random.Generator) -> Array:
    """Return how often each of some images is taken in each resample.

    Parameters
    ----------
    count
        Number of images n.
    num_resamples
        Number of resamples, at least 2.
    rng
        Where the numbers come from.

    Returns
    -------
    ndarray
        float64 (num_resamples, n), whole numbers whose rows add up to n.

    Raises
    ------
    ArgumentError
        There are fewer than 2 resamples.
    """
    require(num_resamples >= 2, "num_resamples", num_resamples, "at least 2")
    drawn: Array = rng.multinomial(count, np.full(count, 1.0 / count), size=num_resamples).astype(np.float64)
    return drawn


def interval(
    value: float, resampled: Array, *, lowest: float = -np.inf, highest: float = np.inf, confidence: float = CONFIDENCE
) -> Estimate:
    """Return an estimate with the interval of its resamples, cut to the range that the number has by its definition.

    Parameters
    ----------
    value
        The metric of the images themselves.
    resampled
        The metric of each resample, (num_resamples,).
    lowest, highest
        The number's range.
    confidence
        Share of the resamples that the interval holds, in (0, 1).

    Raises
    ------
    ArgumentError
        `confidence` is out of its range.
    """
    require(0.0 < confidence < 1.0, "confidence", confidence, "in (0, 1)")
    tail = (1.0 - confidence) / 2.0
    low, high = value + np.quantile(resampled, [tail, 1.0 - tail]) - resampled.mean()
    return Estimate(value, max(lowest, float(low)), min(highest, float(high)))
