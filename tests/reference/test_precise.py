"""50-digit arithmetic against float64, closed forms, and the float32 forms that it is there to judge."""

import math

import mpmath
import numpy as np
import pytest
from blurcore_reference import oracle, precise
from mpmath import mpf

SHAPE = (4, 5)
INTERVALS = [(0.3, 0.1), (1.0, 0.0), (0.5, 0.499)]
DDPM = {"kind": "LinearBeta", "beta_start": 1e-4, "beta_end": 0.02, "num_steps": 1000}


@pytest.mark.parametrize("t", [0.0, 0.001, 0.5, 0.77, 1.0])
def test_precise_marginal_agrees_with_float64(process, t):
    alpha, sigma = precise.on_grid(precise.marginal, process, t, shape=SHAPE)
    np.testing.assert_allclose(oracle.alpha(process, t, SHAPE), alpha, rtol=1e-12)
    np.testing.assert_allclose(oracle.sigma(process, t, SHAPE), sigma, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize(("t", "s"), INTERVALS)
@pytest.mark.parametrize("name", ["transition", "posterior"])
def test_precise_coefficients_agree_with_float64(process, name, t, s):
    expected = precise.on_grid(getattr(precise, name), process, t, s, shape=SHAPE)
    for actual, value in zip(getattr(oracle, name)(process, t, s, SHAPE), expected, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-9, atol=1e-17)


@pytest.mark.parametrize("steps", [10**4, 10**6])
def test_precise_posterior_and_transition_satisfy_bayes_on_short_steps(process, steps):
    # q(u_s | u_0) q(u_t | u_s) = q(u_t | u_0) q(u_s | u_t, u_0): the determinants and the means of both sides
    t, s = 0.5, 0.5 - 1 / steps
    for index in ((0, 1), (3, 4)):
        value = precise.eigenvalue(oracle.basis_kind(process), index, SHAPE)
        with mpmath.workdps(precise.DIGITS):
            (alpha_t, sigma_t), (alpha_s, sigma_s) = (precise.marginal(process, time, value) for time in (t, s))
            ratio, added = precise.transition(process, t, s, value)
            z_coef, x_coef, variance = precise.posterior(process, t, s, value)
            assert mpmath.almosteq(sigma_s**2 * added, sigma_t**2 * variance, 1e-30)
            assert mpmath.almosteq(z_coef * alpha_t + x_coef, alpha_s, 1e-30)
            assert mpmath.almosteq(ratio * alpha_s, alpha_t, 1e-30)
            # the exact forms of the specification
            change = 2 * mpmath.log(alpha_t / alpha_s) - 2 * mpmath.log(sigma_t / sigma_s)
            assert mpmath.almosteq(variance, -(sigma_s**2) * mpmath.expm1(change), 1e-30, 1e-60)
            assert mpmath.almosteq(z_coef, alpha_s / alpha_t * mpmath.exp(change), 1e-30)
            assert mpmath.almosteq(x_coef, -alpha_s * mpmath.expm1(change), 1e-30, 1e-60)


def test_precise_arguments_are_taken_at_face_value():
    # 0.1 is not a tenth: the exact value of the float is what counts
    process = {"kind": "ColdDiffusion", "blur": {"kind": "Sin", "sigma_blur_max": 0.1}, "basis": {"kind": "DCT"}}
    with mpmath.workdps(50):
        expected = mpmath.exp(-mpf(1) * (mpf(0.1) * mpmath.sin(mpmath.pi * mpf(0.1) / 2)) ** 2 / 2)
        assert mpmath.almosteq(precise.marginal(process, 0.1, mpf(1))[0], expected, mpf(10) ** -45)


def test_precise_eigenvalue_has_50_digits():
    with mpmath.workdps(50):
        expected = (mpmath.pi * 3 / 7) ** 2 + (mpmath.pi * 2 / 5) ** 2
        assert mpmath.almosteq(precise.eigenvalue("DCT", (3, 2), (7, 5)), expected, mpf(10) ** -48)


def test_precise_grid_has_the_order_of_the_array():
    process = {"kind": "ColdDiffusion", "blur": {"kind": "Sin", "sigma_blur_max": 1.0}, "basis": {"kind": "DST"}}
    alpha, _ = precise.on_grid(precise.marginal, process, 0.5, shape=(2, 3))
    np.testing.assert_allclose(alpha, np.exp(-oracle.eigenvalues("DST", (2, 3)) / 4), rtol=1e-14)


@pytest.mark.parametrize("k", [0, 1, 10, 1000])
def test_precise_linear_beta_is_the_product_to_25_digits(k):
    with mpmath.workdps(50):
        start, end = mpf(DDPM["beta_start"]), mpf(DDPM["beta_end"])
        product = mpmath.fsum(mpmath.log(1 - start - (end - start) * i / 999) for i in range(k))
        assert abs(precise.linear_beta_log_abar(DDPM, mpf(k)) - product) < mpf(10) ** -25


@pytest.mark.parametrize("step", [0.3, 499.5, 1000.0])
def test_precise_linear_beta_integral_agrees_with_quadrature(step):
    with mpmath.workdps(40):
        start = mpf(DDPM["beta_start"])
        slope = (mpf(DDPM["beta_end"]) - start) / 999

        def f(y):
            return -mpmath.log(1 - start - (y - 1) * slope)

        lower, upper = mpf(1) / 2, mpf(step) + mpf(1) / 2
        total = mpmath.quad(f, [lower, upper])
        for coefficient, order in ((-mpf(1) / 24, 1), (mpf(7) / 5760, 3), (-mpf(31) / 967680, 5)):
            total += coefficient * (mpmath.diff(f, upper, order) - mpmath.diff(f, lower, order))
        assert mpmath.almosteq(precise.linear_beta_log_abar(DDPM, mpf(step)), -total, mpf(10) ** -20)


def test_precise_posterior_refuses_a_process_without_noise(cold):
    with pytest.raises(ValueError, match="degenerate"):
        precise.posterior(cold, 0.5, 0.4, mpf(1))


def test_clipped_posterior_in_float64_without_clipping_is_the_exact_one(blurring):
    # without the clipping, the pseudo-code is Bayes' rule
    exact = oracle.posterior(blurring, 0.5, 0.4, (8, 8))
    for clipped, value in zip(
        oracle.clipped_posterior(blurring, 0.5, 0.4, (8, 8), np.float64, 0.0), exact, strict=True
    ):
        np.testing.assert_allclose(clipped, value, rtol=1e-10)


def test_clipped_posterior_in_float32_is_off_by_half_a_percent_in_the_last_step(blurring):
    # the specification's 4.7e-3: 32 x 32, T = 10^4
    t, s = 1e-4, 0.0
    exact = precise.on_grid(precise.posterior, blurring, t, s, shape=(32, 32))
    clipped = oracle.clipped_posterior(blurring, t, s, (32, 32))
    assert all(value.dtype == np.float32 for value in clipped)
    z_error, x_error, _ = (np.max(np.abs(value / true - 1)) for value, true in zip(clipped, exact, strict=True))
    assert z_error == pytest.approx(4.7e-3, rel=0.02)
    # delta beside sigma_0^2 = 4.5e-5
    assert x_error == pytest.approx(2.2e-4, rel=0.02)


def float32_change_of_log_decay(process, t, s, shape):
    """The difference form of SPEC 4 as it is written there, in float32."""
    values = oracle.eigenvalues(oracle.basis_kind(process), shape).astype(np.float32)
    floor, one = np.float32(oracle.min_scale(process)), np.float32(1)
    step = np.float32(oracle.tau(process, t) - oracle.tau(process, s))
    damped = (one - floor) * np.exp(-values * np.float32(oracle.tau(process, s)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log1p(damped * np.expm1(-values * step) / (damped + floor))


def error_of_the_ratio(process, t, s):
    ratio, _ = precise.on_grid(precise.transition, process, t, s, shape=(16, 16))
    noise = oracle.noise_levels(process, t)[0] / oracle.noise_levels(process, s)[0]
    return np.abs(np.exp(float32_change_of_log_decay(process, t, s, (16, 16)).astype(np.float64)) * noise / ratio - 1)


@pytest.mark.parametrize("steps", [100, 10**4, 10**6])
def test_difference_form_of_the_specification_keeps_float32_on_short_steps(blurring, steps):
    for k in (1, steps // 10, steps // 2, steps):
        assert error_of_the_ratio(blurring, k / steps, (k - 1) / steps).max() < 1e-6


def test_difference_form_of_the_specification_loses_float32_on_long_steps(blurring):
    # log1p(x) amplifies the rounding of x by 1 / (1 + x) = d_s / d_t, which reaches 1000: direct logarithms are needed
    assert error_of_the_ratio(blurring, 0.2, 0.0).max() > 3e-5


def test_difference_form_of_the_specification_fails_without_a_floor(heat_cifar):
    # 0 / 0 where the decay underflows; without a floor the difference is -lambda (tau_t - tau_s)
    assert np.any(np.isnan(float32_change_of_log_decay(heat_cifar, 0.9, 0.8, (16, 16))))


def test_float32_product_of_eigenvalue_and_tau_limits_alpha_without_a_floor(heat_cifar):
    # alpha = exp(-lambda tau) turns the rounding of the exponent, relative, into lambda tau times as much
    values = oracle.eigenvalues("DCT", (32, 32))
    exponent = values.astype(np.float32) * np.float32(oracle.tau(heat_cifar, 0.5))
    alpha, _ = precise.on_grid(precise.marginal, heat_cifar, 0.5, shape=(32, 32))
    normal = alpha > 1e-30
    error = np.abs(np.exp(-exponent.astype(np.float64))[normal] / alpha[normal] - 1).max()
    assert 2e-6 < error < 80 * math.ldexp(1, -23)
