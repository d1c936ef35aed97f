"""Transition, posterior and SDE against linear algebra in pixel space and the exact forms of the specification."""

import numpy as np
import pytest
from blurcore_reference import oracle, precise

SHAPE = (3, 4)
INTERVALS = [(0.2, 0.1), (0.5, 0.45), (1.0, 0.0), (0.9, 0.2), (1.0, 0.999)]


def log_snr_change(process, t, s):
    return oracle.log_snr(process, t, SHAPE) - oracle.log_snr(process, s, SHAPE)


@pytest.fixture(params=INTERVALS, ids=str)
def interval(request, process):
    t, s = request.param
    if s == 0 and oracle.noise_levels(process, s)[1] == 0:
        s = 0.0005  # log-SNR is infinite at t = 0 for the linear beta schedule
    return t, s


def test_transition_variance_is_the_exact_form_of_the_specification(process, interval):
    t, s = interval
    expected = -(oracle.sigma(process, t, SHAPE) ** 2) * np.expm1(log_snr_change(process, t, s))
    np.testing.assert_allclose(oracle.transition(process, t, s, SHAPE)[1], expected, rtol=1e-9, atol=0)


def test_posterior_is_the_exact_form_of_the_specification(process, interval):
    t, s = interval
    change = log_snr_change(process, t, s)
    ratio = oracle.alpha(process, s, SHAPE) / oracle.alpha(process, t, SHAPE)
    z_coef, x_coef, variance = oracle.posterior(process, t, s, SHAPE)
    np.testing.assert_allclose(variance, -(oracle.sigma(process, s, SHAPE) ** 2) * np.expm1(change), rtol=1e-9, atol=0)
    np.testing.assert_allclose(z_coef, ratio * np.exp(change), rtol=1e-9)
    np.testing.assert_allclose(x_coef, -oracle.alpha(process, s, SHAPE) * np.expm1(change), rtol=1e-9, atol=0)


def test_posterior_mean_in_terms_of_eps_is_the_form_of_the_specification(process, interval):
    t, s = interval
    rng = np.random.default_rng(0)
    x, eps = rng.standard_normal((2, *SHAPE))
    u = oracle.alpha(process, t, SHAPE) * x + oracle.sigma(process, t, SHAPE) * eps
    z_coef, x_coef, _ = oracle.posterior(process, t, s, SHAPE)
    ratio = oracle.alpha(process, s, SHAPE) / oracle.alpha(process, t, SHAPE)
    expected = ratio * (u + oracle.sigma(process, t, SHAPE) * np.expm1(log_snr_change(process, t, s)) * eps)
    np.testing.assert_allclose(z_coef * u + x_coef * x, expected, rtol=1e-7, atol=1e-12)


def test_marginal_in_pixel_space_is_the_pullback_of_the_diagonal_one(process):
    basis = oracle.dense_basis(oracle.basis_kind(process), SHAPE)
    matrix, cov = oracle.marginal_dense(process, 0.6, SHAPE)
    np.testing.assert_allclose(basis.T @ matrix @ basis, np.diag(oracle.alpha(process, 0.6, SHAPE).ravel()), atol=1e-14)
    np.testing.assert_allclose(cov, oracle.noise_levels(process, 0.6)[1] ** 2 * np.eye(12), atol=1e-15)


def test_transition_in_pixel_space_carries_the_marginal_forward(process, interval):
    t, s = interval
    step, added = oracle.transition_dense(process, t, s, SHAPE)
    matrix_s, cov_s = oracle.marginal_dense(process, s, SHAPE)
    matrix_t, cov_t = oracle.marginal_dense(process, t, SHAPE)
    np.testing.assert_allclose(step @ matrix_s, matrix_t, atol=1e-14)
    np.testing.assert_allclose(step @ cov_s @ step.T + added, cov_t, atol=1e-14)


def test_transition_noise_of_a_blur_is_not_isotropic(heat):
    _, cov = oracle.transition_dense(heat, 0.5, 0.4, SHAPE)
    assert np.max(np.abs(cov - np.mean(np.diag(cov)) * np.eye(12))) > 1e-6


def test_posterior_is_the_conditional_of_the_joint_normal_in_pixel_space(process, interval):
    t, s = interval
    basis = oracle.dense_basis(oracle.basis_kind(process), SHAPE)
    dense = oracle.posterior_dense(process, t, s, SHAPE)
    scale = oracle.noise_levels(process, s)[1] ** 2
    for matrix, diagonal, size in zip(dense, oracle.posterior(process, t, s, SHAPE), (1, 1, scale), strict=True):
        np.testing.assert_allclose(basis.T @ matrix @ basis, np.diag(diagonal.ravel()), atol=1e-11 * size)


def test_posterior_is_bayes_by_a_covariance_matrix_of_three_variables():
    # the joint covariance of (u_s, u_t) given u_0, conditioned by a Schur complement: nothing of the kernels is used
    process = {"kind": "GaussianDiffusion", "noise": {"kind": "CosineLogSNR", "log_snr_min": -8.0, "log_snr_max": 8.0}}
    t, s = 0.7, 0.4
    (a_t, sigma_t), (a_s, sigma_s) = oracle.noise_levels(process, t), oracle.noise_levels(process, s)
    cross = a_t / a_s * sigma_s**2
    expected = (cross / sigma_t**2, a_s - cross / sigma_t**2 * a_t, sigma_s**2 - cross**2 / sigma_t**2)
    for actual, value in zip(oracle.posterior(process, t, s, (1,)), expected, strict=True):
        assert actual[0] == pytest.approx(value, rel=1e-13)


def test_ddpm_posterior_variance_is_beta_tilde():
    process = {
        "kind": "GaussianDiffusion",
        "noise": {"kind": "LinearBeta", "beta_start": 1e-4, "beta_end": 0.02, "num_steps": 1000},
    }
    beta = np.linspace(1e-4, 0.02, 1000)
    abar = np.cumprod(1 - beta)
    for k in (2, 10, 500, 1000):
        z_coef, x_coef, variance = oracle.posterior(process, k / 1000, (k - 1) / 1000, (1,))
        before, now, step = abar[k - 2], abar[k - 1], beta[k - 1]
        assert variance[0] == pytest.approx((1 - before) / (1 - now) * step, rel=1e-9)
        assert x_coef[0] == pytest.approx(np.sqrt(before) * step / (1 - now), rel=1e-9)
        assert z_coef[0] == pytest.approx(np.sqrt(1 - step) * (1 - before) / (1 - now), rel=1e-9)
        assert oracle.transition(process, k / 1000, (k - 1) / 1000, (1,))[1][0] == pytest.approx(step, rel=1e-9)


def test_composition_of_transitions_is_the_marginal(process):
    times = [0.0, 0.01, 0.1, 0.35, 0.36, 0.8, 1.0]
    alpha, sigma = oracle.compose(process, times, SHAPE)
    np.testing.assert_allclose(alpha, oracle.alpha(process, 1.0, SHAPE), rtol=1e-12)
    np.testing.assert_allclose(sigma, oracle.sigma(process, 1.0, SHAPE), rtol=1e-12)


def test_transition_over_an_empty_interval_is_the_identity(process):
    ratio, variance = oracle.transition(process, 0.4, 0.4, SHAPE)
    np.testing.assert_array_equal(ratio, 1.0)
    np.testing.assert_allclose(variance, 0.0, atol=1e-16)


def test_heat_dissipation_adds_no_noise_at_dc(heat):
    assert oracle.transition(heat, 0.5, 0.4, SHAPE)[1][0, 0] == 0
    z_coef, x_coef, variance = (value[0, 0] for value in oracle.posterior(heat, 0.5, 0.4, SHAPE))
    assert (z_coef, x_coef, variance) == (1, 0, 0)


def test_transition_survives_an_underflow_of_both_alphas(heat_cifar):
    ratio, variance = oracle.transition(heat_cifar, 0.95, 0.9499, (32, 32))
    assert oracle.alpha(heat_cifar, 0.9499, (32, 32)).min() == 0
    expected = precise.on_grid(precise.transition, heat_cifar, 0.95, 0.9499, shape=(32, 32))
    np.testing.assert_allclose(ratio, expected[0], rtol=1e-11)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-9)


def test_posterior_at_a_noiseless_start_is_the_data():
    process = {
        "kind": "GaussianDiffusion",
        "noise": {"kind": "LinearBeta", "beta_start": 1e-4, "beta_end": 0.02, "num_steps": 1000},
    }
    assert [value[0] for value in oracle.posterior(process, 0.001, 0.0, (1,))] == [0, 1, 0]


def test_cold_diffusion_has_no_posterior(cold):
    with pytest.raises(ValueError, match=r"no noise at t = 0\.5"):
        oracle.posterior(cold, 0.5, 0.4, SHAPE)


def test_transition_refuses_an_interval_that_runs_backwards(blurring):
    with pytest.raises(ValueError, match="times must satisfy"):
        oracle.transition(blurring, 0.4, 0.5, SHAPE)


def test_transition_refuses_a_chain_that_is_not_markov():
    # a "schedule" whose SNR rises: limits exchanged
    process = {"kind": "GaussianDiffusion", "noise": {"kind": "CosineLogSNR", "log_snr_min": 5.0, "log_snr_max": -5.0}}
    with pytest.raises(ValueError, match=r"not Markov: the SNR of frequency \(0, 0\) increases"):
        oracle.transition(process, 0.5, 0.4, (1, 2))


def test_blurring_diffusion_is_markov_on_a_thousand_steps(blurring):
    levels = np.array([oracle.log_snr(blurring, k / 1000, (8, 8)) for k in range(1001)])
    assert np.all(np.diff(levels, axis=0) < 0)


@pytest.mark.parametrize("t", [0.1, 0.33, 0.5, 0.87])
def test_sde_drift_is_the_derivative_of_log_alpha(process, t):
    width = 1e-5
    forward, backward = (oracle.log_alpha(process, t + sign * width, SHAPE) for sign in (1, -1))
    np.testing.assert_allclose(
        oracle.sde(process, t, SHAPE)[0], (forward - backward) / (2 * width), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("t", [0.1, 0.33, 0.5, 0.87])
def test_sde_diffusion_is_minus_sigma_squared_times_the_slope_of_log_snr(process, t):
    width = 1e-5
    forward, backward = (oracle.log_snr(process, t + sign * width, SHAPE) for sign in (1, -1))
    expected = -(oracle.sigma(process, t, SHAPE) ** 2) * (forward - backward) / (2 * width)
    np.testing.assert_allclose(oracle.sde(process, t, SHAPE)[1], expected, rtol=1e-5, atol=1e-8)


def test_sde_is_the_limit_of_the_transition(process):
    t, width = 0.4, 1e-6
    ratio, variance = oracle.transition(process, t + width, t, SHAPE)
    drift, diffusion = oracle.sde(process, t + width / 2, SHAPE)
    np.testing.assert_allclose(np.log(ratio) / width, drift, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(variance / width, diffusion, rtol=1e-4, atol=1e-9)


def test_sde_of_the_blurring_diffusion_has_its_closed_form(blurring):
    # u = span t + first: g = -2 log tan u, so dg/dt = -4 span / sin 2u; d log a/dt = sigma^2 / 2 dg/dt
    t = 0.37
    first = np.arctan(np.exp(-5.0))
    span = np.arctan(np.exp(5.0)) - first
    slope = -4 * span / np.sin(2 * (span * t + first))
    noise = oracle.noise_levels(blurring, t)[1] ** 2
    sine, cosine = np.sin(np.pi * t / 2), np.cos(np.pi * t / 2)
    tau_slope = 20.0**2 * sine**2 * (np.pi * sine * cosine)
    eigenvalues = oracle.eigenvalues("DCT", SHAPE)
    damped = 0.999 * np.exp(-eigenvalues * oracle.tau(blurring, t))
    drift = slope * noise / 2 - eigenvalues * tau_slope * damped / (damped + 0.001)
    actual_drift, actual_diffusion = oracle.sde(blurring, t, SHAPE)
    np.testing.assert_allclose(actual_drift, drift, rtol=1e-12)
    log_snr_slope = slope - 2 * eigenvalues * tau_slope * damped / (damped + 0.001)
    np.testing.assert_allclose(actual_diffusion, -noise * log_snr_slope, rtol=1e-12)


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_sde_at_the_ends_continues_the_inside(process, t):
    inside = abs(t - 1e-9)
    for end, near in zip(oracle.sde(process, t, SHAPE), oracle.sde(process, inside, SHAPE), strict=True):
        np.testing.assert_allclose(end, near, rtol=1e-5, atol=2e-6)


def test_sde_of_cold_diffusion_has_no_diffusion(cold):
    drift, diffusion = oracle.sde(cold, 0.5, SHAPE)
    assert np.all(drift[1:, 1:] < 0)
    np.testing.assert_array_equal(diffusion, 0.0)
