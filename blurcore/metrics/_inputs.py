"""Checks of the arrays that metrics take."""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore.errors import ArgumentError

Array = np.ndarray[Any, Any]


def feature_pair(x: Any, y: Any) -> tuple[Array, Array]:
    """Return two arrays of features as float64 (n, D) and (m, D); :class:`ArgumentError` where they are none."""
    pair = tuple(np.asarray(v, dtype=np.float64) for v in (x, y))
    for name, array in zip("xy", pair, strict=True):
        if array.ndim != 2 or array.size == 0:
            raise ArgumentError(f"{name} must be features of shape (images, dimensions), not empty; got {array.shape}")
        if not np.isfinite(array).all():
            raise ArgumentError(f"{name} must be finite; got NaN or infinity among its features")
    if pair[0].shape[1] != pair[1].shape[1]:
        raise ArgumentError(
            f"x and y must have features of one dimension; got {pair[0].shape[1]} and {pair[1].shape[1]}"
        )
    return pair[0], pair[1]


def require_count(what: str, counts: tuple[int, int], least: int, reason: str) -> None:
    """Refuse sets of too few images, with their numbers, the least that serves, and why."""
    if min(counts) < least:
        raise ArgumentError(
            f"{what} needs at least {least} images in each set, {reason}; got {counts[0]} samples and {counts[1]} references"
        )
