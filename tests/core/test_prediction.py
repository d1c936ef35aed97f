"""Parametrisations: the values of SPEC 5, and the divisions by zero that are refused."""

import itertools

import numpy as np
import pytest

import blurcore as bc
from blurcore.data_spectrum import deviation
from blurcore.errors import ArgumentError, DegenerateError, NamespaceError
from blurcore.prediction import KINDS, PathScales, mixture, path
from blurcore.testing.assertions import EPSILON, assert_close

HOST = ("numpy", "array_api_strict")  # where values are looked at


RATES, DATA = (-0.75, 1.25), 0.25


def marginal(xp, alpha, sigma, dtype="float64"):
    return PathScales(*(xp.asarray([value], dtype) for value in (alpha, sigma, *RATES, DATA)))


def values_of(x0, eps, alpha, sigma):
    """Return every parametrisation by its definition; F by the preconditioning of Karras et al. 2022, table 1, at z / alpha."""
    c, noise = DATA, sigma / alpha
    skip, out = c**2 / (c**2 + noise**2), noise * c / np.sqrt(c**2 + noise**2)
    return {
        "x0": x0,
        "eps": eps,
        "v": alpha * eps - sigma * x0,
        "score": -eps / sigma,
        "velocity": RATES[0] * x0 + RATES[1] * eps,
        "F": (x0 - skip * (x0 + noise * eps)) / out,
    }


@pytest.mark.parametrize(("alpha", "sigma"), [(0.5, 0.25), (0.6, 0.8), (1e-3, 0.9)])
def test_conversion_holds_for_processes_that_do_not_preserve_variance(xp, alpha, sigma):
    x0, eps = 0.75, -1.25
    values = values_of(x0, eps, alpha, sigma)
    z, m = xp.asarray([alpha * x0 + sigma * eps], "float64"), marginal(xp, alpha, sigma)
    for source, target in itertools.product(KINDS, KINDS):
        got = bc.convert(xp.asarray([values[source]], "float64"), source, target, z=z, marginal=m)
        # a difference of numbers below 2 (F: 5), divided by alpha or sigma, at most twice by the smaller one
        atol = 16 * EPSILON["float64"] * 5 / min(alpha, sigma) ** 2
        assert_close(got, [values[target]], like=z, rtol=0.0, atol=atol, what=f"{source} to {target}")


def test_conversion_to_the_same_kind_is_the_value_itself(xp):
    value, m = xp.asarray([1.0]), marginal(xp, 0.0, 0.0, "float32")
    for kind in KINDS:
        assert bc.convert(value, kind, kind, z=value, marginal=m) is value


@pytest.mark.parametrize("kind", ["x", "epsilon", "", None, 3])
def test_unknown_kinds_are_refused(xp, kind):
    value, m = xp.asarray([1.0]), marginal(xp, 0.5, 0.5, "float32")
    with pytest.raises(
        ArgumentError, match=r"source must be one of \('x0', 'eps', 'v', 'score', 'velocity', 'F'\); got"
    ):
        bc.convert(value, kind, "eps", z=value, marginal=m)
    with pytest.raises(
        ArgumentError, match=r"target must be one of \('x0', 'eps', 'v', 'score', 'velocity', 'F'\); got"
    ):
        bc.convert(value, "eps", kind, z=value, marginal=m)


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        ("eps", "x0", "alpha"),
        ("eps", "v", "alpha"),
        ("score", "x0", "alpha"),
        ("score", "v", "alpha"),
        ("x0", "eps", "sigma"),
        ("x0", "v", "sigma"),
        ("x0", "score", "sigma"),
        ("eps", "score", "sigma"),
        ("v", "score", "sigma"),
        ("eps", "F", "alpha"),
        ("x0", "velocity", "sigma"),
        ("F", "score", "sigma"),
    ],
)
def test_conversion_that_divides_by_zero_is_refused_where_it_can_be_seen(xp, source, target, name):
    value = xp.asarray([1.0, 1.0], "float64")
    other = xp.asarray([0.5, 0.5], "float64")
    zero = xp.asarray([0.5, 0.0], "float64")
    more = other, other, other
    m = PathScales(zero, other, *more) if name == "alpha" else PathScales(other, zero, *more)
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


@pytest.mark.parametrize("kind", ["velocity", "F"])
def test_mixtures_have_both_ends(xp, kind):
    """Where alpha or sigma is 0 neither velocity nor F divides by it."""
    for alpha, sigma in ((1.0, 0.0), (0.0, 1.0)):
        x0, eps = 0.5, -0.25
        z, m = xp.asarray([alpha * x0 + sigma * eps], "float64"), marginal(xp, alpha, sigma)
        # F at the ends, by its definition: -eps where there is no noise, x0 / c where there is no signal
        value = RATES[0] * x0 + RATES[1] * eps if kind == "velocity" else (x0 / DATA if sigma else -eps)
        for target, expected in (("x0", x0), ("eps", eps), ("v", alpha * eps - sigma * x0)):
            got = bc.convert(xp.asarray([value], "float64"), kind, target, z=z, marginal=m)
            assert_close(got, [expected], like=z, rtol=0.0, atol=16 * EPSILON["float64"], what=target)


def test_velocity_and_F_need_more_than_the_marginal():
    z, m = np.ones(2), bc.Marginal(np.full(2, 0.5), np.full(2, 0.5))
    with pytest.raises(
        ArgumentError, match=r"marginal must have alpha_rate and sigma_rate for the prediction velocity"
    ):
        bc.convert(z, "velocity", "x0", z=z, marginal=m)
    with pytest.raises(ArgumentError, match=r"marginal must have sigma_data for the prediction F"):
        bc.convert(z, "eps", "F", z=z, marginal=m)


def test_conversion_that_is_singular_is_refused():
    z, half, none = np.ones(2), np.full(2, 0.5), np.zeros(2)
    with pytest.raises(
        DegenerateError, match=r"velocity cannot be converted to x0 where alpha sigma' - sigma alpha' is 0"
    ):
        bc.convert(z, "velocity", "x0", z=z, marginal=PathScales(half, half, none, none))
    with pytest.raises(DegenerateError, match=r"where alpha\^2 sigma_data\^2 \+ sigma\^2 is 0"):
        bc.convert(z, "F", "x0", z=z, marginal=PathScales(none, none, sigma_data=half))
    with pytest.raises(DegenerateError, match="velocity is infinite"):
        bc.convert(z, "eps", "velocity", z=z, marginal=PathScales(half, half, none, np.full(2, np.inf)))


def test_F_of_unit_data_is_minus_v_and_rectified_velocity_is_noise_less_data():
    """Karras et al. 2022, section 5, with sigma_data = 1 under variance-preserving noise; Liu et al. 2022, equation 1."""
    rng = np.random.default_rng(0)
    x, eps = rng.standard_normal((2, 3, 1, 4, 4))
    t = np.array([0.1, 0.5, 0.9])
    cosine = bc.GaussianDiffusion()
    F = bc.training_pair(cosine, x, t, eps, prediction="F", sigma_data=(1.0,)).target
    np.testing.assert_allclose(F, -bc.training_pair(cosine, x, t, eps, prediction="v").target, rtol=0, atol=1e-14)
    straight = bc.GaussianDiffusion(noise=bc.Rectified(alpha_min=1e-9, sigma_min=0.0))
    velocity = bc.training_pair(straight, x, t, eps, prediction="velocity").target
    np.testing.assert_allclose(velocity, eps - x, rtol=0, atol=1e-8)


def test_F_without_a_blur_is_the_preconditioning_of_karras_et_al():
    """Table 1 of the paper: c_skip and c_out at sigma."""
    process, c = bc.GaussianDiffusion(noise=bc.LogSigma()), 0.5
    rng = np.random.default_rng(1)
    z, said = rng.standard_normal((2, 4, 1, 4, 4))
    for t in (0.0, 0.3, 1.0):
        sigma = 0.002 * 40000**t
        known = path(process, "F", t, shape=(4, 4), sigma_data=(c,))
        got = bc.convert(said, "F", "x0", z=z, marginal=known)
        skip, out = c**2 / (sigma**2 + c**2), sigma * c / np.sqrt(sigma**2 + c**2)
        np.testing.assert_allclose(got, skip * z + out * said, rtol=1e-6, atol=1e-12)


def test_F_has_unit_variance_in_every_frequency_of_data_with_the_spectrum():
    process, shape, nodes = bc.BlurringDiffusion(), (8, 8), (4.0, 2.0, 1.0, 0.5, 0.1)
    c = deviation(nodes, process.basis.eigenvalues(shape))
    for t in (0.0, 0.3, 1.0):
        known = path(process, "F", t, shape=shape, sigma_data=nodes)
        own = mixture("F", known)
        np.testing.assert_allclose((own.data * c) ** 2 + own.noise**2, 1.0, rtol=1e-12)


def test_arrays_of_two_libraries_are_refused(xp):
    other = np.ones(1) if xp.name != "numpy" else pytest.importorskip("array_api_strict").ones(1)
    with pytest.raises(NamespaceError, match=r"z: .*value: "):
        bc.convert(xp.asarray([1.0]), "eps", "x0", z=other, marginal=marginal(xp, 0.5, 0.5))
