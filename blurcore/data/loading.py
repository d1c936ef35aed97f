"""From the configuration to the data set."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from blurcore._checks import require
from blurcore._typing import StrPath
from blurcore.config import DataConfig
from blurcore.data.arrays import read_array
from blurcore.data.dataset import ArrayDataset, Dataset
from blurcore.data.embedded import EMBEDDED
from blurcore.data.folder import FolderDataset
from blurcore.data.images import check_image_size
from blurcore.errors import ArgumentError, ConfigError

NAMES = (*EMBEDDED, "folder", "array")
"""Names of the data sets: five that ship inside packages, and yours."""


def load(config: DataConfig) -> Dataset:
    """Open the data set that a configuration asks for.

    Parameters
    ----------
    config
        Which set, which part of it, and the size and channels to bring its images to. Sizes: resized (antialiased) to
        cover (height, width), then the centre cropped; channels: luma of ITU-R 601, or grey repeated.

    Returns
    -------
    A data set of uint8 images. `flip` is not applied here: :class:`blurcore.data.Loader` does, step by step.

    Raises
    ------
    ArgumentError
        A field of the configuration makes no sense for this set.
    DataError
        The set is missing, empty or unreadable; the message says what to install or which path it was.
    """
    require(config.name in NAMES, "data.name", config.name, f"one of {', '.join(NAMES)}")
    require(config.split in ("train", "test", "all"), "data.split", config.split, "'train', 'test' or 'all'")
    require(config.channels in (None, 1, 3), "data.channels", config.channels, "1 (grey) or 3 (RGB)")
    size = None if config.image_size is None else (config.image_size[0], config.image_size[1])
    if size is not None:
        check_image_size("data.image_size", size)
    flat = config.dims == 2 and config.name not in ("membrane", "brain")
    if not flat and (size is not None or config.channels is not None or config.flip):
        raise ArgumentError(
            "data.image_size, data.channels and data.flip are for images; signals and volumes are taken as they are"
        )
    if config.name in EMBEDDED:
        images, source = EMBEDDED[config.name](config.split)
        return ArrayDataset(images, name=config.name, source=source, image_size=size, channels=config.channels)
    require(config.split != "test", "data.split", config.split, f"'all' for {config.name!r}, which has no test part")
    path = config.path or ""
    if config.name == "folder":
        if size is None:
            raise ArgumentError(
                "data.image_size must be (height, width) for 'folder', whose images may differ in size; got None"
            )
        return FolderDataset(
            path, image_size=size, channels=config.channels or 3, strict=config.strict, bits=config.bits
        )
    images, source = read_array(path, dims=config.dims, bits=config.bits)
    return ArrayDataset(
        images, name="array", source=source, image_size=size, channels=config.channels, bits=config.bits
    )


def has_test_part(config: DataConfig) -> bool:
    """Return whether there are images that a run of these data was not trained on; folders and arrays have none."""
    return config.name in EMBEDDED


def with_absolute_path(config: DataConfig) -> DataConfig:
    """Return the configuration with a path that is the same from every working directory."""
    if config.path is None:
        return config
    return replace(config, path=os.path.abspath(Path(config.path).expanduser()))


def refuse_inside(config: DataConfig, out: StrPath) -> None:
    """Refuse, as a place for output, a folder inside the folder of the data: what lies there is data.

    Raises
    ------
    ConfigError
        It lies there, whatever links lead to it.
    """
    if config.name != "folder" or config.path is None:
        return
    root, place = Path(config.path).expanduser(), Path(os.path.realpath(out))
    if root.is_dir() and any(folder.exists() and folder.samefile(root) for folder in (place, *place.parents)):
        raise ConfigError(
            f"--out must not lie inside the folder of the data, whose pictures are all taken for data; got {str(out)!r}, inside"
            f" {str(root)!r}"
        )
