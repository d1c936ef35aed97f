"""Times of a batch, training pairs, the loss, and the check before training."""

from unittest.mock import patch

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError, DegenerateError
from blurcore.prediction import KINDS, mixture, path_for
from blurcore.testing.assertions import EPSILON, assert_close, dtype_name

RNG = np.random.default_rng(2)


def test_uniform_times_are_as_they_are(xp):
    uniform = xp.asarray([0.25, 0.75, 0.0])
    assert bc.draw_times(uniform, "uniform") is uniform


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8])
def test_antithetic_times_come_in_pairs_about_the_middle(xp, batch):
    values = RNG.random(batch).astype(np.float32)
    times = xp.to_numpy(bc.draw_times(xp.asarray(values), "antithetic"))
    half = (batch + 1) // 2
    assert np.array_equal(times[:half], values[:half])
    # 1 - t is rounded once
    assert_close(times[half:], (1 - values.astype(float)[:half])[: batch - half], rtol=EPSILON["float32"])


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8])
@pytest.mark.parametrize("first", [0.0, 0.3, 1 - 2.0**-24])
def test_low_discrepancy_times_put_one_in_each_part_of_the_interval(xp, batch, first):
    values = RNG.random(batch)
    values[:1] = first
    uniform = xp.asarray(values)
    times = bc.draw_times(uniform, "low_discrepancy")
    assert dtype_name(times) == "float32"
    t = xp.to_numpy(times)
    assert t.shape == (batch,)
    assert np.all((t >= 0) & (t < 1))
    if batch:
        offset = float(xp.to_numpy(uniform)[0])
        # a sum below 2 in float32, and its fraction: 2^-23 absolute; and around the circle
        distance = np.abs(t - (offset + np.arange(batch) / batch) % 1)
        assert np.all(np.minimum(distance, 1 - distance) <= 2.0**-22)


def test_low_discrepancy_times_lower_the_variance_of_a_mean(xp):
    def mean(how):
        return [
            xp.to_numpy(bc.draw_times(xp.asarray(u), how)).mean() for u in np.random.default_rng(3).random((200, 16))
        ]

    # 1 / (12 n) for independent times; 1 / (12 n^2) for the even grid with one offset: a sixteenth
    assert np.var(mean("low_discrepancy")) < np.var(mean("uniform")) / 8
    assert np.var(mean("antithetic")) < 1e-12


def test_draw_times_refuses_invalid_arguments(xp):
    with pytest.raises(ArgumentError, match="how must be uniform, antithetic or low_discrepancy; got 'sobol'"):
        bc.draw_times(xp.asarray([0.5]), "sobol")
    with pytest.raises(ArgumentError, match=r"uniform must be of shape \(batch,\); got \(1, 2\)"):
        bc.draw_times(xp.asarray([[0.5, 0.5]]), "uniform")
    with pytest.raises(ArgumentError, match="uniform must be real floating"):
        bc.draw_times(xp.xp.asarray([1, 2]), "uniform")


@pytest.mark.parametrize("kind", KINDS)
def test_target_inverts_to_the_data(xp, noisy_process, kind):
    x, eps = (xp.asarray(RNG.standard_normal((2, 3, 4, 5)), "float64") for _ in range(2))
    t = xp.asarray([0.125, 0.375], "float64")
    pair = bc.training_pair(noisy_process, x, t, eps, prediction=kind)
    assert_close(pair.z, bc.diffuse(noisy_process, x, t, eps), rtol=0.0)
    basis, m = noisy_process.basis, path_for(noisy_process, kind, t, x)
    alpha = xp.to_numpy(m.alpha)
    if kind in ("eps", "score") and alpha.min() < 1e-8:
        return  # HeatDissipation: noise says nothing of frequencies that are gone
    determinant = np.abs(xp.to_numpy(mixture(kind, m).determinant)) if kind in ("v", "velocity", "F") else alpha
    if determinant.min() < 1e-8:
        return  # HeatDissipation: what does not move has no velocity
    u, target = basis.forward(pair.z), basis.forward(pair.target)
    x0 = basis.inverse(bc.convert(target, kind, "x0", z=u, marginal=m))
    # two transforms more, and the conversion divides once by alpha or by a determinant
    size = max(np.abs(xp.to_numpy(v)).max() for v in (x, eps, pair.target)) * np.sqrt(20)
    atol = 4 * (9 + 8) * EPSILON["float64"] * size * (1 if kind == "x0" else 1 / determinant.min())
    assert_close(x0, x, rtol=0.0, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
def test_training_pair_of_half_precision_stays_in_half_precision(xp, kind):
    for dtype in set(xp.dtypes) - {"float64", "float32"}:
        x, eps = (xp.asarray(RNG.standard_normal((2, 4, 4)), dtype) for _ in range(2))
        pair = bc.training_pair(bc.BlurringDiffusion(), x, xp.asarray([0.5, 0.75]), eps, prediction=kind)
        assert [dtype_name(v) for v in pair] == [dtype, dtype]


def test_training_pair_refuses_an_unknown_kind(xp):
    x = xp.asarray(np.zeros((2, 4, 4)))
    with pytest.raises(
        ArgumentError, match=r"prediction must be one of \('x0', 'eps', 'v', 'score', 'velocity', 'F'\); got 'noise'"
    ):
        bc.training_pair(bc.BlurringDiffusion(), x, 0.5, x, prediction="noise")


@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 4, 5), (0, 4)])
def test_simple_loss_is_the_mean_square_of_each_item(xp, shape):
    for dtype in xp.dtypes:
        a, b = (xp.asarray(RNG.standard_normal(shape), dtype) for _ in range(2))
        work = "float64" if dtype == "float64" else "float32"
        difference = xp.to_numpy(a) - xp.to_numpy(b)
        desired = np.mean(difference.reshape(shape[0], int(np.prod(shape[1:]))) ** 2, axis=1)
        # positive terms: one rounding for each, and one for the difference, twice
        rtol = (np.prod(shape[1:]) + 4) * EPSILON[work]
        assert_close(bc.simple_loss(a, b), desired, like=a, dtype=work, rtol=rtol)


def test_simple_loss_refuses_arrays_of_different_shapes(xp):
    with pytest.raises(ArgumentError, match=r"prediction must be of the shape of target, \(2, 1\); got \(2, 3\)"):
        bc.simple_loss(xp.asarray(np.zeros((2, 3))), xp.asarray(np.zeros((2, 1))))


class TestCheckPrediction:
    times = tuple(np.linspace(0.01, 1.0, 10))

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_papers_process_serves_every_kind(self, kind):
        bc.check_prediction(bc.BlurringDiffusion(), kind, self.times, shape=(32, 32))

    @pytest.mark.parametrize("kind", ["eps", "score"])
    def test_alpha_that_underflows_is_refused(self, kind):
        heat = bc.HeatDissipation()
        with pytest.raises(
            DegenerateError, match=f"prediction must not be '{kind}' for HeatDissipation: alpha falls to"
        ):
            bc.check_prediction(heat, kind, self.times, shape=(32, 32))
        for other in ("x0", "v"):
            bc.check_prediction(heat, other, self.times, shape=(32, 32))

    @pytest.mark.parametrize("kind", ["eps", "score"])
    def test_a_process_without_noise_is_refused(self, kind):
        with pytest.raises(
            DegenerateError, match=f"prediction must not be '{kind}' for ColdDiffusion: sigma is 0 at t = 0.01"
        ):
            bc.check_prediction(bc.ColdDiffusion(), kind, self.times, shape=(4, 4))
        with pytest.raises(DegenerateError, match=f"must not be '{kind}' for GaussianDiffusion: sigma is 0 at t = 0"):
            bc.check_prediction(bc.GaussianDiffusion(noise=bc.LinearBeta()), kind, (0.0, 0.5), shape=(4, 4))

    def test_velocity_of_what_rests_is_refused(self):
        with pytest.raises(
            DegenerateError, match=r"must not be 'velocity' for HeatDissipation: alpha sigma' - .* use x0 or v"
        ):
            bc.check_prediction(bc.HeatDissipation(), "velocity", self.times, shape=(32, 32))
        with pytest.raises(
            DegenerateError, match=r"must not be 'velocity' for GaussianDiffusion: sigma leaves 0 .* at t = 0; use v"
        ):
            bc.check_prediction(bc.GaussianDiffusion(noise=bc.LinearBeta()), "velocity", (0.0,), shape=(4, 4))
        straight = bc.GaussianDiffusion(noise=bc.Rectified(alpha_min=1e-9, sigma_min=0.0))
        bc.check_prediction(straight, "velocity", (0.0, 0.5, 1.0), shape=(4, 4))

    def test_an_unknown_kind_is_refused(self):
        with pytest.raises(
            ArgumentError,
            match=r"prediction must be one of \('x0', 'eps', 'v', 'score', 'velocity', 'F'\); got 'noise'",
        ):
            bc.check_prediction(bc.BlurringDiffusion(), "noise", self.times, shape=(4, 4))


@pytest.mark.parametrize(("prediction", "transforms"), [("eps", 2), ("x0", 2), ("v", 4)])
def test_a_pair_asks_for_one_marginal_and_for_the_transforms_it_needs(prediction, transforms):
    process, x = bc.BlurringDiffusion(), RNG.standard_normal((2, 1, 4, 4))
    with (
        patch.object(
            bc.BlurringDiffusion, "marginal", autospec=True, side_effect=bc.BlurringDiffusion.marginal
        ) as asked,
        patch.object(bc.DCT, "_transform", autospec=True, side_effect=bc.DCT._transform) as transformed,
    ):
        bc.training_pair(process, x, np.array([0.2, 0.7]), x, prediction=prediction)
    assert (asked.call_count, transformed.call_count) == (1, transforms)
