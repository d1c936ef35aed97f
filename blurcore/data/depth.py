"""What Pillow has read, in 8 bits: grey of more bits scaled, transparency on white, grey kept grey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from blurcore.data.formats import UnreadableError, pillow
from blurcore.data.levels import to_eight_bits

if TYPE_CHECKING:
    from PIL import Image

_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # of TIFF
_WHITE_IS_ZERO, _SIGNED = 0, 2


class Stored(NamedTuple):
    """How a file stores its pixels, for modes of Pillow that leave it open."""

    bits: int
    """Of a sample."""
    is_grey: bool
    white_is_zero: bool
    """Pillow has not turned black and white round."""


def stored_pixels(image: Image.Image) -> Stored:
    """Return how the file of a picture that has not been loaded yet holds its pixels.

    Raises
    ------
    UnreadableError
        Its numbers have a sign, so that black is not known.
    """
    grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
    if image.format == "PNG":
        # Pillow's name of the layout in the file, such as "RGB;16B", "L;2" or "LA;16B"; 8 bits where it names none.
        raw = image.tile[0][3] if image.tile else image.mode  # type: ignore[attr-defined]
        base, _, depth = str(raw).partition(";")
        bits = int(depth.rstrip("B")) if depth else 1 if base == "1" else 8
        return Stored(bits, is_grey=grey or base == "LA", white_is_zero=False)
    if image.format != "TIFF":
        return Stored(8, is_grey=grey, white_is_zero=False)
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    if _SIGNED in np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1)):
        raise UnreadableError("numbers with a sign, of which black is not known")
    bits = max(int(n) for n in np.atleast_1d(tags.get(_BITS_PER_SAMPLE, 1)))
    turned = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and image.mode.startswith("I")
    return Stored(bits, is_grey=grey, white_is_zero=turned)


def eight_bits(image: Image.Image, stored: Stored, bits: int | None) -> Image.Image:
    """Return a picture in mode L or RGB.

    Parameters
    ----------
    image
        Loaded.
    stored
        What :func:`stored_pixels` has said before.
    bits
        Bits of a pixel, where it is more than 8; None for what the file says.

    Raises
    ------
    UnreadableError
        White is not known, or a pixel is larger.
    """
    if image.mode == "F":
        raise UnreadableError("floating point numbers, whose range is not known")
    if image.mode.startswith("I"):
        return _from_wide_grey(image, stored, bits)
    if stored.bits > 8 and bits not in (None, stored.bits):
        # Pillow has kept the upper 8 bits of each.
        raise UnreadableError(
            f"colours of {stored.bits} bits, of which the upper 8 are read, not those below {bits} bits"
        )
    if (level := image.info.get("transparency")) is not None and image.mode in ("1", "L", "RGB"):
        return _without_colour(image, level, stored)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        colour = _as_mode(image, "RGBA")
        white = pillow().new("RGBA", colour.size, (255, 255, 255, 255))
        flat = pillow().alpha_composite(white, colour)
        return flat.convert("L" if stored.is_grey else "RGB")
    return _as_mode(image, "L" if image.mode in ("1", "L") else "RGB")


def _from_wide_grey(image: Image.Image, stored: Stored, bits: int | None) -> Image.Image:
    """Scale grey of more than 8 bits, which Pillow's own conversion would clip, and put its transparent level on white."""
    found = bits or stored.bits
    if bits is None and found > 16:
        raise UnreadableError(f"integers of {found} bits, of which white is not known: say data.bits")
    pixels = np.asarray(image)
    full = 2**found - 1
    if (high := int(pixels.max())) > full or int(pixels.min()) < 0:
        raise UnreadableError(f"pixels from {int(pixels.min())} to {high}, of which {found} bits hold 0 to {full}")
    grey = to_eight_bits(full - pixels if stored.white_is_zero else pixels, found)
    if (level := image.info.get("transparency")) is not None:
        grey = np.where(pixels == level, np.uint8(255), grey)
    return pillow().fromarray(grey)


def _without_colour(image: Image.Image, level: Any, stored: Stored) -> Image.Image:
    """Replace PNG's transparent colour by white; PNG gives it in the file's bit depth, Pillow's pixels have 8 bits."""
    mode = "RGB" if image.mode == "RGB" else "L"
    pixels = np.asarray(image.convert(mode))
    clear: npt.NDArray[Any] = np.asarray(level)
    clear = clear & (2**stored.bits - 1)
    clear = clear >> (stored.bits - 8) if stored.bits > 8 else clear * (255 // (2**stored.bits - 1))
    same = (pixels == clear).all(axis=-1) if mode == "RGB" else pixels == clear
    white = np.uint8(255)
    return pillow().fromarray(np.where(same[..., None] if mode == "RGB" else same, white, pixels))


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Return the picture in a mode, itself where it is in it: Pillow's conversion would copy it."""
    return image if image.mode == mode else image.convert(mode)
