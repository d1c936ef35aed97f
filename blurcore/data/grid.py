"""Many images as one PNG."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blurcore._checks import require
from blurcore.data.formats import pillow
from blurcore.data.images import MAX_PIXELS
from blurcore.errors import DataError


def make_grid(
    images: npt.NDArray[np.uint8], columns: int | None = None, padding: int = 2, scale: int = 1
) -> npt.NDArray[np.uint8]:
    """Lay images out row by row on white; the parameters are those of :func:`save_grid`. Returns uint8 (H, W, C)."""
    require(
        images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] in (1, 3) and images.size > 0,
        "images", (str(images.dtype), images.shape), "uint8 of shape (n, H, W, C), not empty, with C = 1 or 3",
    )  # fmt: skip
    require(columns is None or columns >= 1, "columns", columns, "at least 1")
    require(padding >= 0, "padding", padding, "0 or more pixels")
    require(scale >= 1, "scale", scale, "at least 1")
    count, height, width, channels = images.shape
    across = min(columns or math.ceil(math.sqrt(count)), count)
    down = math.ceil(count / across)
    height, width = height * scale, width * scale
    size = (down * (height + padding) + padding, across * (width + padding) + padding)
    require(
        size[0] * size[1] <= MAX_PIXELS,
        "images", f"a grid of {size[0]} x {size[1]} pixels", f"few and small enough for {MAX_PIXELS} pixels",
    )  # fmt: skip
    grid = np.full((*size, channels), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        top = padding + number // across * (height + padding)
        left = padding + number % across * (width + padding)
        grid[top : top + height, left : left + width] = image.repeat(scale, axis=0).repeat(scale, axis=1)
    return grid


def save_grid(
    images: npt.NDArray[np.uint8],
    path: str | os.PathLike[str],
    columns: int | None = None,
    padding: int = 2,
    scale: int = 1,
) -> None:
    """Save images as one PNG, row by row on white; the file is whole or absent.

    Parameters
    ----------
    images
        uint8 (n, H, W, C), n >= 1, C = 1 or 3.
    path
        The file to write; its folder is made where it is missing.
    columns
        Images in a row; None makes the grid as square as can be.
    padding
        Pixels between and around the images.
    scale
        Each pixel becomes scale x scale pixels.

    Raises
    ------
    ArgumentError
        An argument has a value that makes no sense.
    DataError
        The file cannot be written, or Pillow is missing; the message names the file.
    """
    grid = make_grid(images, columns, padding, scale)
    picture = pillow().fromarray(grid[..., 0] if grid.shape[-1] == 1 else grid)
    place = Path(path).expanduser()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.{os.getpid()}.partial")
        try:
            picture.save(temporary, format="PNG")
            os.replace(temporary, place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"the grid cannot be written to {str(place)!r}: {error.strerror or error}") from error
