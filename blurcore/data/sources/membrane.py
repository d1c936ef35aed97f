"""Windows of a recording that matplotlib ships.

It is split in time, after five sixths, so that no sample of a test window was seen in training. Values are brought to 0..255
once for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from blurcore.data.dataset import ArrayDataset
from blurcore.data.levels import to_levels
from blurcore.data.packages import package_file, shuffled, version
from blurcore.data.source import Grids, Parts
from blurcore.errors import DataError

WINDOW, HOP = 64, 4
POTENTIALS = (-0.7, 0.05)  # volts / 10, as recorded


@final
@dataclass(frozen=True, kw_only=True)
class Membrane(Grids, Parts):
    """Windows of 64 samples of a neuron's membrane potential at 2 kHz: 2,485 train, 485 test (extra `data`)."""

    @property
    def description(self) -> str:
        """What the data are, and under which licence."""
        return "windows of a neuron's membrane potential, a recording that ships in matplotlib as sample data"

    def load(self) -> ArrayDataset:
        """Cut the windows, (n, 64, 1); see :meth:`Source.load`."""
        path = package_file("matplotlib", "matplotlib", "mpl-data/sample_data/membrane.dat")
        volts = np.fromfile(path, dtype="<f4")
        if volts.shape != (12000,) or not np.isfinite(volts).all():
            raise DataError(f"membrane.dat must hold 12,000 numbers; got {volts.shape}: reinstall matplotlib")
        levels = to_levels(volts, *POTENTIALS)
        parts = {"train": [levels[:10000]], "test": [levels[10000:]], "all": [levels[:10000], levels[10000:]]}
        windows = [np.lib.stride_tricks.sliding_window_view(part, WINDOW)[::HOP] for part in parts[self.split]]
        return ArrayDataset(
            shuffled(np.concatenate(windows)[..., None]),
            name="Membrane",
            source=f"windows of a membrane potential inside matplotlib {version('matplotlib')}, split {self.split}",
        )
