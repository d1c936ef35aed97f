"""IDX files: MNIST's own format, as it is downloaded, and that of the sets made after it.

A file is two zero bytes, a byte for the type, one for the number of axes, their lengths as big-endian 32-bit numbers, and the
numbers (LeCun, Cortes and Burges, "The MNIST database", section "File formats").
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from blurcore.data.arrays import MAX_NPZ_BYTES, images_of
from blurcore.data.dataset import ArrayDataset, refuse_missing
from blurcore.data.labels import whole_labels
from blurcore.data.levels import check_whole_numbers
from blurcore.data.source import Depth, Images, Located, Parts
from blurcore.errors import DataError

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_NAMES = {"train": ("train-images",), "test": ("t10k-images", "test-images")}


@final
@dataclass(frozen=True, kw_only=True)
class IDX(Images, Located, Depth, Parts):
    """IDX files, gzipped or not: a folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, or one file of images.

    Labels are those of the file beside it whose name has `labels` in the place of `images`.
    """

    @property
    def has_test_part(self) -> bool:
        """Whether it is not one file, but a folder, which has files for training and for testing."""
        return not self.place.is_file()

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is a folder with MNIST's names, or a file that ends as they do."""
        if place.is_dir():
            return any(name in file.name for file in place.iterdir() for name in _NAMES["train"] + _NAMES["test"])
        return place.name.removesuffix(".gz").endswith("-ubyte")

    def load(self) -> ArrayDataset:
        """Open the files, memory-mapped where they are not gzipped; see :meth:`Source.load`."""
        refuse_missing(self.place, "an IDX file, or a folder of them,", self.place.exists())
        self.part(self.split)
        files = [self.place] if self.place.is_file() else _files(self.place, self.split)
        arrays = {str(file): read_idx(file) for file in files}
        for name, array in arrays.items():
            check_whole_numbers(array.dtype, self.bits, name)
        parts = [images_of(array, name) for name, array in arrays.items()]
        if len({part.shape[1:] for part in parts}) > 1:
            raise DataError(
                f"the IDX files in {str(self.place)!r} must have one size; got {[p.shape[1:] for p in parts]}"
            )
        names = " and ".join(file.name for file in files)
        return ArrayDataset(
            parts[0] if len(parts) == 1 else np.concatenate(parts),
            name="IDX",
            source=f"{names} in {str(files[0].parent)!r}, split {self.split}",
            image_size=self.image_size,
            channels=self.channels,
            bits=self.bits,
            labels=partial(_labels, files),
        )


def _files(folder: Path, split: str) -> list[Path]:
    """Return the files of images of a part."""
    found = []
    for part in ("train", "test") if split == "all" else (split,):
        files = sorted(file for file in folder.iterdir() if any(name in file.name for name in _NAMES[part]))
        if not files:
            raise DataError(f"{str(folder)!r} must hold {_NAMES[part][0]}-idx3-ubyte, or that .gz; it does not")
        found.append(files[0])
    return found


def _labels(files: list[Path]) -> npt.NDArray[np.int64] | None:
    """Return the labels beside files of images; None where one has none."""
    found = []
    for file in files:
        stem = file.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
        stem = stem.removesuffix(".gz")
        beside = [place for name in (stem, f"{stem}.gz") if (place := file.with_name(name)).is_file() and place != file]
        if not beside:
            return None
        found.append(whole_labels(read_idx(beside[0]), str(beside[0])))
    return np.concatenate(found)


def read_idx(file: Path) -> npt.NDArray[Any]:
    """Return the array of an IDX file, memory-mapped where it is not gzipped.

    Raises
    ------
    DataError
        It is no IDX file, or its length is not what its head says.
    """
    try:
        with file.open("rb") as opened:
            packed = opened.read(2) == b"\x1f\x8b"
        with gzip.open(file, "rb") if packed else file.open("rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not head[3]:
                raise DataError(f"{str(file)!r} is no IDX file: it begins with {head!r}")
            shape = tuple(int.from_bytes(stream.read(4), "big") for _ in range(head[3]))
            dtype, start = np.dtype(_TYPES[head[2]]), 4 + 4 * head[3]
            size = math.prod(shape) * dtype.itemsize
            if not packed and file.stat().st_size == start + size and size:
                return np.memmap(file, dtype=dtype, mode="r", offset=start, shape=shape)
            if size > MAX_NPZ_BYTES:
                raise DataError(f"{str(file)!r} holds {size} bytes, more than {MAX_NPZ_BYTES}: unpack it")
            content = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{str(file)!r} cannot be read: {error}") from error
    if len(content) != size or not size:
        more = "or more" if len(content) > size else "at its end"
        raise DataError(
            f"{str(file)!r} must hold {size} bytes of the shape {shape}, as its head says; got {len(content)} {more}"
        )
    return np.frombuffer(content, dtype).reshape(shape)
