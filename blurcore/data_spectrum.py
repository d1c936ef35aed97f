r"""The data's standard deviation in each frequency, as a few numbers: a line through nodes in the logarithm of the eigenvalue.

Node k of K has the eigenvalue

.. math:: \lambda_k = \lambda_u \big( (1 + \lambda_{top} / \lambda_u)^{k / (K - 1)} - 1 \big), \qquad
    \lambda_u = 10^{-4}, \quad \lambda_{top} = 3 \pi^2,

so that the first is the mean of an image and the last beyond the highest frequency of any grid of up to three axes. Between two
nodes the logarithm of the standard deviation is linear in :math:`\log(1 + \lambda / \lambda_u)`. One number is a constant.
"""

from __future__ import annotations

import math
from typing import Any

from blurcore._arrays import frame, namespace, quiet
from blurcore._checks import require
from blurcore._typing import Array
from blurcore.errors import ArgumentError
from blurcore.transforms import Basis, Identity, check_shape

UNIT = 1e-4
"""The eigenvalue, in 1 / pixel^2, below which nodes lie evenly and above which their logarithms do."""
TOP = 3 * math.pi**2
"""The eigenvalue of the last node."""

SigmaData = tuple[float, ...]


def check_sigma_data(sigma_data: SigmaData) -> None:
    """Refuse standard deviations that are none.

    Raises
    ------
    ArgumentError
        There are none, or one is not a positive number.
    """
    require(len(sigma_data) >= 1, "sigma_data", sigma_data, "one number, or one for each node of a spectrum")
    for value in sigma_data:
        require(math.isfinite(value) and value > 0, "sigma_data", sigma_data, "positive numbers")


@quiet
def node_place(lam: Array, num_nodes: int) -> Array:
    """Return where eigenvalues lie among the nodes, in [0, num_nodes - 1]; a whole number at each node."""
    xp = namespace(lam=lam)
    place = xp.log1p(lam / UNIT) * ((num_nodes - 1) / math.log1p(TOP / UNIT))
    return xp.clip(place, 0.0, float(num_nodes - 1))


@quiet
def deviation(sigma_data: SigmaData, lam: Array) -> Array:
    """Return the data's standard deviation at eigenvalues.

    Parameters
    ----------
    sigma_data
        Standard deviations at the nodes, in units of the data; one number: the same everywhere.
    lam
        Eigenvalues >= 0.

    Returns
    -------
    Array
        Of the shape, library, dtype and device of `lam`.
    """
    xp = namespace(lam=lam)
    if len(sigma_data) == 1:
        return xp.full_like(lam, sigma_data[0])
    place = node_place(lam, len(sigma_data))
    total: Any = xp.zeros_like(lam)
    for k, value in enumerate(sigma_data):
        total = total + math.log(value) * xp.clip(1 - xp.abs(place - k), 0.0, 1.0)
    return xp.exp(total)


def deviation_on_grid(
    sigma_data: SigmaData, basis: Basis, *, shape: tuple[int, ...], like: Array | None = None
) -> Array:
    """Return the data's standard deviation in each frequency of a grid, ``shape``, or 1 on each axis where it is the same in all.

    Parameters
    ----------
    sigma_data
        As for :func:`deviation`.
    basis
        Where data are diagonal.
    shape
        Sizes of the grid.
    like
        An array whose library, device and compute dtype the result gets; NumPy float64 where not given.

    Raises
    ------
    ArgumentError
        There are several numbers, and the basis has no frequencies.
    """
    shape, f = check_shape(shape), frame(like, on_host=True)
    if len(sigma_data) == 1:
        return f.finish(f.xp.full((1,) * len(shape), sigma_data[0], dtype=f.work, device=f.device))
    if isinstance(basis, Identity):
        raise ArgumentError(
            f"sigma_data must be one number for a process without a basis, which has no frequencies; got {len(sigma_data)}"
        )
    with_frames: Any = basis  # what processes ask of a basis in their working dtype
    return f.finish(deviation(sigma_data, with_frames.eigenvalues_in(shape, f)))
