"""A run small enough to be repeated, and the backends that run it: each test here runs on every one of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.engine import Trainer

NEEDS = {"torch": ("torch",), "jax": ("jax", "flax", "optax")}


@dataclass(frozen=True)
class Machine:
    """A backend that trains and samples, with its arrays hidden: NumPy in, NumPy out, channels last."""

    name: str

    def train(self, config: bc.RunConfig, folder: Path, **kwargs: bool) -> None:
        bc.get_backend(self.name).train(replace(config, backend=self.name), folder, **kwargs)

    def sample(self, folder: Path, settings: bc.SampleConfig) -> np.ndarray:
        return bc.get_backend(self.name).sample(folder, settings, device="cpu", progress=False).images

    def trainer(self, config: bc.RunConfig, image_shape: tuple[int, ...]) -> Trainer:
        trainer = importlib.import_module(f"blurcore_{self.name}.trainer")
        devices = importlib.import_module(f"blurcore_{self.name}.devices")
        device = devices.pick_device("cpu") if self.name == "torch" else devices.pick_devices("cpu")
        return trainer.Trainer(config, image_shape, device)

    def network(self, folder: Path) -> Callable[..., np.ndarray]:
        """Return a run's network as a function of (B, *grid, C), (B,) and, if it has classes, labels (B,)."""
        if self.name == "torch":
            import torch
            from blurcore_torch.run import load_run

            _, model, *_ = load_run(folder, torch.device("cpu"))

            def of_torch(z: np.ndarray, cond: np.ndarray, *labels: np.ndarray) -> np.ndarray:
                x = torch.tensor(z, dtype=torch.float32).movedim(-1, 1).contiguous()
                with torch.no_grad():
                    given = (torch.tensor(cond, dtype=torch.float32), *map(torch.from_numpy, labels))
                    return model(x, *given).movedim(1, -1).numpy()

            return of_torch
        import jax
        from blurcore_jax.run import load_run as load_jax
        from flax import nnx

        _, graphdef, params, *_ = load_jax(folder)
        apply = jax.jit(lambda params, z, cond, *label: nnx.merge(graphdef, params)(z, cond, None, *label))
        return lambda z, cond, *labels: np.asarray(apply(params, np.float32(z), np.float32(cond), *labels))

    def sample_from(
        self,
        folder: Path,
        settings: bc.SampleConfig,
        noise: np.ndarray,
        *,
        x0_error: bc.X0Error | None = None,
        **given: Any,
    ) -> np.ndarray:
        """Sample with the noise that is handed in, (num_steps + 1, B, *grid, C), standard normal in frequency space."""
        from blurcore.engine import Batch, SamplingPlan

        shape: Any = noise.shape[2:]
        if self.name == "torch":
            import torch
            from blurcore_torch.run import load_run
            from blurcore_torch.sampler import sample_batch

            config, model, *_ = load_run(folder, torch.device("cpu"))
            plan = SamplingPlan(config, settings, shape, axes=tuple(range(1 - len(shape), 0)), x0_error=x0_error)
            rows = torch.tensor(noise, dtype=torch.float32).movedim(-1, 2)
            return sample_batch(plan, model, lambda k: rows[k], Batch(**given)).movedim(1, -1).numpy()
        from blurcore_jax.run import load_run as load_jax
        from blurcore_jax.sampler import Network
        from blurcore_jax.sampler import sample_batch as sample_jax

        config, graphdef, params, *_ = load_jax(folder)
        plan = SamplingPlan(config, settings, shape, axes=tuple(range(1, len(shape))), x0_error=x0_error)
        return np.asarray(sample_jax(plan, Network(graphdef, params), np.float32(noise), Batch(**given)))


def _make(name: str, request: pytest.FixtureRequest) -> Machine:
    """Return a backend's machine, or skip with the reason."""
    for needed in NEEDS[name]:
        if needed in NEEDS:
            request.getfixturevalue(needed)
        else:
            pytest.importorskip(needed, reason=f"the {name} trainer needs {needed}")
    return Machine(name)


@pytest.fixture(params=sorted(NEEDS))
def machine(request: pytest.FixtureRequest) -> Machine:
    """One backend after the other."""
    return _make(request.param, request)


@pytest.fixture
def both(request: pytest.FixtureRequest) -> tuple[Machine, Machine]:
    """PyTorch's and JAX's machine."""
    return _make("torch", request), _make("jax", request)


@pytest.fixture
def config() -> bc.RunConfig:
    return bc.RunConfig(
        seed=3,
        device="cpu",
        data=bc.Digits(),
        model=bc.ModelConfig(  # one level: XLA compiles it in a third of the time of the tiny preset
            base_channels=8, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), dropout=0.1, norm_groups=4
        ),
        train=bc.TrainConfig(
            objective=bc.Denoising(prediction="v"),
            steps=8,
            batch_size=8,
            warmup_steps=2,
            learning_rate=1e-3,
            ema_decay=0.9,
            log_every=1,
            checkpoint_every=3,
            keep_checkpoints=10,
        ),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=3), num_samples=4, batch_size=4),
    )
