r"""Which size is enough at which time: what a smaller image lacks has to be dead (SPEC 11).

The account is in nats for an image,

.. math:: \mathrm{KL}_t(M) = \frac{1}{2} \sum_{k \text{ dropped}} \frac{\alpha_t^2 \, E[u_0^2]_k}{\sigma_t^2} \le \text{tolerance},

which falls with time, as every log-SNR does: each size has a first time from which it is enough. A process without noise (cold
diffusion) has no such account; there the root mean square of what is dropped, over the pixels and in grey levels, is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from blurcore._arrays import quiet
from blurcore._checks import make_plain, plain, require, require_finite
from blurcore.errors import ArgumentError
from blurcore.processes import Process
from blurcore.relay import earliest, handover_cost, missing
from blurcore.resolution.restriction import restrict
from blurcore.transforms import check_shape

Host = np.ndarray[Any, Any]
GREY_LEVEL = 2 / 255
"""A level of 8 bits, for data in [-1, 1]."""


@final
@dataclass(frozen=True, kw_only=True)
class Resolutions:
    """Sizes of images, and the times from which each is enough.

    Parameters
    ----------
    sizes
        Grids, the whole one first, each smaller than the one before it.
    since
        Of each size the first time, 0 <= t < 1, at which it is enough: 0, and rising.

    Raises
    ------
    ArgumentError
        The sizes do not fall, or `since` does not rise from 0.
    """

    sizes: tuple[tuple[int, ...], ...]
    since: tuple[float, ...]

    def __post_init__(self) -> None:
        make_plain(self)
        require(len(self.sizes) >= 1, "sizes", self.sizes, "one grid or more")
        for large, small in pairwise(tuple(map(check_shape, self.sizes))):
            falls = (
                len(large) == len(small) and large != small and all(m <= n for n, m in zip(large, small, strict=True))
            )
            require(falls, "sizes", self.sizes, "grids of which each is smaller than the one before it")
        right = len(self.since) == len(self.sizes) and self.since[0] == 0 and self.since[-1] < 1
        right = right and all(s < t for s, t in pairwise(self.since))
        require(
            right,
            "since",
            self.since,
            f"{len(self.sizes)} numbers that rise from 0 and stay below 1, one for each size",
        )

    @property
    def whole(self) -> tuple[int, ...]:
        """The grid of the data."""
        return self.sizes[0]

    @property
    def words(self) -> str:
        """The sizes, since when each is enough, and the share of points that is left to compute, for people."""
        whole, *smaller = (" x ".join(map(str, size)) for size in self.sizes)
        if not smaller:
            return whole
        parts = [whole, *(f"{size} from t = {t:.3g}" for size, t in zip(smaller, self.since[1:], strict=True))]
        return f"{', '.join(parts)}: {self.share():.0%} of the points"

    def at(self, t: float) -> tuple[int, ...]:
        """Return the smallest grid that is enough at a time."""
        return self.sizes[max(i for i, first in enumerate(self.since) if first <= t)]

    def of_steps(self, times: Sequence[float], *, ahead: int = 0) -> tuple[tuple[int, ...], ...]:
        """Return the grid of each step of a grid of times: the one that is enough where the step ends.

        Nothing is missing there that the step could have brought to life, and what is drawn where it begins was dead until then.

        Parameters
        ----------
        times
            Falling to 0.
        ahead
            How many steps to grow before that, for a solver that remembers so many predictions.
        """
        ends = [float(t) for t in times[1:]]
        return tuple(self.at(ends[min(i + ahead, len(ends) - 1)]) for i in range(len(ends)))

    def share(self, steps: Sequence[tuple[int, ...]] | None = None) -> float:
        """Return the mean share of an image's points that is left to compute: of some steps, or over all times in [0, 1]."""
        whole = math.prod(self.whole)
        if steps is not None:
            return sum(math.prod(size) for size in steps) / (whole * len(steps))
        ends = (*self.since[1:], 1.0)
        spans = zip(self.sizes, self.since, ends, strict=True)
        return sum((end - first) * math.prod(size) for size, first, end in spans) / whole


def halved(shape: tuple[int, ...], count: int = 2, *, multiple: int = 1) -> tuple[tuple[int, ...], ...]:
    """Return smaller grids: a half of each axis, a quarter and so on, rounded up to a multiple.

    Parameters
    ----------
    shape
        The whole grid.
    count
        How many at most.
    multiple
        What a network takes, 4 for a U-Net of three levels: 28 becomes 16, then 8.

    Returns
    -------
    tuple
        The smaller grids, the largest first; an axis that would not shrink stays as it is.
    """
    shape, multiple = check_shape(shape), plain(multiple)
    require(isinstance(count, int) and count >= 0, "count", count, "a whole number, 0 or more")
    require(isinstance(multiple, int) and multiple >= 1, "multiple", multiple, "a whole number, 1 or more")
    found: list[tuple[int, ...]] = []
    for halvings in range(1, count + 1):
        parts = (math.ceil(n / (2**halvings * multiple)) * multiple for n in shape)
        size = tuple(min(n, m) for n, m in zip(shape, parts, strict=True))
        if size not in (shape, *found):
            found.append(size)
    return tuple(found)


@quiet
def dropped_amplitude(process: Process, t: float, *, small: tuple[int, ...], power: Host) -> float:
    """Return the root mean square over the pixels, channels together, of what a smaller image lacks at time t, in grey levels.

    Parameters
    ----------
    process
        Any process of data in [-1, 1].
    t
        A time.
    small
        The smaller grid.
    power
        Mean square of the data's coefficients in each frequency, ``(*grid,)``, all channels together.
    """
    grid = power.shape
    alpha = np.broadcast_to(np.asarray(process.marginal(t, shape=grid).alpha, np.float64), grid)
    left = missing(grid, small)
    return math.sqrt(float(np.sum(alpha[left] ** 2 * power[left])) / math.prod(grid)) / GREY_LEVEL


@quiet
def resolutions_for(
    process: Process,
    power: Host,
    *,
    sizes: Sequence[tuple[int, ...]] | None = None,
    tolerance: float = 0.01,
    grey_levels: float = 0.1,
) -> Resolutions:
    """Return which of some sizes is enough for a process from which time on.

    Parameters
    ----------
    process
        Any process; its grid is that of `power`.
    power
        Mean square of the data's coefficients in each frequency of its basis, ``(*grid,)``, all channels together: :func:`mean_power`.
    sizes
        Smaller grids, the largest first; a half and a quarter of each axis where not given. Those that the basis does not
        nest to, or that are never enough, are left out, so that standard diffusion, whose basis is Identity, has one size.
    tolerance
        KL in nats for an image that what is dropped may cost, > 0.
    grey_levels
        For a process without noise: the root mean square of what is dropped, over the pixels, > 0.

    Raises
    ------
    ArgumentError
        A tolerance is not positive, or `power` is negative or not finite somewhere.

    References
    ----------
    SPEC 11.
    """
    power = np.asarray(power, np.float64)
    grid = check_shape(power.shape)
    for name, value in (("tolerance", tolerance), ("grey_levels", grey_levels)):
        require_finite(name, plain(value))
        require(value > 0, name, value, "positive")
    require(bool(np.all(np.isfinite(power) & (power >= 0))), "power", power, "finite, 0 or more")
    noisy = bool(np.all(np.asarray(process.marginal(1.0, shape=grid).sigma) > 0))

    def dead(small: tuple[int, ...]) -> Callable[[float], bool]:
        if noisy:
            return lambda t: handover_cost(process, t, grid=grid, small=small, spectrum=power) <= tolerance
        return lambda t: dropped_amplitude(process, t, small=small, power=power) <= grey_levels

    kept, since = [grid], [0.0]
    for size in halved(grid) if sizes is None else map(check_shape, sizes):
        try:
            restrict(process, grid, size)
        except ArgumentError:
            continue
        is_dead = dead(size)
        if not is_dead(1.0) or (first := earliest(is_dead)) == 1.0:
            continue
        if first == since[-1]:  # the larger one is not needed
            kept.pop()
            since.pop()
        kept.append(size)
        since.append(first)
    return Resolutions(sizes=tuple(kept), since=tuple(since))
