"""What JAX people look for: no retrace, no leaked tracer, no NaN on the way, the same with and without float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.engine import SamplingPlan

SHAPE = (8, 8, 1)


def images(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, *SHAPE), dtype=np.uint8)


def make_trainer(config: bc.RunConfig) -> Any:
    from blurcore_jax.devices import pick_devices
    from blurcore_jax.trainer import Trainer

    return Trainer(config, SHAPE, pick_devices("cpu")[:1])


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how often the network is traced."""
    from blurcore_jax.model import UNet

    count = [0]
    honest = UNet.__call__

    def counting(*args: Any) -> Any:
        count[0] += 1
        return honest(*args)

    monkeypatch.setattr(UNet, "__call__", counting)
    return lambda: count[0]


def test_training_step_is_compiled_once(config: bc.RunConfig, traces: Callable[[], int]) -> None:
    # A weight decay that no other test has, so that this program is not compiled already.
    run = make_trainer(replace(config, train=replace(config.train, weight_decay=1e-7)))
    run.train_step(images())
    once = traces()
    assert once > 0
    for seed in range(3):
        run.train_step(images(seed))
    assert traces() == once
    assert run._step._cache_size() == 1


def test_state_is_donated(config: bc.RunConfig) -> None:
    import jax

    run = make_trainer(config)
    before = jax.tree.leaves(run.state)
    run.train_step(images())
    assert all(leaf.is_deleted() for leaf in before)


def test_sampling_is_compiled_once_for_any_number_of_samples_and_steps_any_seed_and_schedule(
    config: bc.RunConfig, traces: Callable[[], int]
) -> None:
    from blurcore_jax.devices import pick_devices
    from blurcore_jax.sampler import Network, sample

    run = make_trainer(config)

    def draw(blur: float = 20.0, **changes: Any) -> np.ndarray:
        settings = replace(
            config.sample, **{"times": bc.Uniform(num_steps=32), "num_samples": 8, "clip": "static", **changes}
        )
        wanted = replace(config, process=bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=blur)))
        plan = SamplingPlan(wanted, settings, SHAPE, axes=(1, 2))
        network = Network(run.graphdef, run.state.ema)
        return sample(plan, network, prior=None, devices=pick_devices("cpu")[:1], progress=False)

    draw()
    once = traces()
    assert once == 1
    for changes in (
        {"num_samples": 20},
        {"num_samples": 9, "seed": 4},
        {"times": bc.Uniform(num_steps=7)},
        {"times": bc.Uniform(num_steps=150)},
        {"blur": 3.0},
        {"solver": bc.Ancestral(variance="upper"), "times": bc.Quadratic(num_steps=32)},
    ):
        assert draw(**changes).shape[0] == changes.get("num_samples", 8)
    assert traces() == once


def test_no_tracer_leaks_and_no_nan_appears(config: bc.RunConfig, tmp_path: Path) -> None:
    """With 0 at the end of alpha and infinite log-SNR: the corners where 0 / 0 would show."""
    import jax

    process = bc.BlurringDiffusion(min_scale=0.0)
    config = replace(config, process=process, train=replace(config.train, steps=2, weight_decay=1e-9))
    with jax.checking_leaks(), jax.debug_nans(True):
        backend = bc.get_backend("jax")
        backend.train(config, tmp_path / "run")
        backend.sample(tmp_path / "run", replace(config.sample, solver=bc.DDIM(eta=0.5)), progress=False)


@pytest.mark.nightly
def test_float64_mode_changes_training_and_samples_by_rounding_alone(config: bc.RunConfig) -> None:
    import jax
    from blurcore_jax.devices import pick_devices
    from blurcore_jax.sampler import Network, sample

    results: list[Any] = []
    params = jax.device_get(make_trainer(config).state.ema)
    for wide in (False, True):
        with jax.enable_x64(wide):
            run = make_trainer(replace(config, train=replace(config.train, weight_decay=1e-8)))
            losses = [float(run.train_step(images(seed))[0]) for seed in range(3)]
            assert {leaf.dtype.name for leaf in jax.tree.leaves(run.state)} == {"float32", "int32"}
            plan = SamplingPlan(config, config.sample, SHAPE, axes=(1, 2))
            network = Network(run.graphdef, params)
            draws = sample(plan, network, prior=None, devices=pick_devices("cpu")[:1], progress=False)
            results.append((losses, draws))
    np.testing.assert_allclose(results[1][0][0], results[0][0][0], rtol=1e-6)
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-4)  # Adam lets roundings grow from step to step
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradient_is_that_of_the_mean_loss(config: bc.RunConfig, accumulate: int) -> None:
    """The norm that a step reports is that of the loss, written out without the trainer's machinery."""
    import jax
    import jax.numpy as jnp
    from blurcore_jax.random import key
    from flax import nnx

    from blurcore.engine import Stream

    config = replace(
        config, model=replace(config.model, dropout=0.0), train=replace(config.train, accumulate=accumulate)
    )
    run = make_trainer(config)
    params = jax.tree.map(jnp.asarray, jax.device_get(run.state.params))
    x = jnp.asarray(images(), jnp.float32) / 127.5 - 1
    keys = [jax.random.fold_in(key(config.seed, stream), 0) for stream in (Stream.TIME, Stream.NOISE)]
    t = bc.draw_times(jax.random.uniform(keys[0], (16,)), "low_discrepancy")
    eps = jax.random.normal(keys[1], x.shape)

    def loss(params: Any) -> Any:
        m = bc.marginal_for(config.process, t, x, axes=(1, 2))
        u, e = (config.process.basis.forward(value, axes=(1, 2)) for value in (x, eps))
        z, v = (
            config.process.basis.inverse(c, axes=(1, 2)) for c in (m.alpha * u + m.sigma * e, m.alpha * e - m.sigma * u)
        )
        return jnp.mean((nnx.merge(run.graphdef, params)(z, t) - v) ** 2)

    expected, gradient = jax.value_and_grad(loss)(params)
    got, norm = run.train_step(images())
    np.testing.assert_allclose(float(got), float(expected), rtol=1e-5)
    squares = sum(float(jnp.sum(leaf.astype(jnp.float32) ** 2)) for leaf in jax.tree.leaves(gradient))
    np.testing.assert_allclose(float(norm), squares**0.5, rtol=1e-4)


def test_gradient_checkpointing_keeps_a_fraction_of_the_activations(config: bc.RunConfig) -> None:
    import jax
    import jax.numpy as jnp
    from blurcore_jax.model import abstract_model
    from flax import nnx

    def kept(on: bool) -> int:
        """Numbers that the forward pass leaves to the backward pass; the memory of a compiled CPU program would not tell."""
        train = replace(config.train, gradient_checkpointing=on)
        settings = replace(config, train=train, model=replace(config.model, num_res_blocks=3))
        graphdef, params = abstract_model(settings, SHAPE)

        def back(params: Any, z: jax.Array) -> Any:
            return jax.vjp(lambda p: nnx.merge(graphdef, p)(z, jnp.full((16,), 0.5)), params)[1]

        images = jax.ShapeDtypeStruct((16, *SHAPE), jnp.float32)
        own = sum(leaf.size for leaf in jax.tree.leaves(params))
        return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(back, params, images))) - own

    assert kept(True) < 0.4 * kept(False)
