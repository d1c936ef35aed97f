r"""The examples of a training batch that are of one size: when, what the network is shown, and what it should say (SPEC 11).

A batch is made of equal parts, one for each process or device and each step of accumulation, and every part has the same examples of
each size in the same rows (:func:`blurcore.resolution.portions`). So each size is one program, and whoever has a part has its
share of every size. Times are spread within a size, over the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from blurcore._arrays import namespace, quiet
from blurcore._typing import Array
from blurcore.config import RunConfig
from blurcore.engine.sampling import condition, objective_of
from blurcore.errors import ArgumentError, ConfigError
from blurcore.objectives import Objective, OverSizes
from blurcore.processes import Process
from blurcore.resolution import Portion, portions, restrict, shrink
from blurcore.transforms import Basis


class Example(NamedTuple):
    """Input of the network, target, time condition (batch,), and weight of the loss (batch,)."""

    z: Any
    target: Any
    condition: Any
    weight: Any


@final
@dataclass(frozen=True, kw_only=True)
class SubBatch:
    """The examples of one size."""

    portion: Portion
    """How many, between which times, what each counts for."""
    process: Process
    """Of images of this size."""
    objective: Objective
    """Of this process."""
    basis: Basis
    """Of whole images."""
    embedding: str
    """What the network is shown of the time."""
    is_whole: bool
    """Whether this is the whole size."""

    @property
    def count(self) -> int:
        """Number of examples in each part."""
        found: int = self.portion.rows.stop - self.portion.rows.start
        return found

    def times(self, uniform: Array) -> Array:
        """Return uniform numbers, of the whole batch's examples of this size, (n,), as their times."""
        return self.objective.times(uniform, low=self.portion.low, high=self.portion.high)

    def images(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        """Return whole images in this size."""
        if self.is_whole:
            return x
        u = shrink(self.basis.forward(x, axes=axes), self.portion.size, axes=axes)
        return self.process.basis.inverse(u, axes=axes)

    @quiet
    def examples(self, x: Array, t: Array, noise: Array, *, axes: tuple[int, ...]) -> Example:
        """Return examples of images in this size at some times, with standard normal noise of their shape."""
        pair, shown = self.objective.pair(x, t, noise, axes=axes), condition(self.process, t, self.embedding)
        weight = self.portion.weight * namespace(t=t).ones_like(t)
        if self.is_whole:
            return Example(pair.z, pair.target, shown, weight)
        assert isinstance(self.objective, OverSizes)  # who has looked at it before
        units = self.objective.units(t, like=x)
        xp = namespace(x=x)
        by_z, by_target = (xp.reshape(c, (-1, *[1] * (x.ndim - 1))) for c in (units.input_scale, units.target_scale))
        return Example(pair.z / by_z, pair.target / by_target, shown, weight * units.weight)


def sub_batches(config: RunConfig, grid: tuple[int, ...], size: int) -> tuple[SubBatch, ...]:
    """Return how a batch is split by the sizes of its images.

    Parameters
    ----------
    config
        Of the run; its sizes are known.
    grid
        Sizes of the data.
    size
        Examples of each of the batch's equal parts.

    Raises
    ------
    ConfigError
        A part has fewer examples than there are sizes, or the objective is not known on smaller images.
    """
    whole, resolution = objective_of(config), config.resolution
    resolutions = resolution.resolutions(grid)
    many = len(resolutions.sizes)
    if size < many:
        raise ConfigError(
            f"train.batch_size must have at least {many} examples, one of each size ({resolutions.words}), in each of the parts that"
            f" processes, devices and accumulation make of it; got {size}"
        )
    if many > 1:
        _check_objective(whole)
    found = []
    for portion in portions(resolutions, size, overlap=resolution.overlap):
        process = restrict(config.process, grid, portion.size)
        found.append(
            SubBatch(
                portion=portion,
                process=process,
                objective=whole.build(process),
                basis=config.process.basis,
                embedding=config.model.embedding,
                is_whole=portion.size == grid,
            )
        )
    return tuple(found)


def _check_objective(objective: Objective) -> None:
    name = type(objective).__name__
    if not isinstance(objective, OverSizes):
        raise ConfigError(
            f"resolution must be Full for train.objective {name}, which has no method units: what its loss on smaller images counts for"
        )
    try:
        objective.units(np.array([0.5]))
    except ArgumentError as error:
        raise ConfigError(f"resolution must be Full for train.objective {name}: {error}") from None
