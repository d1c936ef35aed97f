"""Images that are made when they are asked for: rings of random place and size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blurcore.data import ArrayDataset
from blurcore.data.source import Images, Parts


@dataclass(frozen=True, kw_only=True)
class Rings(Images, Parts):
    """Grey rings; every tenth is held out."""

    count: int = 1000
    """Number of images."""
    size: int = 16
    """Pixels of a side."""

    @property
    def description(self):
        return "rings, made by own_kinds"

    def load(self):
        rng = np.random.default_rng(0)
        y, x = np.mgrid[: self.size, : self.size]
        centre, radius = (
            rng.uniform(0.3, 0.7, (2, self.count)) * self.size,
            rng.uniform(0.1, 0.3, self.count) * self.size,
        )
        distance = np.hypot(x - centre[0, :, None, None], y - centre[1, :, None, None]) - radius[:, None, None]
        images = np.rint(255 * np.exp(-(distance**2)))[..., None].astype(np.uint8)
        held_out = np.arange(self.count) % 10 == 9
        kept = {"train": ~held_out, "test": held_out, "all": held_out | ~held_out}[self.split]
        size, channels = self.image_size, self.channels
        return ArrayDataset(images[kept], name="rings", source=self.description, image_size=size, channels=channels)
