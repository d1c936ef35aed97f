"""One model in two frameworks: the same weights give the same output, the same noise the same samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import blurcore as bc
from blurcore.engine import Stream, derived_seed
from blurcore.errors import CheckpointError
from blurcore.runs import Checkpoint, newest_checkpoint, save_checkpoint, write_config

TINY = bc.MODEL_PRESETS["tiny"]
MODELS = {
    "tiny": (TINY, (8, 8)),
    "patches, heads, log-SNR": (replace(TINY, patch_size=2, num_heads=2, embedding="log_snr"), (8, 16)),
    "attention everywhere": (replace(TINY, attention_levels=(0, 1), num_res_blocks=2), (6, 4)),
    "cifar10": (bc.MODEL_PRESETS["cifar10"], (32, 32)),
}
TOLERANCE = 1e-4
"""Relative, in float32: the depth of the large network (some 60 layers) times a few roundings of sums over 4,608 terms."""


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def write_run(folder: Path, model: bc.ModelConfig, size: tuple[int, int], channels: int = 3, **settings: Any) -> Path:
    """Write a run whose weights are all random: those that start as zero would hide what they multiply."""
    from blurcore_torch.model import UNet

    config = bc.RunConfig(
        model=model, device="cpu", train=bc.TrainConfig(objective=bc.Denoising(prediction="v")), **settings
    )
    network = UNet(model, in_channels=channels, out_channels=channels, image_size=size, seed=1)
    rng = np.random.default_rng(0)
    arrays = {
        k: v.numpy() + 0.02 * rng.standard_normal(v.shape).astype(np.float32) for k, v in network.state_dict().items()
    }
    state = {"image_shape": [*size, channels], "data": "", "totals": {}, "backend": "torch"}
    folder.mkdir()
    write_config(config, folder / "config.toml")
    save_checkpoint(folder, Checkpoint(0, {"model": arrays, "ema": arrays, "optimizer": {}}, state), keep=1)
    return folder


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n == "cifar10" else []) for n in MODELS])
def test_output_of_the_network_agrees(both: tuple[Any, Any], tmp_path: Path, name: str) -> None:
    model, size = MODELS[name]
    run = write_run(tmp_path / "run", model, size)
    rng = np.random.default_rng(1)
    z = rng.standard_normal((3, *size, 3))
    cond = np.array([0.0, 0.37, 1.0]) if model.embedding == "time" else np.array([-np.inf, 3.0, np.inf])
    ours, theirs = (machine.network(run)(z, cond) for machine in both)
    assert np.abs(theirs).max() > 0.1
    assert relative(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "solver", "num_steps"),
    [
        ("tiny", bc.Ancestral(), 50),
        ("tiny", bc.DDIM(), 50),
        ("patches, heads, log-SNR", bc.DDIM(eta=0.5), 20),
        pytest.param("cifar10", bc.Ancestral(), 10, marks=pytest.mark.nightly),
    ],
)
def test_sampling_runs_agree(
    both: tuple[Any, Any], tmp_path: Path, name: str, solver: bc.Solver, num_steps: int
) -> None:
    model, size = MODELS[name]
    run = write_run(tmp_path / "run", model, size)
    settings = bc.SampleConfig(solver=solver, times=bc.Uniform(num_steps=num_steps))
    noise = np.random.default_rng(2).standard_normal((num_steps + 1, 2, *size, 3))
    ours, theirs = (machine.sample_from(run, settings, noise) for machine in both)
    assert np.isfinite(theirs).all()
    assert relative(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize("turn", ["torch to jax", "jax to torch"])
def test_run_of_one_backend_is_sampled_and_resumed_by_the_other(
    both: tuple[Any, Any], config: bc.RunConfig, tmp_path: Path, turn: str
) -> None:
    first, second = both if turn == "torch to jax" else both[::-1]
    first.train(replace(config, train=replace(config.train, steps=5)), tmp_path / "run")
    before = newest_checkpoint(tmp_path / "run")
    assert before.state["backend"] == first.name
    assert second.sample(tmp_path / "run", config.sample).shape == (4, 8, 8, 1)

    trainer = second.trainer(config, (8, 8, 1))
    trainer.load_arrays(before.groups, before.step)
    for group, arrays in trainer.arrays().items():
        assert arrays.keys() == before.groups[group].keys()
        for name, value in arrays.items():
            assert value.shape == before.groups[group][name].shape
            np.testing.assert_array_equal(value, before.groups[group][name], err_msg=f"{group}/{name}")

    second.train(config, tmp_path / "run", resume=True)
    after = newest_checkpoint(tmp_path / "run")
    assert (after.step, after.state["backend"]) == (8, second.name)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 9))


def test_checkpoint_of_another_network_is_refused_by_name(machine: Any, config: bc.RunConfig) -> None:
    trainer = machine.trainer(config, (8, 8, 1))
    groups = trainer.arrays()
    groups["model"] = {k: v for k, v in groups["model"].items() if k != "first.bias"} | {
        "last.weight": np.zeros((1, 1, 3, 3), np.float32),
        "further.bias": np.zeros(1, np.float32),
    }
    with pytest.raises(
        CheckpointError,
        match=r"model: missing first.bias; model: unexpected further.bias; model: last.weight has shape \(1, 1",
    ):
        trainer.load_arrays(groups, 1)


def test_frameworks_derive_the_same_seeds() -> None:
    """One seed for the weights of a run, another for each sample and each step: distinct, and below 2^63."""
    seeds = {derived_seed(seed, stream, *index) for seed in (0, 1) for stream in Stream for index in ((), (0,), (1,))}
    assert len(seeds) == 2 * len(Stream) * 3
    assert max(seeds) < 2**63


@pytest.mark.nightly
def test_training_curves_agree_within_noise(both: tuple[Any, Any], config: bc.RunConfig, tmp_path: Path) -> None:
    """Four seeds each: the final losses differ by less than Welch's interval at a false-alarm rate of 1 in 1000.

    Seed i has the same order of images in both; weights, times and noise are each framework's own. That the test would
    see a difference: the interval is a small part of what training gains.
    """
    settings = replace(config.train, steps=400, log_every=100, batch_size=16, learning_rate=3e-3, checkpoint_every=400)
    final: dict[str, list[float]] = {machine.name: [] for machine in both}
    first = []
    for machine in both:
        for seed in range(4):
            folder = tmp_path / f"{machine.name}-{seed}"
            machine.train(replace(config, seed=seed, train=settings), folder)
            lines = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
            final[machine.name].append(lines[-1])
            first.append(lines[0])
    interval = stats.ttest_ind(final["torch"], final["jax"], equal_var=False).confidence_interval(0.999)
    assert interval.low <= 0 <= interval.high, (final, interval)
    assert interval.high - interval.low < np.mean(first) - np.mean(final["torch"]), (final, first)
