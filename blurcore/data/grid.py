"""Many images as one PNG."""

from __future__ import annotations

import bisect
import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blurcore._checks import require
from blurcore.data.formats import pillow
from blurcore.data.images import MAX_PIXELS
from blurcore.errors import OutputError


def make_grid(
    images: npt.NDArray[np.uint8], columns: int | None = None, padding: int = 2, scale: int = 1
) -> npt.NDArray[np.uint8]:
    """Lay images out row by row on white; the parameters are those of :func:`save_grid`. Returns uint8 (H, W, C)."""
    require(
        images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] in (1, 3) and images.size > 0,
        "images",
        (str(images.dtype), images.shape),
        "uint8 of shape (n, H, W, C), not empty, with C = 1 or 3",
    )
    require(columns is None or columns >= 1, "columns", columns, "at least 1")
    require(padding >= 0, "padding", padding, "0 or more pixels")
    require(scale >= 1, "scale", scale, "at least 1")
    count, height, width, channels = images.shape
    height, width = height * scale, width * scale
    across, size = _layout(count, (height, width), columns, padding)
    require(
        size[0] * size[1] <= MAX_PIXELS,
        "images",
        f"a grid of {size[0]} x {size[1]} pixels",
        f"few and small enough for {MAX_PIXELS} pixels",
    )
    grid = np.full((*size, channels), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        top = padding + number // across * (height + padding)
        left = padding + number % across * (width + padding)
        grid[top : top + height, left : left + width] = image.repeat(scale, axis=0).repeat(scale, axis=1)
    return grid


def _layout(count: int, size: tuple[int, int], columns: int | None, padding: int) -> tuple[int, tuple[int, int]]:
    """Return how many images of a size stand in a row, and the size of the grid."""
    across = min(columns or math.ceil(math.sqrt(count)), count)
    down = math.ceil(count / across)
    height, width = size
    return across, (down * (height + padding) + padding, across * (width + padding) + padding)


def most_that_fit(
    count: int,
    size: tuple[int, int],
    *,
    columns: int | None,
    pixels: int = MAX_PIXELS,
    side: int | None = None,
    padding: int = 2,
) -> int:
    """Return how many of `count` images of a size a grid can show.

    Parameters
    ----------
    count
        How many there are.
    size
        (height, width) of each, as it is shown.
    columns, padding
        As for :func:`save_grid`.
    pixels, side
        The most pixels that the grid may have, together and along each side.
    """

    def too_large(count: int) -> bool:
        height, width = _layout(count, size, columns, padding)[1]
        return height * width > pixels or (side is not None and max(height, width) > side)

    return bisect.bisect_left(range(1, count + 1), True, key=too_large)  # more images never make a smaller grid


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
    OutputError
        The file cannot be written.
    DataError
        Pillow is missing.
    """
    write_picture(make_grid(images, columns, padding, scale), path)


def write_picture(grid: npt.NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write a picture, uint8 (H, W, C) with C = 1 or 3, as a PNG that is whole or absent; errors as for :func:`save_grid`."""
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
        raise OutputError(f"the grid cannot be written to {str(place)!r}: {error.strerror or error}") from error
