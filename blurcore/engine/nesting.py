"""The sizes of a run: worked out once from its training data, kept in every checkpoint, and never again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from blurcore._typing import StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data import Dataset
from blurcore.engine.unet import size_multiple
from blurcore.errors import ArgumentError, CheckpointError, ConfigError
from blurcore.resolution import Resolutions, Rung, mean_power
from blurcore.runs import Checkpoint, newest_checkpoint, read_config
from blurcore.runs.checkpoint import SAMPLING
from blurcore.serial import from_dict, to_dict

STATE = "resolutions"
"""The sizes' place in a checkpoint's state."""
_IMAGES = 10_000  # evenly spaced ones, that stand for a large data set


def choose_sizes(config: RunConfig, data: Dataset) -> RunConfig:
    """Return the configuration with the sizes that its training data ask for.

    Raises
    ------
    ConfigError
        The process has no smaller images; the message says what would be right.
    """
    process, grid = config.process, data.image_shape[:-1]
    try:
        found = config.resolution.choose(
            process,
            grid,
            lambda: mean_power(data, process.basis, values=config.data.values, limit=_IMAGES),
            multiple=size_multiple(config.model),
        )
    except ArgumentError as error:
        raise ConfigError(str(error)) from None
    return replace(config, resolution=config.resolution.with_sizes(found))


def kept_sizes(config: RunConfig, grid: tuple[int, ...]) -> dict[str, Any]:
    """Return the entry of a checkpoint's state that holds the sizes."""
    return {STATE: to_dict(config.resolution.resolutions(grid))}


def restore_sizes(config: RunConfig, state: Mapping[str, Any]) -> RunConfig:
    """Return a run's configuration with the sizes that a checkpoint's state holds.

    Raises
    ------
    CheckpointError
        It holds none, and the kind has to have been given some; or what it holds are no sizes of its images.
    """
    kept, grid = state.get(STATE), tuple(state["image_shape"][:-1])
    try:
        resolution = config.resolution if kept is None else config.resolution.with_sizes(from_dict(kept, Resolutions))
        resolution.resolutions(grid)
    except (ArgumentError, ConfigError) as error:
        raise CheckpointError(
            f"the checkpoint's state must have the sizes of the run under {STATE!r}: {error}"
        ) from None
    return replace(config, resolution=resolution)


def read_run(folder: StrPath) -> tuple[RunConfig, Checkpoint]:
    """Return a run's configuration, with its sizes, and what sampling needs of its newest checkpoint.

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, no complete checkpoint, or one without the sizes that the configuration asks for.
    """
    config = read_config(Path(folder) / "config.toml")
    checkpoint = newest_checkpoint(folder, groups=SAMPLING)
    return restore_sizes(config, checkpoint.state), checkpoint


def beyond_training(config: RunConfig, rungs: Sequence[Rung]) -> str:
    """Return where steps are so long that a network is asked about larger images at times for which only smaller ones trained it.

    Parameters
    ----------
    config
        Of the run.
    rungs
        The steps, by size.

    Returns
    -------
    str
        A sentence; empty where there are no such steps.
    """
    whole = rungs[-1].size
    found = config.resolution.resolutions(whole)
    ends = dict(zip(found.sizes, (*found.since[1:], 1.0), strict=True))
    for rung in rungs:
        last = ends[rung.size] + config.resolution.overlap
        if rung.times[0] > min(1.0, last) + 1e-9:
            size = " x ".join(map(str, rung.size))
            return (
                f"the network is asked about images of {size} at t = {rung.times[0]:.3g}, where it was trained on them up to"
                f" t = {last:.3g}: take more steps, or train with a larger resolution.overlap"
            )
    return ""


def check_sizes(config: RunConfig, settings: SampleConfig, grid: tuple[int, ...]) -> None:
    """Refuse a solver that chooses its own steps for a network that was trained on each size for a part of the time alone.

    Raises
    ------
    ConfigError
        Says so.
    """
    if settings.solver.adaptive and len(config.resolution.resolutions(grid).sizes) > 1:
        raise ConfigError(
            f"sample.solver must take the steps of a grid of times, for a network over sizes"
            f" ({config.resolution.words(grid)}); got {type(settings.solver).__name__}, which chooses its own"
        )
