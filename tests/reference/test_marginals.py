"""Schedules and marginals against check values, literal products and closed forms."""

import math

import mpmath
import numpy as np
import pytest
from blurcore_reference import oracle, precise

COSINE = {"kind": "CosineLogSNR", "log_snr_min": -10.0, "log_snr_max": 10.0}
DDPM = {"kind": "LinearBeta", "beta_start": 1e-4, "beta_end": 0.02, "num_steps": 1000}


def gaussian(noise: dict) -> dict:
    return {"kind": "GaussianDiffusion", "noise": noise}


def test_blurring_marginal_has_the_check_values_of_the_specification(blurring):
    assert oracle.noise_levels(blurring, 0.0)[1] ** 2 == pytest.approx(4.53979e-5, rel=2e-6)
    assert oracle.noise_levels(blurring, 1.0)[0] == pytest.approx(0.0067378, rel=2e-6)
    assert oracle.alpha(blurring, 1.0, (32, 32)).min() == pytest.approx(6.7378e-6, rel=2e-6)


def test_marginal_starts_without_blur(process):
    np.testing.assert_array_equal(oracle.decay(process, 0.0, (4, 5)), np.ones((4, 5)))


def test_log_alpha_is_the_logarithm_of_alpha(process):
    for t in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(
            np.exp(oracle.log_alpha(process, t, (3, 4))), oracle.alpha(process, t, (3, 4)), rtol=1e-13
        )


def test_log_alpha_is_finite_where_alpha_underflows(cold):
    assert oracle.alpha(cold, 1.0, (32, 32)).min() == 0
    assert np.all(np.isfinite(oracle.log_alpha(cold, 1.0, (32, 32))))


def test_log_snr_is_the_ratio_of_the_squares(process):
    expected = np.log(oracle.alpha(process, 0.4, (3, 4)) ** 2 / oracle.sigma(process, 0.4, (3, 4)) ** 2)
    np.testing.assert_allclose(oracle.log_snr(process, 0.4, (3, 4)), expected, rtol=1e-13)


def test_log_snr_is_infinite_without_noise(cold):
    assert np.all(np.isposinf(oracle.log_snr(cold, 0.5, (2, 2))))


@pytest.mark.parametrize("noise", [COSINE, DDPM])
@pytest.mark.parametrize("t", [0.0, 0.1234, 0.5, 1.0])
def test_noise_schedule_preserves_the_variance(noise, t):
    a, sigma = oracle.noise_levels(gaussian(noise), t)
    assert a**2 + sigma**2 == pytest.approx(1, abs=1e-14)


def test_cosine_schedule_reaches_its_limits():
    for t, expected in ((0.0, 10.0), (1.0, -10.0)):
        a, sigma = oracle.noise_levels(gaussian(COSINE), t)
        assert 2 * math.log(a / sigma) == pytest.approx(expected, abs=1e-11)


def test_cosine_schedule_without_limits_is_the_cosine():
    # Nichol & Dhariwal without their offset: a = cos(pi t / 2)
    a, sigma = oracle.noise_levels(gaussian({"kind": "CosineLogSNR", "log_snr_min": -60, "log_snr_max": 60}), 0.37)
    assert a == pytest.approx(math.cos(math.pi * 0.37 / 2), rel=1e-12)
    assert sigma == pytest.approx(math.sin(math.pi * 0.37 / 2), rel=1e-12)


@pytest.mark.parametrize("k", [0, 1, 2, 7, 500, 999, 1000])
def test_linear_beta_at_whole_steps_is_the_product_of_ddpm(k):
    abar = np.prod(1 - np.linspace(1e-4, 0.02, 1000)[:k])
    a, sigma = oracle.noise_levels(gaussian(DDPM), k / 1000)
    assert a**2 == pytest.approx(abar, rel=1e-13)
    assert sigma**2 == pytest.approx(1 - abar, rel=1e-11)


SCHEDULES = [
    DDPM,
    {"kind": "LinearBeta", "beta_start": 1e-4, "beta_end": 0.02, "num_steps": 4000},
    {"kind": "LinearBeta", "beta_start": 0.01, "beta_end": 0.01, "num_steps": 1},
    {"kind": "LinearBeta", "beta_start": 1e-3, "beta_end": 0.2, "num_steps": 100},
]


@pytest.mark.parametrize("noise", SCHEDULES)
def test_linear_beta_interpolant_meets_the_product_at_whole_steps(noise):
    steps = noise["num_steps"]
    for k in sorted({0, 1, steps // 3, steps - 1, steps}):
        product = oracle.linear_beta_log_abar(noise, k / steps)
        assert oracle.linear_beta_interpolant(noise, float(k)) == pytest.approx(product, rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("form", [oracle.linear_beta_interpolant, precise.linear_beta_log_abar])
def test_linear_beta_interpolant_misses_a_steep_product_by_its_remainder_only(form):
    # 20 steps up to beta = 0.5: every term counts, and the first one left out is about 5e-13
    noise = {"kind": "LinearBeta", "beta_start": 0.01, "beta_end": 0.5, "num_steps": 20}
    for k in (1, 10, 20):
        assert abs(float(form(noise, k)) - oracle.linear_beta_log_abar(noise, k / 20)) < 2e-12


@pytest.mark.parametrize("step", [0.25, 3.5, 777.123, 999.9])
def test_linear_beta_between_steps_agrees_with_the_closed_form_in_50_digits(step):
    expected = float(precise.linear_beta_log_abar(DDPM, mpmath.mpf(step)))
    assert oracle.linear_beta_log_abar(DDPM, step / 1000) == pytest.approx(expected, rel=1e-12)


def test_linear_beta_between_steps_is_monotone():
    values = [oracle.linear_beta_log_abar(DDPM, t) for t in np.linspace(0, 0.01, 101)]
    assert np.all(np.diff(values) < 0)


def test_sin_squared_blur_is_the_square_of_the_sine():
    for t, expected in ((0.0, 0.0), (0.5, 10.0), (1.0, 20.0), (1 / 3, 5.0)):
        assert oracle.blur_level({"kind": "SinSquared", "sigma_blur_max": 20.0}, t) == pytest.approx(expected)
    assert oracle.blur_level({"kind": "Sin", "sigma_blur_max": 20.0}, 1 / 3) == pytest.approx(10.0)


def test_log_linear_blur_has_the_levels_of_heat_dissipation(heat_cifar):
    levels = [oracle.blur_level(heat_cifar["blur"], k / 200) for k in range(201)]
    expected = [0.0, *np.exp(np.linspace(np.log(0.5), np.log(24.0), 200))]
    np.testing.assert_allclose(levels, expected, rtol=1e-12)


def test_log_linear_blur_is_linear_before_the_first_level(heat_cifar):
    assert oracle.blur_level(heat_cifar["blur"], 0.3 / 200) == pytest.approx(0.15)


def test_tau_is_half_the_square_of_the_blur(blurring):
    assert oracle.tau(blurring, 1.0) == 200.0
    assert oracle.tau(gaussian(COSINE), 1.0) == 0.0


def test_constant_sigma_makes_a_heat_dissipation_of_a_blurring_diffusion(heat):
    same = {
        "kind": "BlurringDiffusion",
        "noise": {"kind": "ConstantSigma", "sigma": 0.01},
        "blur": heat["blur"],
        "min_scale": 0.0,
        "basis": heat["basis"],
    }
    for left, right in zip(
        oracle.posterior(same, 0.7, 0.6, (3, 4)), oracle.posterior(heat, 0.7, 0.6, (3, 4)), strict=True
    ):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("t", [-1e-9, 1.000001, float("nan")])
def test_marginal_refuses_times_outside_the_unit_interval(blurring, t):
    with pytest.raises(ValueError, match="times must satisfy"):
        oracle.alpha(blurring, t, (2, 2))


def test_unknown_schedules_are_refused():
    with pytest.raises(ValueError, match="noise schedule 'Linear' is unknown"):
        oracle.noise_levels(gaussian({"kind": "Linear"}), 0.5)
    with pytest.raises(ValueError, match="blur schedule 'Cos' is unknown"):
        oracle.blur_level({"kind": "Cos", "sigma_blur_max": 1.0}, 0.5)
