"""What goes into one step of training or sampling: clipped gradients, and random numbers of their own."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.runs import newest_checkpoint


def gradient_given(trainer: Any) -> np.ndarray:
    """Return what Adam was given in the first step, whose first moment is a tenth of it."""
    optimizer = trainer.arrays()["optimizer"]
    return np.concatenate([optimizer[name].ravel() for name in sorted(optimizer) if name.endswith("/exp_avg")]) * 10


def test_gradient_is_clipped_to_the_norm_that_is_asked_for(machine: Any, config: bc.RunConfig) -> None:
    """Adam's steps would not tell: they are the same for a gradient of any size."""
    trainer = machine.trainer(config, (8, 8, 1))
    _, norm = trainer.train_step(np.random.default_rng(0).uniform(-100, 100, (8, 8, 8, 1)).astype(np.float32))
    assert float(norm) > 2.0
    assert np.linalg.norm(gradient_given(trainer)) == pytest.approx(config.train.grad_clip, rel=1e-4)


def test_accumulated_gradient_is_that_of_the_whole_batch(config: bc.RunConfig, torch: Any) -> None:
    """What tests/jax shows of JAX by a closed form."""
    from blurcore_torch.trainer import Trainer

    config = replace(config, model=replace(config.model, dropout=0.0))
    found = []
    for parts in (1, 2):
        settings = replace(config.train, grad_clip=0.0, accumulate=parts)
        trainer = Trainer(replace(config, train=settings), (8, 8, 1), torch.device("cpu"))
        trainer.train_step(np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8))
        found.append(gradient_given(trainer))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-5 * np.linalg.norm(found[0]))


def test_times_and_noise_of_a_step_are_its_own(config: bc.RunConfig, torch: Any) -> None:
    from blurcore_torch.trainer import Trainer

    trainer = Trainer(config, (8, 8, 1), torch.device("cpu"))
    drawn = []
    for trainer.step in (0, 1, 0):
        ((_, *values),) = trainer._draw(torch.zeros(8, 1, 8, 8))[0]
        drawn.append([value.numpy() for value in values])
    for first, other, again in zip(*drawn, strict=True):
        assert not np.isin(first, other).any()
        np.testing.assert_array_equal(first, again)
    source = torch.Generator().manual_seed(bc.engine.derived_seed(config.seed, bc.engine.Stream.TIME, 0))
    of_times = torch.randn((8, 1, 8, 8), generator=source).numpy()
    assert np.abs(drawn[0][1] - of_times).max() > 0.1


def test_noise_of_samples_and_steps_is_their_own(machine: Any, config: bc.RunConfig) -> None:
    """Of three samples and three steps all numbers differ, and sample 2 has them in any batch."""
    draws = bc.engine.draws_of(config.sample, range(3))
    sampler = importlib.import_module(f"blurcore_{machine.name}.sampler")
    if machine.name == "torch":
        import torch

        noise = sampler._derived_noise(7, draws, (8, 8, 1), torch.device("cpu"))
        alone = sampler._derived_noise(7, draws[2:], (8, 8, 1), torch.device("cpu"))
        steps, of_one = (np.stack([source(k).numpy() for k in range(3)]) for source in (noise, alone))
    else:
        steps, of_one = (
            np.stack([np.asarray(sampler._draw(sampler.noise_of(7, some), k, (len(some), 8, 8, 1))) for k in range(3)])
            for some in (draws, draws[2:])
        )
    assert np.abs(np.corrcoef(steps.reshape(9, -1)) - np.eye(9)).max() < 0.5
    np.testing.assert_array_equal(of_one[:, 0], steps[:, 2])


@pytest.mark.parametrize("way", [0.0, 0.3, 1.0])
def test_noise_between_two_samples_keeps_its_variance(way: float) -> None:
    near, far = bc.engine.Draw(0, 0, 1, way).weights
    assert near**2 + far**2 == pytest.approx(1.0)
    assert far / (near + far) == pytest.approx(way, abs=0.1)


def test_run_is_sampled_with_its_averaged_weights(config: bc.RunConfig, torch: Any, tmp_path: Path) -> None:
    from blurcore_torch.run import load_run
    from blurcore_torch.trainer import train

    train(replace(config, backend="torch", train=replace(config.train, steps=2, learning_rate=0.1)), tmp_path / "run")
    groups = newest_checkpoint(tmp_path / "run").groups
    weights = load_run(tmp_path / "run", torch.device("cpu"))[1].state_dict()
    for name, value in weights.items():
        np.testing.assert_array_equal(value.numpy(), groups["ema"][name])
    assert any(np.abs(groups["model"][name] - groups["ema"][name]).max() > 1e-3 for name in weights)
