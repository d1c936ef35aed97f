"""Patches of a volume that nibabel ships.

The head is split in place, at two thirds of its depth, so that no voxel of a test patch was seen in training. Values are brought
to 0..255 once for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from blurcore.data.dataset import ArrayDataset
from blurcore.data.levels import to_levels
from blurcore.data.packages import package_file, shuffled, version
from blurcore.data.source import Grids, Parts
from blurcore.errors import DataError

PATCH, HOPS = (8, 16, 16), (4, 8, 8)
BRIGHTEST = 1000.0
_MIN_MEAN = 64  # of a patch, so that it shows more than the air around the head


@final
@dataclass(frozen=True, kw_only=True)
class Brain(Grids, Parts):
    """Patches of 8 x 16 x 16 voxels of 2 mm of a magnetic resonance scan: 452 train, 138 test (extra `data`)."""

    @property
    def description(self) -> str:
        """What the data are, and under which licence."""
        return (
            "patches of a magnetic resonance scan that ships in nibabel as test data; licence: that package's `COPYING`"
        )

    def load(self) -> ArrayDataset:
        """Cut the patches, (n, 8, 16, 16, 1); see :meth:`Source.load`."""
        try:
            import nibabel
        except ImportError as error:
            raise DataError(
                "the package nibabel, which holds the volumes, is not installed; try: pip install 'blurcore[data]'"
            ) from error
        image: Any = nibabel.load(package_file("nibabel", "nibabel", "tests/data/example4d.nii.gz"))
        levels = to_levels(np.asarray(image.dataobj, dtype=np.float32), 0.0, BRIGHTEST)
        levels = levels.transpose(3, 2, 0, 1)  # (scan, z, x, y)
        edge = levels.shape[3] * 2 // 3
        front, back = list(levels[..., :edge]), list(levels[..., edge:])
        patches = []
        for volume in {"train": front, "test": back, "all": front + back}[self.split]:
            views = np.lib.stride_tricks.sliding_window_view(volume, PATCH)[:: HOPS[0], :: HOPS[1], :: HOPS[2]]
            patches.append(views.reshape(-1, *PATCH))
        found = np.concatenate(patches)
        shown = found[found.mean(axis=(1, 2, 3)) >= _MIN_MEAN]
        return ArrayDataset(
            shuffled(shown[..., None]),
            name="Brain",
            source=f"patches of a magnetic resonance scan inside nibabel {version('nibabel')}, split {self.split}",
        )
