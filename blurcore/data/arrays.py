"""Images in a NumPy file: `.npy`, memory-mapped, or one array of an `.npz`. Never pickle."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore.data.dataset import refuse_missing
from blurcore.data.levels import check_whole_numbers
from blurcore.errors import DataError

KEYS = ("images", "x", "arr_0")
"""Names under which the images of an `.npz` are looked for, in this order, where it holds more than one array."""
FINITE = "finite"
"""Name of the flags of samples that `blurcore sample` has drawn, bool (n,): the pixels of one that is not finite mean nothing."""
MAX_NPZ_BYTES = 2**32
"""Largest array that is taken from an `.npz` (4 GiB), which has to be read into memory as a whole."""


def read_array(path: str, *, dims: int = 2, bits: int | None = None) -> tuple[npt.NDArray[Any], str]:
    """Open the images of a NumPy file.

    Parameters
    ----------
    path
        An `.npy` or `.npz` file.
    dims
        Axes of the grid: 2 for images; for 1 and 3 the array is ``(n, *grid)`` or ``(n, *grid, C)``, with any number of channels.
    bits
        Bits of a pixel, as the user says; see :class:`blurcore.data.ArrayDataset`, which scales them.

    Returns
    -------
    Whole numbers or bool (n, H, W, C), C = 1 or 3, a memory map for `.npy`; and the line for the run's record.

    Raises
    ------
    DataError
        The file is missing, damaged, pickled, or holds no images of whole numbers.
    """
    place = Path(path).expanduser()
    refuse_missing(place, "a .npy or .npz file", place.is_file())
    suffix = place.suffix.lower()
    if suffix not in (".npy", ".npz"):
        raise DataError(f"data.path must end in .npy or .npz for the data set 'array'; got {str(place)!r}")

    def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        check_whole_numbers(dtype, bits, str(place))
        if dims == 2:
            layout_of(shape, str(place))
        else:
            check_grids(shape, dims, str(place))

    if suffix == ".npz":
        with open_npz(place) as archive:
            key = archive.key_of_images()
            array = archive.read(key, check)
            left_out = ""
            if FINITE in archive.keys:
                finite = archive.read(FINITE, lambda shape, dtype: _check_finite(shape, dtype, len(array), str(place)))
                if not finite.any():
                    raise DataError(f"no image in {str(place)!r} is finite")
                left_out = f", without {(~finite).sum()} that are not finite" if not finite.all() else ""
                array = array[finite]
    else:
        key = left_out = ""
        with named_errors(place):
            array = np.lib.format.open_memmap(place, mode="r")
        check(array.shape, array.dtype)
    images = images_of(array, str(place)) if dims == 2 else array if array.ndim == dims + 2 else array[..., None]
    return images, f"{place.name}{f'[{key}]' if key else ''}, an array of {array.shape}{left_out}"


def _check_finite(shape: tuple[int, ...], dtype: np.dtype[Any], count: int, name: str) -> None:
    """Refuse by :class:`DataError` flags that are not one for each image."""
    if (shape, dtype) != ((count,), np.dtype(bool)):
        raise DataError(f"{FINITE!r} in {name!r} must be bool of the shape ({count},); got {dtype} {shape}")


@contextmanager
def named_errors(place: Path) -> Iterator[None]:
    """Convert the errors of a damaged or hostile file to a :class:`DataError` that names the file."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{str(place)!r} is not a readable NumPy file of numbers (pickled data are never read): {error}"
        ) from error


class Npz:
    """The arrays of an open `.npz` file: the one reader of the format, for images and for labels."""

    def __init__(self, place: Path, archive: zipfile.ZipFile) -> None:
        self.place, self._archive = place, archive
        self.keys = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]

    def key_of_images(self) -> str:
        """Return the name of the images: one of `KEYS`, or that of the only array."""
        key = next((name for name in KEYS if name in self.keys), self.keys[0] if len(self.keys) == 1 else None)
        if key is None:
            raise DataError(
                f"{str(self.place)!r} must hold one array, or one named {', '.join(KEYS)}; it holds {self.keys or 'none'}"
            )
        return key

    def read(self, key: str, check: Callable[[tuple[int, ...], np.dtype[Any]], None]) -> npt.NDArray[Any]:
        """Return an array, after its header was shown to `check`, and found to fit into memory."""
        with self._archive.open(f"{key}.npy") as member:
            header = np.lib.format.read_magic(member)
            reader = np.lib.format.read_array_header_1_0 if header == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reader(member)
        check(shape, dtype)
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        if size > MAX_NPZ_BYTES:
            raise DataError(
                f"the array {key!r} in {str(self.place)!r} has {size} bytes, more than {MAX_NPZ_BYTES}; "
                f"save it as .npy, which is read without loading it into memory"
            )
        with self._archive.open(f"{key}.npy") as member:
            array: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
            member.read(1)  # the end, where zipfile compares the checksum
            return array


@contextmanager
def open_npz(place: Path) -> Iterator[Npz]:
    """Open an `.npz` file; whatever is wrong with it is a :class:`DataError` that names it."""
    with named_errors(place), zipfile.ZipFile(place) as archive:
        yield Npz(place, archive)


def check_grids(shape: tuple[int, ...], dims: int, name: str) -> None:
    """Refuse by :class:`DataError` what has not the shape of signals (`dims` 1) or volumes (3), with or without channels."""
    if len(shape) not in (dims + 1, dims + 2) or min(shape) < 1:
        axes = "n, D, H, W" if dims == 3 else "n, L"
        raise DataError(
            f"{name!r} must hold uint8 of the shape ({axes}) or ({axes}, C), as data.dims = {dims} says, none of them 0;"
            f" got the shape {shape}"
        )


def layout_of(shape: tuple[int, ...], name: str) -> str:
    """Layout of an array of images, `NHW`, `NHWC` or `NCHW`; :class:`DataError` for anything else."""
    if len(shape) not in (3, 4):
        raise DataError(f"{name!r} must have the shape (n, H, W), (n, H, W, C) or (n, C, H, W); got {shape}")
    if min(shape) < 1:
        raise DataError(f"{name!r} must hold at least one image of at least one pixel; got the shape {shape}")
    if len(shape) == 3:
        if shape[2] in (1, 3):
            raise DataError(
                f"{name!r} has the shape {shape}, which may be one image (H, W, C) or {shape[0]} images of width "
                f"{shape[2]}: add the missing axis, (n, H, W, C)"
            )
        return "NHW"
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first and last and shape[1:] != (1, 1, 1):
        raise DataError(f"{name!r} has the shape {shape}, which may be (n, H, W, C) or (n, C, H, W): it is ambiguous")
    if not first and not last:
        raise DataError(f"{name!r} must have 1 or 3 channels, in its last axis or in axis 1; got the shape {shape}")
    return "NHWC" if last else "NCHW"


def images_of(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """View an array as (n, H, W, C); :class:`DataError` where that is not clear."""
    layout = layout_of(array.shape, name)
    if layout == "NHW":
        return array[..., None]
    return array if layout == "NHWC" else np.moveaxis(array, 1, -1)
