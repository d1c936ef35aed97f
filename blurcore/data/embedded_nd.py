"""Real signals and volumes that ship inside installed packages, in windows and patches; see :mod:`blurcore.data.embedded`.

========  =============  ==================================================================  ==============
name      package        what                                                                train / test
========  =============  ==================================================================  ==============
membrane  matplotlib     windows of 64 samples of a neuron's membrane potential at 2 kHz      2,485 / 485
brain     nibabel        patches of 8 x 16 x 16 voxels of 2 mm of a magnetic resonance scan   452 / 138
========  =============  ==================================================================  ==============

Both are split in place, so that no sample of a test window was seen in training: the recording after five sixths of its
time, the head at two thirds of its depth. Values are brought to 0..255 once for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from blurcore.data.packages import package_file, shuffled, version
from blurcore.errors import DataError

WINDOW, HOP = 64, 4
POTENTIALS = (-0.7, 0.05)  # volts / 10, as recorded
PATCH, HOPS = (8, 16, 16), (4, 8, 8)
BRIGHTEST = 1000.0
_MIN_MEAN = 64  # of a patch, so that it shows more than the air around the head

Windows = npt.NDArray[np.uint8]


def membrane(split: str) -> tuple[Windows, str]:
    """uint8 (n, 64, 1) and the line for the record."""
    path = package_file("matplotlib", "matplotlib", "mpl-data/sample_data/membrane.dat")
    volts = np.fromfile(path, dtype="<f4")
    if volts.shape != (12000,) or not np.isfinite(volts).all():
        raise DataError(f"membrane.dat must hold 12,000 numbers; got {volts.shape}: reinstall matplotlib")
    levels = _to_levels(volts, *POTENTIALS)
    parts = {"train": [levels[:10000]], "test": [levels[10000:]], "all": [levels[:10000], levels[10000:]]}[split]
    windows = [np.lib.stride_tricks.sliding_window_view(part, WINDOW)[::HOP] for part in parts]
    return shuffled(np.concatenate(windows)[..., None]), (
        f"windows of a membrane potential inside matplotlib {version('matplotlib')}, split {split}"
    )


def brain(split: str) -> tuple[Windows, str]:
    """uint8 (n, 8, 16, 16, 1) and the line for the record."""
    try:
        import nibabel
    except ImportError as error:
        raise DataError(
            "the package nibabel, which holds the volumes, is not installed; try: pip install 'blurcore[data]'"
        ) from error
    image: Any = nibabel.load(package_file("nibabel", "nibabel", "tests/data/example4d.nii.gz"))
    levels = _to_levels(np.asarray(image.dataobj, dtype=np.float32), 0.0, BRIGHTEST)
    levels = levels.transpose(3, 2, 0, 1)  # (scan, z, x, y)
    edge = levels.shape[3] * 2 // 3
    front, back = list(levels[..., :edge]), list(levels[..., edge:])
    patches = []
    for volume in {"train": front, "test": back, "all": front + back}[split]:
        views = np.lib.stride_tricks.sliding_window_view(volume, PATCH)[:: HOPS[0], :: HOPS[1], :: HOPS[2]]
        patches.append(views.reshape(-1, *PATCH))
    found = np.concatenate(patches)
    shown = found[found.mean(axis=(1, 2, 3)) >= _MIN_MEAN]
    return shuffled(shown[..., None]), (
        f"patches of a magnetic resonance scan inside nibabel {version('nibabel')}, split {split}"
    )


def _to_levels(values: npt.NDArray[np.float32], low: float, high: float) -> Windows:
    levels: Windows = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return levels
