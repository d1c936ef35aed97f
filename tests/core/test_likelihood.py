"""The terms of the bounds against dense linear algebra and scipy, and whole bounds against the truth on Gaussian data."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from blurcore_reference import likelihood as direct
from blurcore_reference import oracle as reference

import blurcore as bc
from blurcore import likelihood, oracle
from blurcore.errors import ArgumentError, DegenerateError
from blurcore.testing.assertions import assert_close

SHAPE = (3, 4)
RNG = np.random.default_rng(7)
PROCESS = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=2.0))


def _data(xp: Any, *arrays: np.ndarray) -> tuple[Any, ...]:
    return tuple(xp.asarray(a, "float64") for a in arrays)


def test_prior_term_is_the_divergence_of_dense_distributions(xp: Any) -> None:
    x = RNG.uniform(-1, 1, (2, *SHAPE))
    (data,) = _data(xp, x)
    got = likelihood.prior_kl(PROCESS, PROCESS.basis.forward(data))
    matrix, covariance = reference.marginal_dense(bc.to_dict(PROCESS), 1.0, SHAPE)
    expected = [direct.gaussian_divergence(matrix @ row.ravel(), covariance, 0 * row.ravel(), covariance) for row in x]
    assert_close(got, np.array(expected), like=data, rtol=1e-9)


def test_step_term_is_the_divergence_of_dense_posteriors(xp: Any) -> None:
    t, s = 0.5, 0.46
    x, guess, z = RNG.standard_normal((3, 2, *SHAPE))
    u0, x0 = (PROCESS.basis.forward(v) for v in _data(xp, x, guess))
    got = likelihood.diffusion_step(PROCESS, u0, x0, t, s)
    expected = []
    for row, said, state in zip(x, guess, z, strict=True):
        of_z, of_x, covariance = reference.posterior_dense(bc.to_dict(PROCESS), t, s, SHAPE)
        means = [of_z @ state.ravel() + of_x @ v.ravel() for v in (row, said)]
        expected.append(direct.gaussian_divergence(means[0], covariance, means[1], covariance))
    assert_close(got, np.array(expected), like=u0, rtol=1e-8)


def test_rate_is_the_limit_of_short_steps(xp: Any) -> None:
    """The mean of two one-sided quotients: an error of second order in h, 1e-4 squared times a few thousand."""
    t, h = 0.4, 1e-4
    u0, x0 = _data(xp, *RNG.standard_normal((2, 2, *SHAPE)))
    got = likelihood.diffusion_rate(PROCESS, u0, x0, t)
    quotient = likelihood.diffusion_step(PROCESS, u0, x0, t + h, t - h) / (2 * h)
    assert_close(got, quotient, rtol=1e-4)
    times = xp.asarray(np.array([t, t]), "float64")
    assert_close(likelihood.diffusion_rate(PROCESS, u0, x0, times), got, rtol=1e-9)


@pytest.mark.parametrize("std", [1e-3, 0.0067, 0.3, 20.0])
def test_reconstruction_is_the_mass_of_bins_however_far_off(xp: Any, std: float) -> None:
    levels = np.array([0, 1, 100, 254, 255]) / 127.5 - 1
    x = np.tile(levels, (3, 1))
    mean = x + np.array([[0.0], [3 * std], [-0.5]])
    data, centre = _data(xp, x, mean)
    got = likelihood.reconstruction(data, centre, std)
    expected = np.array([direct.bin_nll(a, b, std, -1.0, 1.0, 256) for a, b in zip(x, mean, strict=True)])
    # (x - half - mean) / std loses digits of 1 / std before it is squared; scipy's logarithms differ too
    assert_close(got, expected, like=data, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("std", [1e-6, 1e-4, 0.0067, 1.0, 1e6])
def test_reconstruction_is_exact_in_the_far_tails(xp: Any, std: float, dtype: str) -> None:
    """The distance in units of std is right to a few units in the last place, its square to twice as many."""
    levels = np.array([0.0, 1.0, 37.0, 63.0, 64.0]) / 32 - 1
    x = np.tile(levels, (5, 1)).astype(dtype)
    mean = x + np.array([[0.0], [2.0], [-3.0], [2.0**12], [-(2.0**30)]], dtype)
    got = likelihood.reconstruction(*(xp.asarray(v, dtype) for v in (x, mean)), std, levels=65)
    expected = [
        sum(_precise_nll(*map(float, pair), std) for pair in zip(*rows, strict=True))
        for rows in zip(x, mean, strict=True)
    ]
    eps = float(np.finfo(dtype).eps)
    assert_close(got, np.array(expected), like=xp.asarray(x, dtype), rtol=40 * eps, atol=40 * eps)


def _precise_nll(x: float, mean: float, std: float) -> float:
    """Return -log of the mass of a bin of 65 on [-1, 1], by mpmath's erfc, which has no least number."""
    with mpmath.workdps(60):
        low, high = ((mpmath.mpf(edge) - mean) / (std * mpmath.sqrt(2)) for edge in (x - 1 / 64, x + 1 / 64))
        low, high = -mpmath.inf if x == -1 else low, mpmath.inf if x == 1 else high
        if low + high < 0:
            low, high = -high, -low
        return float(-mpmath.log((mpmath.erfc(low) - mpmath.erfc(high)) / 2))


def test_bins_have_probability_one(xp: Any) -> None:
    levels = np.arange(256) / 255
    data = xp.asarray(levels[:, None], "float64")
    for mean in (-0.2, 0.5004, 1.1):
        nll = likelihood.reconstruction(data, 0 * data + mean, 0.01, low=0.0)
        assert np.exp(-xp.to_numpy(nll)).sum() == pytest.approx(1.0, rel=1e-12)


def test_heat_step_is_the_divergence_of_dense_distributions(xp: Any) -> None:
    before, mean = RNG.standard_normal((2, 2, *SHAPE))
    one = np.eye(12)
    expected = [
        direct.gaussian_divergence(a.ravel(), 0.01**2 * one, b.ravel(), 0.0125**2 * one)
        for a, b in zip(before, mean, strict=True)
    ]
    arrays = _data(xp, before, mean)
    got = likelihood.heat_step(*arrays, sigma=0.01, delta=0.0125)
    assert_close(got, np.array(expected), like=arrays[0], rtol=1e-9)


def test_mixture_term_is_the_difference_of_log_densities(xp: Any) -> None:
    u, mean, centres, sigma = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 3)), RNG.standard_normal((4, 3)), 0.7
    own = scipy.stats.norm.logpdf(u, mean, sigma).sum(axis=1)
    parts = scipy.stats.norm.logpdf(u[:, None], centres[None], sigma).sum(axis=2)
    expected = own - (scipy.special.logsumexp(parts, axis=1) - np.log(4))
    arrays = _data(xp, u, mean, centres)
    assert_close(likelihood.mixture_kl(*arrays, sigma=sigma), expected, like=arrays[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sigma", [1e-3, 0.01, 1.0, 1e25])
def test_mixture_term_of_images_in_float32_is_that_of_float64(xp: Any, sigma: float) -> None:
    """Each of the 3,072 terms is rounded to float32, and added up pairwise or one by one: at most 3,072 half units."""
    centres = RNG.uniform(-1, 1, (5, 3072)).astype(np.float32)
    centres[3] = centres[1]  # an image that is there twice
    mean = np.concatenate([centres, centres[:1] + np.float32(0.3)])
    u = (mean + sigma * RNG.standard_normal(mean.shape)).astype(np.float32)
    wide = [v.astype(np.float64) for v in (u, mean, centres)]
    own = ((wide[0] - wide[1]) ** 2).sum(axis=1) / (2 * sigma**2)
    logits = own[:, None] - ((wide[0][:, None] - wide[2]) ** 2).sum(axis=2) / (2 * sigma**2)
    got = xp.to_numpy(likelihood.mixture_kl(*(xp.asarray(v, "float32") for v in (u, mean, centres)), sigma=sigma))
    np.testing.assert_allclose(got, -scipy.special.logsumexp(logits - np.log(5), axis=1), rtol=2e-4, atol=2e-4)
    assert (likelihood.mixture_kl(u, mean, mean[:1], sigma=sigma)[0]) == 0


def test_mixture_of_many_components_is_that_of_its_parts(monkeypatch: Any) -> None:
    monkeypatch.setattr(likelihood, "_MOST_PAIRS", 30)
    u, mean, centres = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 3)), RNG.standard_normal((7, 3))
    got = likelihood.mixture_kl(u, mean, centres, sigma=0.5)
    ratios = [np.exp(-likelihood.mixture_kl(u, mean, centres[i : i + 1], sigma=0.5)) for i in range(7)]
    np.testing.assert_allclose(got, -np.log(np.mean(ratios, axis=0)), rtol=1e-12)


def test_bits_are_nats_over_dimensions_and_log_2() -> None:
    assert likelihood.bits_per_dim(12 * np.log(2), 4) == pytest.approx(3.0)


def test_what_makes_no_sense_is_refused(xp: Any) -> None:
    x = xp.asarray(np.zeros((1, 2)), "float64")
    with pytest.raises(ArgumentError, match="std must be a number above 0"):
        likelihood.reconstruction(x, x, 0.0)
    with pytest.raises(ArgumentError, match="levels must be at least 2"):
        likelihood.reconstruction(x, x, 1.0, levels=1)
    with pytest.raises(ArgumentError, match="delta must be above 0"):
        likelihood.heat_step(x, x, sigma=0.1, delta=0.0)


@pytest.mark.parametrize("process", [bc.ColdDiffusion(), bc.GaussianDiffusion(noise=bc.LinearBeta())])
def test_terms_without_noise_are_refused(process: bc.Process) -> None:
    u0 = np.ones((2, *SHAPE))
    for t in (0.0, np.array([0.0, 0.5])):
        with pytest.raises(DegenerateError, match="rate of the bound"):
            likelihood.diffusion_rate(process, u0, 0 * u0, t)
    with pytest.raises(DegenerateError, match="divergence of a step"):
        likelihood.diffusion_step(process, u0, u0, 0.5, 0.0)
    if isinstance(process, bc.ColdDiffusion):
        with pytest.raises(DegenerateError, match="prior"):
            likelihood.prior_kl(process, u0)


def test_rate_is_finite_wherever_the_ratio_of_signal_and_noise_is() -> None:
    """sigma_0^4 = e^-110 is no number of float32; the rate, some e^82, is."""
    process = bc.GaussianDiffusion(noise=bc.CosineLogSNR(log_snr_max=55.0))
    u0, t = np.ones((2, *SHAPE)), 0.0
    wide, short = (
        likelihood.diffusion_rate(process, u.astype(d), 0 * u.astype(d), t) for u, d in ((u0, "f8"), (u0 * 1e-9, "f4"))
    )
    np.testing.assert_allclose(short * 1e18, wide, rtol=1e-5)


GAUSSIAN = 0.25 / (reference.eigenvalues("DCT", SHAPE) + 0.3)
"""Variances of the data's frequencies."""


def _truth() -> float:
    """Return KL(q(z_0 | x) || p(z_0)) averaged over x for Gaussian data: the mutual information of x and z_0."""
    m = PROCESS.marginal(0.0, shape=SHAPE)
    return float(0.5 * np.sum(np.log1p(m.alpha**2 * GAUSSIAN / m.sigma**2)))


def _error(t: float) -> np.ndarray:
    """Return the root of the exact denoiser's mean squared error, whose square is what the steps' terms expect."""
    m = PROCESS.marginal(t, shape=SHAPE)
    return np.sqrt(GAUSSIAN * m.sigma**2 / (m.alpha**2 * GAUSSIAN + m.sigma**2))[None]


def _expected_bound(steps: int) -> float:
    times = bc.uniform_times(steps)
    total = likelihood.prior_kl(PROCESS, np.sqrt(GAUSSIAN)[None])
    for t, s in zip(times[:-1], times[1:], strict=True):
        total = total + likelihood.diffusion_step(PROCESS, _error(t), 0 * _error(t), t, s)
    return float(total[0])


def test_bound_of_the_exact_denoiser_meets_the_truth_from_above_like_one_over_steps() -> None:
    gaps = [_expected_bound(steps) - _truth() for steps in (250, 2000, 8000)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[1] / gaps[2] == pytest.approx(4.0, rel=0.1)  # the highest frequency is gone in a twentieth of the time
    # the integral is the limit
    integral = scipy.integrate.quad(
        lambda t: float(likelihood.diffusion_rate(PROCESS, _error(t), 0 * _error(t), t)[0]),
        0,
        1,
        epsrel=1e-8,
        limit=500,
    )[0]
    assert integral + float(likelihood.prior_kl(PROCESS, np.sqrt(GAUSSIAN)[None])[0]) == pytest.approx(
        _truth(), rel=1e-5
    )


def test_bound_of_sampled_data_is_its_expectation() -> None:
    """4,000 examples: 5 standard errors, a false alarm in two million seeds; the seed is fixed."""
    rng, count, steps = np.random.default_rng(0), 4000, 50
    u0 = np.sqrt(GAUSSIAN) * rng.standard_normal((count, *SHAPE))
    total, times = likelihood.prior_kl(PROCESS, u0), bc.uniform_times(steps)
    for t, s in zip(times[:-1], times[1:], strict=True):
        m = bc.marginal_for(PROCESS, t, u0)
        u = m.alpha * u0 + m.sigma * rng.standard_normal(u0.shape)
        x0 = oracle.gaussian_denoiser(u, mean=0.0, variance=GAUSSIAN, marginal=m)
        total = total + likelihood.diffusion_step(PROCESS, u0, x0, t, s)
    assert total.mean() == pytest.approx(_expected_bound(steps), abs=5 * total.std() / np.sqrt(count))
