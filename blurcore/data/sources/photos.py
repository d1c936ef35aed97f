"""Crops of the photographs that scikit-image ships.

Photographs are split whole, so that no pixel of a test crop was seen in training. At full size most crops would show a
plain surface; at half size they show things. They stand in a fixed permutation, of which every slice is a fair sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from blurcore.data.dataset import ArrayDataset
from blurcore.data.formats import UnreadableError
from blurcore.data.images import decode, read_bytes, resize_and_crop
from blurcore.data.packages import package_file, shuffled, version
from blurcore.data.source import Images, Parts
from blurcore.errors import DataError

TRAIN_PHOTOS = ("astronaut.png", "coffee.png", "motorcycle_left.png")
"""Photographs inside scikit-image that are trained on (motorcycle_right shows the same scene again)."""
TEST_PHOTOS = ("chelsea.png", "rocket.jpg")
"""Photographs that only the test crops come from."""
CROP, STRIDE = 32, 4


@final
@dataclass(frozen=True, kw_only=True)
class Photos(Images, Parts):
    """Colour crops, 32 x 32, 4 pixels apart, of five photographs at half size: 10,848 train, 4,828 test (extra `data`)."""

    @property
    def description(self) -> str:
        """What the data are, and under which licence."""
        return (
            "32 x 32 crops of photographs that ship in scikit-image; licences: that package's `skimage/data/README.txt`"
        )

    def load(self) -> ArrayDataset:
        """Cut the crops; see :meth:`Source.load`."""
        names = {"train": TRAIN_PHOTOS, "test": TEST_PHOTOS, "all": TRAIN_PHOTOS + TEST_PHOTOS}[self.split]
        crops = []
        for name in names:
            path = package_file("skimage", "scikit-image", f"data/{name}")
            try:
                full = decode(read_bytes(path), None, 3).pixels
            except UnreadableError as error:
                raise DataError(
                    f"{name} inside scikit-image cannot be read ({error}); reinstall the package"
                ) from error
            picture = resize_and_crop(full, (full.shape[0] // 2, full.shape[1] // 2))
            windows = np.lib.stride_tricks.sliding_window_view(picture, (CROP, CROP), axis=(0, 1))[::STRIDE, ::STRIDE]
            crops.append(windows.reshape(-1, 3, CROP, CROP).transpose(0, 2, 3, 1))
        shown = ", ".join(Path(name).stem for name in names)
        return ArrayDataset(
            shuffled(np.concatenate(crops)),
            name="Photos",
            source=f"32 x 32 crops of {shown} inside scikit-image {version('scikit-image')}, split {self.split}",
            image_size=self.image_size,
            channels=self.channels,
        )
