"""What training and sampling promise beside resuming."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from blurcore_torch import sampler, trainer
from blurcore_torch.devices import pick_device

import blurcore as bc
from blurcore.engine import Stream, learning_rate
from blurcore.errors import ArgumentError, ConfigError, RunStoppedError
from blurcore.runs import newest_checkpoint


def train(config: bc.RunConfig, folder: Path) -> None:
    bc.get_backend("torch").train(config, folder)


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_loss_falls_with_every_prediction(config: bc.RunConfig, tmp_path: Path, prediction: str) -> None:
    settings = replace(config.train, steps=60, prediction=prediction, log_every=10, batch_size=16, learning_rate=3e-3)
    train(replace(config, train=settings), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]


def test_run_folder_holds_what_sampling_needs(config: bc.RunConfig, tmp_path: Path) -> None:
    train(config, tmp_path / "run")
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {"config.toml", "metrics.jsonl", "checkpoints", "samples"}
    images = bc.get_backend("torch").sample(tmp_path / "run", config.sample, device="cpu", progress=False)
    assert images.shape == (4, 8, 8, 1)
    assert images.dtype == np.uint8


def test_same_seed_gives_the_same_samples_whatever_the_batch(config: bc.RunConfig, tmp_path: Path) -> None:
    train(config, tmp_path / "run")
    run, network, shape = sampler.load_run(tmp_path / "run", torch.device("cpu"))

    def draw(**changes: int) -> torch.Tensor:
        settings = replace(config.sample, num_samples=5, **changes)
        return sampler.sample(
            run, network, image_shape=shape, settings=settings, device=torch.device("cpu"), progress=False
        )

    together, again, apart, other = (
        draw(batch_size=5),
        draw(batch_size=5),
        draw(batch_size=2),
        draw(batch_size=5, seed=1),
    )
    assert torch.equal(together, again)
    # The batch size changes the order of sums inside the network's products, nothing else.
    torch.testing.assert_close(apart, together, rtol=0, atol=1e-3)
    assert not torch.allclose(other, together, atol=0.1)


def test_sampling_loop_equals_the_core_on_the_same_noise(config: bc.RunConfig) -> None:
    """The loop keeps its state in frequency space; a plain NumPy loop in float64 with the same noise agrees."""
    process = config.process
    settings = replace(config.sample, num_samples=2, num_steps=6)

    class Shrink(torch.nn.Module):
        def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return 0.5 * z + t.view(-1, 1, 1, 1)

    got = sampler.sample(
        replace(config, train=replace(config.train, prediction="v")), Shrink(), image_shape=(8, 8, 1),
        settings=settings, device=torch.device("cpu"), progress=False,
    )  # fmt: skip
    generators = [sampler.generator(torch.device("cpu"), 0, Stream.SAMPLE, i) for i in range(2)]

    def noise() -> np.ndarray:
        return np.stack([torch.randn(1, 8, 8, generator=g).numpy().astype(np.float64) for g in generators])

    basis, times = process.basis, bc.uniform_times(6)
    u = process.marginal(1.0, shape=(8, 8)).sigma * noise()
    for t, s in zip(times[:-1], times[1:], strict=True):
        v = basis.forward(0.5 * basis.inverse(u) + t)
        x0 = bc.convert(v, "v", "x0", z=u, marginal=process.marginal(t, shape=(8, 8)))
        q = bc.posterior(process, t, s, shape=(8, 8))
        u = q.z_coef * u + q.x_coef * x0 + (np.sqrt(q.variance) * noise() if s > 0 else 0)
    np.testing.assert_allclose(got.numpy(), basis.inverse(u), rtol=2e-5, atol=2e-5)


def test_steps_that_are_not_finite_change_nothing_and_end_the_run(
    config: bc.RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = trainer.bc.simple_loss
    bad = range(4, 100)

    calls = iter(range(1000))
    monkeypatch.setattr(
        trainer.bc, "simple_loss", lambda p, t: honest(p, t) * (math.nan if next(calls) in bad else 1.0)
    )
    settings = replace(config.train, steps=50, checkpoint_every=4)
    with pytest.raises(RunStoppedError, match="not finite") as error:
        train(replace(config, train=settings), tmp_path / "run")
    assert error.value.exit_code == 3
    checkpoint = newest_checkpoint(tmp_path / "run")
    assert all(np.isfinite(v).all() for group in checkpoint.groups.values() for v in group.values())


def test_gradient_accumulation_must_divide_the_batch() -> None:
    with pytest.raises(ArgumentError, match="accumulate must be a divisor of batch_size = 8; got 3"):
        bc.TrainConfig(batch_size=8, accumulate=3)


@pytest.mark.parametrize("process", [bc.HeatDissipation(), bc.ColdDiffusion()])
def test_process_whose_end_is_no_noise_is_refused(config: bc.RunConfig, tmp_path: Path, process: bc.Process) -> None:
    with pytest.raises(ConfigError, match="noise covers all frequencies"):
        train(replace(config, process=process), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_learning_rate_warms_up_and_follows_its_schedule() -> None:
    settings = bc.TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0, schedule="cosine")
    assert learning_rate(settings, 0) == pytest.approx(0.1)
    assert learning_rate(settings, 9) == pytest.approx(1.0)
    assert learning_rate(settings, 55) == pytest.approx(0.5)
    assert learning_rate(settings, 100) == pytest.approx(0.0)
    assert learning_rate(replace(settings, schedule="constant"), 99) == 1.0


def test_average_follows_its_definition(config: bc.RunConfig) -> None:
    run = trainer.Trainer(config, (8, 8, 1), torch.device("cpu"))
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    expected = {k: v.clone().double() for k, v in run.ema.named_parameters()}
    for step in range(4):
        run.train_step(images)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in run.model.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * value.detach().double()
    for name, value in run.ema.named_parameters():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_training_leaves_the_global_generator_alone(config: bc.RunConfig, tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(config, tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())


def test_tensorboard_scalars_are_written_on_request(config: bc.RunConfig, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    train(replace(config, train=replace(config.train, tensorboard=True)), tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))


def test_sample_grids_are_drawn_during_training(config: bc.RunConfig, tmp_path: Path) -> None:
    train(replace(config, train=replace(config.train, sample_every=4)), tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run" / "samples").iterdir()) == [
        "step-00000004.png",
        "step-00000008.png",
    ]


def test_unknown_device_is_refused_by_name() -> None:
    with pytest.raises(ArgumentError, match=r"device must be auto, cpu .* got 'abacus'"):
        pick_device("abacus")


@pytest.mark.slow
def test_compiled_training_follows_the_eager_run(config: bc.RunConfig, tmp_path: Path) -> None:
    config = replace(config, model=replace(config.model, dropout=0.0), train=replace(config.train, steps=3))
    train(config, tmp_path / "eager")
    train(replace(config, train=replace(config.train, compile=True)), tmp_path / "compiled")

    def loss(name: str) -> list[float]:
        return [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]

    np.testing.assert_allclose(loss("compiled"), loss("eager"), rtol=1e-4)
