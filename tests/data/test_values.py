from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blurcore.data import to_float, to_uint8
from blurcore.data.values import SCALES, to_data, to_pixels
from blurcore.errors import ArgumentError


def test_values_of_all_256_pixels_make_an_exact_round_trip():
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    numbers = to_float(pixels)
    assert numbers.dtype == np.float32
    assert numbers.shape == pixels.shape
    assert numbers.min() == -1.0
    assert numbers.max() == 1.0
    np.testing.assert_array_equal(to_uint8(numbers), pixels)
    np.testing.assert_array_equal(to_uint8(numbers.astype(np.float64)), pixels)


def test_to_float_follows_its_formula():
    np.testing.assert_allclose(
        to_float(np.arange(256, dtype=np.uint8)), np.arange(256) / 127.5 - 1.0, atol=1e-7, rtol=0
    )


@given(st.floats(allow_nan=False, width=32))
def test_to_uint8_clips_and_rounds_to_the_nearest(number):
    pixel = int(to_uint8(np.asarray([number], dtype=np.float32))[0])
    exact = (min(max(number, -1.0), 1.0) + 1.0) * 127.5
    assert abs(pixel - exact) <= 0.5 + 1e-4


def test_to_uint8_takes_half_precision():
    np.testing.assert_array_equal(to_uint8(np.asarray([-1, 0.004, 1], dtype=np.float16)), [0, 128, 255])


def test_to_uint8_leaves_its_input_alone():
    numbers = np.asarray([-2.0, 2.0], dtype=np.float32)
    np.testing.assert_array_equal(to_uint8(numbers), [0, 255])
    np.testing.assert_array_equal(numbers, [-2.0, 2.0])


def test_to_uint8_refuses_nan():
    with pytest.raises(ArgumentError, match="images must be free of NaN"):
        to_uint8(np.asarray([0.0, np.nan]))


def test_to_uint8_refuses_integers():
    with pytest.raises(ArgumentError, match="floating point numbers; got dtype\\('uint8'\\)"):
        to_uint8(np.zeros(3, dtype=np.uint8))


def test_to_float_refuses_what_is_not_uint8():
    with pytest.raises(ArgumentError, match="images must be an array of uint8; got dtype\\('int64'\\)"):
        to_float(np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize(("values", "low"), [("symmetric", -1.0), ("unit", 0.0)])
def test_either_range_has_black_and_white_at_its_ends_and_the_nearest_pixel_for_what_is_between(values, low):
    pixels = np.arange(256, dtype=np.uint8)
    numbers = to_data(pixels, values)
    assert (numbers.min(), numbers.max(), len(SCALES)) == (low, 1.0, 2)
    for off in (-0.49, 0.0, 0.49):  # of a grey level; beyond the ends it is cut
        np.testing.assert_array_equal(to_pixels(numbers + np.float32(off * (1 - low) / 255), values), pixels)
