"""The data's mean power per frequency, from which the sizes are chosen (SPEC 11)."""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore.data.levels import CHUNK
from blurcore.data.values import Values, to_data
from blurcore.transforms import Basis


def mean_power(
    images: Any, basis: Basis, *, values: Values = "symmetric", limit: int | None = None
) -> np.ndarray[Any, Any]:
    """Return the mean square of the coefficients of images, channels added up.

    Parameters
    ----------
    images
        A data set or an array, uint8 or floating ``(n, *grid, C)``, of which a part is read at a time.
    basis
        Where the process is diagonal.
    values
        The range that pixels are brought to.
    limit
        How many images at most, evenly spaced; None for all.

    Returns
    -------
    numpy.ndarray
        ``(*grid,)``, float64.
    """
    count = len(images)
    chosen = np.arange(count) if limit is None else np.unique(np.linspace(0, count - 1, min(limit, count)).astype(int))
    total: Any = 0.0
    for first in range(0, len(chosen), CHUNK):
        x = to_data(np.asarray(images[chosen[first : first + CHUNK]]), values)
        u = np.asarray(basis.forward(x, axes=tuple(range(1, x.ndim - 1))), np.float64)
        total = total + np.sum(u**2, axis=(0, -1))
    return np.asarray(total / len(chosen))
