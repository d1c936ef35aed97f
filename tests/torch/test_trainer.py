"""What is PyTorch's own in training: its global generator, its compiler."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import blurcore as bc

torch = pytest.importorskip("torch", reason="the trainer under test is PyTorch's")


@pytest.fixture
def config() -> bc.RunConfig:
    return bc.RunConfig(
        seed=3,
        device="cpu",
        data=bc.Digits(),
        model=bc.ModelConfig(  # few kernels; tests/training/test_survival.py compiles the same, and finds it in the cache
            base_channels=8, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), dropout=0.0, norm_groups=4
        ),
        train=bc.TrainConfig(
            objective=bc.Denoising(prediction="v"),
            steps=3,
            batch_size=8,
            warmup_steps=2,
            learning_rate=1e-3,
            log_every=1,
        ),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=3), num_samples=4, batch_size=4),
    )


def train(config: bc.RunConfig, folder: Path) -> list[float]:
    bc.get_backend("torch").train(config, folder)
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_training_leaves_the_global_generator_alone(config: bc.RunConfig, tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(config, tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.nightly  # test_model.py compiles the network every day
def test_compiled_training_follows_the_eager_run(config: bc.RunConfig, tmp_path: Path) -> None:
    eager = train(config, tmp_path / "eager")
    compiled = train(replace(config, train=replace(config.train, compile=True)), tmp_path / "compiled")
    np.testing.assert_allclose(compiled, eager, rtol=1e-4)
