"""Samples of any number of axes as pictures: images as they are, signals as curves, volumes as rows of slices."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore.data.grid import save_grid

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


def save_samples(samples: npt.NDArray[np.uint8], path: str | os.PathLike[str], *, scale: int = 1) -> None:
    """Save samples of any number of axes as one PNG; see :func:`as_images` and :func:`blurcore.data.save_grid`."""
    images, columns = as_images(samples)
    save_grid(images, path, columns=columns, scale=scale)


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
