"""From settings to the sampler's parts, and from its draws to pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore._arrays import namespace
from blurcore._typing import Array
from blurcore.config import SampleConfig
from blurcore.diffusion import log_snr
from blurcore.processes import Process
from blurcore.samplers import DDIM, Ancestral, Solver


def condition(process: Process, t: Array, embedding: str) -> Array:
    """Return what the network is shown of the time: t itself, or the log-SNR of the DC frequency; shape (batch,)."""
    if embedding == "time":
        return t
    return namespace(t=t).reshape(log_snr(process, t, shape=(1, 1)), t.shape)


def solver_of(process: Process, settings: SampleConfig, *, axes: tuple[int, ...]) -> Solver:
    """Return the solver that the settings name, for data whose grid is at `axes`."""
    if settings.sampler == "ddim":
        return DDIM(process=process, axes=axes, eta=settings.eta)
    return Ancestral(process=process, axes=axes)


def to_pixels(draws: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return data in [-1, 1] as uint8, clipped and rounded."""
    pixels: np.ndarray[Any, Any] = ((np.clip(draws, -1, 1) + 1) * 127.5).round().astype(np.uint8)
    return pixels
