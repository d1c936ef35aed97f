"""The divergences of SPEC 8 against the definition for normal distributions."""

import numpy as np
import pytest
import scipy.integrate
from blurcore_reference import oracle

SHAPE = (3, 4)


def divergence(mean_p, variance_p, mean_q, variance_q):
    """KL(p || q) of normal distributions with diagonal covariances, summed."""
    ratio = variance_p / variance_q
    return 0.5 * np.sum(ratio - 1 - np.log(ratio) + (mean_p - mean_q) ** 2 / variance_q)


def snr(process, t):
    return np.exp(oracle.log_snr(process, t, SHAPE))


def test_step_divergence_is_half_the_change_of_snr_times_the_squared_error(process):
    t, s = 0.5, 0.45
    x, x_hat, u_t = np.random.default_rng(0).standard_normal((3, *SHAPE))
    z_coef, x_coef, variance = oracle.posterior(process, t, s, SHAPE)
    # at DC heat dissipation moves nothing: both distributions are one point and the formula gives 0
    moving = variance > 0
    true, predicted = ((z_coef * u_t + x_coef * value)[moving] for value in (x, x_hat))
    direct = divergence(true, variance[moving], predicted, variance[moving])
    formula = 0.5 * np.sum((snr(process, s) - snr(process, t)) * (x - x_hat) ** 2)
    assert direct == pytest.approx(formula, rel=1e-8)


def test_step_divergences_sum_to_the_integral_over_time(blurring):
    # a prediction whose error is the same at all times: both telescope to the change of SNR
    error = np.random.default_rng(1).standard_normal(SHAPE) ** 2

    def rate(t):
        # SNR' = SNR l', and l' = -g2 / sigma^2
        _, diffusion = oracle.sde(blurring, t, SHAPE)
        return 0.5 * np.sum(snr(blurring, t) * diffusion / oracle.sigma(blurring, t, SHAPE) ** 2 * error)

    integral = scipy.integrate.quad(rate, 0.2, 0.8, epsrel=1e-10)[0]
    assert integral == pytest.approx(0.5 * np.sum((snr(blurring, 0.2) - snr(blurring, 0.8)) * error), rel=1e-9)


def test_heat_dissipation_divergence_is_the_formula_of_the_specification():
    sigma, delta = 0.01, 0.0125
    target, mean = np.random.default_rng(2).standard_normal((2, *SHAPE))
    formula = 0.5 * (sigma**2 / delta**2 - 1 + 2 * np.log(delta / sigma)) * target.size + np.sum(
        (target - mean) ** 2
    ) / (2 * delta**2)
    direct = divergence(target, np.full(SHAPE, sigma**2), mean, np.full(SHAPE, delta**2))
    assert direct == pytest.approx(formula, rel=1e-12)
