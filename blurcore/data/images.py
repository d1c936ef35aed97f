"""Pictures of unknown origin to uint8 arrays: safe decoding, resizing, grey and RGB.

PNG, JPEG, WebP, TIFF, BMP and, where Pillow has it, AVIF are decoded, whatever the file is called, and nothing else is tried. A
picture of more than
`MAX_PIXELS` pixels or a file of more than `MAX_FILE_BYTES` is refused before its pixels are touched.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from blurcore._checks import require
from blurcore.data.depth import eight_bits, stored_pixels
from blurcore.data.formats import UnreadableError, formats, in_words, pillow
from blurcore.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 2**26
"""Largest picture, in pixels (8192 x 8192): up to 1.1 GiB while it is decoded, with its transparency on white."""
LARGE_PIXELS = 2**24
"""Pictures of more pixels (4096 x 4096) are decoded one at a time, whatever the number of threads."""
MAX_FILE_BYTES = 2**28
"""Largest image file, in bytes (256 MiB)."""
_one_large_picture = threading.Lock()


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the contents of a regular file of bounded size; raise :class:`UnreadableError` for anything else, such as a pipe."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnreadableError("not a regular file")
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    if not content:
        raise UnreadableError("the file is empty")
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableError(f"the file is larger than {MAX_FILE_BYTES} bytes")
    return content


class Picture(NamedTuple):
    """A decoded picture, and whether it is the first page of several."""

    pixels: npt.NDArray[np.uint8]
    has_more_pages: bool


def decode(
    content: bytes, image_size: tuple[int, int] | None, channels: int | None, bits: int | None = None
) -> Picture:
    """Decode one picture completely: first frame, upright by its EXIF, transparency on white, scaled to 8 bits.

    Parameters
    ----------
    content
        A file of one of the `FORMATS`.
    image_size
        (height, width) to resize and crop to, or None for the size of the picture.
    channels
        1 (grey), 3 (RGB), or None for grey where the picture is grey and RGB where not.
    bits
        Bits of a pixel, of grey pictures that have more than 8; None for what the file says.

    Returns
    -------
    Picture
        uint8 (H, W, C).

    Raises
    ------
    UnreadableError
        The picture is damaged, too large, of another format, or of numbers whose white is not known.
    """
    opener = pillow()
    try:
        with opener.open(io.BytesIO(content), formats=formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableError(f"{width} x {height} pixels are more than {MAX_PIXELS}")
            with _one_large_picture if width * height > LARGE_PIXELS else nullcontext():
                stored = stored_pixels(image)
                image.load()
                _turn_upright(image)
                flat = eight_bits(image, stored, bits)
                pixels = convert_channels(_cover(flat, image_size), channels)
                return Picture(pixels, image.format == "TIFF" and bool(image.is_animated))
    except UnreadableError:
        raise
    except opener.UnidentifiedImageError as error:
        raise UnreadableError(f"not a {in_words()} image that Pillow can read, or damaged at its start") from error
    except (opener.DecompressionBombError, opener.DecompressionBombWarning) as error:
        raise UnreadableError(f"too many pixels: {error}") from error
    except Exception as error:  # decoders fail in many ways on damaged files; each means that there is no picture
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def _turn_upright(image: Image.Image) -> None:
    """Rotate by the EXIF orientation; EXIF that cannot be read has none."""
    from PIL import ImageOps

    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _cover(image: Image.Image, image_size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    """Resize to cover (height, width), crop the centre: the centred box of the target's aspect ratio is resampled."""
    width, height = image.size
    if image_size is not None and image_size != (height, width):
        target_height, target_width = image_size
        scale = max(target_height / height, target_width / width)
        left, top = (width - target_width / scale) / 2, (height - target_height / scale) / 2
        box = (max(left, 0.0), max(top, 0.0), min(width - left, float(width)), min(height - top, float(height)))
        image = image.resize((target_width, target_height), pillow().Resampling.BICUBIC, box=box)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def convert_channels(images: npt.NDArray[np.uint8], channels: int | None) -> npt.NDArray[np.uint8]:
    """Grey to RGB by repetition, RGB to grey by ITU-R 601 luma (Pillow's integers); (..., C) to (..., channels)."""
    if channels is None or images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    weighted = images.astype(np.uint32) @ np.asarray([19595, 38470, 7471], dtype=np.uint32)
    return ((weighted + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint8)[..., None]


def resize_and_crop(images: npt.NDArray[np.uint8], image_size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize so that the target is covered (antialiased, bicubic), then crop the centre.

    Parameters
    ----------
    images
        uint8 (H, W, C) or (n, H, W, C), C = 1 or 3.
    image_size
        (height, width) wanted, in pixels.

    Returns
    -------
    uint8 (height, width, C) or (n, height, width, C).

    Raises
    ------
    ArgumentError
        The images have another type or shape.
    DataError
        Pillow is missing.
    """
    require(
        images.dtype == np.uint8 and images.ndim in (3, 4) and images.shape[-1] in (1, 3) and images.size > 0,
        "images",
        (str(images.dtype), images.shape),
        "uint8 of shape (H, W, C) or (n, H, W, C) with C = 1 or 3",
    )
    check_image_size("image_size", image_size)
    if images.shape[-3:-1] == tuple(image_size):
        return images
    opener = pillow()
    batch = images if images.ndim == 4 else images[None]
    batch = batch[..., 0] if images.shape[-1] == 1 else batch
    size = (int(image_size[0]), int(image_size[1]))
    done = np.stack([_cover(opener.fromarray(np.ascontiguousarray(one)), size) for one in batch])
    return done if images.ndim == 4 else done[0]


def check_image_size(name: str, image_size: tuple[int, int]) -> None:
    """Refuse what is not (height, width) in whole pixels, of at most `MAX_PIXELS` pixels."""
    good = isinstance(image_size, (tuple, list)) and len(image_size) == 2
    good = good and all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool) and side >= 1 for side in image_size
    )
    require(
        good and image_size[0] * image_size[1] <= MAX_PIXELS,
        name,
        image_size,
        f"(height, width), two positive integers, of at most {MAX_PIXELS} pixels together",
    )


def load_image(
    path: str | os.PathLike[str],
    *,
    image_size: tuple[int, int] | None = None,
    channels: Literal[1, 3] | None = 3,
) -> npt.NDArray[np.uint8]:
    """Read one picture with the rules of the data sets (formats, bounds, EXIF, transparency on white).

    Parameters
    ----------
    path
        A PNG, JPEG, WebP, TIFF, BMP or AVIF file.
    image_size
        (height, width) to resize and crop to; None keeps the size of the picture.
    channels
        1 (grey), 3 (RGB), or None for what the picture is.

    Returns
    -------
    uint8 (H, W, C).

    Raises
    ------
    ArgumentError
        `image_size` or `channels` makes no sense.
    DataError
        The file is missing or cannot be read, or Pillow is missing; the message names the file.
    """
    require(channels in (None, 1, 3), "channels", channels, "1 (grey), 3 (RGB) or None")
    if image_size is not None:
        check_image_size("image_size", image_size)
    place = Path(path).expanduser()
    try:
        return decode(read_bytes(place), image_size, channels).pixels
    except UnreadableError as error:
        raise DataError(f"the image {str(place)!r} cannot be read: {error}") from error
