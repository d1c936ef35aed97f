r"""Operators that are diagonal in the basis: one number H for each frequency, so that everything about them is exact (SPEC 11, 12)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from blurcore._arrays import align, device_beside, namespace, normalize_axes
from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import Array
from blurcore.errors import ArgumentError
from blurcore.restoration.operator import Observation, beside
from blurcore.transforms import Basis

Host = np.ndarray[Any, Any]


@final
@dataclass(frozen=True, eq=False)
class Diagonal:
    """y = H u with one H for each frequency; y has the grid of u, and is 0 where H is.

    Parameters
    ----------
    basis, axes
        As the state has them.
    gain
        H, ``(*grid,)``.
    seen
        The grid of the picture: the first frequencies of y are its coefficients.
    """

    basis: Basis
    axes: tuple[int, ...]
    gain: Host
    seen: tuple[int, ...]

    def _laid(self, like: Array) -> Array:
        return beside(align(self.gain, ndim=like.ndim, axes=self.axes), like)

    def observe(self, u: Array) -> Array:
        """Return H u; see :meth:`Observation.observe`."""
        return self._laid(u) * u

    def adjoint(self, y: Array) -> Array:
        """Return H y; see :meth:`Observation.adjoint`."""
        return self._laid(y) * y

    def solve(self, residual: Array, covariance: Array, variance: float) -> Array:
        """Return the residual over H^2 c + r; see :meth:`Observation.solve`."""
        return residual / (self._laid(residual) ** 2 * covariance + variance)

    def read(self, picture: Array) -> Array:
        """Return the coefficients of the picture, and zeros above them; see :meth:`Observation.read`."""
        y, xp = self.basis.forward(picture, axes=self.axes), namespace(picture=picture)
        for axis, place in enumerate(normalize_axes(self.axes, y.ndim)):
            missing = self.gain.shape[axis] - y.shape[place]
            if missing:
                shape = (*y.shape[:place], missing, *y.shape[place + 1 :])
                y = xp.concat([y, xp.zeros(shape, dtype=y.dtype, device=device_beside(xp, y))], axis=place)
        return y

    def show(self, y: Array) -> Array:
        """Return the picture of the first frequencies; see :meth:`Observation.show`."""
        cut: list[Any] = [slice(None)] * y.ndim
        for axis, place in enumerate(normalize_axes(self.axes, y.ndim)):
            cut[place] = slice(0, self.seen[axis])
        return self.basis.inverse(y[tuple(cut)], axes=self.axes)


@final
@dataclass(frozen=True, kw_only=True)
class Identity:
    """Noisy data: H = 1."""

    def observation(self, basis: Basis, grid: tuple[int, ...], *, axes: tuple[int, ...]) -> Observation:
        """Return H = 1 on a grid; see :meth:`Operator.observation`."""
        return Diagonal(basis, axes, np.ones(grid), grid)


@final
@dataclass(frozen=True, kw_only=True)
class Blur:
    r"""A Gaussian blur with the boundary of the basis: :math:`H = e^{-\lambda \sigma_B^2 / 2}`, as the processes have it.

    Parameters
    ----------
    sigma
        Standard deviation in pixels, >= 0.
    """

    sigma: float = 2.0

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("sigma", self.sigma)
        require(self.sigma >= 0, "sigma", self.sigma, "0 or more, in pixels")

    def observation(self, basis: Basis, grid: tuple[int, ...], *, axes: tuple[int, ...]) -> Observation:
        """Return the blur on a grid; see :meth:`Operator.observation`."""
        values = np.asarray(basis.eigenvalues(grid))
        return Diagonal(basis, axes, np.exp(-values * (self.sigma**2 / 2)), grid)


@final
@dataclass(frozen=True, kw_only=True)
class LowPass:
    r"""The low frequencies alone: H = 1 where :math:`\sqrt\lambda \le \pi \, \mathrm{cutoff}`, else 0.

    Parameters
    ----------
    cutoff
        In units of the highest frequency of an axis, > 0; from sqrt(2) on an image is left whole.
    """

    cutoff: float = 0.25

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("cutoff", self.cutoff)
        require(self.cutoff > 0, "cutoff", self.cutoff, "positive, in units of the highest frequency of an axis")

    def observation(self, basis: Basis, grid: tuple[int, ...], *, axes: tuple[int, ...]) -> Observation:
        """Return the low pass on a grid; see :meth:`Operator.observation`."""
        values = np.asarray(basis.eigenvalues(grid))
        return Diagonal(basis, axes, (np.sqrt(values) <= math.pi * self.cutoff).astype(np.float64), grid)


@final
@dataclass(frozen=True, kw_only=True)
class Restrict:
    r"""The smaller image of SPEC 11: the first M of N frequencies of each axis, scaled by :math:`\sqrt{M / N}`.

    It is the image, low-passed and taken at M points; for the DCT alone, in which it is again an image.

    Parameters
    ----------
    factor
        N / M, a whole number that divides every side of the grid.
    """

    factor: int = 2

    def __post_init__(self) -> None:
        make_plain(self)
        require(isinstance(self.factor, int) and self.factor >= 1, "factor", self.factor, "a whole number, 1 or more")

    def observation(self, basis: Basis, grid: tuple[int, ...], *, axes: tuple[int, ...]) -> Observation:
        """Return the restriction on a grid; see :meth:`Operator.observation`."""
        seen = smaller(grid, self.factor)
        for n in grid:
            values = np.asarray(basis.eigenvalues((n,)))
            if values[0] != 0 or np.any(np.diff(values) <= 0):  # sines, or pairs of sine and cosine
                raise ArgumentError(
                    f"operator must be another than Restrict for {basis!r}: a smaller image has the first frequencies of a"
                    " larger one in the DCT alone"
                )
        gain = np.zeros(grid)
        gain[tuple(slice(0, m) for m in seen)] = math.sqrt(math.prod(seen) / math.prod(grid))
        return Diagonal(basis, axes, gain, seen)


def smaller(grid: tuple[int, ...], factor: int) -> tuple[int, ...]:
    """Return a grid divided by a factor.

    Raises
    ------
    ArgumentError
        The factor does not divide every side.
    """
    if any(n % factor for n in grid):
        raise ArgumentError(f"factor must divide every side of the grid {grid}; got {factor!r}")
    return tuple(n // factor for n in grid)
