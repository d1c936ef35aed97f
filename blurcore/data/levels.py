"""Pixels of any number of bits: which number is white, and 8 bits of them."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore.errors import DataError

FULL_HASH_LIMIT = 2**28
"""Arrays of at most so many pixels are looked at completely, larger ones by `SAMPLED_IMAGES` images."""
SAMPLED_IMAGES = 1024
"""Evenly spaced images, the first and the last among them, that stand for a large array."""
CHUNK = 256
_NATURAL = {np.dtype(np.bool_): 1, np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}

logger = logging.getLogger(__name__)


def to_eight_bits(pixels: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """Scale whole numbers from 0 to 2^bits - 1 (booleans are of one bit) to 0..255, rounded; uint8 of 8 bits stays as it is."""
    if bits == 8 and pixels.dtype == np.uint8:
        return pixels
    full = 2**bits - 1
    wide = pixels.astype(np.uint32 if bits <= 16 else np.uint64)
    scaled: npt.NDArray[np.uint8] = ((wide * 255 + full // 2) // full).astype(np.uint8)
    return scaled


def to_levels(values: npt.NDArray[np.floating[Any]], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Scale measured numbers from low to high to 0..255, rounded; what lies outside is clipped."""
    levels: npt.NDArray[np.uint8] = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return levels


def representatives(images: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return which images stand for an array: all of at most `FULL_HASH_LIMIT` pixels, else `SAMPLED_IMAGES` of them."""
    count = len(images)
    if images.size > FULL_HASH_LIMIT and count > SAMPLED_IMAGES:
        return np.unique(np.linspace(0, count - 1, SAMPLED_IMAGES).astype(np.int64))
    return np.arange(count)


def check_whole_numbers(dtype: np.dtype[Any], bits: int | None, name: str) -> None:
    """Refuse by :class:`DataError` a dtype of pixels whose white is not known.

    Parameters
    ----------
    dtype
        Of the array.
    bits
        What the user says of it; None: 1 for bool, 8 for uint8, 16 for uint16.
    name
        Of the array, for the message.
    """
    if np.issubdtype(dtype, np.floating):
        raise DataError(
            f"{name!r} must hold uint8 pixels; got {dtype}, whose range is not known: "
            f"convert it, for [0, 1] by np.rint(x * 255).astype(np.uint8), for [-1, 1] by blurcore.data.to_uint8(x)"
        )
    if dtype.kind not in "bui":
        raise DataError(f"{name!r} must hold pixels, whole numbers such as uint8; got {dtype}")
    if dtype.kind == "b" and bits not in (None, 1):
        raise DataError(f"data.bits must be 1, or not be given, for {name!r}, which holds {dtype}; got {bits}")
    if bits is None and dtype.newbyteorder("=") not in _NATURAL:
        raise DataError(
            f"{name!r} must hold uint8 pixels in 0..255, uint16 in 0..65535 or bool; got {dtype}, whose range is not known:"
            f" say how many bits a pixel has by data.bits, 8 for 0..255 (.astype(np.uint8) would wrap what is larger)"
        )


def bits_of(images: npt.NDArray[Any], bits: int | None, name: str) -> int:
    """Return how many bits a pixel of an array has, after a look whether all fit.

    Parameters
    ----------
    images, bits, name
        As for :func:`check_whole_numbers`.

    Raises
    ------
    DataError
        As there, or a pixel is negative or larger than 2^bits - 1.
    """
    check_whole_numbers(images.dtype, bits, name)
    found = _NATURAL[images.dtype.newbyteorder("=")] if bits is None else bits
    if images.dtype == np.bool_ or (images.dtype == np.uint8 and found >= 8):
        return found
    always_fits = images.dtype.kind == "u" and found >= 8 * images.dtype.itemsize
    low, high = _extremes(images, representatives(images) if always_fits else np.arange(len(images)))
    if low < 0 or high > 2**found - 1:
        raise DataError(
            f"{name!r} must hold pixels from 0 to {2**found - 1}, as data.bits = {found} says; got {low} to {high}"
        )
    if bits is None and high.bit_length() < found:
        logger.warning(
            "%r holds %s, taken as pixels of %d bits, white being %d; the largest found is %d, which fits into %d bits: if that"
            " is white or near it, say data.bits = %d",
            name,
            images.dtype,
            found,
            2**found - 1,
            high,
            max(1, high.bit_length()),
            max(1, high.bit_length()),
        )
    return found


def _extremes(images: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Return the smallest and the largest pixel of some images."""
    pairs = []
    for start in range(0, len(chosen), CHUNK):
        part = images[chosen[start : start + CHUNK]]
        pairs.append((int(part.min()), int(part.max())))
    return min(low for low, _ in pairs), max(high for _, high in pairs)
