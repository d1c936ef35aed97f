"""Smaller images by waves between the pixels: what they are where it can be said otherwise (SPEC 11)."""

import math

import numpy as np
import pytest
from blurcore_reference import oracle
from blurcore_reference.restoration import restrict_matrix

CASES = {"DCT": ((6, 9), (3, 4)), "RealFourier": ((6, 9), (3, 5)), "DCT, one axis": ((7,), (7,))}


@pytest.mark.parametrize(("name", "sizes"), CASES.items(), ids=CASES)
def test_rows_are_orthogonal_and_shrink_noise(name, sizes):
    """White noise stays white, and loses M / N of its variance on each axis."""
    matrix = oracle.restriction_matrix(name.partition(",")[0], *sizes)
    ratio = math.prod(sizes[1]) / math.prod(sizes[0])
    np.testing.assert_allclose(matrix @ matrix.T, ratio * np.eye(len(matrix)), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("name", "sizes"), CASES.items(), ids=CASES)
def test_constant_image_is_unchanged(name, sizes):
    matrix = oracle.restriction_matrix(name.partition(",")[0], *sizes)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-13)


def test_places_between_pixels_give_what_coefficients_give():
    np.testing.assert_allclose(
        oracle.restriction_matrix("DCT", (6, 8), (3, 4)), restrict_matrix((6, 8), 2), rtol=0, atol=1e-14
    )


def test_one_size_is_the_full_sampler():
    process = {
        "kind": "BlurringDiffusion",
        "noise": {"kind": "CosineLogSNR", "log_snr_min": -10.0, "log_snr_max": 10.0},
        "blur": {"kind": "SinSquared", "sigma_blur_max": 2.0},
        "min_scale": 0.001,
        "basis": {"kind": "DCT"},
    }
    grid, c = oracle.uniform_grid(5), np.array([[1.0, 0.3], [0.3, 0.1]])
    nested = oracle.nested_variance(process, grid, c, [(2, 2)] * 5, "ddim")
    np.testing.assert_array_equal(nested, oracle.sampler_variance(process, grid, c, "ddim"))
