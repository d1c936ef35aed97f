r"""Means of boxes of pixels, what a sensor with larger pixels sees. They alias: a coarse frequency is a sum over fine ones.

In the DCT every fine frequency shows up in at most one coarse one, so that :math:`H \, \mathrm{diag}(c) H^T` is diagonal:
for each axis a matrix, and for the diagonal its squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from blurcore._arrays import namespace, normalize_axes
from blurcore._arrays.products import multiply
from blurcore._checks import make_plain, require
from blurcore._typing import Array
from blurcore.restoration.diagonal import smaller
from blurcore.restoration.operator import Observation, beside, conjugate_gradients
from blurcore.transforms import Basis

Host = np.ndarray[Any, Any]


@final
@dataclass(frozen=True, eq=False)
class Pooling:
    """One matrix for each axis, from N coefficients to the M of the coarse picture, in which white noise is white too."""

    basis: Basis
    axes: tuple[int, ...]
    matrices: tuple[Host, ...]
    seen: tuple[int, ...]

    gain = None

    def _along(self, x: Array, matrices: tuple[Host, ...]) -> Array:
        for matrix, axis in zip(matrices, normalize_axes(self.axes, x.ndim), strict=True):
            x = multiply(beside(matrix, x), x, axis, axis)
        return x

    def observe(self, u: Array) -> Array:
        """Return the coefficients of the means; see :meth:`Observation.observe`."""
        return self._along(u, self.matrices)

    def adjoint(self, y: Array) -> Array:
        """Return H^T y; see :meth:`Observation.adjoint`."""
        return self._along(y, tuple(matrix.T for matrix in self.matrices))

    def solve(self, residual: Array, covariance: Array, variance: float) -> Array:
        """Divide by the diagonal, which is all that there is in the DCT; see :meth:`Observation.solve`."""
        grid = [1] * covariance.ndim
        for matrix, axis in zip(self.matrices, normalize_axes(self.axes, covariance.ndim), strict=True):
            grid[axis] = matrix.shape[1]
        xp = namespace(covariance=covariance)
        shape = tuple(max(n, m) for n, m in zip(grid, covariance.shape, strict=True))
        whole = xp.broadcast_to(covariance, shape)
        diagonal = self._along(whole, tuple(matrix**2 for matrix in self.matrices)) + variance
        if self._is_diagonal():
            return residual / diagonal
        return conjugate_gradients(
            lambda v: self.observe(whole * self.adjoint(v)) + variance * v, residual, lambda v: v / diagonal
        )

    def _is_diagonal(self) -> bool:
        return all(bool(np.all((np.abs(matrix) > 1e-12).sum(axis=0) <= 1)) for matrix in self.matrices)

    def read(self, picture: Array) -> Array:
        """Return the coefficients of the picture; see :meth:`Observation.read`."""
        return self.basis.forward(picture, axes=self.axes)

    def show(self, y: Array) -> Array:
        """Return the picture; see :meth:`Observation.show`."""
        return self.basis.inverse(y, axes=self.axes)


@final
@dataclass(frozen=True, kw_only=True)
class Average:
    """Means of boxes of `factor` pixels a side.

    Parameters
    ----------
    factor
        A whole number that divides every side of the grid.
    """

    factor: int = 2

    def __post_init__(self) -> None:
        make_plain(self)
        require(isinstance(self.factor, int) and self.factor >= 1, "factor", self.factor, "a whole number, 1 or more")

    def observation(self, basis: Basis, grid: tuple[int, ...], *, axes: tuple[int, ...]) -> Observation:
        """Return the means on a grid; see :meth:`Operator.observation`."""
        seen = smaller(grid, self.factor)
        matrices = []
        for n, m in zip(grid, seen, strict=True):
            rows = np.asarray(basis.inverse(np.eye(n), axes=(1,)))  # row k: the basis vector of frequency k, in pixels
            means = rows.reshape(n, m, self.factor).mean(axis=2)
            matrix = np.asarray(basis.forward(means, axes=(1,))).T
            matrices.append(np.where(np.abs(matrix) < 1e-13, 0.0, matrix))
        return Pooling(basis, axes, tuple(matrices), seen)
