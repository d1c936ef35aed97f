"""The image formats that Pillow is asked to read, and the messages for files that it cannot."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from blurcore.errors import DataError

FORMATS = {"PNG": "PNG", "JPEG": "JPEG", "WEBP": "WebP", "TIFF": "TIFF", "BMP": "BMP", "AVIF": "AVIF"}
"""The formats that are decoded: Pillow's names, and everybody's."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".avif")
"""Suffixes of their files, in lower or upper case."""


class UnreadableError(Exception):
    """One picture cannot be used; the message says why, the caller adds its path."""


def pillow() -> ModuleType:
    """Return the module `PIL.Image`; a :class:`DataError` says what to install where Pillow is missing."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"decoding images needs Pillow ({error}); try: pip install 'blurcore[data]'") from error
    return Image


@cache
def formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that it decodes here; AVIF it does since 11.3, unless it was built without."""
    try:
        from PIL import AvifImagePlugin

        has_avif = AvifImagePlugin.SUPPORTED
    except ImportError:
        has_avif = False
    return tuple(name for name in FORMATS if name != "AVIF" or has_avif)


def in_words() -> str:
    """Return the formats that are decoded here, as a part of a sentence."""
    *names, last = (FORMATS[name] for name in formats())
    return f"{', '.join(names)} or {last}"
