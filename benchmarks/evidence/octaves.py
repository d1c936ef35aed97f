"""Question 6: the error of x0 in each octave of frequencies, at a quarter, a half and the end of training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import blurcore as bc
from benchmarks.evidence.trials import BATCH, Trial, data_of
from blurcore.data import Dataset
from blurcore.measure import octave_bands
from blurcore.measure.calibration import mean_over_images, x0_away
from blurcore.protocols import RunNetwork
from blurcore.resolution import mean_power

IMAGES, TIMES = 128, 17


def octaves(trial: Trial, folder: Path) -> dict[str, Any]:
    """Return the error of x0 on held-out images as a share of their power in each octave, a row for each checkpoint.

    The error is a mean over times that are even in the log-SNR of the noise, of the averaged weights.
    """
    data = data_of(trial).part("test").load()
    basis, grid = bc.DCT(), data.image_shape[:-1]
    names, members = octave_bands(basis, grid)
    power = np.asarray(mean_power(data, basis))
    shares, images = [], []
    for checkpoint in sorted((folder / "checkpoints").iterdir()):
        with tempfile.TemporaryDirectory() as place:  # a run whose newest checkpoint is this one
            (Path(place) / "checkpoints").mkdir()
            (Path(place) / "config.toml").symlink_to((folder / "config.toml").resolve())
            (Path(place) / "checkpoints" / checkpoint.name).symlink_to(checkpoint.resolve())
            network = bc.get_backend("torch").network(place)
        of_frequencies = _error(network, data, basis).mean(axis=0)
        images.append(network.step * BATCH)
        shares.append([float(f"{of_frequencies[band].sum() / power[band].sum():.4g}") for band in members])
    return {"octaves": list(names), "images": images, "share": shares}


def _error(network: RunNetwork, data: Dataset, basis: bc.DCT) -> np.ndarray[Any, Any]:
    """Return the mean squared error of x0 in each frequency of the basis, whatever that of the process is: (times, *grid)."""
    away, own = x0_away(network), network.config.process.basis
    axes = tuple(range(1, len(network.image_shape)))

    def squares(x: Any, eps: Any, t: float) -> tuple[Any]:
        return (basis.forward(own.inverse(away(x, eps, t), axes=axes), axes=axes) ** 2,)

    times = bc.log_snr_times(TIMES - 1, network.config.process.noise)  # of all these processes the same
    (found,) = mean_over_images(network, data, times, squares, num_images=IMAGES, batch_size=BATCH, progress=False)
    return found
