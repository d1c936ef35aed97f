"""Class labels in a NumPy file, for conditional generation: read only when a network asks for them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore.data.arrays import open_npz
from blurcore.data.dataset import refuse_missing
from blurcore.errors import DataError

KEY = "labels"


def labels_in(place: Path) -> npt.NDArray[np.int64] | None:
    """Return the array `labels` of an `.npz` file, int64 (n,), 0 or more; None where there is none.

    Raises
    ------
    DataError
        The file is missing or damaged, or holds labels that are none.
    """
    if place.suffix.lower() != ".npz":
        return None
    refuse_missing(place, "a .npy or .npz file", place.is_file())
    with open_npz(place) as archive:
        if KEY not in archive.keys:
            return None
        return _checked(archive.read(KEY, partial(_check, name=str(place))), str(place))


def whole_labels(labels: npt.NDArray[Any], name: str) -> npt.NDArray[np.int64]:
    """Return labels as int64 (n,); :class:`DataError` where they are no whole numbers of 0 or more."""
    _check(labels.shape, labels.dtype, name=name)
    return _checked(labels, name)


def _check(shape: tuple[int, ...], dtype: np.dtype[Any], *, name: str) -> None:
    if not np.issubdtype(dtype, np.integer):
        raise DataError(f"labels in {name!r} must be whole numbers, 0 or more; got {dtype}")
    if len(shape) != 1:
        raise DataError(f"labels in {name!r} must have the shape (n,), one for each image; got {shape}")


def _checked(labels: npt.NDArray[Any], name: str) -> npt.NDArray[np.int64]:
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high > np.iinfo(np.int64).max:
        raise DataError(f"labels in {name!r} must be whole numbers, 0 or more; got {low if low < 0 else high}")
    return labels.astype(np.int64)
