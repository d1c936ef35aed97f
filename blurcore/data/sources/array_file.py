"""A NumPy file of your own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from blurcore.data.arrays import read_array
from blurcore.data.dataset import ArrayDataset
from blurcore.data.labels import labels_in
from blurcore.data.source import Depth, Images, Located
from blurcore.errors import ArgumentError


@final
@dataclass(frozen=True, kw_only=True)
class ArrayFile(Images, Located, Depth):
    """A `.npy` or `.npz` of whole numbers or booleans: images, or signals and volumes as `dims` says."""

    dims: Literal[1, 2, 3] = 2
    """Axes of the grid: 1 signals, 2 images, 3 volumes or clips."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dims != 2 and (self.image_size is not None or self.channels is not None or self.flip):
            raise ArgumentError(
                f"image_size, channels and flip are for images; signals and volumes, as dims = {self.dims} says, are taken as they"
                " are"
            )

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is a `.npy` or `.npz`."""
        return place.suffix.lower() in (".npy", ".npz")

    def load(self) -> ArrayDataset:
        """Open the array, memory-mapped if it is `.npy`; see :meth:`Source.load`."""
        images, source = read_array(self.path, dims=self.dims, bits=self.bits)
        return ArrayDataset(
            images,
            name="ArrayFile",
            source=source,
            image_size=self.image_size,
            channels=self.channels,
            bits=self.bits,
            labels=lambda: labels_in(self.place),
        )
