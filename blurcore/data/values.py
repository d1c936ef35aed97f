"""Pixels and numbers: uint8 in 0..255 and float32 in [-1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore._checks import require


def to_float(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Map pixels to the range of the diffusion processes: x / 127.5 - 1.

    Parameters
    ----------
    images
        uint8, any shape.

    Returns
    -------
    float32 in [-1, 1], the same shape; :func:`to_uint8` takes each of the 256 values back exactly.

    Raises
    ------
    ArgumentError
        The array is not uint8.
    """
    require(images.dtype == np.uint8, "images", images.dtype, "an array of uint8")
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def to_uint8(images: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Map numbers to pixels: clip to [-1, 1], then round (x + 1) 127.5.

    Parameters
    ----------
    images
        Floating point, any shape; what lies outside [-1, 1] is clipped.

    Returns
    -------
    uint8, the same shape.

    Raises
    ------
    ArgumentError
        The array is not floating, or holds NaN, which has no pixel.
    """
    require(np.issubdtype(images.dtype, np.floating), "images", images.dtype, "an array of floating point numbers")
    require(not np.isnan(images).any(), "images", "NaN", "free of NaN")
    clipped = np.clip(images.astype(np.float32), np.float32(-1.0), np.float32(1.0))
    pixels: npt.NDArray[np.uint8] = np.rint((clipped + np.float32(1.0)) * np.float32(127.5)).astype(np.uint8)
    return pixels
