"""Noising data and the coefficients of steps: layouts, precision, refusals."""

from typing import NamedTuple

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError, DegenerateError, NotMarkovError
from blurcore.processes import Difference
from blurcore.testing.assertions import EPSILON, assert_close, dtype_name, tolerance

RNG = np.random.default_rng(1)
BLURRING = bc.BlurringDiffusion()


def bound(x, axes, dtype):
    """See tests/properties: two transforms, (N + 4) roundings of the data's length for each axis; then one product."""
    length = np.sqrt(np.sum(x**2, axis=axes, keepdims=True))
    return (2 * sum(x.shape[a] + 4 for a in axes) + 4) * EPSILON[dtype] * length


class Backwards(NamedTuple):
    """A process of a user's own whose log-SNR rises in one frequency from the middle on."""

    basis: bc.Identity = bc.Identity()

    def marginal(self, t, *, shape, like=None):
        return BLURRING.marginal(t, shape=shape, like=like)

    def log_snr(self, t, *, shape, like=None):
        return BLURRING.log_snr(t, shape=shape, like=like)

    def sde(self, t, *, shape, like=None):
        return BLURRING.sde(t, shape=shape, like=like)

    def velocity(self, t, *, shape, like=None):
        return BLURRING.velocity(t, shape=shape, like=like)

    def difference(self, t, s, *, shape, like=None):
        d = BLURRING.difference(t, s, shape=shape, like=like)
        if like is not None or not isinstance(d.log_snr, np.ndarray):
            return d
        log_snr = d.log_snr.copy()
        log_snr[..., 1, 2] = np.where(np.asarray(t) > 0.5, 0.25, log_snr[..., 1, 2])
        return Difference(alpha=d.alpha, log_snr=log_snr)


@pytest.mark.parametrize("grid", [(4, 6), (5, 3), (1, 7)])
def test_channels_first_and_last_and_any_order_of_axes_give_the_same_numbers(xp, process, grid):
    x, eps = RNG.standard_normal((2, 2, 3, *grid))
    t = xp.asarray([0.2, 0.9], "float64")

    def diffuse(order, axes):
        arrays = [xp.asarray(np.transpose(v, order), "float64") for v in (x, eps)]
        return xp.to_numpy(bc.diffuse(process, arrays[0], t, arrays[1], axes=axes)).transpose(np.argsort(order))

    first = diffuse((0, 1, 2, 3), (2, 3))
    # the same sums in another order: twice the bound
    atol = 2 * bound(x, (2, 3), "float64") + 4 * EPSILON["float64"] * np.abs(eps)
    for order, axes in (
        ((0, 2, 3, 1), (1, 2)),
        ((0, 2, 3, 1), (-3, -2)),
        ((0, 3, 1, 2), (3, 1)),
        ((0, 3, 2, 1), (2, 1)),
    ):
        assert_close(diffuse(order, axes), first, rtol=0.0, atol=atol)


def test_one_time_for_all_is_the_same_as_the_same_time_for_each(xp, process):
    x, eps = (xp.asarray(RNG.standard_normal((2, 3, 4, 5)), "float64") for _ in range(2))
    t = 0.375
    number = bc.diffuse(process, x, t, eps)
    # numbers are worked out by the same operations, on the host or in the library, whose functions may differ by a unit
    values, noise = xp.to_numpy(x), xp.to_numpy(eps)
    log_alpha = xp.to_numpy(process.marginal(t, shape=(4, 5)).alpha)
    condition = 1 + np.abs(np.log(log_alpha)).max()
    atol = condition * bound(values, (2, 3), "float64") + 64 * EPSILON["float64"] * np.abs(noise)
    for shape in ((), (1,), (2,), (2, 1), (2, 3), (1, 3)):
        other = bc.diffuse(process, x, xp.asarray(np.full(shape, t), "float64"), eps)
        assert_close(other, number, rtol=0.0, atol=atol, what=f"t of shape {shape}")


def test_each_item_of_the_batch_has_its_own_time(xp):
    x, eps = RNG.standard_normal((2, 3, 1, 4, 5))
    times = [0.0, 0.5, 1.0]
    batch = bc.diffuse(BLURRING, xp.asarray(x), xp.asarray(times), xp.asarray(eps))
    for i, t in enumerate(times):
        alone = bc.diffuse(BLURRING, xp.asarray(x[i]), t, xp.asarray(eps[i]))
        atol = bound(x[i], (1, 2), "float32") + 4 * EPSILON["float32"] * np.abs(eps[i])
        assert_close(batch[i, ...], alone, rtol=0.0, atol=atol)


def test_audio_images_and_volumes_are_one_code(xp, process):
    for grid in ((9,), (3, 4), (2, 3, 4)):
        x, eps = (xp.asarray(RNG.standard_normal((2, *grid))) for _ in range(2))
        axes = tuple(range(1, 1 + len(grid)))
        assert bc.diffuse(process, x, 0.5, eps, axes=axes).shape == x.shape
        assert process.marginal(0.5, shape=grid).sigma.shape == (1,) * len(grid)


def test_axes_of_size_one_carry_no_blur(xp):
    x, eps = RNG.standard_normal((2, 3, 4))
    flat = bc.diffuse(BLURRING, xp.asarray(x), 0.5, xp.asarray(eps), axes=(1,))
    spread = bc.diffuse(BLURRING, xp.asarray(x[:, None, :]), 0.5, xp.asarray(eps[:, None, :]), axes=(1, 2))
    atol = 2 * bound(x, (1,), "float32") + 4 * EPSILON["float32"] * np.abs(eps)
    assert_close(spread[:, 0, :], flat, rtol=0.0, atol=atol)


def test_empty_batch_goes_through(xp, process):
    x = xp.asarray(np.zeros((0, 3, 4, 5)))
    for t in (0.5, xp.asarray(np.zeros(0))):
        assert_close(bc.diffuse(process, x, t, x), np.zeros((0, 3, 4, 5)), like=x)


def test_half_precision_data_keeps_its_dtype_and_is_computed_in_float32(xp, process):
    for dtype in set(xp.dtypes) - {"float64", "float32"}:
        half_x, half_eps = (xp.asarray(RNG.standard_normal((2, 3, 32, 32)), dtype) for _ in range(2))
        x, eps = xp.to_numpy(half_x), xp.to_numpy(half_eps)
        for t in (0.4, xp.asarray([0.25, 0.75], dtype)):
            z = bc.diffuse(process, half_x, t, half_eps)
            desired = bc.diffuse(process, x, t if isinstance(t, float) else xp.to_numpy(t), eps)
            # all in float32, then one rounding to half
            atol = bound(x, (2, 3), "float32") + 4 * EPSILON["float32"] * np.abs(eps)
            assert_close(z, desired, like=half_x, rtol=EPSILON[dtype] / 2, atol=atol)
        m = bc.marginal_for(process, 0.5, half_x)
        assert {dtype_name(m.alpha), dtype_name(m.sigma)} == {"float32"}


def test_inputs_are_never_written_and_may_be_read_only_or_strided(process):
    x = RNG.standard_normal((4, 3, 8, 10)).astype(np.float32)
    eps, t = RNG.standard_normal(x.shape).astype(np.float32), np.array([0.1, 0.9, 0.5, 0.3], dtype=np.float32)
    for view in (lambda v: v, lambda v: v[::-1, :, ::2, ::-3], lambda v: v[:, ::-1]):
        arguments = view(x), t[::-1], view(eps)
        copies = [v.copy() for v in arguments]
        for v in arguments:
            v.flags.writeable = False
        result = bc.diffuse(process, *arguments)
        assert_close(result, bc.diffuse(process, *copies), rtol=0.0)
        assert all(np.array_equal(a, b) for a, b in zip(arguments, copies, strict=True))
        assert not any(np.shares_memory(result, v) for v in arguments)


@pytest.mark.parametrize("name", ["x", "eps"])
def test_diffuse_refuses_data_that_is_not_real_floating(xp, name):
    arguments = {"x": xp.asarray(np.zeros((2, 2))), "eps": xp.asarray(np.zeros((2, 2)))}
    arguments[name] = xp.asarray(np.zeros((2, 2)), "int64")
    with pytest.raises(ArgumentError, match=f"{name} must be real floating; got dtype"):
        bc.diffuse(BLURRING, arguments["x"], 0.5, arguments["eps"])


def test_diffuse_refuses_noise_of_another_shape(xp):
    x = xp.asarray(np.zeros((2, 1, 4, 4)))
    for shape in ((4, 4), (1, 1, 4, 4), (2, 1, 4, 5)):
        with pytest.raises(ArgumentError, match=r"eps must have the shape of x, \(2, 1, 4, 4\); got \(") as caught:
            bc.diffuse(BLURRING, x, 0.5, xp.asarray(np.zeros(shape)))
        assert str(caught.value).endswith(str(shape))


@pytest.mark.parametrize("shape", [(3,), (2, 2), (4, 1)])
def test_diffuse_refuses_times_that_do_not_fit_the_batch(xp, shape):
    x = xp.asarray(np.zeros((2, 1, 4, 4)))
    t = xp.asarray(np.full(shape, 0.5))
    with pytest.raises(ArgumentError, match=r"t must have the leading axes of x, whose shape is \(2, 1, 4, 4\); got"):
        bc.diffuse(BLURRING, x, t, x)


def test_diffuse_refuses_times_that_run_into_the_grid(xp):
    x = xp.asarray(np.zeros((2, 1, 4, 4)))
    for shape in ((2, 1, 4), (2, 1, 1), (2, 1, 4, 4)):
        with pytest.raises(ArgumentError, match="t must be of the batch axes alone, which precede the grid axes"):
            bc.diffuse(BLURRING, x, xp.asarray(np.full(shape, 0.5)), x)
    with pytest.raises(ArgumentError, match="t must be of the batch axes alone"):  # channels last
        bc.diffuse(BLURRING, x, xp.asarray(np.full((2, 1), 0.5)), x, axes=(1, 2))


@pytest.mark.parametrize("f", [bc.transition, bc.posterior])
def test_steps_backwards_in_time_are_refused(xp, f):
    like = xp.asarray([0.0])
    with pytest.raises(ArgumentError, match=r"s must be at most t = 0.25; got 0.5"):
        f(BLURRING, 0.25, 0.5, shape=(4,), like=like)
    if xp.name in ("numpy", "array_api_strict"):
        for t, s in (([0.5, 0.25], [0.25, 0.5]), ([0.5, 0.25], 0.375), (0.375, [0.25, 0.5])):
            t, s = (v if isinstance(v, float) else xp.asarray(v) for v in (t, s))
            with pytest.raises(ArgumentError, match="s must be at most t; got s = "):
                f(BLURRING, t, s, shape=(4,))


@pytest.mark.parametrize("f", [bc.transition, bc.posterior])
def test_step_of_no_length_changes_nothing(xp, noisy_process, f):
    step = f(noisy_process, 0.5, 0.5, shape=(3, 4), like=xp.asarray([0.0]))
    zero = xp.to_numpy(step.variance)
    assert np.all(zero == 0)
    if f is bc.posterior:
        assert np.all(xp.to_numpy(step.x_coef) == 0)
        assert np.all(xp.to_numpy(step.z_coef) == 1)
    else:
        assert np.all(xp.to_numpy(step.alpha) == 1)


@pytest.mark.parametrize("f", [bc.transition, bc.posterior])
def test_rise_of_the_log_snr_is_refused_with_frequency_and_interval(f):
    process = Backwards()
    with pytest.raises(NotMarkovError) as caught:
        f(process, 0.75, 0.25, shape=(3, 4))
    message = str(caught.value)
    assert "log-SNR of frequency (1, 2) on the grid (3, 4) changes by +0.25 between s = 0.25 and t = 0.75" in message
    with pytest.raises(NotMarkovError, match=r"frequency \(1, 2\)"):
        f(process, np.array([0.4, 0.75]), np.array([0.2, 0.25]), shape=(3, 4))
    f(process, 0.5, 0.25, shape=(3, 4))


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_rise_is_refused_on_libraries_that_may_be_traced_when_times_are_numbers(library, request):
    module = request.getfixturevalue(library)
    like = module.zeros(1) if library == "torch" else module.numpy.zeros(1)
    with pytest.raises(NotMarkovError, match=r"frequency \(1, 2\)"):
        bc.transition(Backwards(), 0.75, 0.25, shape=(3, 4), like=like)


def test_check_markov_names_the_first_interval_that_rises(process):
    bc.check_markov(process, tuple(np.linspace(0, 1, 21)), shape=(5, 6))
    with pytest.raises(NotMarkovError, match=r"between s = 0.4 and t = 0.6"):
        bc.check_markov(Backwards(), (0.0, 0.2, 0.4, 0.6, 0.8), shape=(3, 4))


@pytest.mark.parametrize("t", [1.0, 0.5])
def test_posterior_of_a_process_without_noise_is_refused(xp, t):
    for arguments in ((t, 0.25), (xp.asarray([t, t]), xp.asarray([0.25, 0.25]))):
        if not isinstance(arguments[0], float) and xp.name not in ("numpy", "array_api_strict"):
            continue
        with pytest.raises(
            DegenerateError, match=r"(?s)the posterior of ColdDiffusion is undefined at t = .*where sigma is 0"
        ):
            bc.posterior(bc.ColdDiffusion(), *arguments, shape=(4,), like=xp.asarray([0.0]))


def test_posterior_at_a_time_without_noise_is_refused():
    process = bc.GaussianDiffusion(noise=bc.LinearBeta())
    with pytest.raises(DegenerateError, match=r"the posterior of GaussianDiffusion is undefined at t = 0.0"):
        bc.posterior(process, 0.0, 0.0, shape=(4,))


def test_step_to_a_time_without_noise_ends_at_the_data(xp):
    post = bc.posterior(bc.GaussianDiffusion(noise=bc.LinearBeta()), 0.001, 0.0, shape=(4,), like=xp.asarray([0.0]))
    assert [float(v[0]) for v in post] == [0.0, 1.0, 0.0]


def test_transition_of_cold_diffusion_has_no_variance(xp):
    step = bc.transition(bc.ColdDiffusion(), 0.75, 0.5, shape=(4, 4), like=xp.asarray([0.0]))
    assert np.all(xp.to_numpy(step.variance) == 0)


def test_heat_dissipation_moves_nothing_at_dc(xp):
    heat = bc.HeatDissipation()
    post = bc.posterior(heat, 0.75, 0.5, shape=(4, 4), like=xp.asarray([0.0]))
    assert [float(v[0, 0]) for v in post] == [1.0, 0.0, 0.0]


def test_posterior_is_bayes_rule_by_brute_force():
    """Nothing of ours: densities of u_s on a grid of numbers, one frequency, prior times likelihood."""
    t, s, shape, u_0, u_t = 0.6, 0.45, (4,), 0.7, -0.3
    m, step = BLURRING.marginal(s, shape=shape), bc.transition(BLURRING, t, s, shape=shape)
    post = bc.posterior(BLURRING, t, s, shape=shape)
    u = np.linspace(-8, 8, 400_001)
    for k in range(4):
        prior = (u - m.alpha[k] * u_0) ** 2 / m.sigma[0] ** 2
        likelihood = (u_t - step.alpha[k] * u) ** 2 / step.variance[k]
        log_density = -(prior + likelihood) / 2
        weights = np.exp(log_density - log_density.max())
        mean = np.average(u, weights=weights)
        variance = np.average((u - mean) ** 2, weights=weights)
        # The trapezoidal rule is exact for a Gaussian much wider than its step of 4e-5 to all digits; the sums of 4e5
        # numbers lose three of them.
        assert mean == pytest.approx(post.z_coef[k] * u_t + post.x_coef[k] * u_0, rel=1e-10)
        assert variance == pytest.approx(post.variance[k], rel=1e-10)


def test_free_functions_are_the_methods(xp, process):
    like, t = xp.asarray([0.0]), xp.asarray([0.25, 0.5])
    assert_close(bc.log_snr(process, t, shape=(3,)), process.log_snr(t, shape=(3,)), rtol=0.0)
    for a, b in zip(bc.sde(process, 0.5, shape=(3,), like=like), process.sde(0.5, shape=(3,), like=like), strict=True):
        assert_close(a, b, rtol=0.0)


def test_marginal_for_lays_the_coefficients_over_the_data(xp, process):
    x = xp.asarray(np.zeros((2, 5, 4, 3)))
    m = bc.marginal_for(process, xp.asarray([0.25, 0.5]), x, axes=(1, 2))
    raw = process.marginal(xp.asarray([0.25, 0.5]), shape=(5, 4), like=x)
    assert_close(m.alpha[..., 0], raw.alpha, rtol=0.0)
    assert tuple(m.sigma.shape) == (2, 1, 1, 1)


def test_noise_of_the_marginal_is_what_eps_is_multiplied_with(xp, process):
    x, eps = xp.asarray(np.zeros((2, 4, 4))), xp.asarray(RNG.standard_normal((2, 4, 4)))
    z = bc.diffuse(process, x, 0.5, eps)
    sigma = float(process.marginal(0.5, shape=(4, 4)).sigma[0, 0])
    assert_close(z, sigma * xp.to_numpy(eps), like=x, rtol=tolerance("float32", roundings=2))
