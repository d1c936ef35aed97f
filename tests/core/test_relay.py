"""Sampling from given and from smaller images: the handover against closed forms of Gaussian data, and against pixels."""

from __future__ import annotations

import numpy as np
import pytest
from blurcore_reference import restoration as truth

import blurcore as bc
from blurcore import oracle, relay
from blurcore.errors import ArgumentError, DegenerateError
from blurcore.testing.assertions import assert_close

GRID, SMALL = (8, 12), (4, 6)
RNG = np.random.default_rng(11)
PROCESS = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=10.0))
SPECTRUM = 1 / (np.asarray(bc.DCT().eigenvalues(GRID)) + 0.05)


def test_embedding_is_the_transpose_of_the_restriction_in_pixels(xp):
    """The larger image of a smaller one is the smooth one that restricts to it: (N / M) R^T, R as a matrix over pixels."""
    x = RNG.standard_normal((2, *SMALL))
    u = relay.embed(bc.DCT().forward(xp.asarray(x, "float64")), GRID)
    found = bc.DCT().inverse(u)
    matrix = truth.restrict_matrix(GRID, 2)
    right = (x.reshape(2, -1) @ matrix * 4).reshape(2, *GRID)
    assert_close(found, right, rtol=0, atol=1e-13, like=found)
    np.testing.assert_allclose((matrix @ right.reshape(2, -1).T).T.reshape(2, *SMALL), x, atol=1e-13)


def exact_step(u_mean, u_variance, t, s, c, process, shape):
    """Return mean and variance of each frequency after a step of calibrated sampling with the exact denoiser: affine."""
    m = bc.Marginal(*(np.broadcast_to(v, shape) for v in process.marginal(t, shape=shape)))
    q = bc.posterior(process, t, s, shape=shape)
    gain = m.alpha * c / (m.alpha**2 * c + m.sigma**2)
    weight = q.z_coef + q.x_coef * gain
    left = oracle.gaussian_variance(variance=c, marginal=m)
    return weight * u_mean, weight**2 * u_variance + q.variance + q.x_coef**2 * left


@pytest.mark.parametrize("t", [0.15, 0.25])
def test_spectrum_after_the_handover_is_right_to_what_the_missing_frequencies_cost(t):
    """Small images that are samples of the restricted data; enlarged, noised at t, and brought to 0 with the exact denoiser.

    In what the small image has the result is exact; in what it lacks the start is N(0, sigma^2) for N(0, alpha^2 c + sigma^2), off by
    the ratio alpha^2 c / sigma^2 at most, which the steps after it, contractions, do not enlarge.
    """
    m = bc.Marginal(*(np.broadcast_to(v, GRID) for v in PROCESS.marginal(t, shape=GRID)))
    variance_small = SPECTRUM[:4, :6] / 4  # in the coefficients of the small image: M / N of each axis
    embedded = relay.embed(np.sqrt(variance_small), GRID) ** 2
    variance = m.alpha**2 * embedded + m.sigma**2
    mean = np.zeros(GRID)
    times = relay.times_from(bc.uniform_times(50), t)
    for now, then in zip(times[:-1], times[1:], strict=True):
        mean, variance = exact_step(mean, variance, now, then, SPECTRUM, PROCESS, GRID)
    last = PROCESS.marginal(0.0, shape=GRID)
    right = last.alpha**2 * SPECTRUM + last.sigma**2
    lacking = relay.missing(GRID, SMALL)
    np.testing.assert_allclose(variance[~lacking], right[~lacking], rtol=1e-9)
    ratio = (m.alpha**2 * SPECTRUM / m.sigma**2)[lacking]
    assert np.all(np.abs(variance / right - 1)[lacking] <= ratio + 1e-9)
    assert np.abs(variance / right - 1)[lacking].max() > 1e-9  # the bound is not empty
    assert relay.handover_cost(PROCESS, t, grid=GRID, small=SMALL, spectrum=SPECTRUM) == pytest.approx(ratio.sum() / 2)


@pytest.mark.parametrize("tolerance", [1e-3, 0.01, 1.0])
@pytest.mark.parametrize("process", [PROCESS, bc.GaussianDiffusion()], ids=["blurring", "gaussian"])
def test_handover_is_as_early_as_the_tolerance_lets_it(process, tolerance):
    t = relay.handover_time(process, grid=GRID, small=SMALL, spectrum=SPECTRUM, tolerance=tolerance)
    assert relay.handover_cost(process, t, grid=GRID, small=SMALL, spectrum=SPECTRUM) <= tolerance
    assert relay.handover_cost(process, np.nextafter(t, 0), grid=GRID, small=SMALL, spectrum=SPECTRUM) > tolerance * (
        1 - 1e-9
    )


def test_blur_lets_the_larger_model_take_over_earlier():
    """The point of a relay in frequency space: what the small image lacks is dead long before all is noise."""
    blurred, plain = (
        relay.handover_time(process, grid=GRID, small=SMALL, spectrum=SPECTRUM, tolerance=0.1)
        for process in (bc.BlurringDiffusion(), bc.GaussianDiffusion())
    )
    assert blurred < 0.6 < 0.9 < plain


def test_states_are_the_process_of_data_and_of_enlarged_data(xp):
    x = xp.asarray(RNG.standard_normal((2, *GRID)), "float64")
    silence = xp.asarray(np.zeros((2, *GRID)), "float64")
    found = bc.DCT().inverse(relay.image_state(PROCESS, x, 0.4))
    assert_close(found, xp.to_numpy(bc.diffuse(PROCESS, x, 0.4, silence)), rtol=0, atol=1e-12, like=x)
    y = xp.asarray(RNG.standard_normal((2, *SMALL)), "float64")
    whole = bc.DCT().inverse(relay.embed(bc.DCT().forward(y), GRID))
    state = relay.enlarged_state(PROCESS, y, 0.4, GRID)
    right = xp.to_numpy(bc.diffuse(PROCESS, whole, 0.4, silence))
    assert_close(bc.DCT().inverse(state), right, rtol=0, atol=1e-12, like=y)


def test_times_begin_where_sampling_does():
    assert relay.times_from((1.0, 0.5, 0.25, 0.0), 0.4) == (0.4, 0.25, 0.0)
    assert relay.times_from((1.0, 0.5, 0.25, 0.0), 0.5) == (0.5, 0.25, 0.0)
    assert relay.times_from((1.0, 0.0), 1.0) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: relay.times_from((1.0, 0.0), 0.0), r"start must be a time in \(0, 1\]; got 0.0"),
        (lambda: relay.embed(np.zeros((4, 4)), (2, 8)), r"grid must be at least that of u, \(4, 4\); got \(2, 8\)"),
        (lambda: relay.missing((4, 4), (8, 2)), r"small must be at most \(4, 4\); got \(8, 2\)"),
        (lambda: relay.handover_time(PROCESS, grid=GRID, small=SMALL, tolerance=0.0), "tolerance must be positive"),
        (
            lambda: relay.handover_time(bc.GaussianDiffusion(), grid=GRID, small=SMALL, spectrum=1.0, tolerance=1e-6),
            "tolerance must be at least .* nats for GaussianDiffusion",
        ),
    ],
)
def test_mistakes_are_one_sentence(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_without_noise_nothing_stands_for_what_is_missing():
    with pytest.raises(DegenerateError, match=r"no noise at t = 0\.5"):
        relay.handover_cost(bc.ColdDiffusion(), 0.5, grid=GRID, small=SMALL)
