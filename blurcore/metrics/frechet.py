r"""The Frechet distance between Gaussians that are fitted to two sets of features.

.. math:: d^2 = |\mu_1 - \mu_2|^2 + \mathrm{tr}(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2})

It is what the field reports as FID where the features are those of one certain Inception network (Heusel et al. 2017), without
the square root. With :math:`\Sigma_i = L_i L_i^T` the trace of the root is the sum of the singular values of
:math:`L_1^T L_2`: no root of a product that is not symmetric is taken, and equal sets have a distance of 0 to rounding.

The distance of finite sets is biased upwards, by about D (1/n + 1/m) times the features' variance: compare numbers of equal
set sizes only (Chong & Forsyth 2020).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from blurcore.metrics._inputs import Array, feature_pair, require_count


class Moments(NamedTuple):
    """The Gaussian that is fitted to features: all that the Frechet distance wants to know of a set."""

    mean: Array
    """(D,)"""
    covariance: Array
    """(D, D), without bias."""


def moments(x: Any) -> Moments:
    """Return mean and covariance of features.

    Parameters
    ----------
    x
        (n, D), n > D, so that the covariance can have full rank.

    Raises
    ------
    ArgumentError
        These are no features, or too few.
    """
    features, _ = feature_pair(x, x)
    check_frechet((len(features), len(features)), features.shape[1])
    return _moments(features, None)


def check_frechet(counts: tuple[int, int], dim: int) -> None:
    """Refuse sets whose covariance cannot have full rank: n images span at most n - 1 directions."""
    require_count(
        "the Frechet distance",
        counts,
        dim + 1,
        f"more than the {dim} dimensions of the features (full-rank covariance)",
    )


def _moments(x: Array, counts: Array | None) -> Moments:
    weights = None if counts is None else counts.astype(np.int64)
    return Moments(np.average(x, axis=0, weights=counts), np.atleast_2d(np.cov(x, rowvar=False, fweights=weights)))


def distance_of_moments(one: Moments, other: Moments) -> float:
    """Return the Frechet distance of two Gaussians, squared as in FID; never below 0.

    Parameters
    ----------
    one, other
        What :func:`moments` returns of features of one dimension.

    References
    ----------
    Dowson & Landau 1982, equation 4; Heusel et al. 2017, equation 6.
    """
    roots = []
    for covariance in (one.covariance, other.covariance):
        values, vectors = np.linalg.eigh(covariance)
        roots.append(vectors * np.sqrt(np.maximum(values, 0.0)))
    crossed = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
    means = float(((one.mean - other.mean) ** 2).sum())
    return max(0.0, means + float(np.trace(one.covariance) + np.trace(other.covariance) - 2.0 * crossed))


def frechet_distance(x: Any, y: Any) -> float:
    """Return the Frechet distance between two sets of features, squared as in FID; 0 for equal sets.

    Parameters
    ----------
    x, y
        (n, D) and (m, D), both with more rows than columns.

    Raises
    ------
    ArgumentError
        These are no features of one dimension, or too few: the message has the numbers and the least that serves.
    """
    x, y = feature_pair(x, y)
    check_frechet((len(x), len(y)), x.shape[1])
    return distance_of_moments(_moments(x, None), _moments(y, None))


def frechet_resampled(x: Array, y: Array, counts_x: Array, counts_y: Array) -> Array:
    """Return the distance of each resample, (num_resamples,); see :mod:`blurcore.metrics.bootstrap`."""
    pairs = zip(counts_x, counts_y, strict=True)
    return np.array([distance_of_moments(_moments(x, one), _moments(y, other)) for one, other in pairs])
