"""Samples of any number of axes as pictures: images as they are, signals as curves, volumes as rows of slices."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore.data.grid import make_grid, most_that_fit, write_picture
from blurcore.data.images import MAX_PIXELS

_log = logging.getLogger(__name__)
_HEIGHT = 64
_STRETCH = 2  # pixels of width for each sample of a signal


def as_images(samples: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], int | None]:
    """Return samples ``(n, *grid, C)`` as images (m, H, W, C), and how many belong in a row (None: as you like).

    Parameters
    ----------
    samples
        uint8 with 1, 2 or 3 axes. Of a signal every channel is drawn as a curve; of a volume the first 3 channels
        are colours if there are 3, else the first is grey.
    """
    dims = samples.ndim - 2
    if dims == 2:
        return samples, None
    if dims == 1:
        return np.stack([_curves(signal) for signal in samples]), None
    shown = samples if samples.shape[-1] == 3 else samples[..., :1]
    return shown.reshape(-1, *shown.shape[2:]), shown.shape[1]


def save_samples(samples: npt.NDArray[np.uint8], path: str | os.PathLike[str], *, scale: int = 1) -> bool:
    """Save samples of any number of axes as one PNG, as many as fit, warn of those left out, and return whether a file was written.

    Parameters
    ----------
    samples
        As for :func:`as_images`.
    path
        The file; not written where not even one sample fits.
    scale
        Each pixel becomes scale x scale pixels.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    grids = grids_that_fit([samples], str(path), scale=scale)
    for grid in grids:
        write_picture(grid, path)
    return bool(grids)


def grids_that_fit(
    sets: Sequence[npt.NDArray[np.uint8]],
    what: str,
    *,
    scale: int = 1,
    pixels: int = MAX_PIXELS,
    side: int | None = None,
) -> list[npt.NDArray[np.uint8]]:
    """Return a grid (H, W, C) of each set of samples, with as many as fit; none if not one fits. What is left out is warned of.

    Parameters
    ----------
    sets
        As for :func:`as_images`, all of one shape; at least one.
    what
        The picture's name, for the warning.
    scale
        Each pixel becomes scale x scale pixels.
    pixels, side
        The most pixels that a grid may have, together and along each side.
    """
    samples = sets[0]
    first, columns = as_images(samples[:1])  # one knows the size of all
    count = len(samples) * len(first)
    fit = most_that_fit(
        count, (first.shape[1] * scale, first.shape[2] * scale), columns=columns, pixels=pixels, side=side
    )
    if fit < count:
        limit = f"{pixels:,} pixels" + ("" if side is None else f", {side:,} a side")
        name = {1: "signals", 2: "images", 3: "slices"}[samples.ndim - 2]
        shown = (
            f"shows the first {fit:,} of {count:,} {name}"
            if fit
            else f"is not written, as none of {count:,} {name} fits"
        )
        _log.warning("%s %s: the limit is %s", what, shown, limit)
    if not fit:
        return []
    enough = -(-fit // len(first))
    return [make_grid(as_images(each[:enough])[0][:fit], columns, scale=scale) for each in sets]


def _curves(signal: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Draw the channels of a signal (L, C) as black curves on light grey, which a grid sets on white; (64, 2 L, 1)."""
    image: npt.NDArray[Any] = np.full((_HEIGHT, _STRETCH * len(signal), 1), 235, dtype=np.uint8)
    rows = (_HEIGHT - 1) - signal.astype(int) * (_HEIGHT - 1) // 255
    for channel in rows.T:
        for i, row in enumerate(channel):
            after = channel[min(i + 1, len(channel) - 1)]
            low, high = min(row, after), max(row, after)
            image[low : high + 1, _STRETCH * i + 1] = 0
            image[row, _STRETCH * i] = 0
    return image
