"""Band powers against SciPy's transform and against images of one frequency; the distance against a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft

from blurcore.errors import ArgumentError
from blurcore.metrics import band_frequencies, band_power, decibels, spectrum_distance
from blurcore.metrics.bootstrap import resample
from blurcore.metrics.spectrum import bands, spectrum_resampled

GRIDS = [(64,), (5,), (9, 12), (28, 28), (4, 6, 5)]


def pictures(grid: tuple[int, ...], count: int = 6, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *grid, channels), dtype=np.uint8)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_bands_hold_each_frequency_once_in_the_order_of_their_radius(grid):
    parts = bands(grid)
    assert sorted(np.concatenate(parts)) == list(range(math.prod(grid)))
    assert len(parts) == min(math.prod(grid), max(8, math.prod(grid) // 64))
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij"))).ravel()
    for inner, outer in zip(parts[:-1], parts[1:], strict=True):
        assert radius[inner].max() <= radius[outer].min() + 1e-12
    np.testing.assert_allclose(band_frequencies(grid), [radius[part].mean() for part in parts], rtol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_power_is_that_of_scipys_coefficients(grid):
    images = pictures(grid)
    squares = scipy.fft.dctn(images - 127.5, axes=range(1, images.ndim - 1), norm="ortho") ** 2
    squares = squares.mean(axis=-1).reshape(len(images), -1)
    np.testing.assert_allclose(
        band_power(images), np.stack([squares[:, part].mean(axis=1) for part in bands(grid)], axis=1), rtol=1e-9
    )


def test_power_of_all_bands_is_that_of_the_pixels():
    images = pictures((9, 12))
    sizes = [len(part) for part in bands((9, 12))]
    np.testing.assert_allclose(band_power(images) @ sizes, ((images - 127.5) ** 2).sum(axis=(1, 2)).mean(axis=1))


@pytest.mark.parametrize("row", [0, 3, 11, 15])
def test_wave_of_one_frequency_is_in_the_band_that_holds_it(row):
    wave = np.cos(np.pi * (np.arange(16) + 0.5) * row / 16)
    image = np.rint(127 + 100 * wave)[None, :, None, None] * np.ones((1, 16, 16, 1))
    holds = next(k for k, part in enumerate(bands((16, 16))) if row * 16 in part)
    assert np.argmax(band_power(image.astype(np.uint8))[0]) == holds


def test_distance_of_images_of_three_times_the_contrast_is_nine_and_a_half_decibels():
    """20 log10 3; the power of 1/12 that stands for rounding is less than 1e-3 of what there is."""
    steps = np.random.default_rng(0).integers(-42, 42, (6, 16, 16, 2))
    dull, vivid = (128 + steps).astype(np.uint8), (129 + 3 * steps).astype(np.uint8)
    assert spectrum_distance(band_power(vivid), band_power(dull)) == pytest.approx(20 * np.log10(3), abs=1e-2)


def test_distance_is_zero_for_equal_sets_and_the_root_mean_square_of_bands_else():
    x, y = np.array([[12.0, 3.0], [4.0, 9.0]]), np.array([[80.0, 6.0]])
    levels = [10 * np.log10(v + 1 / 12) for v in (np.array([8.0, 6.0]), np.array([80.0, 6.0]))]
    assert spectrum_distance(x, y) == pytest.approx(np.sqrt(np.mean((levels[0] - levels[1]) ** 2)), rel=1e-12)
    assert spectrum_distance(x, x[::-1]) == 0
    np.testing.assert_allclose(decibels(np.array([8.0, 6.0])), levels[0])


def test_distance_of_blank_images_is_finite():
    blank = band_power(np.zeros((2, 8, 8, 1), dtype=np.uint8))
    np.testing.assert_allclose(blank[:, 1:], 0, atol=1e-9)
    assert 0 < spectrum_distance(blank, band_power(pictures((8, 8)))) < 100


def test_distance_of_a_resample_is_that_of_the_images_taken():
    x, y = band_power(pictures((8, 8), 7)), band_power(pictures((8, 8), 5) // 3)
    counts = [resample(len(v), 2, np.random.default_rng(i)) for i, v in enumerate((x, y))]
    taken = [[np.repeat(v, row.astype(int), axis=0) for row in c] for v, c in zip((x, y), counts, strict=True)]
    expected = [spectrum_distance(*pair) for pair in zip(*taken, strict=True)]
    np.testing.assert_allclose(spectrum_resampled(x, y, *counts), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8, 1)), np.zeros((2, 8), np.uint8), np.zeros((0, 8, 8, 1), np.uint8)]
)
def test_power_is_of_pixels(images):
    with pytest.raises(ArgumentError, match=r"images must be uint8 of shape \(n, \*grid, C\), not empty"):
        band_power(images)
