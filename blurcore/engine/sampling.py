"""From settings to the sampler's parts, and from its draws to pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore._arrays import namespace
from blurcore._typing import Array
from blurcore.config import SampleConfig
from blurcore.diffusion import log_snr
from blurcore.errors import ArgumentError, ConfigError
from blurcore.processes import Process
from blurcore.samplers import SOLVERS, Solver, log_snr_times, quadratic_times, uniform_times


def condition(process: Process, t: Array, embedding: str) -> Array:
    """Return what the network is shown of the time: t itself, or the log-SNR of the DC frequency; shape (batch,)."""
    if embedding == "time":
        return t
    return namespace(t=t).reshape(log_snr(process, t, shape=(1, 1)), t.shape)


def solver_of(process: Process, settings: SampleConfig, *, axes: tuple[int, ...]) -> Solver:
    """Return the solver that the settings name, for data whose grid is at `axes`."""
    own: dict[str, Any] = {}
    if settings.sampler == "ddim":
        own["eta"] = settings.eta
    if settings.sampler in ("dpm_solver_pp", "dpm_solver_sde"):
        own["order"] = settings.order
    solver: Solver = SOLVERS[settings.sampler](process=process, axes=axes, **own)
    return solver


def times_of(process: Process, settings: SampleConfig) -> tuple[float, ...]:
    """Return the times at which the settings let the sampler stop, from 1 to 0.

    Raises
    ------
    ConfigError
        The grid "log_snr" is asked for, and the process has no noise schedule with a finite, falling log-SNR.
    """
    if settings.grid == "uniform":
        return uniform_times(settings.num_steps)
    if settings.grid == "quadratic":
        return quadratic_times(settings.num_steps)
    noise = getattr(process, "noise", None)
    try:
        return log_snr_times(settings.num_steps, noise)  # type: ignore[arg-type]
    except (ArgumentError, AttributeError):
        raise ConfigError(
            f"sample.grid must be uniform or quadratic for {type(process).__name__} with {noise!r}, whose log-SNR is not"
            " finite and falling; got 'log_snr'"
        ) from None


def to_pixels(draws: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return data in [-1, 1] as uint8, clipped and rounded."""
    pixels: np.ndarray[Any, Any] = ((np.clip(draws, -1, 1) + 1) * 127.5).round().astype(np.uint8)
    return pixels
