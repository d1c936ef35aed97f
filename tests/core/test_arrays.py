"""Which arrays and times are let in, with whom, and how coefficients are laid out over data."""

import numpy as np
import pytest

import blurcore as bc
from blurcore._arrays import frames, quiet
from blurcore.errors import ArgumentError, NamespaceError
from blurcore.testing.assertions import assert_close, dtype_name, tolerance

PROCESS = bc.BlurringDiffusion()


def numpy_beside(xp):
    """Return an array of another library than `xp`."""
    if xp.name == "numpy":
        return pytest.importorskip("array_api_strict").zeros((2, 1, 4, 4))
    return np.zeros((2, 1, 4, 4))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_arrays_of_two_libraries_are_refused_with_their_names(xp, position):
    ours, theirs = xp.asarray(np.zeros((2, 1, 4, 4))), numpy_beside(xp)
    arguments = {"x": ours, "t": xp.asarray([0.5, 0.5]), "eps": ours}
    name = tuple(arguments)[position]
    arguments[name] = theirs[:, 0, 0, 0] if name == "t" else theirs
    with pytest.raises(NamespaceError, match=rf"arrays must come from one library; got .*\b{name}: ") as caught:
        bc.diffuse(PROCESS, **arguments)
    for other in ("numpy", xp.name):
        assert other in str(caught.value)


def test_a_mixture_of_times_and_like_is_refused(xp):
    with pytest.raises(NamespaceError, match=r"t: .*like: "):
        PROCESS.marginal(xp.asarray([0.5]), shape=(4,), like=numpy_beside(xp))
    with pytest.raises(NamespaceError, match=r"t: .*s: "):
        bc.posterior(PROCESS, xp.asarray([0.5]), numpy_beside(xp)[:1, 0, 0, 0], shape=(4,))


@pytest.mark.parametrize("value", [[1.0, 2.0], "0.5", object(), True])
def test_what_is_no_array_is_refused_by_its_type(value):
    with pytest.raises(NamespaceError, match=rf"t must be an array of .*; got {type(value).__name__}"):
        PROCESS.marginal(value, shape=(4,))
    with pytest.raises(NamespaceError, match=rf"x must be an array of .*; got {type(value).__name__}"):
        bc.DCT().forward(value)


def test_tensors_on_two_devices_are_refused_with_their_names(torch):
    x = torch.zeros((1, 4, 4))
    with pytest.raises(NamespaceError, match=r"arrays must be on one device; got x: cpu, eps: meta"):
        bc.diffuse(PROCESS, x, 0.5, torch.zeros((1, 4, 4), device="meta"))


def test_arrays_on_a_simulated_device_are_checked_there_and_not_mixed_with_those_of_another():
    strict = pytest.importorskip("array_api_strict")
    device = type(strict.zeros(1).device)("device1")
    t, s = (strict.asarray([value, value], device=device) for value in (0.5, 0.25))
    for coefficient in (*bc.posterior(PROCESS, t, s, shape=(4,)), *bc.posterior(PROCESS, t, 0.25, shape=(4,))):
        assert coefficient.device == device
    with pytest.raises(ArgumentError, match="s must be at most t"):
        bc.posterior(PROCESS, 0.125, s, shape=(4,))
    with pytest.raises(NamespaceError, match=r"arrays must be on one device; got t: .*device1.*, s: .*CPU_DEVICE"):
        bc.posterior(PROCESS, t, strict.asarray([0.25, 0.25]), shape=(4,))


def test_a_device_without_float64_gets_coefficients_of_the_host_on_that_device(torch, monkeypatch):
    # Apple's MPS is such a device; "meta" stands for it here, which holds shapes alone
    monkeypatch.setattr(frames, "_has_float64", lambda xp, device: False)
    like = torch.zeros(3, device="meta")
    for value in (*PROCESS.marginal(0.5, shape=(4, 5), like=like), bc.DCT().eigenvalues((4, 5), like=like)):
        assert value.device == like.device
        assert value.dtype == torch.float32


@pytest.mark.parametrize("bad", [-1e-9, 1 + 1e-9, float("nan"), float("inf"), np.float32("nan"), 2, -1])
def test_numbers_outside_the_unit_interval_are_no_times(bad):
    for call in (PROCESS.marginal, PROCESS.log_snr, PROCESS.sde):
        with pytest.raises(ArgumentError, match=r"t must be a time in \[0, 1\]; got"):
            call(bad, shape=(4,))
    with pytest.raises(ArgumentError, match=r"s must be a time in \[0, 1\]; got"):
        bc.posterior(PROCESS, 1.0, bad, shape=(4,))


@pytest.mark.parametrize("bad", [-1e-3, 1.5, float("nan"), float("inf")])
@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
def test_host_arrays_with_a_value_outside_the_unit_interval_are_no_times(library, bad):
    module = pytest.importorskip(library)
    for values in ([0.5, bad], bad):
        with pytest.raises(ArgumentError, match=rf"t must be a time in \[0, 1\]; got {bad!r}"):
            PROCESS.marginal(module.asarray(values), shape=(4,))


def test_integer_arrays_are_no_times(xp):
    t = xp.asarray([0, 1], "int64")
    with pytest.raises(ArgumentError, match="t must be a real floating time"):
        PROCESS.marginal(t, shape=(4,))
    with pytest.raises(ArgumentError, match="t must be a real floating time"):
        bc.diffuse(PROCESS, xp.asarray(np.zeros((2, 4, 4))), t, xp.asarray(np.zeros((2, 4, 4))))


def test_whole_numbers_are_times(xp):
    like = xp.asarray([0.0])
    for whole, real in ((0, 0.0), (1, 1.0), (np.int64(1), 1.0)):
        got, want = (PROCESS.marginal(t, shape=(3, 4), like=like) for t in (whole, real))
        assert_close(got.alpha, want.alpha, rtol=0.0)


def test_times_of_different_rank_are_refused(xp):
    t, s = xp.asarray([[0.5], [0.6]]), xp.asarray([0.1, 0.2])
    with pytest.raises(
        ArgumentError, match=r"times must have the same number of axes, or none; got shapes t: \(2, 1\), s: \(2,\)"
    ):
        bc.transition(PROCESS, t, s, shape=(4,))


def test_a_number_and_an_array_of_times_go_together(xp, noisy_process):
    like = xp.asarray([0.0])
    options = {"shape": (3, 4)}
    times = xp.asarray([0.5, 0.75])
    for f in (bc.transition, bc.posterior):
        for arguments, single in (
            ((times, 0.25), lambda v: (v, 0.25)),
            ((1.0, times), lambda v: (1.0, v)),
            ((times, xp.asarray(0.25)), lambda v: (v, 0.25)),
        ):
            together = f(noisy_process, *arguments, **options)
            for i, v in enumerate((0.5, 0.75)):
                alone = f(noisy_process, *single(v), like=like, **options)
                for name, a, b in zip(alone._fields, together, alone, strict=True):
                    # what does not depend on the array of times has no axis, or one of size 1, for it
                    row = xp.xp.broadcast_to(a, (2, 3, 4))[i, ...]
                    # alpha, sigma and D may be rounded to float32 differently, and z_coef squares a quotient of two
                    rtol = tolerance("float32", roundings=8)
                    assert_close(row, xp.xp.broadcast_to(b, (3, 4)), rtol=rtol, what=f"{f.__name__} {name}")


@pytest.mark.parametrize(
    ("axes", "wanted"),
    [
        ((2, 3), r"in \[-2, 2\) for data with 2 axes"),
        ((-3, 0), r"in \[-2, 2\) for data with 2 axes"),
        ((0, 0), "distinct"),
        ((1, -1), "distinct"),
    ],
)
def test_axes_out_of_range_or_given_twice_are_refused(xp, axes, wanted):
    x = xp.asarray(np.zeros((4, 4)))
    for f in (bc.DCT().forward, bc.DST().inverse, bc.Identity().forward):
        with pytest.raises(ArgumentError, match=f"axes must be {wanted}; got"):
            f(x, axes=axes)
    with pytest.raises(ArgumentError, match=f"axes must be {wanted}; got"):
        bc.diffuse(PROCESS, x, 0.5, x, axes=axes)


def test_align_puts_time_first_and_the_grid_where_axes_say(xp):
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    coefficient = xp.asarray(values)
    first = bc.align(coefficient, ndim=5, axes=(3, 4))
    assert_close(first, values.reshape(2, 1, 1, 3, 4), like=coefficient, rtol=0.0)
    last = bc.align(coefficient, ndim=4, axes=(1, 2))
    assert_close(last, values.reshape(2, 3, 4, 1), like=coefficient, rtol=0.0)
    swapped = bc.align(coefficient, ndim=4, axes=(-1, -2))
    assert_close(swapped, values.transpose(0, 2, 1).reshape(2, 1, 4, 3), like=coefficient, rtol=0.0)
    no_time = bc.align(coefficient[0, ...], ndim=3, axes=(2, 0))
    assert_close(no_time, values[0].T.reshape(4, 1, 3), like=coefficient, rtol=0.0)


def test_align_refuses_time_axes_that_run_into_the_grid(xp):
    with pytest.raises(ArgumentError, match="t must be of the batch axes alone, which precede the grid axes"):
        bc.align(xp.asarray(np.zeros((2, 3, 4, 4))), ndim=4, axes=(1, 2))


def test_align_refuses_a_coefficient_with_fewer_axes_than_the_grid(xp):
    with pytest.raises(ArgumentError, match=r"coefficient must be .*\(\*time, \*grid\)"):
        bc.align(xp.asarray(np.zeros(4)), ndim=4, axes=(2, 3))


def test_result_dtype_is_float32_for_everything_but_float64(xp):
    for dtype in xp.dtypes:
        like = xp.asarray([0.5], dtype)
        wanted = "float64" if dtype == "float64" else "float32"
        for options in ({"t": 0.5, "like": like}, {"t": like}):
            assert {dtype_name(v) for v in PROCESS.marginal(shape=(3,), **options)} == {wanted}


def test_a_calm_function_leaves_the_error_state_as_it_found_it_after_an_error_too():
    @quiet
    def inner(x):
        return 1 / x

    @quiet
    def outer(x, *, fails):
        result = inner(x)
        if fails:
            raise LookupError
        return result

    zero = np.zeros(1)
    with np.errstate(all="raise"):
        assert np.isinf(outer(zero, fails=False))
        with pytest.raises(LookupError):
            outer(zero, fails=True)
        assert np.isinf(inner(zero))  # calms itself: the one that failed is over
        with pytest.raises(FloatingPointError):
            1 / zero
