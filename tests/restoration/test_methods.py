"""Each method's step against a second text: DDRM in its paper's variables, gradients by difference quotients."""

from __future__ import annotations

import numpy as np
import pytest
from blurcore_reference import restoration as truth
from hypothesis import given
from hypothesis import strategies as st

import blurcore as bc
from blurcore import restoration as rs
from blurcore.errors import ArgumentError
from blurcore.testing.assertions import assert_close

GRID = (3, 4)
RNG = np.random.default_rng(8)
unit = st.floats(0.0, 1.0)


def stage_of(process, t, s, covariance=None):
    """Return what a step wants, for states (batch, *grid)."""
    like = np.empty((1, *GRID))
    q = bc.posterior(process, t, s, shape=GRID)
    c = np.ones(GRID) if covariance is None else covariance
    return rs.Stage(
        bc.marginal_for(process, t, like), bc.marginal_for(process, s, like), type(q)(*(v[None] for v in q)), c[None]
    )


def zero_noise(u, y):
    return rs.Noise(np.zeros_like(u), np.zeros_like(u), np.zeros_like(y))


@given(t=st.floats(0.1, 1.0), share=st.floats(0.0, 0.95), noise=st.floats(1e-3, 2.0), eta=unit, eta_b=unit)
def test_ddrm_is_the_paper_in_its_own_variables(t, share, noise, eta, eta_b):
    process, method = bc.BlurringDiffusion(), rs.DDRM(eta=eta, eta_b=eta_b)
    observation = rs.Blur(sigma=0.8).observation(bc.DCT(), GRID, axes=(1, 2))
    observation.gain[0, 1] = 0.0  # one that is not seen at all
    s = share * t
    u, x0, y = RNG.standard_normal((3, 1, *GRID))
    stage, silent = stage_of(process, t, s), zero_noise(u, y)
    problem, guess = rs.Problem(observation, y, noise**2), rs.Guess(x0, lambda v: v)
    mean = method.step(stage, problem, u, guess, silent)
    drawn = method.step(stage, problem, u, guess, silent._replace(state=np.ones_like(u)))
    now, after = (tuple(np.broadcast_to(c, GRID) for c in process.marginal(time, shape=GRID)) for time in (t, s))
    for k in np.ndindex(*GRID):
        scales = (now[0][k], now[1][k]), (after[0][k], after[1][k])
        right = truth.ddrm_step(x0[0][k], u[0][k], y[0][k], observation.gain[k], *scales, noise**2, eta, eta_b)
        # the variance is a difference that cancels where level and noise meet: 1e-16 of the level, under the root
        np.testing.assert_allclose([mean[0][k], drawn[0][k] - mean[0][k]], right, rtol=1e-7, atol=1e-7)


def smooth_guess(process, u, t):
    """A predictor with a Jacobian that is not diagonal, and its product with a vector by difference quotients."""
    matrix = np.random.default_rng(2).standard_normal((12, 12)) / 4

    def x0_of(v):
        return np.tanh(v.reshape(-1, 12) @ matrix).reshape(v.shape)

    def pull(v):
        out, h = np.zeros_like(v), 1e-5
        for i in range(12):
            e = np.zeros((1, 12))
            e[0, i] = h
            e = e.reshape(1, *GRID)
            slope = (x0_of(u + e) - x0_of(u - e)) / (2 * h)
            out.reshape(len(v), 12)[:, i] = np.sum((slope * v).reshape(len(v), 12), axis=1)
        return out

    return x0_of, pull


@pytest.mark.parametrize("operator", [rs.Blur(sigma=0.7), rs.Average(factor=1), rs.Mask(low=0.3, high=0.7)])
def test_dps_goes_down_the_distance(operator):
    process, scale = bc.BlurringDiffusion(), 0.3
    observation = operator.observation(bc.DCT(), GRID, axes=(1, 2))
    u = RNG.standard_normal((2, *GRID))
    y = observation.read(RNG.standard_normal((2, *GRID)))
    x0_of, pull = smooth_guess(process, u, 0.5)
    problem, stage = rs.Problem(observation, y, 0.01), stage_of(process, 0.5, 0.4)
    found = rs.DPS(scale=scale).step(stage, problem, u, rs.Guess(x0_of(u), pull), zero_noise(u, y))
    plain = stage.posterior.z_coef * u + stage.posterior.x_coef * x0_of(u)

    def distance(v):
        return np.sqrt(np.sum((y - observation.observe(x0_of(v))) ** 2, axis=(1, 2)))

    h = 1e-5
    for k in np.ndindex(*GRID):
        e = np.zeros((1, *GRID))
        e[(0, *k)] = h
        slope = (distance(u + e) - distance(u - e)) / (2 * h)
        np.testing.assert_allclose((found - plain)[(slice(None), *k)], -scale * slope, rtol=1e-5, atol=1e-8)


def test_pigdm_goes_up_the_likelihood_of_what_was_observed():
    """Its g is the gradient of log N(y; H x0(u), H C H^T + r) with C held, and enters x0 and eps as a score does."""
    process, c = bc.BlurringDiffusion(), RNG.uniform(0.2, 1.0, GRID)
    observation = rs.Mask(low=0.3, high=0.7).observation(bc.DCT(), GRID, axes=(1, 2))
    u = RNG.standard_normal((1, *GRID))
    y = observation.read(RNG.standard_normal((1, *GRID)))
    x0_of, pull = smooth_guess(process, u, 0.5)
    stage, variance = stage_of(process, 0.5, 0.4, c), 0.05
    problem = rs.Problem(observation, y, variance)
    method = rs.PiGDM(eta=0.6)
    found = method.step(stage, problem, u, rs.Guess(x0_of(u), pull), zero_noise(u, y))
    h = observation.observe(np.eye(12).reshape(12, *GRID)).reshape(12, 12).T
    inverse = np.linalg.inv(h @ np.diag(c.reshape(-1)) @ h.T + variance * np.eye(12))
    g = pull((h.T @ inverse @ (y.reshape(-1) - h @ x0_of(u).reshape(-1))).reshape(1, *GRID))
    (alpha, sigma), (alpha_s, sigma_s) = stage.now, stage.after
    x0 = x0_of(u) + sigma**2 / alpha * g
    eps = (u - alpha * x0) / sigma
    right = alpha_s * x0 + np.sqrt(sigma_s**2 - 0.36 * stage.posterior.variance) * eps
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)


METHODS = [rs.Calibrated(), rs.DDRM(), rs.PiGDM(), rs.DPS()]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_steps_are_the_same_on_every_library(method, xp):
    process = bc.BlurringDiffusion()
    observation = rs.Blur(sigma=0.7).observation(bc.DCT(), GRID, axes=(1, 2))
    u, x0, y, *noise = np.random.default_rng(1).standard_normal((6, 2, *GRID))
    stage = stage_of(process, 0.5, 0.4)

    def step(move):
        moved = rs.Stage(
            *(type(part)(*(move(np.broadcast_to(v, u.shape)) for v in part)) for part in stage[:3]),
            move(np.broadcast_to(stage.covariance, u.shape)),
        )
        problem = rs.Problem(observation, move(y), 0.01)
        return method.step(moved, problem, move(u), rs.Guess(move(x0), lambda v: 0.5 * v), rs.Noise(*map(move, noise)))

    found = step(lambda v: xp.asarray(v, "float64"))
    assert_close(found, step(np.asarray), rtol=1e-12, atol=1e-12, like=found)


def test_ddrm_names_the_operators_that_it_takes():
    observation = rs.Average(factor=1).observation(bc.DCT(), GRID, axes=(1, 2))
    with pytest.raises(ArgumentError, match="another than DDRM for an operator that is not diagonal"):
        rs.DDRM().check_operator(observation)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rs.DDRM(eta=1.5), r"eta must be in \[0, 1\]; got 1.5"),
        (lambda: rs.DDRM(eta_b=-0.1), "eta_b must be in"),
        (lambda: rs.PiGDM(eta=2.0), "eta must be in"),
        (lambda: rs.DPS(scale=0.0), "scale must be positive"),
    ],
)
def test_mistakes_are_one_sentence(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_noise_of_the_observation_must_be_there():
    observation = rs.Identity().observation(bc.DCT(), GRID, axes=(1, 2))
    y = np.zeros((1, *GRID))
    with pytest.raises(ArgumentError, match="variance must be positive"):
        rs.restore(
            bc.BlurringDiffusion(),
            rs.Calibrated(),
            rs.Problem(observation, y, 0.0),
            lambda u, t: rs.Guess(u, lambda v: v),
            lambda k: rs.Noise(y, y, y),
            times=(1.0, 0.0),
            covariance=lambda t: np.ones(GRID),
            prior=rs.Spectrum(np.zeros(GRID), np.ones(GRID)),
            axes=(1, 2),
        )
