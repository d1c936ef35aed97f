"""Images that somebody names by a path: a folder, a picture, or a NumPy file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blurcore.data.arrays import read_array
from blurcore.data.dataset import ArrayDataset, Dataset
from blurcore.data.folder_images import FolderDataset
from blurcore.data.formats import SUFFIXES
from blurcore.data.images import load_image
from blurcore.errors import ConfigError, DataError


def open_images(path: Path, image_shape: tuple[int, ...], *, name: str) -> Dataset:
    """Open a folder of images, one image, or a NumPy file, at the sizes that they have.

    Parameters
    ----------
    path
        Where they are.
    image_shape
        (*grid, C) of the images that they are for: their number of axes, and 1 or 3 channels to bring pictures to.
    name
        The argument, for messages.

    Raises
    ------
    ConfigError
        There is nothing of the kind.
    DataError
        It cannot be read.
    """
    chosen: Any = image_shape[-1] if image_shape[-1] in (1, 3) else None
    try:
        if path.is_dir():
            return FolderDataset(path, image_size=None, channels=chosen, strict=True)
        if not path.is_file():
            raise ConfigError(
                f"{name} must be a folder of images, an image, or a .npy or .npz file, that exists; got {str(path)!r}"
            )
        if path.suffix.lower() in SUFFIXES:
            return ArrayDataset(load_image(path, channels=chosen)[None], source=str(path))
        images, source = read_array(str(path), dims=len(image_shape) - 1)
        return ArrayDataset(images, source=source)
    except DataError as error:
        raise type(error)(f"{name}: {error}") from None
