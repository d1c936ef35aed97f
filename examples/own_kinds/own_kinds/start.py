"""Start from the mean of the blurred training images: one state, and all variety comes from the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blurcore.starts import FromTheEnd, Support


@dataclass(frozen=True, eq=False)
class OneState:
    """One noise-free first state: `points` is (1, frequencies, C)."""

    support: Support
    points: np.ndarray

    def draw(self, rng, index):
        return self.support.fill(self.points[0])

    def arrays(self):
        return {"frequencies": self.support.frequencies, "values": self.points}


@dataclass(frozen=True, kw_only=True)
class MeanImage(FromTheEnd):
    """The mean of the training images, blurred to t = 1."""

    def fit(self, process, data, values, *, seed):
        support = Support.of(process, data.image_shape[:-1])
        return OneState(support, support.blurred(process, data, values, seed=seed).mean(axis=0, keepdims=True))

    def restore(self, process, image_shape, values, arrays):
        support = Support.restore("MeanImage", {"frequencies", "values"}, image_shape[:-1], arrays)
        return OneState(support, arrays["values"])
