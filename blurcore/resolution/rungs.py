r"""A grid of times as a few runs of steps, each on images of one size (SPEC 11).

A step is taken on the size that is enough where it ends. A solver that remembers m answers of the network grows m steps earlier still,
so that it has gathered them anew, in frequencies that say nothing yet, when they come to life: otherwise a first step there of lower
order costs what the order was for (0.16 of the variance, third order, 10 steps; SPEC 11).

What is drawn for new frequencies is what the solver itself would have made of them. With a prediction of 0, the mean of data of
which nothing is known, a dead frequency's variance follows

.. math:: v_s = z^2 v_t + n^2, \qquad v_1 = \sigma_1^2,

z and n being the step's weights of state and noise. For steps that keep the marginal that is :math:`\sigma_s^2`; Euler's and Heun's
miss it by the length of a step, inverse heat dissipation has its own noise, and "fixed large" ancestral sampling has more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from blurcore._arrays import quiet
from blurcore._checks import require
from blurcore.resolution.restriction import restrict, scale_of
from blurcore.resolution.sizes import Resolutions
from blurcore.samplers import Prediction, Solver

Host = np.ndarray[Any, Any]
_CELLS = 2**20  # numbers of one coefficient that are worked out at once


class Rung(NamedTuple):
    """Some steps on images of one size."""

    size: tuple[int, ...]
    """Their grid."""
    times: tuple[float, ...]
    """Where the steps begin and end, falling."""
    solver: Solver
    """The solver of the restricted process."""
    deviation: Host
    """Standard deviation of a frequency that is new at the first of the times, in the units of this size, ``(*size,)``."""


def memory_of(solver: Solver) -> int:
    """Return how many earlier answers of the network a solver remembers: predictions, or the slope of Heun's first stage."""
    state = solver.start(np.zeros([1] * len(solver.axes)))
    return sum(value is not None for value in (state.last_x0, state.older_x0, state.last_slope))


def restrict_solver(solver: Solver, shape: tuple[int, ...], to: tuple[int, ...]) -> Solver:
    """Return a solver for smaller images: of the restricted process, with every setting that depends on the size restricted too.

    Raises
    ------
    ArgumentError
        As :func:`restrict`.
    """
    process = restrict(solver.process, shape, to)
    if process is solver.process:
        return solver
    own: Any = getattr(solver, "restricted", None)
    require(
        callable(own), "solver", solver, "one with restricted(process, to, scale), which blurcore.samplers.Stepper has"
    )
    found: Solver = own(process, to, scale_of(to, shape))
    return found


def _row(coefficients: Any, i: int) -> Any:
    """Return the coefficients of one of several steps."""
    parts = [None if value is None else value[i] for value in coefficients]
    return type(coefficients)(*parts) if hasattr(coefficients, "_fields") else tuple(parts)


@quiet
def dead_deviation(solver: Solver, times: Sequence[float], *, shape: tuple[int, ...]) -> Host:
    """Return the standard deviation that a solver leaves of a frequency of which nothing is predicted, at the last of some times.

    Parameters
    ----------
    solver
        Any solver.
    times
        Falling, from where sampling starts; one is enough, whose noise is then that of the start.
    shape
        The grid.

    Returns
    -------
    numpy.ndarray
        ``(*shape,)``, float64.
    """
    process, zero = solver.process, np.zeros(shape)
    axes = tuple(range(-len(shape), 0))
    anything: Any = solver
    solver = dataclasses.replace(anything, axes=axes)
    deviation: Host = zero + process.marginal(times[0], shape=shape).sigma
    if len(times) == 1 or not deviation.any():
        return deviation
    state, stages = solver.start(deviation), solver.stages(tuple(times))
    length = max(1, _CELLS // zero.size)
    for first in range(0, len(stages), length):
        t, s = np.array(stages[first : first + length]).T
        coefficients, sigmas = solver.coefficients(t, s, shape=shape), process.marginal(t, shape=shape).sigma
        for i in range(len(t)):
            row = _row(coefficients, i)
            state = solver.apply(row, state, Prediction(x0=zero, eps=state.u / sigmas[i]))
            if solver.uses_noise:
                added = solver.apply(row, solver.start(zero), Prediction(x0=zero, eps=zero), zero + 1).u
                state = solver.start(np.hypot(np.asarray(state.u), np.asarray(added)))
    return np.abs(np.asarray(state.u))


def rungs(solver: Solver, times: Sequence[float], resolutions: Resolutions) -> tuple[Rung, ...]:
    """Return the steps of a sampler in runs of one size, the smallest first.

    Parameters
    ----------
    solver
        For images of the whole size.
    times
        Falling to 0.
    resolutions
        Which size is enough when.

    Returns
    -------
    tuple
        One run or more; the last is on the whole grid, and the first time of each is the last of the one before it, where the state
        grows (:func:`grow`).

    References
    ----------
    SPEC 11.
    """
    times = tuple(float(t) for t in times)
    sizes = resolutions.of_steps(times, ahead=memory_of(solver))
    found: list[Rung] = []
    first = 0
    for size, steps in groupby(sizes):
        last = first + len(list(steps))
        here = restrict_solver(solver, resolutions.whole, size)
        deviation = dead_deviation(here, times[: first + 1], shape=size)
        found.append(Rung(size, times[first : last + 1], here, deviation))
        first = last
    return tuple(found)
