r"""Settings of a blurring process that fit the data: from their variance :math:`c_k` in each frequency, by stated rules.

- `sigma_blur_max`: the blur at t = 1 leaves the share :math:`s` of the variance of all frequencies but DC,

  .. math:: \sum_{k \ne 0} c_k e^{-2 \lambda_k \tau} = s \sum_{k \ne 0} c_k, \qquad \tau = \sigma_{B,max}^2 / 2,

  which has one solution, since the left side falls with tau; of one frequency alone
  :math:`\sigma_{B,max} = \sqrt{\log(1 / s) / \lambda}`. The share is that which the paper's 20 pixels leave of images of
  32 x 32 whose spectrum is :math:`1 / \lambda`.
- `min_scale`: what the floor of the blur leaves of the strongest of these frequencies is no more than the rounding to pixels,
  :math:`d_{min} = \delta / \sqrt{12 \max_{k \ne 0} c_k}`, with :math:`\delta` the distance of two levels.
- `sigma_data`: :math:`\sqrt{c}` at the nodes of :mod:`blurcore.data_spectrum`, the mean of the variances around a node weighted by their
  distance; between nodes with none around them log c is linear. For the prediction F.
- `noise_spectrum`: :math:`c` at :math:`\sqrt{\lambda} = 0, \pi / 8, .., \pi`, the mean of the nearest frequencies: the variance of noise
  that drowns all frequencies at once (EqualSNR, Falck et al. 2025; examples/equal_snr.py).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from blurcore._checks import require
from blurcore.data import Dataset
from blurcore.data.levels import CHUNK
from blurcore.data.values import SCALES, Values, to_data
from blurcore.data_spectrum import node_place
from blurcore.errors import ArgumentError
from blurcore.transforms import DCT

Array = np.ndarray[Any, Any]

SHARE = 0.0054
"""Of the variance, what the paper's blur leaves at t = 1."""
NODES, KNOTS = 16, 9
_LEAST = 1e-8  # a variance that is 0 counts as this


class Fit(NamedTuple):
    """What fits the data, and the spectrum that it was worked out from."""

    sigma_blur_max: float
    min_scale: float
    sigma_data: tuple[float, ...]
    noise_spectrum: tuple[float, ...]
    variance: Array
    """c, (*grid,)."""


def data_variance(images: Dataset | Array, *, values: Values, num_images: int = 10_000) -> Array:
    """Return the variance of the DCT coefficients of images, in units of the data, (*grid,); the mean over channels.

    Parameters
    ----------
    images
        uint8 (n, *grid, C), of which a part is read at a time.
    values
        The range that pixels are brought to.
    num_images
        How many at most, evenly spaced.

    Raises
    ------
    ArgumentError
        There are fewer than two images.
    """
    require(len(images) >= 2, "images", len(images), "at least 2, for a variance")
    chosen = np.unique(np.linspace(0, len(images) - 1, min(num_images, len(images))).astype(int))
    total: Any = 0.0
    squares: Any = 0.0
    for first in range(0, len(chosen), CHUNK):
        x = to_data(np.asarray(images[chosen[first : first + CHUNK]]), values).astype(np.float64)
        u = np.asarray(DCT().forward(x, axes=tuple(range(1, x.ndim - 1))))
        total, squares = total + u.sum(axis=0), squares + (u**2).sum(axis=0)
    n = len(chosen)
    return np.asarray(np.maximum((squares - total**2 / n) / (n - 1), 0.0).mean(axis=-1))


def fit_spectrum(variance: Array, *, values: Values = "symmetric", share: float = SHARE) -> Fit:
    """Return the settings that fit a spectrum, by the rules of this module.

    Parameters
    ----------
    variance
        c, (*grid,), in units of the data.
    values
        Their range, which tells the distance of two levels.
    share
        s, what is left of the variance at t = 1, in (0, 1).

    Raises
    ------
    ArgumentError
        `share` is outside (0, 1), or nothing varies but the mean of an image.
    """
    require(0 < share < 1, "share", share, "in (0, 1)")
    lam, c = np.asarray(DCT().eigenvalues(variance.shape)).ravel(), np.asarray(variance, np.float64).ravel()
    moving = lam > 0
    if not c[moving].sum() > 0:
        raise ArgumentError("the images must vary in more than their mean, for a blur that fits them; they do not")
    rounding = 1 / SCALES[values].divisor / math.sqrt(12)
    return Fit(
        sigma_blur_max=math.sqrt(2 * _tau(lam[moving], c[moving], share)),
        min_scale=min(1.0, rounding / math.sqrt(float(c[moving].max()))),
        sigma_data=tuple(float(v) for v in np.sqrt(_at_nodes(lam, c))),
        noise_spectrum=tuple(float(v) for v in _at_knots(lam, c)),
        variance=variance,
    )


def _tau(lam: Array, c: Array, share: float) -> float:
    """Return the heat time that leaves a share of the variance, by bisection to the last digit."""
    low, high = 0.0, math.log(1 / share) / (2 * float(lam[c > 0].min()))  # enough even for the lowest frequency alone
    for _ in range(200):
        middle = (low + high) / 2
        left = float(c @ np.exp(-2 * lam * middle))
        low, high = (middle, high) if left > share * c.sum() else (low, middle)
    return high


def _at_nodes(lam: Array, c: Array) -> Array:
    """Return the variance at the nodes of :mod:`blurcore.data_spectrum`."""
    place = np.asarray(node_place(lam, NODES))
    weights = np.clip(1 - np.abs(place - np.arange(NODES)[:, None]), 0, 1)
    return _filled(weights @ c, weights.sum(axis=1))


def _at_knots(lam: Array, c: Array) -> Array:
    """Return the variance at even steps of the frequency, from 0 to pi."""
    nearest = np.rint(np.sqrt(lam) * ((KNOTS - 1) / math.pi))
    near = (nearest == np.arange(KNOTS)[:, None]).astype(np.float64)
    return _filled(near @ c, near.sum(axis=1))


def _filled(sums: Array, counts: Array) -> Array:
    """Return means; where nothing is counted, what lies between the neighbours in the logarithm."""
    known = counts > 1e-12
    logs = np.log(np.maximum(sums[known] / counts[known], _LEAST))
    return np.exp(np.interp(np.arange(len(sums)), np.flatnonzero(known), logs))
