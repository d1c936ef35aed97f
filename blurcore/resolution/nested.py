"""Smaller images while high frequencies are dead: the sizes follow from the training data's spectrum (SPEC 11)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np

from blurcore._checks import make_plain, require, require_finite
from blurcore._late import Unknown, late
from blurcore.errors import ArgumentError
from blurcore.processes import Process
from blurcore.resolution.restriction import restrict
from blurcore.resolution.sizes import Resolutions, halved, resolutions_for

Host = np.ndarray[Any, Any]
_DIGITS = 1e6  # times are rounded up to a millionth: what machines work out differently is far smaller


@final
@dataclass(frozen=True, kw_only=True)
class Nested:
    """Steps on the smallest images that lack nothing alive: halves, quarters of the data's size.

    Parameters
    ----------
    tolerance
        KL, in nats for an image, that dropping frequencies may cost at any time.
    grey_levels
        For a process without noise: the root mean square of what is dropped, in grey levels, over the pixels.
    halvings
        How often the size is halved at most.
    overlap
        How much longer than needed, in time, a size is trained: the steps of sampling for which the network is to be ready, one, and
        one more for each answer that a solver remembers.
    found
        The sizes, and the times since when each is enough.
    """

    tolerance: float = 0.01
    grey_levels: float = 0.1
    halvings: int = 2
    overlap: float = 0.05
    found: Resolutions = late()

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("tolerance", "grey_levels", "overlap"):
            require_finite(name, getattr(self, name))
        for name in ("tolerance", "grey_levels"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        require(self.overlap >= 0, "overlap", self.overlap, "0 or more")
        require(self.halvings >= 1, "halvings", self.halvings, "at least 1")

    def choose(
        self, process: Process, grid: tuple[int, ...], power: Callable[[], Host], *, multiple: int
    ) -> Resolutions:
        """Return the sizes of the data's spectrum; see :meth:`Resolution.choose`.

        A process that blurs nothing has no dead frequencies, and is given its whole size; so is one whose frequencies do not die.

        Raises
        ------
        ArgumentError
            The basis of the process nests to none of the smaller sizes, as a DST's does to none at all.
        """
        sizes = halved(grid, self.halvings, multiple=multiple)
        if not sizes or not np.any(np.asarray(process.basis.eigenvalues(grid))):
            return Resolutions(sizes=(grid,), since=(0.0,))
        nested = [size for size in sizes if _nests(process, grid, size)]
        if not nested:
            raise ArgumentError(
                f"resolution must be Full for {type(process).__name__} in the basis {type(process.basis).__name__}, which has no"
                f" smaller images of {' or '.join(map(str, sizes))} for {grid} (SPEC 11); got Nested"
            )
        found = resolutions_for(process, power(), sizes=nested, tolerance=self.tolerance, grey_levels=self.grey_levels)
        return replace(found, since=tuple(math.ceil(t * _DIGITS) / _DIGITS for t in found.since))

    def with_sizes(self, found: Resolutions) -> Self:
        """Return the kind with its sizes; see :meth:`Resolution.with_sizes`."""
        return replace(self, found=found)

    def resolutions(self, grid: tuple[int, ...]) -> Resolutions:
        """Return the sizes; see :meth:`Resolution.resolutions`."""
        if isinstance(self.found, Unknown):
            raise ArgumentError(
                "resolution must have been given its sizes, which training works out from the data and keeps in the run's"
                f" checkpoints; got {self!r} alone"
            )
        require(self.found.whole == tuple(grid), "grid", grid, f"{self.found.whole}, for which the sizes were chosen")
        return self.found

    def words(self, grid: tuple[int, ...]) -> str:
        """Return the sizes, or that there is one; see :meth:`Resolution.words`."""
        found = self.resolutions(grid)
        return found.words if len(found.sizes) > 1 else f"{found.words} alone, because no smaller size is ever enough"


def _nests(process: Process, grid: tuple[int, ...], size: tuple[int, ...]) -> bool:
    try:
        restrict(process, grid, size)
    except ArgumentError:
        return False
    return True
