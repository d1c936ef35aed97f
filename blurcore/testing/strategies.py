"""Hypothesis strategies for grids, times, schedules and processes; needs hypothesis, and nothing else does.

Sizes are small, unequal, odd and 1; times include both ends and pairs so close that a subtraction of logarithms would
leave nothing. Numbers are drawn once, in NumPy float64, so that every library sees the same ones.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from blurcore.processes import BlurringDiffusion, ColdDiffusion, GaussianDiffusion, HeatDissipation
from blurcore.schedules import (
    BlurSchedule,
    CosineLogSNR,
    LinearBeta,
    LogLinear,
    LogSigma,
    NoBlur,
    NoiseSchedule,
    Rectified,
    Sin,
    SinSquared,
)
from blurcore.transforms import DCT, DST, Identity, RealFourier

AnyProcess = BlurringDiffusion | GaussianDiffusion | HeatDissipation | ColdDiffusion


class Layout(NamedTuple):
    """Where a grid lies in the data: the data's shape, the axes of the grid in the order of `grid`, and their sizes."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    grid: tuple[int, ...]
    num_batch: int


def grid_shapes(*, max_axes: int = 3, max_side: int = 7, max_points: int = 60) -> SearchStrategy[tuple[int, ...]]:
    """Return shapes of 1 to `max_axes` axes, among them size 1, odd and unequal ones."""
    sides = st.integers(1, max_side)
    return st.lists(sides, min_size=1, max_size=max_axes).map(tuple).filter(lambda s: int(np.prod(s)) <= max_points)


@st.composite
def layouts(draw: DrawFn, *, max_axes: int = 3, max_points: int = 60, max_batch_axes: int = 2) -> Layout:
    """Return a grid somewhere in an array: batch axes first, at most one channel axis before, inside or behind the grid.

    The axes come unsorted and from either end.
    """
    grid = draw(grid_shapes(max_axes=max_axes, max_points=max_points))
    batch = draw(st.lists(st.integers(1, 3), max_size=max_batch_axes))
    rest = draw(st.lists(st.integers(1, 3), max_size=1))
    spots = draw(st.permutations(range(len(grid) + len(rest))))
    shape, axes = [0] * (len(grid) + len(rest)), []
    for size, spot in zip((*grid, *rest), spots, strict=True):
        shape[spot] = size
    ndim = len(batch) + len(shape)
    for spot in spots[: len(grid)]:
        axis = len(batch) + spot
        axes.append(axis - ndim if draw(st.booleans()) else axis)
    return Layout((*batch, *shape), tuple(axes), grid, len(batch))


def times(*, least: float = 0.0) -> SearchStrategy[float]:
    """Return times in [0, 1] that float32 holds exactly: both ends, their neighbours, and what lies between.

    `least` is the smallest but 0; an oracle of a given number of digits needs one.
    """
    special = (0.0, 1.0, 0.5, 2.0**-149, 2.0**-20, 1 - 2.0**-24, 1e-3, 0.999)
    drawn = st.one_of(st.sampled_from(special), st.floats(0.0, 1.0, width=32)).map(lambda t: float(np.float32(t)))
    return drawn.map(lambda t: t if t == 0 else max(t, least))


def inner_times() -> SearchStrategy[float]:
    """Return times in [0.001, 0.999], for what has a singular end."""
    return st.floats(2.0**-10, 1 - 2.0**-10, width=32)


@st.composite
def time_pairs(draw: DrawFn, *, least: float = 2.0**-149) -> tuple[float, float]:
    """Return (t, s) with s <= t, both exact in float32: far apart, a step of 1e-6, one ulp, `least` from 0, or equal."""
    how = draw(st.sampled_from(("far", "far", "step", "ulp", "least", "equal")))
    if how == "least":
        return least * draw(st.integers(1, 4)), 0.0
    first = draw(times(least=least))
    if how == "equal":
        return first, first
    if how == "far":
        second = draw(times(least=least))
    elif how == "step":
        second = float(np.float32(max(first - 1e-6, 0.0)))
    else:
        second = max(float(np.nextafter(np.float32(first), np.float32(0))), min(first, least))
    return max(first, second), min(first, second)


def cosines() -> SearchStrategy[CosineLogSNR]:
    """Return clipped cosine schedules, symmetric or not."""
    return st.builds(CosineLogSNR, log_snr_min=st.floats(-20, -1), log_snr_max=st.floats(1, 20))


@st.composite
def linear_betas(draw: DrawFn) -> LinearBeta:
    """Return linear beta schedules, constant and steep ones, from two steps to thousands, DDPM's among them."""
    how = draw(st.sampled_from(("default", "constant", "rising")))
    if how == "default":
        return LinearBeta()
    n = draw(st.sampled_from((2, 3, 10, 1000, 4000)))
    end = draw(st.floats(1e-3, min(0.85, -math.expm1(-70 / n))))  # more would leave a signal below exp(-35)
    lowest = end / (2 * n - 1) + (end / (n - 1)) ** 2  # half the distance of two betas, and a little
    # From twice the least on: the schedule starts from the difference of the two, whose relative error is then small.
    if how == "constant" or 2 * lowest > 0.9 * end:
        return LinearBeta(beta_start=end, beta_end=end, num_steps=n)
    return LinearBeta(beta_start=draw(st.floats(2 * lowest, 0.9 * end)), beta_end=end, num_steps=n)


def rectified() -> SearchStrategy[Rectified]:
    """Return straight lines, from clean data and from noisy ones."""
    ends = st.sampled_from((1e-9, 1e-3, 0.1))
    return st.builds(Rectified, alpha_min=ends, sigma_min=st.one_of(st.just(0.0), ends))


def log_sigmas() -> SearchStrategy[LogSigma]:
    """Return geometric growths of the noise, Karras et al.'s among them."""
    return st.one_of(
        st.just(LogSigma()),
        st.builds(LogSigma, sigma_min=st.floats(1e-3, 0.1), sigma_max=st.floats(1.0, 100.0)),
    )


def noise_schedules() -> SearchStrategy[NoiseSchedule]:
    """Return noise schedules that destroy the data."""
    return st.one_of(st.just(CosineLogSNR()), cosines(), linear_betas(), rectified(), log_sigmas())


def blur_schedules() -> SearchStrategy[BlurSchedule]:
    """Return blur schedules, of width 0 and of twice any grid among them."""
    widths = st.one_of(st.sampled_from((0.0, 1.0, 20.0)), st.floats(0.1, 20.0))
    levels = st.builds(
        LogLinear,
        sigma_blur_min=st.floats(0.1, 0.9),
        sigma_blur_max=st.floats(1.0, 24.0),
        num_levels=st.sampled_from((2, 20, 200)),
    )
    return st.one_of(
        st.just(SinSquared()),
        st.builds(SinSquared, sigma_blur_max=widths),
        st.builds(Sin, sigma_blur_max=widths),
        levels,
        st.just(NoBlur()),
    )


def bases() -> SearchStrategy[DCT | DST | RealFourier | Identity]:
    """Return each of the separable bases."""
    return st.sampled_from((DCT(), DST(), RealFourier(), Identity()))


def min_scales() -> SearchStrategy[float]:
    """Return floors of the blur: none, the paper's, nearly none, all."""
    return st.sampled_from((0.0, 1e-3, 1e-30, 0.3, 1.0))


def noisy_processes() -> SearchStrategy[AnyProcess]:
    """Return processes with noise: what has a posterior."""
    return st.one_of(
        st.builds(
            BlurringDiffusion, noise=noise_schedules(), blur=blur_schedules(), min_scale=min_scales(), basis=bases()
        ),
        st.builds(GaussianDiffusion, noise=noise_schedules()),
        st.builds(HeatDissipation, sigma=st.floats(1e-3, 1.0), blur=blur_schedules(), basis=bases()),
    )


def processes() -> SearchStrategy[AnyProcess]:
    """Return processes of every kind."""
    cold = st.builds(ColdDiffusion, blur=blur_schedules(), min_scale=min_scales(), basis=bases())
    return st.one_of(noisy_processes(), cold)


@st.composite
def data(draw: DrawFn, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return standard normal numbers, float64 values that float32 holds exactly."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return generator.standard_normal(shape).astype(np.float32).astype(np.float64)
