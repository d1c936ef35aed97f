"""The noise-free part of the first states of a run, beside its noise: fitted in training, kept in every checkpoint.

What a sample starts from follows from (seed, index), on every backend the same, and sampling needs the run folder and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from blurcore.config import RunConfig, SampleConfig
from blurcore.data import Dataset
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.starts import Prior, Start, default_start

Array = np.ndarray[Any, Any]


def start_of(config: RunConfig, settings: SampleConfig, grid: tuple[int, ...]) -> Start:
    """Return the start of sampling: that of the settings, or the process's default."""
    return default_start(config.process, grid) if settings.start is None else settings.start


def fit_prior(config: RunConfig, data: Dataset) -> Prior | None:
    """Return what sampling starts from beside noise; None for noise alone.

    Raises
    ------
    ConfigError
        The start of the configuration is not for its process or its data.
    """
    start = start_of(config, config.sample, data.image_shape[:-1])
    return start.fit(config.process, data, config.data.values, seed=derived_seed(config.seed, Stream.PRIOR))


def restore_prior(
    config: RunConfig, settings: SampleConfig, image_shape: tuple[int, ...], arrays: Mapping[str, Array] | None
) -> Prior | None:
    """Return the same from a checkpoint, whose group "prior" is `arrays`, for images (*grid, C).

    Raises
    ------
    CheckpointError
        The start needs arrays and the checkpoint has none, or others, or such as do not fit the grid.
    """
    start = start_of(config, settings, image_shape[:-1])
    return start.restore(config.process, image_shape, config.data.values, arrays)
