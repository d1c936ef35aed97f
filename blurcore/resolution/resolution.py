"""On which sizes of images a network is trained and sampled: a kind under the role ``resolution``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, final

import numpy as np

from blurcore.processes import Process
from blurcore.resolution.sizes import Resolutions

Host = np.ndarray[Any, Any]


class Resolution(Protocol):
    """How the sizes are chosen. They are worked out once, before training, and kept in the run's checkpoints."""

    @property
    def overlap(self) -> float:
        """How much longer than needed, in time, a size is trained: the steps of sampling for which the network is to be ready."""
        ...

    def choose(
        self, process: Process, grid: tuple[int, ...], power: Callable[[], Host], *, multiple: int
    ) -> Resolutions:
        """Return which size is enough since when.

        Parameters
        ----------
        process
            Of images on `grid`.
        grid
            Sizes of the data.
        power
            Returns the mean square of the data's coefficients in each frequency, ``(*grid,)``; called only where it is needed.
        multiple
            What each side of an image must be a multiple of, for the network.

        Raises
        ------
        ArgumentError
            The process has no smaller images; the message says what would be right.
        """
        ...

    def with_sizes(self, found: Resolutions) -> Self:
        """Return the kind with the sizes that :meth:`choose` has found, now or when the run began."""
        ...

    def resolutions(self, grid: tuple[int, ...]) -> Resolutions:
        """Return the sizes for images on a grid.

        Raises
        ------
        ArgumentError
            They have not been chosen yet, or for another grid.
        """
        ...

    def words(self, grid: tuple[int, ...]) -> str:
        """Return the sizes and their times in words; empty for :class:`Full`."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Full:
    """All steps on images of the whole size."""

    @property
    def overlap(self) -> float:
        """Nothing to overlap with; see :attr:`Resolution.overlap`."""
        return 0.0

    def choose(
        self, process: Process, grid: tuple[int, ...], power: Callable[[], Host], *, multiple: int
    ) -> Resolutions:
        """Return the whole size; see :meth:`Resolution.choose`."""
        del process, power, multiple
        return self.resolutions(grid)

    def with_sizes(self, found: Resolutions) -> Self:
        """Return the kind itself; see :meth:`Resolution.with_sizes`."""
        del found
        return self

    def resolutions(self, grid: tuple[int, ...]) -> Resolutions:
        """Return the whole size; see :meth:`Resolution.resolutions`."""
        return Resolutions(sizes=(grid,), since=(0.0,))

    def words(self, grid: tuple[int, ...]) -> str:
        """Return nothing; see :meth:`Resolution.words`."""
        del grid
        return ""
