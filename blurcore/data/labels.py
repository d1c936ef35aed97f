"""Class labels of data sets, for conditional generation: read only when a network asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from blurcore.config import DataConfig
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
    if config.name == "array" and config.path is not None and config.path.endswith(".npz"):
        try:
            with np.load(Path(config.path).expanduser(), allow_pickle=False) as archive:
                labels = archive.get(KEY)
        except (OSError, ValueError) as error:
            raise DataError(f"the labels of {config.path!r} cannot be read: {error}") from None
        if labels is not None:
            if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
                raise DataError(
                    f"labels in {config.path!r} must be whole numbers, 0 or more, one for each image; got {labels.dtype}"
                )
            found: npt.NDArray[np.int64] = labels.astype(np.int64)
            return found
    known = ", ".join(LABELS)
    raise DataError(
        f"the data set {config.name!r} has no labels; these have: {known}, and .npz files with an array {KEY!r}"
    )
