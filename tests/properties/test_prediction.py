"""Conversions between parametrisations agree with the reference, and each is undone by its opposite."""

import itertools

import numpy as np
import pytest
from blurcore_reference import oracle
from hypothesis import given
from hypothesis import strategies as st

import blurcore as bc
from blurcore.prediction import KINDS, PathScales
from blurcore.testing import strategies as bst
from blurcore.testing.assertions import assert_close, tolerance

PAIRS = list(itertools.permutations(KINDS, 2))
# a conversion is a linear map of (z, value) by way of at most three divisions by numbers of at least `least`
ROUNDINGS = 16


@pytest.mark.parametrize(("source", "target"), PAIRS)
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(("float32", "float64")), least=st.floats(0.01, 0.9))
def test_conversion_agrees_with_the_reference_and_its_opposite_undoes_it(xp, source, target, seed, dtype, least):
    generator = np.random.default_rng(seed)
    draw = {"float32": np.float32, "float64": np.float64}[dtype]
    value, z = (generator.standard_normal((2, 3, 4)).astype(draw).astype(float) for _ in range(2))
    alpha, sigma = (generator.uniform(least, 1.0, (1, 3, 4)).astype(draw).astype(float) for _ in range(2))
    falls, rises, deviation = (generator.uniform(least, 1.0, (1, 3, 4)).astype(draw).astype(float) for _ in range(3))
    known = {"rates": (-falls, rises), "sigma_data": deviation}
    marginal = PathScales(*(xp.asarray(v, dtype) for v in (alpha, sigma, -falls, rises, deviation)))
    given_value, given_z = xp.asarray(value, dtype), xp.asarray(z, dtype)
    there = bc.convert(given_value, source, target, z=given_z, marginal=marginal)
    size = np.max(np.abs(z)) + np.max(np.abs(value))
    once = size / least**3
    desired = oracle.convert(value, source, target, z, alpha, sigma, **known)
    assert_close(there, desired, like=given_z, rtol=0.0, atol=tolerance(dtype, roundings=ROUNDINGS, condition=once))
    back = bc.convert(there, target, source, z=given_z, marginal=marginal)
    twice = once / least**3  # the error of the way there, magnified on the way back
    assert_close(back, value, like=given_z, rtol=0.0, atol=tolerance(dtype, roundings=2 * ROUNDINGS, condition=twice))


@given(st.data())
def test_every_prediction_inverts_to_data_and_noise(xp, data):
    process, grid = data.draw(bst.noisy_processes()), data.draw(bst.grid_shapes(max_axes=2, max_points=20))
    t = data.draw(bst.inner_times())
    x0, eps = data.draw(bst.data(grid)), data.draw(bst.data(grid))
    m = process.marginal(t, shape=grid, like=xp.asarray([0.0], "float64"))
    alpha, sigma = (np.broadcast_to(xp.to_numpy(c), grid) for c in m)
    least = min(alpha.min(), sigma.min())
    z = alpha * x0 + sigma * eps
    values = {"x0": x0, "eps": eps, "v": alpha * eps - sigma * x0, "score": -eps / sigma}
    for source, target in itertools.permutations(values, 2):
        if min(alpha.min(), 1.0) < 1e-6 and source in ("eps", "score") and target in ("x0", "v"):
            continue  # alpha may underflow, and the conversion is refused
        args = (xp.asarray(values[source], "float64"), source, target)
        got = bc.convert(*args, z=xp.asarray(z, "float64"), marginal=m)
        # v multiplies x0 by sigma, which is 80 at the end of EDM's schedule
        size = sum(np.max(np.abs(v)) for v in (z, *values.values())) * max(1.0, sigma.max())
        atol = tolerance("float64", roundings=ROUNDINGS, condition=size / max(least, 1e-6) ** 2)
        if source in ("v", "x0") and least < 1e-6:
            atol = tolerance("float64", roundings=ROUNDINGS, condition=size / min(sigma.min(), 1.0) ** 2)
        assert_close(got, values[target], like=args[0], rtol=0.0, atol=atol, what=f"{source} to {target}")
