"""Where a sampler stops between 1 and 0: host numbers in float64, decreasing, ending at exactly 0 (SPEC 7, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, Self, final

from blurcore._arrays import is_number
from blurcore._checks import make_plain, plain, require
from blurcore.errors import ArgumentError
from blurcore.processes import Process
from blurcore.schedules import NoiseSchedule


def _whole(num_steps: int) -> int:
    """Return a number of steps as a Python number, or refuse it."""
    num_steps = plain(num_steps)
    require(isinstance(num_steps, int) and num_steps >= 1, "num_steps", num_steps, "a whole number >= 1")
    return num_steps


def uniform_times(num_steps: int) -> tuple[float, ...]:
    """Return num_steps + 1 evenly spaced times from 1 to 0: the paper's grid.

    Raises
    ------
    ArgumentError
        `num_steps` is no whole number >= 1.
    """
    num_steps = _whole(num_steps)
    return tuple((num_steps - i) / num_steps for i in range(num_steps + 1))


def quadratic_times(num_steps: int) -> tuple[float, ...]:
    """Return num_steps + 1 times from 1 to 0, ((num_steps - i) / num_steps)^2: short steps near the data.

    Song et al. 2021 (DDIM, appendix D.2) take it for CIFAR-10.

    Raises
    ------
    ArgumentError
        `num_steps` is no whole number >= 1.
    """
    num_steps = _whole(num_steps)
    return tuple(((num_steps - i) / num_steps) ** 2 for i in range(num_steps + 1))


def check_times(times: Sequence[float]) -> tuple[float, ...]:
    """Return a grid of your own as the solvers want it: two or more times that fall strictly, from 1 or less to exactly 0.

    Parameters
    ----------
    times
        Numbers, the first one where sampling starts.

    Raises
    ------
    ArgumentError
        It is no such grid; the message says at which place.
    """
    try:
        values = list(times)
    except TypeError:
        raise ArgumentError(f"times must be a sequence of numbers; got {times!r}") from None
    require(len(values) >= 2, "times", tuple(values), "two numbers or more, from 1 or less to 0")
    for i, t in enumerate(values):
        require(is_number(t) and 0.0 <= t <= 1.0, f"times[{i}]", t, "a number in [0, 1]")
    grid = tuple(float(t) for t in values)
    for i, (t, s) in enumerate(pairwise(grid), start=1):
        require(s < t, f"times[{i}]", s, f"less than the time before it, {t!r}")
    require(grid[-1] == 0.0, f"times[{len(grid) - 1}]", grid[-1], "exactly 0, being the last")
    return grid


def log_snr_times(num_steps: int, noise: NoiseSchedule) -> tuple[float, ...]:
    """Return num_steps + 1 times from 1 to 0 at which the noise schedule's log-SNR is evenly spaced.

    Parameters
    ----------
    num_steps
        Number of steps.
    noise
        A schedule with a finite, strictly decreasing log-SNR.

    Raises
    ------
    ArgumentError
        `num_steps` is no whole number >= 1, or the log-SNR is infinite or constant (LinearBeta, ConstantSigma), or falls so fast
        near t = 1 that float64 has no times between two steps.
    """
    num_steps = _whole(num_steps)
    first, last = float(noise.log_snr(1.0)), float(noise.log_snr(0.0))
    require(first < last < float("inf"), "noise", noise, "a schedule with a finite, strictly decreasing log-SNR")
    inner = [_time_of(noise, first + (last - first) * i / num_steps) for i in range(1, num_steps)]
    times = (1.0, *inner, 0.0)
    require(
        all(s < t for t, s in pairwise(times)),
        "num_steps",
        num_steps,
        f"such that neighbouring steps have times of their own in float64, which they have not for {noise!r}",
    )
    return times


def _time_of(noise: NoiseSchedule, log_snr: float) -> float:
    """Invert the schedule by bisection, to the last bit of t."""
    low, high = 0.0, 1.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if float(noise.log_snr(middle)) > log_snr else (low, middle)


class Times(Protocol):
    """A grid of times: a kind under the role ``times``."""

    @property
    def num_steps(self) -> int:
        """Number of steps."""
        ...

    def times(self, process: Process) -> tuple[float, ...]:
        """Return num_steps + 1 times, falling from 1 to 0.

        Raises
        ------
        ArgumentError
            The process has no such grid.
        """
        ...

    def with_steps(self, num_steps: int) -> Times:
        """Return such a grid of another number of steps."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """A grid whose one setting is its number of steps."""

    num_steps: int = 250
    """Steps, each of which calls the network once (Heun: twice)."""

    def __post_init__(self) -> None:
        make_plain(self)
        _whole(self.num_steps)

    def with_steps(self, num_steps: int) -> Self:
        """Return such a grid of another number of steps."""
        return replace(self, num_steps=num_steps)


@final
@dataclass(frozen=True, kw_only=True)
class Uniform(_Counted):
    """Evenly spaced in time, as in the paper; see :func:`uniform_times`."""

    def times(self, process: Process) -> tuple[float, ...]:
        """Return the times; see :meth:`Times.times`."""
        del process
        return uniform_times(self.num_steps)


@final
@dataclass(frozen=True, kw_only=True)
class Quadratic(_Counted):
    """Ever closer towards the data; see :func:`quadratic_times`."""

    def times(self, process: Process) -> tuple[float, ...]:
        """Return the times; see :meth:`Times.times`."""
        del process
        return quadratic_times(self.num_steps)


@final
@dataclass(frozen=True, kw_only=True)
class LogSNR(_Counted):
    """Evenly spaced in the log-SNR of the process's noise schedule; see :func:`log_snr_times`."""

    def times(self, process: Process) -> tuple[float, ...]:
        """Return the times; see :meth:`Times.times`."""
        noise = getattr(process, "noise", None)
        if noise is None:
            raise ArgumentError(
                f"process must have a noise schedule for times evenly spaced in its log-SNR; {type(process).__name__} has none"
            )
        return log_snr_times(self.num_steps, noise)


@final
@dataclass(frozen=True, kw_only=True)
class Given:
    """Times of your own.

    Raises
    ------
    ArgumentError
        They do not fall strictly from 1 to 0.
    """

    values: tuple[float, ...]
    """Falling from 1 to 0."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_times(self.values)
        require(self.values[0] == 1.0, "times[0]", self.values[0], "1, where sampling starts")

    @property
    def num_steps(self) -> int:
        """Number of steps."""
        return len(self.values) - 1

    def times(self, process: Process) -> tuple[float, ...]:
        """Return the times; see :meth:`Times.times`."""
        del process
        return check_times(self.values)

    def with_steps(self, num_steps: int) -> Times:
        """Return this grid if it has that many steps, else an even one that has."""
        return self if num_steps == self.num_steps else Uniform(num_steps=num_steps)
