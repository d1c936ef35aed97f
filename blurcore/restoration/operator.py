r"""What an operator is, and what it becomes on a grid: a linear map of coefficients with white noise on what it gives (SPEC 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from blurcore._arrays import device_beside, namespace
from blurcore._typing import Array
from blurcore.transforms import Basis


class Observation(Protocol):
    """A linear map H from states in frequency space to observations, in coordinates in which the noise is white."""

    @property
    def seen(self) -> tuple[int, ...]:
        """The grid of what is observed, as a picture."""
        ...

    @property
    def gain(self) -> np.ndarray[Any, Any] | None:
        """H for each frequency, ``(*grid,)``; None where H is not diagonal."""
        ...

    def observe(self, u: Array) -> Array:
        """Return H u."""
        ...

    def adjoint(self, y: Array) -> Array:
        """Return H^T y, of the shape of a state."""
        ...

    def solve(self, residual: Array, covariance: Array, variance: float) -> Array:
        """Return (H diag(covariance) H^T + variance)^-1 residual.

        Parameters
        ----------
        residual
            Of the shape of an observation.
        covariance
            One value >= 0 for each frequency, laid out to broadcast with a state.
        variance
            Of the noise, > 0.
        """
        ...

    def read(self, picture: Array) -> Array:
        """Return what was observed as y, from a picture in data space whose grid is :attr:`seen`."""
        ...

    def show(self, y: Array) -> Array:
        """Return y as a picture in data space."""
        ...


class Operator(Protocol):
    """Settings of an observation: a kind under the role ``operator``."""

    def observation(self, basis: Basis, grid: tuple[int, ...], *, axes: tuple[int, ...]) -> Observation:
        """Return the operator on a grid, for states whose grid is at `axes`.

        Raises
        ------
        ArgumentError
            A setting does not fit the grid or the basis.
        """
        ...


def beside(value: np.ndarray[Any, Any], like: Array) -> Any:
    """Return a host array in the library, dtype and device of `like`."""
    xp = namespace(like=like)
    return xp.asarray(value, dtype=like.dtype, device=device_beside(xp, like))


_MOST = 200
"""Iterations at most: a preconditioned system of a picture takes some tens."""


def conjugate_gradients(
    product: Callable[[Array], Array], b: Array, precondition: Callable[[Array], Array], *, tolerance: float = 1e-6
) -> Array:
    """Return A^-1 b for a symmetric, positive definite A, each item of the batch by itself.

    Parameters
    ----------
    product
        Returns A v.
    b
        (batch, ...).
    precondition
        Returns an approximation of A^-1 v, itself symmetric and positive definite.
    tolerance
        Of the residual, relative to that of 0 in each item; or what the dtype has, if that is more.

    References
    ----------
    Shewchuk (1994), An introduction to the conjugate gradient method without the agonizing pain, B3.
    """
    xp, axes = namespace(b=b), tuple(range(1, b.ndim))

    def dot(a: Array, c: Array) -> Array:
        return xp.sum(a * c, axis=axes, keepdims=True)

    def divide(a: Array, c: Array) -> Array:  # an item that is solved stays as it is
        return xp.where(c == 0, xp.zeros_like(c), a / xp.where(c == 0, xp.ones_like(c), c))

    limit = max(tolerance, 8 * float(xp.finfo(b.dtype).eps)) ** 2
    x, r = xp.zeros_like(b), b
    d = precondition(r)
    size = first = dot(r, d)
    for _ in range(_MOST):
        if bool(xp.all(size <= limit * first)):
            break
        q = product(d)
        step = divide(size, dot(d, q))
        x, r = x + step * d, r - step * q
        z = precondition(r)
        before, size = size, dot(r, z)
        d = z + divide(size, before) * d
    return x
