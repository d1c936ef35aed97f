"""Small handwritten digits, as scikit-learn ships them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from blurcore.data.dataset import ArrayDataset
from blurcore.data.packages import version
from blurcore.data.source import Images, Parts
from blurcore.data.tables import Table

TABLE = Table("sklearn", "scikit-learn", "datasets/data/digits.csv.gz", (1797, 65), 16)


@final
@dataclass(frozen=True, kw_only=True)
class Digits(Images, Parts):
    """1,797 labelled digits, 8 x 8, levels 0..16 brought to 0..255: 1,621 train, 176 test (extra `data`)."""

    @property
    def description(self) -> str:
        """What the data are, and under which licence."""
        return "1,797 handwritten digits 8 x 8 (UCI, Alpaydin and Kaynak), as they ship in scikit-learn; CC BY 4.0"

    def load(self) -> ArrayDataset:
        """Read the digits; see :meth:`Source.load`."""
        levels, labels = TABLE.read(self.split)
        images = ((levels.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)
        return ArrayDataset(
            images.reshape(-1, 8, 8, 1),
            name="Digits",
            source=f"8 x 8 digits inside scikit-learn {version('scikit-learn')}, split {self.split}",
            image_size=self.image_size,
            channels=self.channels,
            labels=lambda: labels.astype(np.int64),
        )
