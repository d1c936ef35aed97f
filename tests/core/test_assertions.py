"""The assertion that all other tests stand on fails when it should."""

import numpy as np
import pytest

from blurcore.testing.assertions import EPSILON, as_numpy, assert_close, dtype_name, tolerance


def test_assert_close_accepts_what_is_within_the_bound_and_refuses_what_is_not(xp):
    one = xp.asarray([1.0, 2.0], "float64")
    assert_close(one, [1.0, 2.0], like=one, rtol=0.0)
    assert_close(one, [1.25, 2.5], like=one, rtol=0.2)
    assert_close(one, [1.25, 2.25], like=one, rtol=0.0, atol=0.25)
    with pytest.raises(AssertionError, match=r"1 of 2 differ; worst at \(1,\): 2.0, not 2.5"):
        assert_close(one, [1.0, 2.5], like=one, rtol=0.1)
    with pytest.raises(AssertionError, match="what I compare: 1 of 2 differ"):
        assert_close(one, [1.0, 2.5], like=one, rtol=0.0, what="what I compare")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_assert_close_refuses_values_that_are_not_finite(xp, bad):
    one, other = xp.asarray([1.0]), xp.asarray([bad])
    for pair in ((other, one), (one, other)):
        with pytest.raises(AssertionError, match="1 of 1 differ"):
            assert_close(*pair, rtol=1e9, atol=1e9)


def test_assert_close_takes_an_infinity_for_itself_and_nan_for_nothing(xp):
    infinite, nan = xp.asarray([float("inf"), -float("inf")]), xp.asarray([float("nan")])
    assert_close(infinite, infinite, rtol=0.0)
    with pytest.raises(AssertionError, match="2 of 2 differ"):
        assert_close(infinite, -infinite, rtol=1.0)
    with pytest.raises(AssertionError, match="1 of 1 differ"):
        assert_close(nan, nan, rtol=1.0, atol=1.0)
    with pytest.raises(AssertionError, match="the tolerance is NaN"):
        assert_close(infinite, infinite, rtol=float("nan"))


def test_assert_close_looks_at_library_dtype_and_shape(xp):
    one = xp.asarray([1.0, 1.0])
    with pytest.raises(AssertionError, match=r"shape \(2,\), not \(1, 2\)"):
        assert_close(one, np.ones((1, 2)), like=one)
    with pytest.raises(AssertionError, match="dtype float32, not float64"):
        assert_close(one, xp.asarray([1.0, 1.0], "float64"))
    assert_close(one, np.ones(2), like=xp.asarray([1.0], "float64"), dtype="float32")
    other = np.ones(2, dtype=np.float32) if xp.name != "numpy" else pytest.importorskip("array_api_strict").ones(2)
    with pytest.raises(AssertionError, match="an array of"):
        assert_close(one, other)


def test_assert_close_looks_at_the_device(torch):
    with pytest.raises(AssertionError, match="on cpu, not on meta"):
        assert_close(torch.ones(2), torch.ones(2, device="meta"))


def test_tolerance_is_epsilon_of_the_dtype_times_roundings_and_condition(xp):
    for dtype in xp.dtypes:
        one = xp.asarray([1.0], dtype)
        assert dtype_name(one) == dtype
        # the next number after 1 is one epsilon away, the one before half of it
        assert float(as_numpy(xp.asarray([1.0 + EPSILON[dtype]], dtype))[0]) == 1.0 + EPSILON[dtype]
        assert float(as_numpy(xp.asarray([1.0 + EPSILON[dtype] / 4], dtype))[0]) == 1.0
        assert tolerance(dtype, roundings=3, condition=2.0) == 6 * EPSILON[dtype]
