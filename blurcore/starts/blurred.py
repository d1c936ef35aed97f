"""Start from blurred training images, as inverse heat dissipation does (Rissanen et al. 2022, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from blurcore.processes import Process
from blurcore.starts.start import FromTheEnd
from blurcore.starts.support import Support, misfit

if TYPE_CHECKING:
    from blurcore.data import Dataset

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class BlurredImages:
    """Blurred images, each as likely as the others: `points` is (images, frequencies, C)."""

    support: Support
    points: Array

    def draw(self, rng: np.random.Generator, index: int) -> Array:
        """Return one of them; see :meth:`Prior.draw`."""
        del index
        return self.support.fill(self.points[rng.integers(len(self.points))])

    def arrays(self) -> dict[str, Array]:
        """Return frequencies and values; see :meth:`Prior.arrays`."""
        return {"frequencies": self.support.frequencies, "values": self.points}


@final
@dataclass(frozen=True, kw_only=True)
class BlurredData(FromTheEnd):
    """A training image, blurred to t = 1, of 10,000 at most, each as likely as the others."""

    def fit(self, process: Process, data: Dataset, values: Any, *, seed: int) -> BlurredImages:
        """Return the blurred images; see :meth:`Start.fit`."""
        support = Support.of(process, data.image_shape[:-1])
        return BlurredImages(support, support.blurred(process, data, values, seed=seed))

    def restore(
        self, process: Process, image_shape: tuple[int, ...], values: Any, arrays: Mapping[str, Array] | None
    ) -> BlurredImages:
        """Return the blurred images of a checkpoint; see :meth:`Start.restore`."""
        del process, values
        grid = image_shape[:-1]
        support = Support.restore("BlurredData", {"frequencies", "values"}, grid, arrays)
        assert arrays is not None
        points = arrays["values"]
        if points.ndim != 3 or len(points) == 0 or points.shape[1] != len(support.frequencies):
            raise misfit(grid, arrays)
        return BlurredImages(support, points)
