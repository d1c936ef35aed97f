"""Pixels and numbers: uint8 in 0..255 and float32 in [-1, 1] or [0, 1]."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from blurcore._checks import require

Values = Literal["symmetric", "unit"]


class Scale(NamedTuple):
    """x = pixel / divisor + low: what every backend makes of uint8."""

    divisor: float
    low: float
    high: float = 1.0


SCALES: dict[Values, Scale] = {"symmetric": Scale(127.5, -1.0), "unit": Scale(255.0, 0.0)}
"""[-1, 1] and [0, 1], by name."""


class Samples(NamedTuple):
    """Samples as pixels, and which of them are finite: the pixels of one that is not mean nothing."""

    images: npt.NDArray[np.uint8]
    """``(n, *grid, C)``."""
    finite: npt.NDArray[np.bool_]
    """``(n,)``."""

    @property
    def lost(self) -> str:
        """How many are not finite, in words; empty where all are."""
        count = int((~self.finite).sum())
        return f"{count:,} of {len(self.finite):,} samples {'is' if count == 1 else 'are'} not finite" if count else ""


def to_samples(draws: npt.NDArray[np.floating[Any]], values: Values) -> Samples:
    """Return data (n, *grid, C) as :func:`to_pixels`, and which of them are finite."""
    return Samples(to_pixels(draws, values), np.asarray(np.isfinite(draws).all(axis=tuple(range(1, draws.ndim)))))


def to_data(batch: npt.NDArray[Any], values: Values) -> npt.NDArray[np.float32]:
    """Return pixels as float32 in the range that `values` names; what is floating already stays as it is."""
    if np.issubdtype(batch.dtype, np.floating):
        return batch.astype(np.float32)
    scale = SCALES[values]
    return batch.astype(np.float32) / np.float32(scale.divisor) + np.float32(scale.low)


def to_pixels(draws: npt.NDArray[np.floating[Any]], values: Values) -> npt.NDArray[np.uint8]:
    """Return data as pixels: clipped to the range, and rounded. What is not finite becomes 0."""
    scale = SCALES[values]
    clipped = np.clip(np.nan_to_num(draws), scale.low, scale.high)
    pixels: npt.NDArray[np.uint8] = ((clipped - scale.low) * scale.divisor).round().astype(np.uint8)
    return pixels


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
