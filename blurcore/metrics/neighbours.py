r"""Precision and recall of Kynkaanniemi et al. 2019: two sets of features as unions of balls.

Around each point of a set lies a ball that reaches to its k-th nearest neighbour in the set. *Precision* is the share of the
samples that lie in a ball of a reference image: do samples look like data? *Recall* is the share of the reference images that
lie in a ball of a sample: is all of the data covered? Both are in [0, 1], and 1 for equal sets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from blurcore._checks import require
from blurcore.metrics._inputs import Array, feature_pair, require_count

NEIGHBOURS = 3
"""The paper's k."""
_BLOCK = 256  # rows of a matrix of distances that are in memory at once


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1]."""

    precision: float
    recall: float


def check_precision_recall(counts: tuple[int, int], neighbours: int = NEIGHBOURS) -> None:
    """Refuse sets in which a point has not so many neighbours."""
    require(neighbours >= 1, "neighbours", neighbours, "at least 1")
    require_count(
        "precision and recall", counts, neighbours + 1, f"so that each image has {neighbours} neighbours in its set"
    )


def precision_recall(x: Any, y: Any, *, neighbours: int = NEIGHBOURS) -> PrecisionRecall:
    """Return precision and recall of samples.

    Parameters
    ----------
    x
        Features of the samples, (n, D).
    y
        Features of the reference images, (m, D).
    neighbours
        How many neighbours of a point its ball holds.

    Raises
    ------
    ArgumentError
        These are no features of one dimension, or not more than `neighbours`.

    References
    ----------
    Kynkaanniemi et al. 2019, *Improved Precision and Recall Metric for Assessing Generative Models*, equations 1 and 2.
    """
    x, y = feature_pair(x, y)
    check_precision_recall((len(x), len(y)), neighbours)
    return PrecisionRecall(*(float(hits.mean()) for hits in covered(x, y, neighbours)))


def covered(x: Array, y: Array, neighbours: int) -> tuple[Array, Array]:
    """Return which samples lie in a ball of a reference image, bool (n,), and the reverse, (m,)."""
    centre = y.mean(axis=0)  # near the points the differences of large numbers are small
    x, y = x - centre, y - centre
    # Distances come from |x|^2 - 2 x y + |y|^2: what is as far as the ball reaches is in it, whatever its last bits say.
    slack = 4 * x.shape[1] * np.finfo(np.float64).eps * (max((v**2).sum(axis=1).max() for v in (x, y)))
    within = [np.zeros(len(v), dtype=bool) for v in (x, y)]
    for i, (points, centres) in enumerate(((x, y), (y, x))):
        reach = _reach(centres, neighbours) + slack
        for rows, squares in _squares(points, centres):
            within[i][rows] = (squares <= reach).any(axis=1)
    return within[0], within[1]


def _squares(x: Array, y: Array) -> Any:
    """Yield rows and their squared distances to all of y, block by block."""
    lengths = (y**2).sum(axis=1)
    for first in range(0, len(x), _BLOCK):
        block = x[first : first + _BLOCK]
        yield slice(first, first + _BLOCK), (block**2).sum(axis=1)[:, None] - 2.0 * (block @ y.T) + lengths


def _reach(x: Array, neighbours: int) -> Array:
    """Return the squared distance of each point to its k-th nearest neighbour in the set, itself not counted."""
    reach = np.empty(len(x))
    for rows, squares in _squares(x, x):
        own = np.arange(len(squares))
        squares[own, own + rows.start] = np.inf
        reach[rows] = np.partition(squares, neighbours - 1, axis=1)[:, neighbours - 1]
    return reach
