"""Which random numbers a sample is made of: by default its own, of both kinds, the initial state and the noise of the steps.

Rissanen et al. (2022, section 4) look at a model by sharing one kind between samples, and by going from one sample to
another: linearly between blurred images, along a great circle between noises, whose variance stays 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from blurcore.config import RunConfig, SampleConfig
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.starts import Prior


class Draw(NamedTuple):
    """Sample numbers that start and noise are taken from, and how far to go, in [0, 1], towards those of another one."""

    start: int
    noise: int
    other: int
    way: float = 0.0

    @property
    def weights(self) -> tuple[float, float]:
        """Weights of the noise of `noise` and of `other`: a point on a quarter of the unit circle."""
        return math.cos(self.way * math.pi / 2), math.sin(self.way * math.pi / 2)


def draws_of(settings: SampleConfig, indices: Sequence[int]) -> list[Draw]:
    """Return the random draws of samples by their numbers, following `settings.vary`."""
    if settings.vary == "interpolation":
        last = max(1, settings.num_samples - 1)
        return [Draw(0, 0, 1, min(1.0, i / last)) for i in indices]
    starts, noises = settings.vary != "noise", settings.vary != "start"
    return [Draw(i if starts else 0, i if noises else 0, 0) for i in indices]


def sample_labels(config: RunConfig, settings: SampleConfig, indices: Sequence[int]) -> np.ndarray[Any, Any] | None:
    """Return the classes of samples, int64 (n,): the one that is asked for, or all in turn; None without classes."""
    classes = config.model.num_classes
    if classes == 0:
        return None
    if settings.guidance == 0:
        return np.full(len(indices), classes)  # the label that says nothing
    chosen = [i % classes for i in indices] if settings.label is None else [settings.label] * len(indices)
    return np.array(chosen, dtype=np.int64)


def first_states(prior: Prior | None, seed: int, draws: Sequence[Draw]) -> np.ndarray[Any, Any] | None:
    """Return the noise-free first states, float32 (n, *grid, C) in frequency space; None if there is nothing but noise."""
    if prior is None:
        return None

    def drawn(index: int) -> np.ndarray[Any, Any]:
        return prior.draw(np.random.default_rng(derived_seed(seed, Stream.START, index)), index)

    states = []
    for draw in draws:
        state = drawn(draw.start)
        states.append(state if draw.way == 0 else (1 - draw.way) * state + draw.way * drawn(draw.other))
    return np.stack(states).astype(np.float32)
