"""A run small enough to be repeated: 8 x 8 digits, the tiny network, a few steps on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

import blurcore as bc

torch = pytest.importorskip("torch", reason="the trainer under test is PyTorch's")


@pytest.fixture
def config() -> bc.RunConfig:
    return bc.RunConfig(
        seed=3,
        device="cpu",
        data=bc.DataConfig(name="digits"),
        model=replace(bc.MODEL_PRESETS["tiny"], dropout=0.1),
        train=bc.TrainConfig(
            steps=8, prediction="v", batch_size=8, warmup_steps=2, learning_rate=1e-3, ema_decay=0.9, log_every=1, checkpoint_every=3,
            keep_checkpoints=10,
        ),
        sample=bc.SampleConfig(num_samples=4, num_steps=3, batch_size=4),
    )  # fmt: skip
