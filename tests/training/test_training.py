"""What training and sampling promise beside resuming, on every backend that trains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.engine import learning_rate
from blurcore.errors import ArgumentError, ConfigError, RunStoppedError
from blurcore.runs import newest_checkpoint


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "prediction", ["eps", "v", "x0", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("velocity", "F"))]
)
def test_loss_falls_with_every_prediction(machine: Any, config: bc.RunConfig, tmp_path: Path, prediction: Any) -> None:
    settings = replace(
        config.train,
        steps=60,
        objective=bc.Denoising(prediction=prediction),
        log_every=10,
        batch_size=16,
        learning_rate=3e-3,
    )
    machine.train(replace(config, train=settings), tmp_path / "run")
    lines = metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]


def test_gradient_checkpointing_trains_the_same_weights(machine: Any, config: bc.RunConfig) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    weights = []
    for on in (False, True):
        settings = replace(config.train, gradient_checkpointing=on)
        trainer = machine.trainer(replace(config, train=settings), (8, 8, 1))
        for _ in range(3):
            trainer.train_step(images)
        weights.append(trainer.arrays()["model"])
    # XLA fuses the two programs differently; PyTorch does the same sums in the same order.
    error = max(float(np.abs(weights[0][name] - weights[1][name]).max()) for name in weights[0])
    assert error <= (0.0 if machine.name == "torch" else 1e-5)


def test_run_folder_holds_what_sampling_needs(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    machine.train(config, tmp_path / "run")
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {"config.toml", "metrics.jsonl", "checkpoints", "samples"}
    images = machine.sample(tmp_path / "run", config.sample)
    assert images.shape == (4, 8, 8, 1)
    assert images.dtype == np.uint8


def test_same_seed_gives_the_same_samples_whatever_the_batch(
    machine: Any, config: bc.RunConfig, tmp_path: Path
) -> None:
    machine.train(config, tmp_path / "run")

    def draw(**changes: int) -> np.ndarray:
        return machine.sample(tmp_path / "run", replace(config.sample, num_samples=5, **changes)).astype(int)

    together, again, apart = draw(batch_size=5), draw(batch_size=5), draw(batch_size=2)
    other, fewer = draw(batch_size=5, seed=1), machine.sample(tmp_path / "run", replace(config.sample, num_samples=3))
    np.testing.assert_array_equal(together, again)
    # The batch size changes the order of sums inside the network's products, nothing else: one level of 256.
    assert np.abs(apart - together).max() <= 1
    assert np.abs(fewer - together[:3]).max() <= 1
    assert np.abs(other - together).max() > 10


SIX = bc.Uniform(num_steps=6)
SAMPLERS: dict[str, bc.SampleConfig] = {
    "ancestral": bc.SampleConfig(times=SIX),
    "ddim": bc.SampleConfig(solver=bc.DDIM(), times=SIX),
    "stochastic ddim": bc.SampleConfig(solver=bc.DDIM(eta=0.7), times=SIX),
    "second order": bc.SampleConfig(solver=bc.DPMSolverPP(), times=bc.LogSNR(num_steps=6)),
    "third order": bc.SampleConfig(solver=bc.DPMSolverPP(order=3), times=bc.LogSNR(num_steps=6)),
    "sde": bc.SampleConfig(solver=bc.DPMSolverSDE(), times=bc.Quadratic(num_steps=6)),
    "euler": bc.SampleConfig(solver=bc.Euler(), times=SIX),
    "heun": bc.SampleConfig(solver=bc.Heun(), times=bc.Quadratic(num_steps=6)),
    "upper variance": bc.SampleConfig(solver=bc.Ancestral(variance="upper"), times=SIX),
    "noise in the last step": bc.SampleConfig(times=SIX, last_noise=True),
    "own grid": bc.SampleConfig(solver=bc.DDIM(), times=bc.Given(values=(1.0, 0.9, 0.5, 0.4, 0.1, 0.05, 0.0))),
    "dynamic thresholding": bc.SampleConfig(solver=bc.DDIM(), times=SIX, clip="dynamic", clip_quantile=0.9),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampling_loop_equals_the_core_on_the_same_noise(
    machine: Any, config: bc.RunConfig, tmp_path: Path, name: str
) -> None:
    """The loop keeps its state in frequency space; a plain NumPy loop in float64 with the same noise agrees."""
    machine.train(config, tmp_path / "run")
    settings = SAMPLERS[name]
    noise = np.random.default_rng(0).standard_normal((12, 2, 8, 8, 1))

    process, network, axes = config.process, machine.network(tmp_path / "run"), (1, 2)
    basis = process.basis
    clip = bc.Clip(quantile=settings.clip_quantile) if settings.clip == "dynamic" else None
    solver = settings.solver.build(process, axes=axes)
    stages = solver.stages(settings.times.times(process))
    got = machine.sample_from(tmp_path / "run", settings, noise[: len(stages) + 1])
    state = solver.start(bc.align(process.marginal(1.0, shape=(8, 8)).sigma, ndim=4, axes=axes) * noise[0])
    for k, (t, s) in enumerate(stages, start=1):
        v = network(basis.inverse(state.u, axes=axes), np.full(2, t)).astype(np.float64)
        prediction = bc.predict(process, v, "v", state.u, t, axes=axes, clip=clip)
        state = solver.step(state, prediction, t, s, noise[k] if s > 0 or settings.last_noise else None)
    np.testing.assert_allclose(got, basis.inverse(state.u, axes=axes), rtol=5e-5, atol=5e-5)


def test_order_and_grid_that_a_sampler_does_not_have_are_refused(
    machine: Any, config: bc.RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match="order must be 1 or 2; got 3"):
        bc.DPMSolverSDE(order=3)  # type: ignore[arg-type]
    process = bc.GaussianDiffusion(noise=bc.LinearBeta())
    machine.train(replace(config, process=process, train=replace(config.train, steps=1)), tmp_path / "run")
    with pytest.raises(
        ConfigError,
        match=r"sample.times cannot be LogSNR for GaussianDiffusion: noise must be a schedule with a finite",
    ):
        machine.sample(tmp_path / "run", replace(config.sample, times=bc.LogSNR()))


def test_steps_that_are_not_finite_end_the_run_and_keep_the_last_good_checkpoint(
    machine: Any, config: bc.RunConfig, tmp_path: Path
) -> None:
    # Weights of 1e30 after the first step: from the second on the loss is infinite.
    settings = replace(
        config.train, steps=50, checkpoint_every=1, keep_checkpoints=1, learning_rate=1e30, warmup_steps=0
    )
    with pytest.raises(RunStoppedError, match=r"10 steps in a row, up to step 11; .* that of step 1$") as error:
        machine.train(replace(config, train=settings), tmp_path / "run")
    assert error.value.exit_code == 3
    last = newest_checkpoint(tmp_path / "run")
    assert last.step == 1
    assert all(np.isfinite(value).all() for arrays in last.groups.values() for value in arrays.values())


def test_gradient_accumulation_must_divide_the_batch() -> None:
    with pytest.raises(ArgumentError, match="accumulate must be a divisor of batch_size = 8; got 3"):
        bc.TrainConfig(batch_size=8, accumulate=3)


def test_process_that_leaves_an_image_starts_from_blurred_data_and_not_from_noise_alone(
    machine: Any, config: bc.RunConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process = bc.BlurringDiffusion(noise=bc.CosineLogSNR(log_snr_min=-1.0))
    noise = replace(config, process=process, sample=replace(config.sample, start=bc.Noise()))
    with pytest.raises(ConfigError, match=r"sample\.start must be BlurredData or Mixture for BlurringDiffusion"):
        machine.train(noise, tmp_path / "run")
    machine.train(replace(config, process=process, train=replace(config.train, steps=1)), tmp_path / "run2")
    assert "start: BlurredData, because" in capfd.readouterr().err
    assert "prior" in newest_checkpoint(tmp_path / "run2").groups


def test_learning_rate_warms_up_and_follows_its_schedule() -> None:
    settings = bc.TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0, schedule="cosine")
    assert learning_rate(settings, 0) == pytest.approx(0.1)
    assert learning_rate(settings, 9) == pytest.approx(1.0)
    assert learning_rate(settings, 55) == pytest.approx(0.5)
    assert learning_rate(settings, 100) == pytest.approx(0.0)
    assert learning_rate(replace(settings, schedule="constant"), 99) == 1.0


def test_average_follows_its_definition(machine: Any, config: bc.RunConfig) -> None:
    run = machine.trainer(config, (8, 8, 1))
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    expected = {k: v.astype(np.float64) for k, v in run.arrays()["ema"].items()}
    for step in range(4):
        run.train_step(images)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in run.arrays()["model"].items():
            expected[name] = decay * expected[name] + (1 - decay) * value.astype(np.float64)
    for name, value in run.arrays()["ema"].items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_adam_follows_its_definition(machine: Any, config: bc.RunConfig) -> None:
    """Moments and weights of each step follow from the moments that the optimiser says it has (Loshchilov & Hutter)."""
    settings = replace(config.train, weight_decay=0.1, warmup_steps=0, learning_rate=1e-2, grad_clip=0.0)
    run = machine.trainer(replace(config, train=settings), (8, 8, 1))
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    for step in range(1, 4):
        before = {k: v.astype(np.float64) for k, v in run.arrays()["model"].items()}
        run.train_step(images)
        after = run.arrays()
        for name, weight in before.items():
            moments = (after["optimizer"][f"{name}/{key}"].astype(np.float64) for key in ("exp_avg", "exp_avg_sq"))
            first, second = (m / (1 - beta**step) for m, beta in zip(moments, (0.9, 0.999), strict=True))
            expected = weight - 1e-2 * (first / (np.sqrt(second) + 1e-8) + 0.1 * weight)
            np.testing.assert_allclose(after["model"][name], expected, rtol=1e-4, atol=1e-6, err_msg=name)
            assert after["optimizer"][f"{name}/step"] == step


def test_tensorboard_scalars_are_written_on_request(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    machine.train(replace(config, train=replace(config.train, tensorboard=True)), tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))


def test_sample_grids_are_drawn_during_training(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    machine.train(replace(config, train=replace(config.train, sample_every=4)), tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run" / "samples").iterdir()) == [
        "step-00000004.png",
        "step-00000008.png",
    ]


def test_unknown_device_is_refused_by_name(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"device must be auto, cpu.* got 'abacus'"):
        machine.train(replace(config, device="abacus"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bfloat16_training_follows_float32(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    config = replace(config, model=replace(config.model, dropout=0.0))
    machine.train(config, tmp_path / "float32")
    machine.train(replace(config, train=replace(config.train, precision="bf16")), tmp_path / "bf16")
    whole, half = ([line["loss"] for line in metrics(tmp_path / name)] for name in ("float32", "bf16"))
    np.testing.assert_allclose(half, whole, rtol=0.02)
    assert half != whole
    arrays = newest_checkpoint(tmp_path / "bf16").groups["model"].values()
    assert {a.dtype.name for a in arrays} == {"float32"}
