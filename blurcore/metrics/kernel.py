r"""KID: the squared maximum mean discrepancy of features under a cubic kernel, without bias (Binkowski et al. 2018).

.. math:: k(x, y) = (x^T y / D + 1)^3, \qquad
    \widehat{\mathrm{MMD}}^2 = \operatorname{mean}_{i \ne j} k(x_i, x_j) + \operatorname{mean}_{i \ne j} k(y_i, y_j)
    - 2 \operatorname{mean}_{i, j} k(x_i, y_j)

Within a set an image is not compared with itself, which would say nothing about the distribution. The same holds for an image
that is in both sets, as all are if the sets are one: its pair with itself is left out of the last mean. Equal sets then have
0, in any order, where the formula as it stands has a number below 0; sets that share no image have what the formula says.
Being without bias, the number may be a little below 0 where the sets are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from blurcore.metrics._inputs import Array, feature_pair, require_count

_BLOCK = 256  # rows of a kernel matrix that are in memory at once


def check_kid(counts: tuple[int, int]) -> None:
    """Refuse sets in which there is no pair."""
    require_count("KID", counts, 2, "so that each has a pair")


def shared_pairs(x: Sequence[bytes], y: Sequence[bytes]) -> Array:
    """Return which items of two lists are equal, each taken once at most, as (pairs, 2) places."""
    waiting: dict[bytes, list[int]] = {}
    for j in range(len(y) - 1, -1, -1):
        waiting.setdefault(y[j], []).append(j)
    found = [(i, places.pop()) for i, key in enumerate(x) if (places := waiting.get(key))]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def kid(x: Any, y: Any, *, shared: Any = None) -> float:
    """Return the kernel distance between two sets of features.

    Parameters
    ----------
    x, y
        (n, D) and (m, D), n and m at least 2.
    shared
        Which image of one set is which of the other, (pairs, 2) rows of x and y; those whose features are equal, each taken
        once at most, where not given.

    Raises
    ------
    ArgumentError
        These are no features of one dimension, or too few.

    References
    ----------
    Binkowski et al. 2018, *Demystifying MMD GANs*, equation 4 and section 4; Gretton et al. 2012, equation 3.
    """
    x, y = feature_pair(x, y)
    check_kid((len(x), len(y)))
    if shared is None:
        shared = shared_pairs(*([row.tobytes() for row in v + 0.0] for v in (x, y)))  # + 0.0: -0.0 equals 0.0
    return float(kid_resampled(x, y, np.ones((1, len(x))), np.ones((1, len(y))), shared=np.asarray(shared))[0])


def kid_resampled(x: Array, y: Array, counts_x: Array, counts_y: Array, *, shared: Array) -> Array:
    """Return the distance of each resample, (num_resamples,); copies of one image count as one image, not as a pair."""
    own = [_mean(v, v, c, c, np.stack([np.arange(len(v))] * 2, axis=1)) for v, c in ((x, counts_x), (y, counts_y))]
    result: Array = own[0] + own[1] - 2.0 * _mean(x, y, counts_x, counts_y, shared)
    return result


def _mean(x: Array, y: Array, counts_x: Array, counts_y: Array, without: Array) -> Array:
    """Return the kernel's mean over all pairs but some, for each row of counts."""
    total = np.zeros(len(counts_x))
    for first in range(0, len(x), _BLOCK):
        rows = slice(first, first + _BLOCK)
        kernel = (x[rows] @ y.T / x.shape[1] + 1.0) ** 3
        here = without[(without[:, 0] >= first) & (without[:, 0] < first + _BLOCK)]
        kernel[here[:, 0] - first, here[:, 1]] = 0.0
        total += (counts_x[:, rows] * (counts_y @ kernel.T)).sum(axis=1)
    left_out = (counts_x[:, without[:, 0]] * counts_y[:, without[:, 1]]).sum(axis=1)
    mean: Array = total / (counts_x.sum(axis=1) * counts_y.sum(axis=1) - left_out)
    return mean
