"""Images in a NumPy file: `.npy`, memory-mapped, or one array of an `.npz`. Never pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore.data.dataset import refuse_missing
from blurcore.errors import DataError

KEYS = ("images", "x", "arr_0")
"""Names under which the images of an `.npz` are looked for, in this order, where it holds more than one array."""
MAX_NPZ_BYTES = 2**32
"""Largest array that is taken from an `.npz` (4 GiB), which has to be read into memory as a whole."""


def read_array(path: str, *, dims: int = 2) -> tuple[npt.NDArray[np.uint8], str]:
    """Open the images of a NumPy file.

    Parameters
    ----------
    path
        An `.npy` or `.npz` file.
    dims
        Axes of the grid: 2 for images; for 1 and 3 the array is ``(n, *grid)`` or ``(n, *grid, C)``, with any number of channels.

    Returns
    -------
    uint8 (n, H, W, C), C = 1 or 3, a memory map for `.npy`; and the line for the run's record.

    Raises
    ------
    DataError
        The file is missing, damaged, pickled, or holds no images of uint8.
    """
    place = Path(path).expanduser()
    refuse_missing(place, "a .npy or .npz file", place.is_file())
    suffix = place.suffix.lower()
    if suffix not in (".npy", ".npz"):
        raise DataError(f"data.path must end in .npy or .npz for the data set 'array'; got {str(place)!r}")
    try:
        key, array = _read_npz(place, dims) if suffix == ".npz" else ("", np.lib.format.open_memmap(place, mode="r"))
    except DataError:
        raise
    except Exception as error:  # a damaged or hostile file fails in many ways; each means that there are no images
        raise DataError(
            f"{str(place)!r} is not a readable NumPy file of numbers (pickled data are never read): {error}"
        ) from error
    images = images_of(array, str(place)) if dims == 2 else _grids_of(array, dims, str(place))
    return images, f"{place.name}{f'[{key}]' if key else ''}, an array of {array.shape}"


def _grids_of(array: npt.NDArray[Any], dims: int, name: str) -> npt.NDArray[np.uint8]:
    """View an array as uint8 (n, *grid, C); :class:`DataError` where it is none."""
    check_grids(array.shape, array.dtype, dims, name)
    return array if array.ndim == dims + 2 else array[..., None]


def check_grids(shape: tuple[int, ...], dtype: np.dtype[Any], dims: int, name: str) -> None:
    """Refuse by :class:`DataError` what is not uint8 of signals (`dims` 1) or volumes (3), with or without channels."""
    if dtype != np.uint8 or len(shape) not in (dims + 1, dims + 2) or min(shape) < 1:
        axes = "n, D, H, W" if dims == 3 else "n, L"
        raise DataError(
            f"{name!r} must hold uint8 of the shape ({axes}) or ({axes}, C), as data.dims = {dims} says, none of them 0;"
            f" got {dtype} of shape {shape}"
        )


def _read_npz(place: Path, dims: int) -> tuple[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(place) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        keys = [name.removesuffix(".npy") for name in members]
        key = next((name for name in KEYS if name in keys), keys[0] if len(keys) == 1 else None)
        if key is None:
            raise DataError(
                f"{str(place)!r} must hold one array, or one named {', '.join(KEYS)}; it holds {keys or 'none'}"
            )
        with archive.open(f"{key}.npy") as member:
            header = np.lib.format.read_magic(member)
            reader = np.lib.format.read_array_header_1_0 if header == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reader(member)
        if dims == 2:
            check_layout(shape, dtype, str(place))
        else:
            check_grids(shape, dtype, dims, str(place))
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        if size > MAX_NPZ_BYTES:
            raise DataError(
                f"the array {key!r} in {str(place)!r} has {size} bytes, more than {MAX_NPZ_BYTES}; "
                f"save it as .npy, which is read without loading it into memory"
            )
        with archive.open(f"{key}.npy") as member:
            return key, np.lib.format.read_array(member, allow_pickle=False)


def check_layout(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> str:
    """Layout of an array of images, `NHW`, `NHWC` or `NCHW`; :class:`DataError` for anything else."""
    if np.issubdtype(dtype, np.floating):
        raise DataError(
            f"{name!r} must hold uint8 pixels; got {dtype}, whose range is not known: "
            f"convert it, for [0, 1] by np.rint(x * 255).astype(np.uint8), for [-1, 1] by blurcore.data.to_uint8(x)"
        )
    if dtype != np.uint8:
        raise DataError(f"{name!r} must hold uint8 pixels in 0..255; got {dtype}: convert it by .astype(np.uint8)")
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


def images_of(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """View an array as uint8 (n, H, W, C); :class:`DataError` where that is not clear."""
    layout = check_layout(array.shape, array.dtype, name)
    if layout == "NHW":
        return array[..., None]
    return array if layout == "NHWC" else np.moveaxis(array, 1, -1)
