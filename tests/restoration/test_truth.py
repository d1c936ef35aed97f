"""Restoration with exact denoisers, held to the posterior that linear algebra on full matrices finds (SPEC 12).

A chain with an exact denoiser of Gaussian data is affine in its noise, so that its output has a mean and a covariance in
closed form: one item of the batch for each noise that there is, and no sampling error.
"""

from __future__ import annotations

import numpy as np
import pytest
from blurcore_reference import bases
from blurcore_reference import restoration as truth

import blurcore as bc
from blurcore import oracle
from blurcore import restoration as rs

GRID = (4, 6)
SIZE = 24
AXES = (1, 2)
RNG = np.random.default_rng(21)
MEAN = RNG.standard_normal(GRID)
SPECTRUM = rs.Spectrum(MEAN, 1 / (np.asarray(bc.DCT().eigenvalues(GRID)) + 0.1) * RNG.uniform(0.5, 2, GRID))
VARIANCE = 0.05**2
DIAGONAL = {
    "identity": (rs.Identity(), np.eye(SIZE)),
    "blur": (rs.Blur(sigma=1.3), truth.blur_matrix("DCT", GRID, 1.3)),
    "low pass": (rs.LowPass(cutoff=0.6), truth.low_pass_matrix("DCT", GRID, 0.6)),
    "restrict": (rs.Restrict(factor=2), truth.restrict_matrix(GRID, 2)),
}
HIDDEN = np.ones(GRID)
HIDDEN[1:3, 2:4] = 0
DENSE = {
    "average": (rs.Average(factor=2), truth.average_matrix(GRID, 2)),
    "mask": (rs.Mask(low=0.25, high=0.75), np.eye(SIZE)[HIDDEN.reshape(-1) > 0]),
}
ALL = DIAGONAL | DENSE
PROCESSES = {
    "blurring": bc.BlurringDiffusion(),
    "gaussian": bc.GaussianDiffusion(),
    "heat": bc.HeatDissipation(blur=bc.LogLinear(num_levels=20, sigma_blur_max=2.0)),
}
V = bases.dense_basis("DCT", GRID)


def problem(name, process=None, seed=0):
    """Return an operator, what it observed of data drawn from the spectrum, and the true posterior in frequency space."""
    operator, matrix = ALL[name]
    rng = np.random.default_rng(seed)
    u0 = MEAN + np.sqrt(SPECTRUM.variance) * rng.standard_normal(GRID)
    x0 = V @ u0.reshape(-1)
    y = matrix @ x0 + VARIANCE**0.5 * rng.standard_normal(len(matrix))
    covariance = V @ np.diag(SPECTRUM.variance.reshape(-1)) @ V.T
    mean, after = truth.posterior_given(V @ MEAN.reshape(-1), covariance, matrix, y, VARIANCE)
    observation = operator.observation(bc.DCT(), GRID, axes=AXES)
    if name == "mask":
        picture = np.zeros(SIZE)
        picture[HIDDEN.reshape(-1) > 0] = y
    else:
        picture = y
    picture = picture.reshape(1, *observation.seen, 1)
    return observation, picture, V.T @ mean, V.T @ after @ V


class Exact:
    """The exact denoiser of the spectrum, and its Jacobian, which is diagonal."""

    def __init__(self, process):
        self.process = process

    def marginal(self, t):
        return bc.Marginal(*(np.broadcast_to(c, GRID) for c in self.process.marginal(t, shape=GRID)))

    def ask(self, u, t):
        m = bc.Marginal(*(c[..., None] for c in self.marginal(t)))
        x0 = oracle.gaussian_denoiser(
            u, mean=MEAN[None, ..., None], variance=SPECTRUM.variance[None, ..., None], marginal=m
        )
        c = SPECTRUM.variance[..., None]
        gain = m.alpha * c / (m.alpha**2 * c + m.sigma**2)
        return rs.Guess(x0, lambda v: gain * v)

    def covariance(self, t):
        return oracle.gaussian_variance(variance=SPECTRUM.variance, marginal=self.marginal(t))


def restored(method, process, observation, y, noise, steps):
    """Return the output of a method with the exact denoiser, (batch, SIZE), in frequency space."""
    exact = Exact(process)
    return rs.restore(
        process,
        method,
        rs.Problem(observation, y, VARIANCE),
        exact.ask,
        noise,
        times=bc.uniform_times(steps),
        covariance=exact.covariance,
        prior=SPECTRUM,
        axes=AXES,
    ).reshape(len(y), SIZE)


def affine(method, process, observation, picture, steps):
    """Return mean and covariance of the output: that of silence, and the squares of the answers to each noise alone."""
    y = observation.read(picture)
    sizes = (SIZE, SIZE, int(np.prod(y.shape[1:])))
    total = sum(sizes)
    count = 1 + (steps + 1) * total

    def noise(k):
        parts, first = [], 1 + k * total
        for size, shape in zip(sizes, ((*GRID, 1), (*GRID, 1), y.shape[1:]), strict=True):
            part = np.zeros((count, size))
            part[first + np.arange(size), np.arange(size)] = 1
            parts.append(part.reshape(count, *shape))
            first += size
        return rs.Noise(*parts)

    result = restored(method, process, observation, np.repeat(y, count, axis=0), noise, steps)
    away = result[1:] - result[0]
    return result[0], away.T @ away


def expected(process, mean, covariance):
    """Return mean and covariance of the state at t = 0, where a chain ends: a_0 u_0 and the noise that is left (SPEC 9)."""
    alpha, sigma = (np.broadcast_to(c, GRID).reshape(-1) for c in process.marginal(0.0, shape=GRID))
    return alpha * mean, alpha[:, None] * covariance * alpha + np.diag(sigma**2)


def spectrum_after(method, process, observation, y, steps):
    """Return mean and variance of each frequency of the output; of a diagonal operator one item serves all frequencies."""
    count, shape = 1 + 3 * (steps + 1), (*GRID, 1)

    def noise(k):
        parts = np.zeros((3, count, *shape))
        for i in range(3):
            parts[i, 1 + 3 * k + i] = 1
        return rs.Noise(*parts)

    result = restored(method, process, observation, np.repeat(y, count, axis=0), noise, steps)
    return result[0], np.sum((result[1:] - result[0]) ** 2, axis=0)


@pytest.mark.parametrize("name", DIAGONAL)
@pytest.mark.parametrize("kind", PROCESSES)
def test_mean_and_spectrum_after_a_hundred_steps(kind, name):
    observation, picture, mean, covariance = problem(name)
    found = spectrum_after(rs.Calibrated(), PROCESSES[kind], observation, observation.read(picture), 100)
    right_mean, right = expected(PROCESSES[kind], mean, covariance)
    np.testing.assert_allclose(found[0], right_mean, atol=1e-9)
    np.testing.assert_allclose(found[1], np.diag(right), rtol=1e-9)


@pytest.mark.parametrize("name", DIAGONAL)
def test_posterior_in_the_basis_is_the_one_of_the_full_matrices(name):
    """The two texts of the truth: diagonal, frequency by frequency, and by precisions of all pixels."""
    observation, picture, mean, covariance = problem(name)
    y = observation.read(picture)[0, ..., 0]
    found = truth.diagonal_posterior(MEAN, SPECTRUM.variance, observation.gain, y, VARIANCE)
    np.testing.assert_allclose(found[0].reshape(-1), mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.diag(found[1].reshape(-1)), covariance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", PROCESSES)
def test_calibrated_is_exact_for_gaussian_data_at_any_number_of_steps(kind, name, steps):
    observation, picture, mean, covariance = problem(name)
    found_mean, found = affine(rs.Calibrated(), PROCESSES[kind], observation, picture, steps)
    right_mean, right = expected(PROCESSES[kind], mean, covariance)
    # conjugate gradients stop at 1e-6 of their right side, once a step; what is diagonal is right to rounding
    loose = 1e-4 if name == "mask" else 1e-9
    np.testing.assert_allclose(found_mean, right_mean, atol=loose)
    np.testing.assert_allclose(found, right, atol=loose * np.sqrt(np.outer(np.diag(right), np.diag(right))).max())


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_covariance_is_seen(name):
    """What the tests above would miss, they would miss for all: half of the right covariance is not the right one."""
    observation, picture, _, covariance = problem(name)
    exact = Exact.covariance
    try:
        Exact.covariance = lambda self, t: exact(self, t) / 2
        _, found = affine(rs.Calibrated(), PROCESSES["blurring"], observation, picture, 5)
    finally:
        Exact.covariance = exact
    _, right = expected(PROCESSES["blurring"], np.zeros(SIZE), covariance)
    assert np.abs(np.diag(found) / np.diag(right) - 1).max() > 0.01


@pytest.mark.parametrize("name", ALL)
def test_guidance_by_the_gradient_has_the_same_mean(name):
    """For an exact denoiser the Jacobian is alpha C / sigma^2: one step of PiGDM with eta = 1 has the mean of Calibrated."""
    observation, picture, _, _ = problem(name)
    found, _ = affine(rs.PiGDM(eta=1.0), PROCESSES["blurring"], observation, picture, 5)
    right, _ = affine(rs.Calibrated(), PROCESSES["blurring"], observation, picture, 5)
    np.testing.assert_allclose(found, right, atol=1e-4 if name == "mask" else 1e-9)


@pytest.mark.parametrize("method", [rs.DDRM(), rs.PiGDM(), rs.DPS(scale=0.2)], ids=lambda m: type(m).__name__)
def test_every_method_comes_closer_to_the_truth_than_an_unconditional_sample(method):
    observation, picture, mean, _ = problem("blur")
    u0, y = SPECTRUM, observation.read(picture)
    rng = np.random.default_rng(3)
    shape = (64, *GRID, 1)
    exact = Exact(PROCESSES["blurring"])
    result = rs.restore(
        exact.process,
        method,
        rs.Problem(observation, np.repeat(y, 64, axis=0), VARIANCE),
        exact.ask,
        lambda k: rs.Noise(*(rng.standard_normal(s) for s in (shape, shape, shape))),
        times=bc.uniform_times(100),
        covariance=exact.covariance,
        prior=SPECTRUM,
        axes=AXES,
    ).reshape(64, SIZE)
    distance = np.mean(np.sum((result - mean) ** 2, axis=1))
    ignorant = np.sum(u0.variance) + np.sum((MEAN.reshape(-1) - mean) ** 2)
    assert distance < ignorant / 2
