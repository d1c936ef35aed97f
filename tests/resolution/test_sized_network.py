"""A network over sizes, asked about whole states: the same predictions where it sees, an account of what it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import blurcore as bc
import blurcore.restoration as restoration
from blurcore.data import ArrayDataset
from blurcore.engine.restoring import RestoreConfig, check_restoring, observe_images, restore_images, undecided
from blurcore.engine.sized_network import SizedNetwork
from blurcore.measure import evaluate, measure_x0_error
from blurcore.protocols import RunNetwork
from blurcore.resolution import input_scale, mean_power, resolutions_for, restrict

GRID, AXES, TOLERANCE = (12, 16), (1, 2), 0.02
PROCESS = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=8.0))


def photographs() -> np.ndarray:
    """Smooth random images, uint8 (16, 12, 16, 1)."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal((16, *GRID, 1)) / (1 + 8 * np.asarray(bc.DCT().eigenvalues(GRID))[..., None])
    x = bc.DCT().inverse(8 * u, axes=AXES)
    return np.clip((x / 3 + 1) * 127.5, 0, 255).round().astype(np.uint8)


POWER = mean_power(photographs(), bc.DCT())
SIZES = resolutions_for(PROCESS, POWER, tolerance=TOLERANCE)


def exact(resolution: bc.Resolution) -> RunNetwork:
    """Return the network of a run that knows the data's spectrum, and no more, on every size."""
    objective = bc.Denoising(prediction="x0")
    config = bc.RunConfig(process=PROCESS, train=bc.TrainConfig(objective=objective), resolution=resolution)

    def call(z: np.ndarray, t: np.ndarray) -> np.ndarray:
        size = z.shape[1:3]
        process = restrict(PROCESS, GRID, size)
        m = process.marginal(t.astype(np.float64), shape=size)
        c = POWER[tuple(slice(0, n) for n in size)] * math.prod(size) / math.prod(GRID)
        gain = (
            m.alpha
            * c
            / (m.alpha**2 * c + m.sigma**2)
            * np.reshape(input_scale(process, t.astype(np.float64)), (-1, 1, 1))
        )
        basis = bc.DCT()
        return basis.inverse(gain[..., None] * basis.forward(z.astype(np.float64), axes=AXES), axes=AXES)

    return RunNetwork(config, (*GRID, 1), 0, call)


def test_what_is_kept_is_predicted_as_on_whole_images_and_the_rest_as_zero():
    assert len(SIZES.sizes) == 3
    nested, full = SizedNetwork(exact(bc.Nested(found=SIZES))), SizedNetwork(exact(bc.Full()))
    rng = np.random.default_rng(1)
    t = np.array([0.02, *(s + 0.01 for s in SIZES.since[1:]), 0.9])
    m = bc.marginal_for(PROCESS, t, np.zeros((4, *GRID, 1)), axes=AXES)
    u = m.alpha * rng.standard_normal((4, *GRID, 1)) * np.sqrt(POWER)[..., None] + m.sigma * rng.standard_normal(
        (4, *GRID, 1)
    )
    found, expected, kept = nested.guess(u, t), full.guess(u, t), nested.kept(t, 4)
    np.testing.assert_allclose(np.where(kept, found - expected, 0), 0, atol=1e-5)
    assert np.all(np.where(kept, 0, found) == 0)
    assert [int(k.sum()) for k in kept] == [192, 48, 12, 12]
    whole = nested.guess(u, t, until=0.0)  # a step that ends at the data is taken on whole images
    np.testing.assert_allclose(whole, expected, atol=1e-5)


@pytest.mark.parametrize("likelihood", ["discrete", "continuous"])
def test_bound_includes_the_nats_of_what_was_dropped(likelihood):
    """In nats for an image: what is dropped costs at most the tolerance for each size, and nothing else changes."""
    settings = bc.EvaluateConfig(likelihood=likelihood, num_steps=60)
    images = photographs()
    nested, full = (evaluate(exact(r), images, settings) for r in (bc.Nested(found=SIZES), bc.Full()))
    assert np.all(full.dropped == 0)
    nats = math.prod(GRID) * math.log(2)
    cost = np.mean(nested.total - full.total) * nats
    assert -1e-3 < cost < 2 * TOLERANCE
    assert 0 < np.mean(nested.dropped) * nats < 2.1 * TOLERANCE
    np.testing.assert_allclose(nested.reconstruction, full.reconstruction, rtol=1e-5)
    np.testing.assert_allclose(nested.prior, full.prior)


def test_error_of_a_frequency_that_is_not_seen_is_its_power():
    data = ArrayDataset(photographs(), name="smooth")
    found = measure_x0_error(exact(bc.Nested(found=SIZES)), data, num_images=16, num_times=5)
    last = found.values[list(found.times).index(1.0)]
    np.testing.assert_allclose(last[3:], POWER[3:], rtol=1e-5)
    np.testing.assert_allclose(last[:, 4:], POWER[:, 4:], rtol=1e-5)


@pytest.mark.parametrize("method", ["Calibrated", "DDRM", "PiGDM"])
def test_restorations_are_those_of_whole_images_within_the_tolerance(method):
    """The same noise for both, so that what is left is what the dropped frequencies cost."""
    kind = getattr(restoration, method)
    settings = RestoreConfig(
        operator=restoration.Blur(sigma=1.0),
        method=kind(covariance="gaussian") if method != "DDRM" else kind(),
        times=bc.Uniform(num_steps=20),
        num_samples=2,
    )
    spectrum, images = restoration.Spectrum(np.zeros(GRID), POWER), photographs()[:4] / 127.5 - 1
    found = []
    for resolution in (bc.Nested(found=SIZES), bc.Full()):
        network = exact(resolution)._replace(vjp=transposed(exact(resolution).call))
        observation = check_restoring(network, settings)
        pictures = observe_images(observation, images, noise=settings.noise, seed=0, indices=range(4))
        known = undecided(network, settings, spectrum=spectrum)
        found.append(restore_images(network, pictures, settings, observation, known))
    over_sizes, whole = found
    assert np.sqrt(np.mean((over_sizes - whole) ** 2)) < 0.02 * np.std(whole)
    assert method == "DDRM" or np.any(over_sizes != whole)  # which here takes y for each frequency that is dropped


def transposed(call):
    """Return the products of a network that is diagonal in the DCT, and so its own transpose, with its Jacobian."""
    return lambda z, t, v: (call(z, t), call(v, t))


def test_product_with_the_jacobian_is_that_of_the_prediction():
    model = SizedNetwork(exact(bc.Nested(found=SIZES))._replace(vjp=transposed(exact(bc.Nested(found=SIZES)).call)))
    u, v = np.random.default_rng(2).standard_normal((2, 3, *GRID, 1))
    for t in (0.05, *(since + 0.01 for since in SIZES.since[1:])):
        ahead = model.ask(u + v, t).x0 - model.ask(u, t).x0  # linear here
        np.testing.assert_allclose(np.vdot(model.ask(u, t).pull(u), v), np.vdot(u, ahead), rtol=1e-4)


def test_what_needs_the_network_on_whole_images_is_refused():
    from blurcore.measure import measure_spectral_loss

    network = exact(bc.Nested(found=SIZES))
    with pytest.raises(bc.errors.ArgumentError, match="network must be one of whole images"):
        measure_spectral_loss(network, ArrayDataset(photographs(), name="smooth"))
    with pytest.raises(
        bc.errors.ConfigError, match="likelihood must be discrete or continuous for a network over sizes"
    ):
        evaluate(network, photographs(), bc.EvaluateConfig(likelihood="ode"))
