"""Conversions and exact denoisers against linear algebra, quadrature and Tweedie's formula."""

import numpy as np
import pytest
import scipy.integrate
from blurcore_reference import oracle

SHAPE = (3, 4)
NAMES = ("x0", "eps", "v", "score")


@pytest.fixture
def example(blurring):
    rng = np.random.default_rng(0)
    alpha, sigma = oracle.alpha(blurring, 0.4, SHAPE), oracle.sigma(blurring, 0.4, SHAPE)
    x, eps = rng.standard_normal((2, 5, *SHAPE))
    values = {"x0": x, "eps": eps, "v": alpha * eps - sigma * x, "score": -eps / sigma}
    return values, alpha * x + sigma * eps, alpha, sigma


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_conversion_reaches_every_parametrisation_from_every_other(example, source, target):
    values, z, alpha, sigma = example
    # alpha is below 1e-3 in some frequencies: eps to x0 loses three digits there
    np.testing.assert_allclose(
        oracle.convert(values[source], source, target, z, alpha, sigma), values[target], rtol=1e-9, atol=1e-9
    )


def test_conversion_from_v_does_not_assume_variance_preservation(example):
    values, z, alpha, sigma = example
    assert np.max(np.abs(alpha**2 + sigma**2 - 1)) > 0.1
    preserving = alpha * z - sigma * values["v"]
    assert np.max(np.abs(preserving - values["x0"])) > 0.1


@pytest.mark.parametrize(("source", "target"), [("eps", "x0"), ("eps", "v"), ("score", "x0"), ("score", "v")])
def test_conversion_refuses_to_divide_by_a_vanished_alpha(source, target):
    one = np.ones(2)
    with pytest.raises(ValueError, match="divides by zero"):
        oracle.convert(one, source, target, one, np.array([1.0, 0.0]), one)


@pytest.mark.parametrize(("source", "target"), [("x0", "eps"), ("x0", "v"), ("x0", "score"), ("eps", "score")])
def test_conversion_refuses_to_divide_by_a_vanished_sigma(source, target):
    one = np.ones(2)
    with pytest.raises(ValueError, match="divides by zero"):
        oracle.convert(one, source, target, one, one, np.array([1.0, 0.0]))


def test_conversion_from_v_works_where_alpha_vanishes():
    z, v, sigma = np.array([0.3]), np.array([-0.7]), np.array([0.5])
    assert oracle.convert(v, "v", "eps", z, np.zeros(1), sigma)[0] == pytest.approx(0.3 / 0.5)
    assert oracle.convert(v, "v", "x0", z, np.zeros(1), sigma)[0] == pytest.approx(0.7 / 0.5)


def test_conversion_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="'noise' is unknown"):
        oracle.convert(np.ones(1), "noise", "x0", np.ones(1), np.ones(1), np.ones(1))


def test_gaussian_denoiser_is_the_conditional_mean_in_pixel_space(blurring):
    rng = np.random.default_rng(1)
    mean, u_t = rng.standard_normal((2, *SHAPE))
    variance = rng.uniform(0.1, 2.0, SHAPE)
    basis = oracle.dense_basis("DCT", SHAPE)
    matrix, noise = oracle.marginal_dense(blurring, 0.3, SHAPE)
    cov = basis @ np.diag(variance.ravel()) @ basis.T
    z, pixel_mean = basis @ u_t.ravel(), basis @ mean.ravel()
    gain = cov @ matrix.T @ np.linalg.inv(matrix @ cov @ matrix.T + noise)
    expected = pixel_mean + gain @ (z - matrix @ pixel_mean)
    alpha, sigma = oracle.alpha(blurring, 0.3, SHAPE), oracle.sigma(blurring, 0.3, SHAPE)
    actual = oracle.gaussian_denoiser(u_t[None], mean, variance, alpha, sigma)[0]
    np.testing.assert_allclose(basis @ actual.ravel(), expected, atol=1e-12)


def test_gaussian_denoiser_returns_the_mean_where_nothing_is_left():
    mean = np.array([3.0])
    assert oracle.gaussian_denoiser(np.ones((1, 1)), mean, np.ones(1), np.zeros(1), np.zeros(1))[0, 0] == 3.0


def test_mixture_denoiser_is_the_integral_of_bayes_rule():
    weights, means, variances = np.array([0.3, 0.7]), np.array([[-1.0], [2.0]]), np.array([[0.5], [0.2]])
    alpha, sigma, u = np.array([0.6]), np.array([0.9]), 0.4

    def joint(x):
        density = sum(
            w * np.exp(-((x - m) ** 2) / (2 * c)) / np.sqrt(c)
            for w, m, c in zip(weights, means[:, 0], variances[:, 0], strict=True)
        )
        return density * np.exp(-((u - alpha[0] * x) ** 2) / (2 * sigma[0] ** 2))

    norm = scipy.integrate.quad(joint, -12, 12, epsabs=1e-12, limit=200)[0]
    first = scipy.integrate.quad(lambda x: x * joint(x), -12, 12, epsabs=1e-12, limit=200)[0]
    actual = oracle.mixture_denoiser(np.array([[u]]), weights, means, variances, alpha, sigma)
    assert actual[0, 0] == pytest.approx(first / norm, rel=1e-8)


def test_mixture_denoiser_obeys_tweedie(example):
    _, z, alpha, sigma = example
    rng = np.random.default_rng(2)
    weights, means = np.array([0.2, 0.5, 0.3]), rng.standard_normal((3, *SHAPE))
    variances = rng.uniform(0.1, 1.0, (3, *SHAPE))

    def log_density(u):
        total = alpha**2 * variances + sigma**2
        logs = np.log(weights) - 0.5 * np.sum(np.log(total) + (u - alpha * means) ** 2 / total, axis=(1, 2))
        return np.logaddexp.reduce(logs)

    x = oracle.mixture_denoiser(z[:1], weights, means, variances, alpha, sigma)
    score = oracle.convert(x, "x0", "score", z[:1], alpha, sigma)[0]
    for k in np.ndindex(*SHAPE):
        width = np.zeros(SHAPE)
        width[k] = 1e-5
        slope = (log_density(z[0] + width) - log_density(z[0] - width)) / 2e-5
        assert score[k] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_mixture_denoiser_of_one_component_is_the_gaussian_one(example):
    _, z, alpha, sigma = example
    mean, variance = np.full(SHAPE, 0.3), np.full(SHAPE, 0.7)
    np.testing.assert_allclose(
        oracle.mixture_denoiser(z, np.ones(1), mean[None], variance[None], alpha, sigma),
        oracle.gaussian_denoiser(z, mean, variance, alpha, sigma),
        rtol=1e-14,
    )


def test_dataset_denoiser_is_a_mixture_of_points(example):
    _, z, alpha, sigma = example
    data = np.random.default_rng(3).standard_normal((6, *SHAPE))
    np.testing.assert_allclose(
        oracle.dataset_denoiser(z, data, alpha, sigma),
        oracle.mixture_denoiser(z, np.ones(6), data, np.zeros_like(data), alpha, sigma),
        rtol=1e-12,
    )


def test_dataset_denoiser_is_the_plain_softmax(example):
    _, z, alpha, sigma = example
    data = np.random.default_rng(4).standard_normal((6, *SHAPE))
    weights = np.exp(-np.sum((z[:, None] - alpha * data) ** 2 / (2 * sigma**2), axis=(2, 3)))
    expected = np.einsum("bi,ihw->bhw", weights / weights.sum(1, keepdims=True), data)
    np.testing.assert_allclose(oracle.dataset_denoiser(z, data, alpha, sigma), expected, rtol=1e-11)


def test_dataset_denoiser_survives_exponents_that_underflow():
    data = np.array([[0.0], [1000.0]])
    actual = oracle.dataset_denoiser(np.array([[990.0]]), data, np.ones(1), np.full(1, 1e-3))
    assert actual[0, 0] == 1000.0
