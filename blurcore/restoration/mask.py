r"""Some of the pixels: inpainting. No frequency is seen by itself, and what is solved for is solved by conjugate gradients.

.. math:: S = M V \, \mathrm{diag}(c) V^T M + r, \qquad P = M V \, \mathrm{diag}\Big(\frac{1}{c + r}\Big) V^T M

P is the inverse of S if no pixel is hidden, and close to it away from the edge of the hole: the preconditioner.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from blurcore._arrays import align
from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import Array
from blurcore.errors import ArgumentError
from blurcore.restoration.operator import Observation, beside, conjugate_gradients
from blurcore.transforms import Basis

Host = np.ndarray[Any, Any]


@final
@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels where `visible`, ``(*grid,)``, is 1; y is 0 in the others."""

    basis: Basis
    axes: tuple[int, ...]
    visible: Host

    gain = None

    @property
    def seen(self) -> tuple[int, ...]:
        """The whole grid; see :attr:`Observation.seen`."""
        return tuple(self.visible.shape)

    def read(self, picture: Array) -> Array:
        """Return the picture without what is hidden; see :meth:`Observation.read`."""
        return beside(align(self.visible, ndim=picture.ndim, axes=self.axes), picture) * picture

    def show(self, y: Array) -> Array:
        """Return y, hidden pixels 0; see :meth:`Observation.show`."""
        return self.read(y)

    def observe(self, u: Array) -> Array:
        """Return the visible pixels; see :meth:`Observation.observe`."""
        return self.read(self.basis.inverse(u, axes=self.axes))

    def adjoint(self, y: Array) -> Array:
        """Return the coefficients of the visible pixels; see :meth:`Observation.adjoint`."""
        return self.basis.forward(self.read(y), axes=self.axes)

    def solve(self, residual: Array, covariance: Array, variance: float) -> Array:
        """Return the solution by conjugate gradients; see :meth:`Observation.solve`."""
        weight = 1 / (covariance + variance)
        return conjugate_gradients(
            lambda v: self.observe(covariance * self.adjoint(v)) + variance * v,
            self.read(residual),
            lambda v: self.observe(weight * self.adjoint(v)),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Mask:
    """A hidden box in the middle, or what a picture hides.

    Parameters
    ----------
    low, high
        The box, from `low` to `high` of each side, in [0, 1].
    path
        A picture of the size of the images in the place of the box: black hides, and what is not black is seen.
    """

    low: float = 0.3
    high: float = 0.7
    path: str | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("low", "high"):
            require_finite(name, getattr(self, name))
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        require(self.low <= self.high, "low", self.low, f"at most high = {self.high}")

    def observation(self, basis: Basis, grid: tuple[int, ...], *, axes: tuple[int, ...]) -> Observation:
        """Return the visible pixels of a grid; see :meth:`Operator.observation`."""
        if self.path is not None:
            visible = _read(self.path, grid)
        else:
            visible = np.ones(grid)
            visible[tuple(slice(round(self.low * n), round(self.high * n)) for n in grid)] = 0
        if not visible.any():
            raise ArgumentError(f"operator must leave a pixel to be seen; {self!r} hides all of the grid {grid}")
        return Pixels(basis, axes, visible)


def _read(path: str, grid: tuple[int, ...]) -> Host:
    from blurcore.data.images import load_image

    picture = load_image(Path(path), channels=1)[..., 0]
    require(picture.shape == grid, "operator.path", picture.shape, f"a picture of the size of the images, {grid}")
    return (picture > 0).astype(np.float64)
