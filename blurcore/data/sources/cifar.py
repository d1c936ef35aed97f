"""CIFAR-10 and CIFAR-100 as they are downloaded, for Python or binary."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from blurcore.data.dataset import ArrayDataset, refuse_missing
from blurcore.data.inert_pickle import read_pickle
from blurcore.data.source import Images, Located, Parts
from blurcore.errors import DataError

_PIXELS = 3 * 32 * 32
_MOST = 2**28  # bytes of a member; the largest is of 154 MB
_FILES = {
    **{f"data_batch_{i}": "train" for i in range(1, 6)},
    "test_batch": "test",
    "train": "train",
    "test": "test",
}
"""Names of the members with images, without .bin, and the part that they belong to."""
_LABELS = (b"fine_labels", b"labels")


class Batch(NamedTuple):
    """The images of a member."""

    name: str
    images: npt.NDArray[np.uint8]
    """(n, 32, 32, 3)"""
    labels: npt.NDArray[np.int64]


@final
@dataclass(frozen=True, kw_only=True)
class CIFAR(Images, Located, Parts):
    """CIFAR-10 or CIFAR-100, 32 x 32 x 3: `cifar-10-python.tar.gz`, `cifar-100-binary.tar.gz` and the like, or what is in them.

    50,000 images train, 10,000 test, with labels: the 10 or 100 classes. Pickles are read without making any object.
    """

    @property
    def description(self) -> str:
        """What the data are."""
        return "CIFAR, 32 x 32 colour photographs in classes (Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images)"

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is called as the archives are, or is a folder with what is in them."""
        if place.is_dir():
            return any(
                (place / name).is_file()
                for name in ("data_batch_1", "data_batch_1.bin", "train.bin", "fine_label_names.txt")
            )
        return place.name.startswith("cifar-10") and ".tar" in place.name

    def load(self) -> ArrayDataset:
        """Read the members of the archive; see :meth:`Source.load`."""
        refuse_missing(self.place, "an archive of CIFAR, or its folder,", self.place.exists())
        batches = [
            _batch(name, content)
            for name, content in sorted(_members(self.place))
            if self.split in ("all", _FILES[name.removesuffix(".bin")])
        ]
        if not batches:
            raise DataError(
                f"{str(self.place)!r} holds no images of CIFAR of the part {self.split!r}, such as data_batch_1 or train.bin"
            )
        names = ", ".join(batch.name for batch in batches)
        return ArrayDataset(
            np.concatenate([batch.images for batch in batches]),
            name="CIFAR",
            source=f"{names} in {str(self.place)!r}, split {self.split}",
            image_size=self.image_size,
            channels=self.channels,
            labels=lambda: np.concatenate([batch.labels for batch in batches]),
        )


def _members(place: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of the files with images, of an archive or a folder."""
    try:
        if place.is_dir():
            for file in place.rglob("*"):
                if file.is_file() and file.name.removesuffix(".bin") in _FILES:
                    yield file.name, file.read_bytes()
            return
        with tarfile.open(place) as archive:
            for member in archive:
                name = Path(member.name).name
                opened = (
                    archive.extractfile(member) if member.isfile() and name.removesuffix(".bin") in _FILES else None
                )
                if opened is not None and member.size <= _MOST:
                    yield name, opened.read()
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{str(place)!r} cannot be read: {error}") from error


def _batch(name: str, content: bytes) -> Batch:
    """Return the images of a member, a pickle or rows of labels and pixels."""
    if name.endswith(".bin"):
        width = 2 if name in ("train.bin", "test.bin") else 1  # of the labels: of CIFAR-100 coarse and fine
        if not content or len(content) % (width + _PIXELS):
            raise DataError(f"{name} must hold rows of {width + _PIXELS} bytes; got {len(content)} bytes")
        rows = np.frombuffer(content, np.uint8).reshape(-1, width + _PIXELS)
        return Batch(name, _images(rows[:, width:]), rows[:, width - 1].astype(np.int64))
    table = read_pickle(content)
    pixels, labels = table.get(b"data"), next((table[key] for key in _LABELS if key in table), None)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        raise DataError(f"{name} must hold data, uint8 of the shape (n, {_PIXELS})")
    if (
        not isinstance(labels, list)
        or len(labels) != len(pixels)
        or not all(type(n) is int and 0 <= n < 2**31 for n in labels)
    ):
        raise DataError(f"{name} must hold labels, one whole number for each of its {len(pixels)} images")
    return Batch(name, _images(pixels), np.asarray(labels, np.int64))


def _images(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return rows of 1,024 red, green and blue pixels each as (n, 32, 32, 3)."""
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
