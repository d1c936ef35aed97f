"""The restricted process against full matrices over pixels, and as a process like any other (SPEC 11)."""

from __future__ import annotations

import numpy as np
import pytest
from blurcore_reference import oracle as reference
from equal_snr import EqualSNR

import blurcore as bc
from blurcore import likelihood
from blurcore.errors import ArgumentError
from blurcore.resolution import restrict, scale_of, shrink
from blurcore.testing import check_process
from blurcore.testing.assertions import assert_close

RNG = np.random.default_rng(7)
PERIODIC = bc.BlurringDiffusion(blur=bc.Sin(sigma_blur_max=2.0), basis=bc.RealFourier())
HEAT = bc.HeatDissipation(sigma=0.1, blur=bc.SinSquared(sigma_blur_max=2.0))
SIZES = {
    "one axis": (bc.BlurringDiffusion(), (9,), (4,)),
    "square": (bc.BlurringDiffusion(), (6, 6), (3, 3)),
    "uneven": (bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=3.0)), (5, 8), (4, 3)),
    "volume": (HEAT, (3, 4, 2), (3, 2, 1)),
    "periodic": (PERIODIC, (7, 6), (3, 5)),
}
SPECTRAL = EqualSNR(spectrum=(1.0, 0.3, 0.05))


def shape_of(matrix: np.ndarray, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Return the diagonal of a matrix over pixels in the small basis, and see that there is nothing beside it."""
    v = reference.dense_basis(kind, shape)
    found = v.T @ matrix @ v
    np.testing.assert_allclose(found, np.diag(np.diag(found)), rtol=0, atol=1e-12 * (1 + abs(found).max()))
    return np.diag(found).reshape(shape)


@pytest.mark.parametrize(("process", "shape", "to"), SIZES.values(), ids=SIZES)
def test_first_coefficients_are_those_of_the_smaller_image(xp, process, shape, to):
    x = RNG.standard_normal(shape)
    axes = tuple(range(len(shape)))
    kind = type(process.basis).__name__
    small = (reference.restriction_matrix(kind, shape, to) @ x.reshape(-1)).reshape(to)
    u = process.basis.forward(xp.asarray(x, "float64"), axes=axes)
    found = restrict(process, shape, to).basis.inverse(shrink(u, to, axes=axes), axes=axes)
    assert_close(found, small, rtol=0, atol=1e-13, like=u)


@pytest.mark.parametrize(("process", "shape", "to"), SIZES.values(), ids=SIZES)
def test_steps_are_those_of_smaller_images_by_linear_algebra(process, shape, to):
    described, kind = bc.to_dict(process), type(process.basis).__name__
    small = restrict(process, shape, to)
    r = reference.restriction_matrix(kind, shape, to)
    for t, s in ((0.6, 0.3), (0.3, 0.25)):
        m = small.marginal(t, shape=to)
        matrix, covariance = reference.restricted_marginal(described, t, shape, to)
        v = reference.dense_basis(kind, to)
        np.testing.assert_allclose(v @ np.diag(m.alpha.ravel()) @ v.T @ r, matrix, rtol=0, atol=1e-12)
        np.testing.assert_allclose(shape_of(covariance, to, kind), m.sigma**2 + np.zeros(to), rtol=1e-10)
        step = bc.transition(small, t, s, shape=to)
        matrix, covariance = reference.restricted_transition(described, t, s, shape, to)
        np.testing.assert_allclose(step.alpha, shape_of(matrix, to, kind), rtol=0, atol=1e-11)
        np.testing.assert_allclose(step.variance, shape_of(covariance, to, kind), rtol=1e-9, atol=1e-13)
        q = bc.posterior(small, t, s, shape=to)
        on_state, on_data, covariance = reference.restricted_posterior(described, t, s, shape, to)
        np.testing.assert_allclose(q.z_coef, shape_of(on_state, to, kind), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(v @ np.diag(q.x_coef.ravel()) @ v.T @ r, on_data, rtol=0, atol=1e-11)
        np.testing.assert_allclose(q.variance, shape_of(covariance, to, kind), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("process", [bc.BlurringDiffusion(), PERIODIC, HEAT, SPECTRAL], ids=lambda p: type(p).__name__)
def test_restricted_process_is_a_process(process):
    check_process(restrict(process, (9, 7), (5, 3)), shapes=((5, 3),))


def test_it_is_restricted_again_to_the_same():
    twice = restrict(restrict(bc.BlurringDiffusion(), (12, 8), (6, 6)), (6, 6), (3, 2))
    assert twice == restrict(bc.BlurringDiffusion(), (12, 8), (3, 2))
    assert hash(twice) == hash(restrict(bc.BlurringDiffusion(), (12, 8), (3, 2)))
    assert restrict(twice, (3, 2), (3, 2)) is twice


def test_equal_ratios_are_a_smaller_blur_and_less_noise():
    """What makes it a blurring process in pixels of the smaller image: sigma_B M / N."""
    small = restrict(bc.BlurringDiffusion(), (32, 32), (8, 8))
    scaled = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=5.0))
    for t in (0.1, 0.5, 1.0):
        (alpha, sigma), other = small.marginal(t, shape=(8, 8)), scaled.marginal(t, shape=(8, 8))
        np.testing.assert_allclose(alpha, other.alpha, rtol=1e-13)
        np.testing.assert_allclose(sigma, other.sigma / 4, rtol=1e-15)


def test_what_works_on_processes_works_in_every_library(xp):
    """Noisy data, training pairs, the loss and the bound of smaller images are the larger ones', shrunk, in their units."""
    process, shape, to = bc.BlurringDiffusion(), (6, 8), (3, 4)
    small, r = restrict(process, shape, to), scale_of(to, shape)
    t = xp.asarray([0.1, 0.6], "float32")
    x, eps = (xp.asarray(RNG.standard_normal((2, 3, *shape))) for _ in range(2))

    def shown(values):
        return small.basis.inverse(shrink(process.basis.forward(values), to))

    y, noise = shown(x), shown(eps) / r
    whole, left = (
        bc.training_pair(process, x, t, eps, prediction="x0"),
        bc.training_pair(small, y, t, noise, prediction="x0"),
    )
    for a, b in zip(left, whole, strict=True):
        assert_close(a, xp.to_numpy(shown(b)), rtol=0, atol=2e-6, like=x)


def test_bound_of_smaller_images_lacks_what_is_dropped_and_nothing_else():
    """The divergence of a step is a sum over frequencies, in which the units cancel."""
    process, shape, to = bc.BlurringDiffusion(), (6, 8), (3, 4)
    small = restrict(process, shape, to)
    u0, guess = RNG.standard_normal((2, 3, 2, *shape))
    whole = likelihood.diffusion_step(process, u0, guess, 0.5, 0.4)
    left = likelihood.diffusion_step(small, shrink(u0, to), shrink(guess, to), 0.5, 0.4)
    weight = np.exp(process.log_snr(0.4, shape=shape)) - np.exp(process.log_snr(0.5, shape=shape))
    weight[:3, :4] = 0
    np.testing.assert_allclose(whole - left, 0.5 * np.sum(weight * (u0 - guess) ** 2, axis=(1, 2, 3)), rtol=1e-9)


SOLVERS = {
    "ancestral": bc.Ancestral,
    "ddim": bc.DDIM,
    "dpm 3": lambda process: bc.DPMSolverPP(process=process, order=3),
    "sde": bc.DPMSolverSDE,
    "euler": bc.Euler,
    "heun": bc.Heun,
    "inverse heat": bc.InverseHeat,
    "cold": bc.ColdImproved,
}


@pytest.mark.parametrize("name", SOLVERS)
def test_steps_of_solvers_commute_with_the_restriction(name):
    """Shrink and step, or step and shrink: with predictions and noise that are each other's restriction, memory included."""
    process, shape, to = bc.BlurringDiffusion(), (6, 8), (4, 3)
    small, r = restrict(process, shape, to), scale_of(to, shape)
    large, little = (SOLVERS[name](process=p) for p in (process, small))
    state = large.start(RNG.standard_normal(shape))
    less = little.start(shrink(state.u, to))
    for t, s in large.stages((0.6, 0.5, 0.45, 0.3)):
        x0, noise = RNG.standard_normal(shape), RNG.standard_normal(shape)
        eps = bc.convert(x0, "x0", "eps", z=state.u, marginal=process.marginal(t, shape=shape))
        small_eps = bc.convert(shrink(x0, to), "x0", "eps", z=less.u, marginal=small.marginal(t, shape=to))
        np.testing.assert_allclose(small_eps, shrink(eps, to) / r, rtol=1e-9, atol=1e-9)
        state = large.step(state, bc.Prediction(x0=x0, eps=eps), t, s, noise if large.uses_noise else None)
        given = shrink(noise, to) / r if little.uses_noise else None
        less = little.step(less, bc.Prediction(x0=shrink(x0, to), eps=small_eps), t, s, given)
        np.testing.assert_allclose(less.u, shrink(state.u, to), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: restrict(bc.GaussianDiffusion(), (8,), (4,)), "to must be a size to which Identity nests"),
        (lambda: restrict(bc.BlurringDiffusion(basis=bc.DST()), (8,), (4,)), "to must be a size to which DST nests"),
        (lambda: restrict(PERIODIC, (8, 8), (3, 4)), "no smaller image of 4 points for 8"),
        (lambda: restrict(bc.BlurringDiffusion(), (8, 8), (4,)), r"to must be at most shape = \(8, 8\)"),
        (lambda: restrict(bc.BlurringDiffusion(), (8,), (9,)), r"to must be at most shape = \(8,\)"),
        (lambda: shrink(np.zeros((4, 4)), (4, 5)), r"to must be at most the grid of u, \(4, 4\)"),
        (lambda: restrict(bc.BlurringDiffusion(), (8,), (4,)).marginal(0.5, shape=(8,)), r"shape must be \(4,\)"),
        (
            lambda: restrict(restrict(bc.BlurringDiffusion(), (8,), (4,)), (8,), (2,)),
            r"shape must be \(4,\), the grid of the restricted process; got \(8,\)",
        ),
    ],
)
def test_mistakes_are_one_sentence(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_sizes_that_stay_are_no_restriction():
    for process in (bc.GaussianDiffusion(), bc.BlurringDiffusion(basis=bc.DST())):
        assert restrict(process, (5, 8), (5, 8)) is process


def test_what_has_no_basis_to_exchange_is_named():
    class Odd:
        basis = bc.DCT()

    with pytest.raises(ArgumentError, match="process must be a dataclass with a field basis"):
        restrict(Odd(), (8,), (4,))
