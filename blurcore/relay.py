r"""Sampling that starts at any time t: from given images, or from smaller ones (SPEC 11).

A state at t is :math:`\alpha_t u_0 + \sigma_t \epsilon`. Where u_0 is known, an image that is to be changed (SDEdit, Meng et al.
2022), sampling starts there. Where its first M of N frequencies of each axis are known, a smaller image's, scaled by
:math:`\sqrt{N / M}`, it starts there too, if the missing ones are dead at t: what is dropped is within

.. math:: \mathrm{KL} = \frac{1}{2} \sum_{\text{missing}} \frac{\alpha_t^2 \, u_0^2}{\sigma_t^2}

of the noise that is drawn for them. That is the handover of a blurring diffusion from a small model to a larger one (RelayDiffusion,
Teng et al. 2023), exact in the DCT.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from blurcore._arrays import device_beside, namespace, normalize_axes, quiet
from blurcore._checks import require
from blurcore._typing import Array
from blurcore.diffusion import marginal_for
from blurcore.errors import ArgumentError, DegenerateError
from blurcore.processes import Process
from blurcore.transforms import check_shape

Host = np.ndarray[Any, Any]


def times_from(times: Sequence[float], start: float) -> tuple[float, ...]:
    """Return the part of a grid of times that lies below a time, with that time first.

    Parameters
    ----------
    times
        Falling to 0.
    start
        In (0, 1].

    Raises
    ------
    ArgumentError
        `start` is no time after 0.
    """
    require(0.0 < start <= 1.0, "start", start, "a time in (0, 1]")
    return (float(start), *(float(t) for t in times if t < start))


def embed(u: Array, grid: tuple[int, ...], *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
    r"""Return coefficients of a smaller image as the first ones of a larger one: scaled by :math:`\sqrt{N / M}` for each axis, zeros above.

    Parameters
    ----------
    u
        Orthonormal DCT coefficients on M_1 x .. x M_k points at `axes`; a state of the smaller process as well, whose noise then
        has the standard deviation of the larger one's.
    grid
        N_1 .. N_k, each at least M.
    axes
        The axes of the grid.

    Returns
    -------
    Array
        Of the library, dtype and device of `u`.

    Raises
    ------
    ArgumentError
        `grid` is smaller than that of `u`.
    """
    xp, grid = namespace(u=u), check_shape(grid)
    places = normalize_axes(axes, u.ndim)
    small = tuple(u.shape[place] for place in places)
    if len(places) != len(grid) or any(n < m for n, m in zip(grid, small, strict=True)):
        raise ArgumentError(f"grid must be at least that of u, {small}; got {grid}")
    for n, place in zip(grid, places, strict=True):
        shape = (*u.shape[:place], n - u.shape[place], *u.shape[place + 1 :])
        u = xp.concat([u, xp.zeros(shape, dtype=u.dtype, device=device_beside(xp, u))], axis=place)
    return u * math.sqrt(math.prod(grid) / math.prod(small))


def missing(grid: tuple[int, ...], small: tuple[int, ...]) -> Host:
    """Return which frequencies of a grid a smaller one does not have, ``(*grid,)``, bool.

    Raises
    ------
    ArgumentError
        `small` is larger than `grid`, or has another number of axes.
    """
    grid, small = check_shape(grid), check_shape(small)
    if len(small) != len(grid) or any(n < m for n, m in zip(grid, small, strict=True)):
        raise ArgumentError(f"small must be at most {grid}; got {small}")
    left = np.ones(grid, dtype=bool)
    left[tuple(slice(0, m) for m in small)] = False
    return left


@quiet
def handover_cost(
    process: Process, t: float, *, grid: tuple[int, ...], small: tuple[int, ...], spectrum: Host | float = 1.0
) -> float:
    r"""Return the KL, in nats, that the frequencies which a smaller image does not have would cost at time t.

    Parameters
    ----------
    process
        A process with noise.
    t
        Where the larger image takes over.
    grid, small
        Sizes of the larger and of the smaller image.
    spectrum
        Mean square of the data's coefficients in each frequency, ``(*grid,)``, all channels together; a number for all.

    Raises
    ------
    DegenerateError
        There is no noise at t.
    """
    m = process.marginal(t, shape=grid)
    alpha, sigma, power = (np.broadcast_to(np.asarray(v, np.float64), grid) for v in (m.alpha, m.sigma, spectrum))
    left = missing(grid, small)
    if np.any(sigma[left] == 0):
        raise DegenerateError(f"there is no noise at t = {t!r} that could stand for the missing frequencies")
    return float(np.sum((alpha[left] / sigma[left]) ** 2 * power[left]) / 2)


def handover_time(
    process: Process,
    *,
    grid: tuple[int, ...],
    small: tuple[int, ...],
    spectrum: Host | float = 1.0,
    tolerance: float = 0.01,
) -> float:
    """Return the earliest time, the closest to the data, at which the missing frequencies are dead: their KL is within a tolerance.

    Parameters
    ----------
    process, grid, small, spectrum
        As for :func:`handover_cost`.
    tolerance
        In nats, > 0.

    Returns
    -------
    float
        A time in (0, 1], at the last bit of which the cost passes the tolerance; it falls with time, as every log-SNR does.

    Raises
    ------
    ArgumentError
        Not even t = 1 is late enough.
    """
    require(tolerance > 0, "tolerance", tolerance, "positive, in nats")

    def dead(t: float) -> bool:
        return handover_cost(process, t, grid=grid, small=small, spectrum=spectrum) <= tolerance

    if not dead(1.0):
        cost = handover_cost(process, 1.0, grid=grid, small=small, spectrum=spectrum)
        raise ArgumentError(
            f"tolerance must be at least {cost:.3g} nats for {type(process).__name__}, which leaves so much of the frequencies that"
            f" an image of {small} lacks at t = 1; got {tolerance!r}"
        )
    return earliest(dead)


def earliest(dead: Callable[[float], bool]) -> float:
    """Return the earliest time in (0, 1] from which on something is dead, to the last bit of it.

    Parameters
    ----------
    dead
        Tells so of a time; true at 1 and, once it is, at all later times. A :class:`blurcore.errors.DegenerateError`, for want of
        noise so close to the data, means no.
    """
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        try:
            low, high = (low, middle) if dead(middle) else (middle, high)
        except DegenerateError:
            low = middle
    return high


@quiet
def image_state(process: Process, x: Array, t: float, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
    r"""Return the noise-free state of images at time t, :math:`\alpha_t V^T x`, in frequency space: SDEdit's start.

    Parameters
    ----------
    process
        Any process.
    x
        Images, in data space.
    t
        Where sampling starts: near 0 the image stays, at 1 nothing of it is left.
    axes
        The axes of the grid.

    Returns
    -------
    Array
        Of the shape, library, dtype and device of `x`; sigma_t times noise is to be added.
    """
    return marginal_for(process, t, x, axes=axes).alpha * process.basis.forward(x, axes=axes)


@quiet
def enlarged_state(
    process: Process, x: Array, t: float, grid: tuple[int, ...], *, axes: tuple[int, ...] | int = (-2, -1)
) -> Array:
    r"""Return the noise-free state at time t of larger images, of which x shows the first frequencies (SPEC 11).

    Parameters
    ----------
    process
        A process of the larger images, in the DCT.
    x
        The smaller images, in data space.
    t
        Where the larger ones take over: see :func:`handover_time`.
    grid
        Their sizes.
    axes
        The axes of the grid.

    Returns
    -------
    Array
        In frequency space, with `grid` at `axes`; sigma_t times noise is to be added in all frequencies, those of x too.
    """
    u = embed(process.basis.forward(x, axes=axes), grid, axes=axes)
    return marginal_for(process, t, u, axes=axes).alpha * u


__all__ = [
    "earliest",
    "embed",
    "enlarged_state",
    "handover_cost",
    "handover_time",
    "image_state",
    "missing",
    "times_from",
]
