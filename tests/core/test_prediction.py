"""Parametrisations: the values of SPEC 5, and the divisions by zero that are refused."""

import itertools

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError, DegenerateError, NamespaceError
from blurcore.prediction import KINDS
from blurcore.testing.assertions import EPSILON, assert_close

HOST = ("numpy", "array_api_strict")  # where values are looked at


def marginal(xp, alpha, sigma, dtype="float64"):
    return bc.Marginal(xp.asarray([alpha], dtype), xp.asarray([sigma], dtype))


@pytest.mark.parametrize(("alpha", "sigma"), [(0.5, 0.25), (0.6, 0.8), (1e-3, 0.9)])
def test_conversion_knows_that_alpha_and_sigma_need_not_preserve_variance(xp, alpha, sigma):
    x0, eps = 0.75, -1.25
    values = {"x0": x0, "eps": eps, "v": alpha * eps - sigma * x0, "score": -eps / sigma}
    z, m = xp.asarray([alpha * x0 + sigma * eps], "float64"), marginal(xp, alpha, sigma)
    for source, target in itertools.product(KINDS, KINDS):
        got = bc.convert(xp.asarray([values[source]], "float64"), source, target, z=z, marginal=m)
        # a difference of numbers below 2, divided by alpha or sigma, at most twice by the smaller one
        atol = 16 * EPSILON["float64"] * 2 / min(alpha, sigma) ** 2
        assert_close(got, [values[target]], like=z, rtol=0.0, atol=atol, what=f"{source} to {target}")


def test_conversion_to_the_same_kind_is_the_value_itself(xp):
    value, m = xp.asarray([1.0]), marginal(xp, 0.0, 0.0, "float32")
    for kind in KINDS:
        assert bc.convert(value, kind, kind, z=value, marginal=m) is value


@pytest.mark.parametrize("kind", ["x", "epsilon", "", None, 3])
def test_unknown_kinds_are_refused(xp, kind):
    value, m = xp.asarray([1.0]), marginal(xp, 0.5, 0.5, "float32")
    with pytest.raises(ArgumentError, match=r"source must be one of \('x0', 'eps', 'v', 'score'\); got"):
        bc.convert(value, kind, "eps", z=value, marginal=m)
    with pytest.raises(ArgumentError, match=r"target must be one of \('x0', 'eps', 'v', 'score'\); got"):
        bc.convert(value, "eps", kind, z=value, marginal=m)


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        ("eps", "x0", "alpha"), ("eps", "v", "alpha"), ("score", "x0", "alpha"), ("score", "v", "alpha"),
        ("x0", "eps", "sigma"), ("x0", "v", "sigma"), ("x0", "score", "sigma"), ("eps", "score", "sigma"),
        ("v", "score", "sigma"),
    ],
)  # fmt: skip
def test_conversion_that_divides_by_zero_is_refused_where_it_can_be_seen(xp, source, target, name):
    value = xp.asarray([1.0, 1.0], "float64")
    other = xp.asarray([0.5, 0.5], "float64")
    zero = xp.asarray([0.5, 0.0], "float64")
    m = bc.Marginal(zero, other) if name == "alpha" else bc.Marginal(other, zero)
    if xp.name in HOST:
        with pytest.raises(DegenerateError, match=f"{source} cannot be converted to {target} where {name} is 0"):
            bc.convert(value, source, target, z=value, marginal=m)
    else:
        got = xp.to_numpy(bc.convert(value, source, target, z=value, marginal=m))
        assert np.isfinite(got[0])
        assert not np.isfinite(got[1])


@pytest.mark.parametrize("target", ["x0", "eps"])
def test_conversion_of_v_is_refused_where_neither_data_nor_noise_is_left(target):
    value = np.ones(2)
    # the square of 1e-200 underflows: cold diffusion, late, and v says nothing of the data
    for nothing in (0.0, 1e-200):
        m = bc.Marginal(np.array([0.5, nothing]), np.zeros(1))
        message = rf"v cannot be converted to {target} where alpha\^2 \+ sigma\^2 is 0"
        with pytest.raises(DegenerateError, match=message):
            bc.convert(value, "v", target, z=value, marginal=m)


def test_conversion_of_v_needs_only_one_of_data_and_noise(xp):
    z, v = xp.asarray([0.5], "float64"), xp.asarray([-0.25], "float64")
    for alpha, sigma, x0, eps in ((1.0, 0.0, 0.5, -0.25), (0.0, 1.0, 0.25, 0.5)):
        m = marginal(xp, alpha, sigma)
        assert_close(bc.convert(v, "v", "x0", z=z, marginal=m), [x0], like=z, rtol=0.0)
        assert_close(bc.convert(v, "v", "eps", z=z, marginal=m), [eps], like=z, rtol=0.0)


def test_arrays_of_two_libraries_are_refused(xp):
    other = np.ones(1) if xp.name != "numpy" else pytest.importorskip("array_api_strict").ones(1)
    with pytest.raises(NamespaceError, match=r"z: .*value: "):
        bc.convert(xp.asarray([1.0]), "eps", "x0", z=other, marginal=marginal(xp, 0.5, 0.5))
