"""The exact denoisers on every library, held to the reference's, which loops over items and components."""

from __future__ import annotations

import array_api_compat as compat
import numpy as np
import pytest
from blurcore_reference import oracle as reference

import blurcore as bc
from blurcore import oracle
from blurcore.testing.assertions import assert_close

GRID = (4, 5)
RNG = np.random.default_rng(20)
U = RNG.standard_normal((3, *GRID))
MEANS = RNG.standard_normal((2, *GRID))
VARIANCES = RNG.uniform(0.1, 2.0, (2, *GRID))
WEIGHTS = np.array([0.7, 2.0])
# The exponents of a softmax are sums over 20 frequencies of squares / sigma^2 up to 1e4 in size: each is rounded.
SOFT = 1e-11


def setting(xp, process, t=0.4, dtype="float64"):
    u = xp.asarray(U, dtype)
    return u, bc.marginal_for(process, t, u)


def scales(process, t=0.4):
    p = bc.to_dict(process)
    return reference.alpha(p, t, GRID), reference.sigma(p, t, GRID)


def test_gaussian_denoiser_is_the_reference_one(xp, noisy_process):
    u, m = setting(xp, noisy_process)
    actual = oracle.gaussian_denoiser(
        u, mean=xp.asarray(MEANS[0], "float64"), variance=xp.asarray(VARIANCES[0], "float64"), marginal=m
    )
    expected = reference.gaussian_denoiser(U, MEANS[0], VARIANCES[0], *scales(noisy_process))
    # u - alpha m is a difference of numbers of size 3; alpha carries the exponent lambda tau, up to 40 at alpha = 1e-18
    assert_close(actual, expected, rtol=1e-12, atol=1e-12, like=u)


def test_gaussian_variance_is_the_reference_one(xp, noisy_process):
    u, m = setting(xp, noisy_process)
    actual = oracle.gaussian_variance(variance=xp.asarray(VARIANCES[:1], "float64"), marginal=m)
    expected = reference.posterior_data_variance(bc.to_dict(noisy_process), 0.4, VARIANCES[0])
    assert_close(actual, np.broadcast_to(expected, (1, *GRID)), rtol=1e-12, like=u)


def test_mixture_denoiser_is_the_reference_one(xp, noisy_process):
    u, m = setting(xp, noisy_process)
    weights, means, variances = (xp.asarray(values, "float64") for values in (WEIGHTS, MEANS, VARIANCES))
    actual = oracle.mixture_denoiser(u, weights=weights, means=means, variances=variances, marginal=m)
    expected = reference.mixture_denoiser(U, WEIGHTS, MEANS, VARIANCES, *scales(noisy_process))
    assert_close(actual, expected, rtol=SOFT, atol=SOFT, like=u)


def test_dataset_denoiser_is_the_reference_one(xp, noisy_process):
    u, m = setting(xp, noisy_process)
    actual = oracle.dataset_denoiser(u, data=xp.asarray(MEANS, "float64"), marginal=m)
    expected = reference.dataset_denoiser(U, MEANS, *scales(noisy_process))
    assert_close(actual, expected, rtol=SOFT, atol=SOFT, like=u)


def test_denoisers_take_one_time_for_each_item(xp):
    process = bc.BlurringDiffusion()
    u = xp.asarray(U, "float64")
    times = np.array([0.25, 0.5, 1.0])
    m = bc.marginal_for(process, xp.asarray(times, "float64"), u)
    means, variances = xp.asarray(MEANS, "float64"), xp.asarray(VARIANCES, "float64")
    mixed = oracle.mixture_denoiser(
        u, weights=xp.asarray(WEIGHTS, "float64"), means=means, variances=variances, marginal=m
    )
    nearest = oracle.dataset_denoiser(u, data=means, marginal=m)
    for i, t in enumerate(times):
        item, levels = U[i : i + 1], scales(process, float(t))
        assert_close(
            mixed[i : i + 1, ...],
            reference.mixture_denoiser(item, WEIGHTS, MEANS, VARIANCES, *levels),
            rtol=SOFT,
            atol=SOFT,
            like=u,
        )
        assert_close(
            nearest[i : i + 1, ...], reference.dataset_denoiser(item, MEANS, *levels), rtol=SOFT, atol=SOFT, like=u
        )


def test_denoisers_serve_channels_and_items_without_a_batch_axis(xp):
    process = bc.GaussianDiffusion()
    data = xp.asarray(RNG.standard_normal((4, 3, *GRID)), "float64")
    u = xp.asarray(RNG.standard_normal((3, *GRID)), "float64")
    alone = oracle.dataset_denoiser(u, data=data, marginal=bc.marginal_for(process, 0.5, u))
    many = xp.xp.reshape(u, (1, *u.shape))
    batched = oracle.dataset_denoiser(many, data=data, marginal=bc.marginal_for(process, 0.5, many))
    assert_close(xp.xp.reshape(batched, tuple(u.shape)), alone)


def test_denoisers_give_the_dtype_of_the_state_back(xp):
    for dtype in {"float32", "float16"} & set(xp.dtypes):
        check_dtype(xp, dtype)


def check_dtype(xp, dtype):
    u, m = setting(xp, bc.BlurringDiffusion(), dtype=dtype)
    means, variances, weights = (xp.asarray(v, "float32") for v in (MEANS, VARIANCES, WEIGHTS))
    for result in (
        oracle.gaussian_denoiser(u, mean=means[0, ...], variance=variances[0, ...], marginal=m),
        oracle.mixture_denoiser(u, weights=weights, means=means, variances=variances, marginal=m),
        oracle.dataset_denoiser(u, data=means, marginal=m),
    ):
        assert result.dtype == u.dtype
        assert tuple(result.shape) == tuple(u.shape)
        assert compat.device(result) == compat.device(u)


def test_dataset_denoiser_far_from_every_point_gives_the_nearest_and_no_nan(xp):
    process = bc.HeatDissipation()
    data = xp.asarray(MEANS, "float64")
    u = data[:1, ...] + 1e-3  # exponents of order 1e5: their exponentials underflow without the largest subtracted
    actual = oracle.dataset_denoiser(u * 1.0, data=data, marginal=bc.marginal_for(process, 0.0, u))
    assert_close(actual, MEANS[:1], rtol=0.0, atol=1e-15, like=u)


def test_gaussian_denoiser_without_noise_or_variance_gives_the_mean():
    u = np.ones((1, 4))
    m = bc.Marginal(alpha=np.ones((1, 4)), sigma=np.zeros((1, 1)))
    np.testing.assert_array_equal(oracle.gaussian_denoiser(u, mean=2.0, variance=0.0, marginal=m), 2.0 * u)
    np.testing.assert_array_equal(oracle.gaussian_variance(variance=0.0, marginal=m), 0 * u)


def test_mixture_of_one_component_is_the_gaussian():
    process = bc.BlurringDiffusion()
    m = bc.marginal_for(process, 0.3, U)
    one = oracle.mixture_denoiser(U, weights=np.ones(1), means=MEANS[:1], variances=VARIANCES[:1], marginal=m)
    np.testing.assert_allclose(
        one, oracle.gaussian_denoiser(U, mean=MEANS[0], variance=VARIANCES[0], marginal=m), rtol=1e-14
    )


def test_mixture_of_points_is_the_data_set():
    process = bc.BlurringDiffusion()
    m = bc.marginal_for(process, 0.3, U)
    points = oracle.mixture_denoiser(U, weights=np.ones(2), means=MEANS, variances=0 * MEANS, marginal=m)
    np.testing.assert_allclose(points, oracle.dataset_denoiser(U, data=MEANS, marginal=m), rtol=1e-12)


M = bc.marginal_for(bc.BlurringDiffusion(), 0.5, U)


@pytest.mark.parametrize("data", [MEANS[:, :, :4], MEANS[0, 0], np.zeros((2, 1, 3, *GRID))])
def test_dataset_of_another_shape_is_refused(data):
    with pytest.raises(bc.errors.ArgumentError, match="data must have the shape"):
        oracle.dataset_denoiser(U, data=data, marginal=M)


def test_mixture_whose_parts_do_not_fit_is_refused():
    with pytest.raises(ValueError, match="weights must have one entry"):
        oracle.mixture_denoiser(U, weights=np.ones(3), means=MEANS, variances=VARIANCES, marginal=M)
    with pytest.raises(ValueError, match="variances must have the shape"):
        oracle.mixture_denoiser(U, weights=WEIGHTS, means=MEANS, variances=VARIANCES[:1], marginal=M)


def test_marginal_that_is_not_laid_out_is_refused():
    with pytest.raises(ValueError, match="alpha must have the 3 axes"):
        oracle.dataset_denoiser(U, data=MEANS, marginal=bc.BlurringDiffusion().marginal(0.5, shape=GRID))


def test_data_set_without_noise_is_refused():
    with pytest.raises(bc.errors.DegenerateError, match="sigma must be positive"):
        oracle.dataset_denoiser(U, data=MEANS, marginal=bc.marginal_for(bc.ColdDiffusion(), 0.5, U))


def test_negative_variance_is_refused():
    with pytest.raises(ValueError, match="variance must be 0 or more"):
        oracle.gaussian_denoiser(U, mean=0.0, variance=-1.0, marginal=M)


def test_whole_numbers_are_refused_as_a_state():
    with pytest.raises(ValueError, match="u must be real floating"):
        oracle.gaussian_denoiser(np.ones((2, *GRID), dtype=int), mean=0.0, variance=1.0, marginal=M)


def test_arrays_of_two_libraries_are_refused(torch):
    with pytest.raises(TypeError, match="one library"):
        oracle.gaussian_denoiser(torch.ones(3, *GRID), mean=MEANS[0], variance=1.0, marginal=M)
