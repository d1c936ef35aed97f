"""HDF5 files: an array of images, and of labels beside it, in one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from blurcore.data.arrays import images_of, layout_of
from blurcore.data.dataset import ArrayDataset, refuse_missing
from blurcore.data.levels import check_whole_numbers
from blurcore.data.source import Depth, Images, Located
from blurcore.errors import DataError

LABELS = ("labels", "label", "y")
"""Names under which labels are looked for beside the images, in this order, where none is given."""


@final
@dataclass(frozen=True, kw_only=True)
class HDF5(Images, Located, Depth):
    """An `.h5` or `.hdf5` with an array of whole numbers, (n, H, W), (n, H, W, C) or (n, C, H, W) (extra `hdf5`)."""

    images: str = "images"
    """Name of the array of images in the file, such as `images` or `train/x`."""
    labels: str | None = None
    """Name of the array of labels, whole numbers (n,); `labels`, `label` or `y` beside the images where not given."""

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is an `.h5` or `.hdf5`."""
        return place.suffix.lower() in (".h5", ".hdf5")

    def load(self) -> ArrayDataset:
        """Read the images as far as the file is one array, mapped from where it lies if it is whole there; see :meth:`Source.load`."""
        refuse_missing(self.place, "an HDF5 file", self.place.is_file())
        images, shape = self._read(self.images, self._check)
        return ArrayDataset(
            images_of(images, str(self.place)),
            name="HDF5",
            source=f"{self.place.name}[{self.images}], an array of {shape}",
            image_size=self.image_size,
            channels=self.channels,
            bits=self.bits,
            labels=lambda: self._labels(len(images)),
        )

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        check_whole_numbers(dtype, self.bits, str(self.place))
        layout_of(shape, str(self.place))

    def _labels(self, count: int) -> npt.NDArray[np.int64] | None:
        """Return the labels, or None where the file has none."""
        name = self.labels if self.labels is not None else self._beside()
        if name is None:
            return None

        def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
            if shape != (count,) or dtype.kind not in "iu":
                raise DataError(
                    f"data.labels must name whole numbers of the shape ({count},); {name!r} in {str(self.place)!r} is {dtype} {shape}"
                )

        return np.asarray(self._read(name, check)[0], np.int64)

    def _beside(self) -> str | None:
        """Return the name of labels beside the images."""
        group = self.images.rpartition("/")[0]
        names = [f"{group}/{name}" if group else name for name in LABELS]
        with _opened(self.place) as file:
            return next((name for name in names if name in file), None)

    def _read(
        self, name: str, check: Callable[[tuple[int, ...], np.dtype[Any]], None]
    ) -> tuple[npt.NDArray[Any], tuple[int, ...]]:
        """Return an array and its shape; a memory map where it lies in the file in one piece, neither compressed nor swapped."""
        with _opened(self.place) as file:
            import h5py

            found = file.get(name)
            if not isinstance(found, h5py.Dataset):
                held: list[str] = []
                file.visititems(lambda at, node: held.append(at) if isinstance(node, h5py.Dataset) else None)
                raise DataError(
                    f"{str(self.place)!r} has no array {name!r} (data.images, data.labels); it holds: {', '.join(held) or 'none'}"
                )
            shape, dtype = tuple(found.shape or ()), found.dtype
            check(shape, dtype)
            start = found.id.get_offset()
            if start is not None and found.external is None and dtype.isnative:
                return np.memmap(self.place, dtype, "r", start, shape), shape
            try:
                return np.asarray(found[()]), shape
            except OSError as error:
                raise DataError(f"{name!r} in {str(self.place)!r} cannot be read: {error}") from None


def _opened(place: Path) -> Any:
    """Open a file.

    Raises
    ------
    DataError
        h5py is not installed, or the file is none of HDF5.
    """
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"HDF5 needs h5py ({error}); try: pip install 'blurcore[hdf5]'") from None
    try:
        return h5py.File(place, "r")
    except OSError as error:
        raise DataError(f"{str(place)!r} cannot be read as HDF5: {error}") from None
