"""Samplers on Gaussian data against the table of the specification and their orders of convergence."""

import numpy as np
import pytest
from blurcore_reference import oracle

TABLE = {
    # steps: ancestral (uniform t), DDIM (uniform t), DPM-Solver++ 2M (uniform log-SNR), calibrated (uniform t)
    10: (9.6e-1, 9.3e-1, 4.2e-1, 2e-9),
    50: (6.7e-1, 5.0e-1, 3.6e-2, 2e-9),
    100: (4.8e-1, 3.0e-1, 9.4e-3, 2e-9),
    250: (2.7e-1, 1.3e-1, 1.5e-3, 2e-9),
    1000: (8.5e-2, 3.5e-2, 9.5e-5, 2e-9),
}


def spectrum_of(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """1 / (lambda + 0.01), scaled to 1 at DC."""
    return 0.01 / (oracle.eigenvalues(kind, shape) + 0.01)


def worst_error(process, grid, spectrum, kind, **options) -> float:
    target = oracle.target_variance(process, grid[-1], spectrum)
    return float(np.max(np.abs(oracle.sampler_variance(process, grid, spectrum, kind, **options) / target - 1)))


@pytest.mark.parametrize("steps", TABLE)
def test_sampler_variance_reproduces_the_table_of_the_specification(blurring, steps):
    spectrum = spectrum_of("DCT", (32, 32))
    uniform, log_snr = oracle.uniform_grid(steps), oracle.log_snr_grid(blurring, steps)
    ancestral, ddim, dpmpp, calibrated = TABLE[steps]
    # the table prints two digits
    assert worst_error(blurring, uniform, spectrum, "ancestral", last_noise=True) == pytest.approx(ancestral, rel=0.02)
    assert worst_error(blurring, uniform, spectrum, "ddim") == pytest.approx(ddim, rel=0.02)
    actual = worst_error(blurring, log_snr, spectrum, "dpmpp_2m", first_order_last=True)
    assert actual == pytest.approx(dpmpp, rel=0.02)
    assert worst_error(blurring, uniform, spectrum, "calibrated", last_noise=True) == pytest.approx(calibrated, rel=0.1)


def test_noise_in_the_last_step_matters_to_the_variance(blurring):
    spectrum, grid = spectrum_of("DCT", (32, 32)), oracle.uniform_grid(100)
    without, with_noise = (worst_error(blurring, grid, spectrum, "ancestral", last_noise=x) for x in (False, True))
    assert without > with_noise + 0.05


@pytest.mark.parametrize("grid", [[1.0, 0.0], [1.0, 0.3, 0.29, 0.0], [1.0, 0.9, 0.2, 0.05, 0.0]], ids=str)
def test_calibrated_sampler_is_exact_on_any_grid(blurring, heat, grid):
    for process in (blurring, heat):
        spectrum = spectrum_of("DCT", (5, 6))
        start = oracle.target_variance(process, 1.0, spectrum)
        assert worst_error(process, grid, spectrum, "calibrated", last_noise=True, initial=start) < 1e-12


@pytest.mark.parametrize(("kind", "order"), [("euler", 1), ("heun", 2), ("ddim", 1), ("dpmpp_2m", 2)])
def test_sampler_converges_with_its_order(blurring, kind, order):
    mild = {**blurring, "blur": {"kind": "SinSquared", "sigma_blur_max": 1.0}}
    spectrum = spectrum_of("DCT", (3, 2))
    start = oracle.target_variance(mild, 0.9, spectrum)
    errors = [
        worst_error(mild, oracle.uniform_grid(steps, 0.9, 0.1), spectrum, kind, initial=start) for steps in (160, 320)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("kind", ["ancestral", "ancestral_upper"])
def test_ancestral_sampler_converges_to_the_data(blurring, kind):
    mild = {**blurring, "blur": {"kind": "SinSquared", "sigma_blur_max": 1.0}}
    spectrum = spectrum_of("DCT", (3, 2))
    start = oracle.target_variance(mild, 0.9, spectrum)
    errors = [
        worst_error(mild, oracle.uniform_grid(n, 0.9, 0.1), spectrum, kind, initial=start, last_noise=True)
        for n in (100, 200)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.15)


def test_fixed_large_variance_is_exact_for_white_data():
    # Ho et al. 2020: beta_t is the optimal reverse variance when the data is N(0, I)
    process = {
        "kind": "GaussianDiffusion",
        "noise": {"kind": "CosineLogSNR", "log_snr_min": -10.0, "log_snr_max": 10.0},
    }
    grid = oracle.uniform_grid(7)
    assert (
        worst_error(process, grid, np.ones((2, 2)), "ancestral_upper", last_noise=True, initial=np.ones((2, 2))) < 1e-12
    )
    assert worst_error(process, grid, np.ones((2, 2)), "ancestral", last_noise=True, initial=np.ones((2, 2))) > 1e-3


def assert_same_steps(left, right, rtol=1e-10):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-14)


def test_ddim_with_eta_one_is_ancestral_sampling(process):
    left = oracle.sampler_step(process, 0.6, 0.5, (3, 4), "ddim", eta=1.0)
    assert_same_steps(left, oracle.sampler_step(process, 0.6, 0.5, (3, 4), "ancestral"))


def test_ddim_noise_grows_with_the_square_of_eta(process):
    _, _, added = oracle.sampler_step(process, 0.6, 0.5, (3, 4), "ddim", eta=0.3)
    np.testing.assert_allclose(added, 0.09 * oracle.posterior(process, 0.6, 0.5, (3, 4))[2], rtol=1e-14)


def test_first_order_dpm_solver_is_ddim(process):
    left = oracle.sampler_step(process, 0.6, 0.5, (3, 4), "dpmpp_1")
    assert_same_steps(left, oracle.sampler_step(process, 0.6, 0.5, (3, 4), "ddim"))


def test_improved_cold_sampling_is_ddim_with_constant_sigma(heat):
    left = oracle.sampler_step(heat, 0.6, 0.5, (3, 4), "cold_improved")
    assert_same_steps(left, oracle.sampler_step(heat, 0.6, 0.5, (3, 4), "ddim"))


def test_improved_cold_sampling_restores_a_perfect_prediction(cold):
    x = np.random.default_rng(0).standard_normal((3, 4))
    z_coef, x_coef, variance = oracle.sampler_step(cold, 0.6, 0.5, (3, 4), "cold_improved")
    restored = z_coef * oracle.alpha(cold, 0.6, (3, 4)) * x + x_coef * x
    np.testing.assert_allclose(restored, oracle.alpha(cold, 0.5, (3, 4)) * x, atol=1e-15)
    np.testing.assert_array_equal(variance, 0.0)


def test_every_sampler_maps_the_marginal_of_known_data_to_the_marginal(process):
    # with the true u_0 as prediction, the mean is kept by all, the variance by those that keep the marginals
    t, s, shape = 0.6, 0.5, (3, 4)
    for kind, eta in (("ancestral", 0.0), ("ddim", 0.0), ("ddim", 0.4), ("ddim", 1.0), ("dpmpp_1", 0.0)):
        z_coef, x_coef, added = oracle.sampler_step(process, t, s, shape, kind, eta=eta)
        np.testing.assert_allclose(
            z_coef * oracle.alpha(process, t, shape) + x_coef, oracle.alpha(process, s, shape), rtol=1e-10
        )
        np.testing.assert_allclose(
            z_coef**2 * oracle.sigma(process, t, shape) ** 2 + added, oracle.sigma(process, s, shape) ** 2, rtol=1e-10
        )


def test_second_order_dpm_solver_leaves_a_frequency_at_rest(heat):
    # the DC term of heat dissipation: h = 0 in every step
    spectrum = np.ones((3, 4))
    variance = oracle.sampler_variance(heat, oracle.uniform_grid(8), spectrum, "dpmpp_2m")
    assert variance[0, 0] == pytest.approx(0.01**2, rel=1e-14)
    assert np.all(np.isfinite(variance))


def test_heat_dissipation_sampler_adds_its_own_noise(heat):
    spectrum = spectrum_of("DCT", (3, 4))
    start = oracle.target_variance(heat, 1.0, spectrum)
    noisy, quiet = (
        oracle.sampler_variance(heat, [1.0, 0.95], spectrum, "ihdm", initial=start, delta=0.013, last_noise=x)
        for x in (True, False)
    )
    np.testing.assert_allclose(noisy - quiet, 0.013**2)
    default = oracle.sampler_step(heat, 1.0, 0.95, (3, 4), "ihdm")[2]
    np.testing.assert_allclose(default, (1.25 * 0.01) ** 2)


def test_naive_cold_sampling_degrades_the_prediction_again(cold):
    z_coef, x_coef, variance = oracle.sampler_step(cold, 0.6, 0.5, (3, 4), "cold_naive")
    np.testing.assert_array_equal(z_coef, 0.0)
    np.testing.assert_array_equal(x_coef, oracle.alpha(cold, 0.5, (3, 4)))
    np.testing.assert_array_equal(variance, 0.0)


def test_log_snr_grid_is_even_in_log_snr(blurring):
    grid = oracle.log_snr_grid(blurring, 16)
    levels = [2 * np.log(np.divide(*oracle.noise_levels(blurring, t))) for t in grid]
    np.testing.assert_allclose(levels, np.linspace(-10, 10, 17), atol=1e-11)
    assert (grid[0], grid[-1], len(grid)) == (1.0, 0.0, 17)


def test_unknown_samplers_are_refused(blurring):
    with pytest.raises(ValueError, match="'rk45' is unknown"):
        oracle.sampler_variance(blurring, [1.0, 0.5], np.ones((2, 2)), "rk45")
