"""What is JAX's own is tested here; what all backends promise is in tests/training."""

from __future__ import annotations

import pytest

import blurcore as bc


@pytest.fixture(autouse=True, scope="session")
def needed(jax: object) -> None:
    for name in ("flax", "optax"):
        pytest.importorskip(name, reason=f"the JAX trainer needs {name}")


@pytest.fixture(scope="module")
def config() -> bc.RunConfig:
    return bc.RunConfig(
        seed=3,
        backend="jax",
        device="cpu",
        data=bc.Digits(),
        model=bc.ModelConfig(  # one level: XLA compiles it in a third of the time of the tiny preset
            base_channels=8, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), dropout=0.1, norm_groups=4
        ),
        train=bc.TrainConfig(
            objective=bc.Denoising(prediction="v"),
            steps=4,
            batch_size=16,
            warmup_steps=2,
            learning_rate=1e-3,
            log_every=1,
        ),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=3), num_samples=5, batch_size=8),
    )
