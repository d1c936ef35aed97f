"""What a data set is: numbered uint8 images of one shape, where they come from, and what they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from blurcore._checks import require
from blurcore.data.images import check_image_size, convert_channels, resize_and_crop
from blurcore.data.levels import CHUNK, bits_of, representatives, to_eight_bits
from blurcore.errors import ArgumentError, DataError

Indices: TypeAlias = int | slice | npt.NDArray[np.integer[Any]]

MEMORY_LIMIT = 2**30
"""Images that were decoded or resized are kept in memory where all of them fit into so many bytes (1 GiB)."""


@runtime_checkable
class Dataset(Protocol):
    """Numbered images of one shape, uint8."""

    @property
    def name(self) -> str:
        """Name of the set, that of its kind where a kind made it."""
        ...

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W, C) of each image, C = 1 or 3; ``(*grid, C)`` of signals and volumes."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return what the set is, 64 hexadecimal digits: two sets with other images have other fingerprints."""
        ...

    @property
    def source(self) -> str:
        """Where the images come from and what was left out, one line for the run's record."""
        ...

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many files beside the images were left out: by suffix, and those "hidden", "unreadable" or in "run folders"."""
        ...

    @property
    def files(self) -> Mapping[str, str]:
        """A hash of the contents of each image file, by its path in the folder; empty if the data are not a folder."""
        ...

    def labels(self) -> npt.NDArray[np.int64] | None:
        """Return the class of each image, int64 (n,), 0 or more; None where the set has none.

        Raises
        ------
        DataError
            The labels cannot be read, or are none.
        """
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, indices: Indices) -> npt.NDArray[np.uint8]:
        """Return uint8 (H, W, C) for an integer, (n, H, W, C) for a slice or an array of n integers; a copy."""
        ...


def positions(indices: Indices, num_items: int) -> tuple[npt.NDArray[np.int64], bool]:
    """Resolve an index to int64 positions (n,) and whether it asked for a single image.

    Raises
    ------
    ArgumentError
        Not an integer, a slice or a one-dimensional array of integers.
    IndexError
        Out of range (a plain one, so that `for image in dataset` ends).
    """
    if isinstance(indices, slice):
        return np.arange(*indices.indices(num_items), dtype=np.int64), False
    found = np.asarray(indices)
    if found.size == 0 and found.ndim == 1:
        return np.empty(0, dtype=np.int64), False
    if not np.issubdtype(found.dtype, np.integer) or found.ndim > 1:
        raise ArgumentError(
            f"indices must be an integer, a slice or a one-dimensional array of integers; "
            f"got {type(indices).__name__} of {found.dtype}, shape {found.shape}"
        )
    low, high = int(found.min()), int(found.max())
    if low < -num_items or high >= num_items:
        raise IndexError(f"index {low if low < -num_items else high} is out of range for {num_items} images")
    chosen = found.astype(np.int64).reshape(-1)
    return np.where(chosen < 0, chosen + num_items, chosen), found.ndim == 0


def fingerprint_of(images: npt.NDArray[Any], image_shape: tuple[int, ...], bits: int = 8) -> str:
    """sha256 of the number and shape of the images, the shape they are brought to, and their pixels in 8 bits.

    All pixels of an array of at most 2^28, else those of 1024 evenly spaced images. Paths and times do not enter: data
    that were moved or copied are the same data.
    """
    digest = hashlib.sha256(f"blurcore images {images.shape} {image_shape}\n".encode())
    chosen = representatives(images)
    for start in range(0, len(chosen), CHUNK):
        chunk = np.asarray(images[chosen[start : start + CHUNK]])
        digest.update(np.ascontiguousarray(to_eight_bits(chunk, bits)).data)
    return digest.hexdigest()


class ArrayDataset:
    """A data set over one array, in memory or memory-mapped.

    Parameters
    ----------
    images
        uint8 (n, H, W, C), n >= 1, C = 1 or 3; not copied. Or ``(n, *grid, C)`` with 1 or 3 axes and any C. Other whole
        numbers and booleans are scaled to 0..255.
    name, source
        For the run's record.
    image_size
        (height, width) to resize and crop to. Done at once where the result fits `MEMORY_LIMIT`, else on access.
    channels
        1 or 3 to convert to.
    bits
        Bits of a pixel, whose white is 2^bits - 1. None: 8 for uint8, 16 for uint16, 1 for bool.
    labels
        Reads the class of each image, where it is asked for.

    Raises
    ------
    ArgumentError
        The array, `image_size` or `channels` makes no sense.
    DataError
        Pixels do not fit into `bits`, or their range is not known. Pillow is needed for resizing and missing.
    """

    def __init__(
        self,
        images: npt.NDArray[Any],
        *,
        name: str = "array",
        source: str = "an array in memory",
        image_size: tuple[int, int] | None = None,
        channels: int | None = None,
        bits: int | None = None,
        labels: Callable[[], npt.NDArray[np.int64] | None] = lambda: None,
    ) -> None:
        require(
            images.dtype.kind in "bui"
            and (images.ndim in (3, 5) or (images.ndim == 4 and images.shape[-1] in (1, 3)))
            and images.size > 0,
            "images",
            (str(images.dtype), images.shape),
            "uint8 of shape (n, H, W, C), not empty, with C = 1 or 3",
        )
        require(channels in (None, 1, 3), "channels", channels, "1 (grey), 3 (RGB) or None")
        if image_size is not None:
            check_image_size("image_size", image_size)
        require(
            images.ndim == 4 or (image_size is None and channels is None),
            "image_size",
            image_size,
            "None for signals and volumes, like channels",
        )
        grid = image_size or images.shape[1:-1]
        self.name, self.source, self.labels = name, source, labels
        self.image_shape: tuple[int, ...] = (*map(int, grid), int(channels or images.shape[-1]))
        self.left_out: dict[str, int] = {}
        self.files: dict[str, str] = {}
        self._bits = bits_of(images, bits, source)
        if self._bits != 8:
            self.source = f"{source}, scaled to 8 bits from the {self._bits} of its {images.dtype.name}"
        self.fingerprint = fingerprint_of(images, self.image_shape, self._bits)
        self._images, self._fits = images, images.shape[1:] == self.image_shape and self._bits == 8
        if not self._fits and len(images) * int(np.prod(self.image_shape)) <= MEMORY_LIMIT:
            self._images, self._fits = self._converted(images), True

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, indices: Indices) -> npt.NDArray[np.uint8]:
        chosen, single = positions(indices, len(self))
        if len(chosen) == 0:
            return np.empty((0, *self.image_shape), dtype=np.uint8)
        batch = np.ascontiguousarray(self._fit(np.asarray(self._images[chosen])))
        return batch[0] if single else batch

    def _converted(self, images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return all images as they are asked for, a part at a time: what is in between takes several times the memory."""
        fitting = np.empty((len(images), *self.image_shape), dtype=np.uint8)
        for start in range(0, len(images), CHUNK):
            fitting[start : start + CHUNK] = self._fit(np.asarray(images[start : start + CHUNK]))
        return fitting

    def _fit(self, images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        if self._fits:
            return images
        images = to_eight_bits(images, self._bits)
        if images.shape[1:] == self.image_shape:
            return images
        height, width, channels = self.image_shape
        return convert_channels(resize_and_crop(images, (height, width)), channels)


def refuse_missing(path: object, kind: str, exists: bool) -> None:
    """Raise :class:`DataError` naming the path where a file or folder of images is not there."""
    if not exists:
        raise DataError(f"data.path must be {kind} that exists; got {str(path)!r}")
