"""Axes: where the grid lies in the data, and coefficients laid out over it."""

from __future__ import annotations

from typing import Any

from blurcore._arrays.libraries import is_number, namespace_of
from blurcore._checks import plain, require
from blurcore._typing import A
from blurcore.errors import ArgumentError


def normalize_axes(axes: tuple[int, ...] | int, ndim: int) -> tuple[int, ...]:
    """Return axes as non-negative integers; refuse those out of range or given twice."""
    several: Any = (axes,) if is_number(axes) else axes
    axes = tuple(plain(a) for a in several)
    if not all(isinstance(a, int) and -ndim <= a < ndim for a in axes):
        raise ArgumentError(f"axes must be in [-{ndim}, {ndim}) for data with {ndim} axes; got {axes!r}")
    positive = tuple(a % ndim for a in axes)
    require(len(set(positive)) == len(positive), "axes", axes, "distinct")
    return positive


def align(coefficient: A, *, ndim: int, axes: tuple[int, ...] | int) -> A:
    """Reshape a coefficient ``(*time, *grid)`` so that it broadcasts over data with `ndim` axes.

    The time axes are the leading axes of the data; the grid axes go where `axes` says, in any order; the rest
    (channels) has size 1.

    Raises
    ------
    ArgumentError
        The time axes run into the grid axes: t has more axes than the data has batch axes. Or the coefficient has
        fewer axes than the grid.
    NamespaceError
        The coefficient is no array.
    """
    xp = namespace_of("coefficient", coefficient)
    axes = normalize_axes(axes, ndim)
    num_times = coefficient.ndim - len(axes)
    require(
        num_times >= 0,
        "coefficient",
        tuple(coefficient.shape),
        f"of shape (*time, *grid), with a grid of {len(axes)} axes",
    )
    require(
        all(axis >= num_times for axis in axes),
        "t",
        f"{num_times} axes",
        f"of the batch axes alone, which precede the grid axes {axes} of the data",
    )
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    shape = [1] * ndim
    shape[:num_times] = coefficient.shape[:num_times]
    for i in order:
        shape[axes[i]] = coefficient.shape[num_times + i]
    if order != list(range(len(axes))):
        coefficient = xp.permute_dims(coefficient, (*range(num_times), *(num_times + i for i in order)))
    return xp.reshape(coefficient, tuple(shape))
