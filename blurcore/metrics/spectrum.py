r"""How much power two sets of images have in each band of frequencies: the measure that asks whether samples are as sharp.

Blurring and inverse heat dissipation work frequency by frequency, and so do their failures: samples that are too smooth lack
power at high frequencies, a noisy last step adds some there. Rissanen et al. (2022, figures 2 and 17) look at the power
spectral density of images for that reason; here it is in the DCT basis of the processes themselves.

All frequencies of the grid, in the order of the Laplacian's eigenvalue, hence of their radius, are cut into bands of as many
neighbours, about 64, in at least 8 bands. The power of a band is the mean of the squared orthonormal DCT coefficients over its
frequencies, the channels and the images, of pixels counted from mid-grey, 127.5; in decibels, :math:`10 \log_{10}`. The distance
is the root mean square over the bands of the difference in decibels: 3 means that a typical band has twice or half of the
power. Rounding to pixels leaves a power of 1/12 in each frequency, which is added to both sides, so that an empty band is no infinity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore._checks import require
from blurcore.metrics._inputs import Array, feature_pair
from blurcore.transforms import DCT

_FREQUENCIES, _LEAST_BANDS = 64, 8
_ROUNDING = 1.0 / 12.0  # variance of what rounding takes from a pixel, in every orthonormal coefficient too
_GREY = 127.5  # 0 in the range [-1, 1] of the models
_BATCH = 512


def bands(shape: tuple[int, ...]) -> list[Array]:
    """Return the bands of a grid: for each the places of its frequencies in the grid that has been made flat.

    Parameters
    ----------
    shape
        Of the grid, any number of axes.
    """
    order = np.argsort(np.asarray(DCT().eigenvalues(shape)).ravel(), kind="stable")
    count = min(len(order), max(_LEAST_BANDS, len(order) // _FREQUENCIES))
    return np.array_split(order, count)


def band_frequencies(shape: tuple[int, ...]) -> Array:
    r"""Return the mean radial frequency of each band, (bands,), in units of :math:`\pi` per pixel: 1 is an axis's highest."""
    radius = np.sqrt(np.asarray(DCT().eigenvalues(shape)).ravel()) / np.pi
    return np.array([radius[band].mean() for band in bands(shape)])


def band_power(images: Any) -> Array:
    """Return the power of each image in each band.

    Parameters
    ----------
    images
        uint8 ``(n, *grid, C)``, with any number of axes in the grid.

    Returns
    -------
    ndarray
        float64 (n, bands), in squared levels of a pixel; the mean over images is the spectrum of a set.

    Raises
    ------
    ArgumentError
        The array is not one of pixels.
    """
    images = np.asarray(images)
    require(
        images.dtype == np.uint8 and images.ndim >= 3 and images.size > 0,
        "images",
        (str(images.dtype), images.shape),
        "uint8 of shape (n, *grid, C), not empty",
    )
    grid = images.shape[1:-1]
    parts = bands(grid)
    power = np.empty((len(images), len(parts)))
    for first in range(0, len(images), _BATCH):
        x = images[first : first + _BATCH].astype(np.float64) - _GREY
        u = np.asarray(DCT().forward(x, axes=tuple(range(1, x.ndim - 1))))
        squares = (u**2).mean(axis=-1).reshape(len(x), -1)
        for k, part in enumerate(parts):
            power[first : first + _BATCH, k] = squares[:, part].mean(axis=1)
    return power


def decibels(power: Array) -> Array:
    """Return 10 log10 of power, with what rounding to pixels leaves."""
    level: Array = 10.0 * np.log10(power + _ROUNDING)
    return level


def spectrum_distance(x: Any, y: Any) -> float:
    """Return the distance between the spectra of two sets, in decibels.

    Parameters
    ----------
    x, y
        Band powers (n, bands) and (m, bands): what :func:`band_power` returns, of images of one size.

    Raises
    ------
    ArgumentError
        These are no band powers of the same bands.
    """
    x, y = feature_pair(x, y)
    return _distance(x.mean(axis=0), y.mean(axis=0))


def _distance(x: Array, y: Array) -> float:
    return float(np.sqrt(np.mean((decibels(x) - decibels(y)) ** 2)))


def spectrum_resampled(x: Array, y: Array, counts_x: Array, counts_y: Array) -> Array:
    """Return the distance of each resample, (num_resamples,)."""
    means = (counts @ power / len(power) for power, counts in ((x, counts_x), (y, counts_y)))
    return np.array([_distance(*pair) for pair in zip(*means, strict=True)])
