"""Class labels of data sets, for conditional generation: read only when a network asks for them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore.config import DataConfig
from blurcore.data.arrays import open_npz
from blurcore.data.dataset import refuse_missing
from blurcore.data.embedded import LABELS
from blurcore.errors import DataError

KEY = "labels"


def load_labels(config: DataConfig) -> npt.NDArray[np.int64]:
    """Return the labels of the images of :func:`blurcore.data.load`, in their order.

    Parameters
    ----------
    config
        A labelled set: mnist, digits, or an .npz file that holds an array `labels` beside its images.

    Returns
    -------
    int64 (n,), 0 or more.

    Raises
    ------
    DataError
        The set has no labels, or labels that are none.
    """
    if config.name in LABELS:
        return LABELS[config.name](config.split).astype(np.int64)
    if config.name == "array" and config.path is not None:
        place = Path(config.path).expanduser()
        if place.suffix.lower() == ".npz":
            refuse_missing(place, "a .npy or .npz file", place.is_file())
            with open_npz(place) as archive:
                if KEY in archive.keys:
                    return _checked(archive.read(KEY, partial(_check, name=str(place))), str(place))
    known = ", ".join(LABELS)
    raise DataError(
        f"the data set {config.name!r} has no labels; these have: {known}, and .npz files with an array {KEY!r}"
    )


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
