"""Several devices, several processes: the same result as one, to the rounding of sums that are split otherwise."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.errors import ArgumentError
from blurcore.runs import newest_checkpoint, write_config
from blurcore.runs.checkpoint import checkpoint_path


def command(config: bc.RunConfig, folder: Path, name: str) -> list[str]:
    file = folder / f"{name}.toml"
    write_config(config, file)
    return [sys.executable, "-m", "blurcore", "train", str(file), "--out", str(folder / name)]


def environment(devices: int, **more: str) -> dict[str, str]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return {**os.environ, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu", **more}


def assert_same_run(one: Path, other: Path, settings: bc.TrainConfig) -> None:
    first, second = newest_checkpoint(one), newest_checkpoint(other)
    assert first.step == second.step == settings.steps
    curves = [[json.loads(v)["loss"] for v in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, other)]
    np.testing.assert_allclose(*curves, rtol=1e-5)
    for name, value in first.groups["model"].items():
        # Adam turns a gradient's rounding into up to its learning rate where the gradient is all but zero.
        difference = np.abs(value - second.groups["model"][name])
        assert difference.max() <= settings.steps * settings.learning_rate, name
        assert np.median(difference) < 1e-6, name


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, config: bc.RunConfig) -> Path:
    """A run of one device."""
    folder = tmp_path_factory.mktemp("one")
    subprocess.run(command(config, folder, "one"), env=environment(1), check=True, timeout=300)
    return folder / "one"


@pytest.mark.nightly  # two processes of a device each are a mesh as well
def test_eight_devices_give_what_one_gives(config: bc.RunConfig, one: Path, tmp_path: Path) -> None:
    script = """
import sys, numpy as np, jax, blurcore as bc
from dataclasses import replace
from pathlib import Path
from blurcore.runs import read_config
from blurcore_jax.devices import pick_devices
from blurcore.engine import SamplingPlan
from blurcore_jax.run import load_run
from blurcore_jax.sampler import Network, sample
from blurcore_jax.trainer import Trainer, train
assert len(jax.devices()) == 8
folder = Path(sys.argv[1])
config = read_config(folder / "config.toml")
spread = replace(config, train=replace(config.train, parallel="fsdp", sharded_checkpoints=True))
train(config, folder / "ddp")
train(spread, folder / "fsdp")
config, graphdef, params, shape, *_ = load_run(folder / "fsdp")
settings = bc.SampleConfig(num_samples=5, times=bc.Uniform(num_steps=3), batch_size=8)
plan = SamplingPlan(config, settings, shape, axes=(1, 2))
draws = [sample(plan, Network(graphdef, params), prior=None, devices=d, progress=False)
         for d in (pick_devices("cpu"), pick_devices("cpu:3"))]
np.testing.assert_allclose(*draws, rtol=0, atol=1e-4)
images = np.zeros((16, 8, 8, 1), np.uint8)
for settings, whole in ((replace(config, train=replace(config.train, parallel="ddp")), True), (spread, False)):
    trainer = Trainer(settings, shape, pick_devices("cpu"))
    trainer.train_step(images)
    assert len(trainer.mesh.devices) == 8
    leaves = jax.tree.leaves(trainer.state)
    here = sum(leaf.addressable_shards[0].data.size for leaf in leaves)
    every = sum(leaf.size for leaf in leaves)
    assert here == every if whole else here < 0.15 * every

# Over sizes each device has some of each: a network that says nothing yet is off by the mean square of the data in each size.
from blurcore.resolution import Resolutions, portions, shrink
sizes = Resolutions(sizes=((8, 8), (4, 4)), since=(0.0, 0.5))
settings = replace(spread.train, objective=bc.Denoising(prediction="x0"))
trainer = Trainer(replace(spread, train=settings, resolution=bc.Nested(found=sizes)), shape, pick_devices("cpu"))
images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
expected, x = 0.0, images.reshape(8, 2, 8, 8, 1) / 127.5 - 1
for portion in portions(sizes, 2, overlap=0.05):
    u = shrink(bc.DCT().forward(x[:, portion.rows], axes=(2, 3)), portion.size, axes=(2, 3))
    expected += portion.weight * np.sum(np.mean(u**2, axis=(2, 3, 4))) / 16
np.testing.assert_allclose(float(trainer.train_step(images)[0]), expected, rtol=1e-5)
"""
    write_config(config, tmp_path / "config.toml")
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment(8), check=True, timeout=300)
    assert_same_run(one, tmp_path / "ddp", config.train)
    assert_same_run(one, tmp_path / "fsdp", config.train)


def two_processes(*commands: list[str]) -> list[subprocess.Popen[str]]:
    """Start two processes that find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            words,
            env=environment(
                1, JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(i), JAX_ENABLE_X64="0"
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, words in enumerate(commands)
    ]


@pytest.mark.slow
def test_two_processes_give_what_one_gives_and_stop_together(config: bc.RunConfig, one: Path, tmp_path: Path) -> None:
    """A signal to the second ends both after one step; one process goes on from their parts, for as long as `one` did."""
    train = replace(
        config.train,
        steps=100_000,
        sample_every=2,
        checkpoint_every=2,
        parallel="fsdp",
        sharded_checkpoints=True,
        keep_checkpoints=100_000,
    )
    words, run = command(replace(config, train=train), tmp_path, "two"), tmp_path / "two"
    processes = two_processes(words, words)
    deadline = time.monotonic() + 300
    while not checkpoint_path(run, 2).exists():
        assert processes[0].poll() is None, processes[0].communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    processes[1].send_signal(signal.SIGTERM)
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], errors
    steps = [re.findall(r"blurcore: error: SIGTERM after step (\d+)", error) for error in errors]
    assert steps[0] == steps[1] == [str(newest_checkpoint(run).step)]
    assert (run / "samples" / "step-00000002.png").exists()
    parts = checkpoint_path(run, 2) / "shards"
    assert len(list(parts.glob("ocdbt.process_*"))) == 2

    for path in (run / "checkpoints").iterdir():
        if path != checkpoint_path(run, 2):
            shutil.rmtree(path)
    subprocess.run([*command(config, tmp_path, "two"), "--resume"], env=environment(1), check=True, timeout=300)
    assert_same_run(one, run, config.train)


@pytest.mark.slow
def test_two_processes_draw_and_evaluate_as_one_and_do_not_outlive_each_other(one: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(Path(__file__).with_name("two_processes.py")), str(one), str(tmp_path)]
    processes = two_processes(words, words)
    out, errors = zip(*(process.communicate(timeout=300) for process in processes), strict=True)
    assert processes[1].returncode == -signal.SIGKILL, errors[1]
    assert processes[0].returncode not in (0, None)
    assert "another process of this run has gone" in errors[0]
    ninths = np.arange(3.0) / 9
    expected = {"total": (ninths + (ninths + 1)).tolist(), "agreed": 15, "sample": 0, "evaluate": 0, "samples": 0}
    assert [json.loads((tmp_path / f"process{i}.json").read_text()) for i in (0, 1)] == [expected, expected]
    assert ["samples.npz" in text for text in out] == [True, False]

    both = json.loads((one / "evaluation.json").read_text())
    settings = ["--device", "cpu", "--batch-size", "2"]
    assert main(["evaluate", str(one), "--num-images", "5", "--num-steps", "4", *settings]) == 0
    for name, value in json.loads((one / "evaluation.json").read_text())["bits_per_dim"].items():
        assert both["bits_per_dim"][name] == pytest.approx(value, abs=1e-6), name
    words = ["--num-samples", "33", "--times.num-steps", "3", "--num-reference", "50", "--bootstrap", "0"]
    assert main(["evaluate", str(one), *words, *settings]) == 0
    alone = json.loads((one / "evaluation.json").read_text())["samples"]["metrics"]
    for name in ("frechet_distance", "spectrum_distance"):  # of samples that differ by a grey level here and there
        assert both["samples"]["metrics"][name]["value"] == pytest.approx(alone[name]["value"], rel=1e-2)
    assert (
        main(
            [
                "sample",
                str(one),
                "--num-samples",
                "5",
                "--times.num-steps",
                "3",
                "--out",
                str(tmp_path / "alone"),
                *settings,
            ]
        )
        == 0
    )
    drawn, single = (np.load(tmp_path / name / "samples.npz")["images"].astype(int) for name in ("drawn", "alone"))
    assert np.abs(drawn - single).max() <= 1  # a grey level: the sums of a batch are split otherwise


def test_mesh_takes_as_many_devices_as_divide_the_batch() -> None:
    from blurcore_jax.devices import make_mesh

    devices: list[Any] = [f"device {i}" for i in range(8)]
    assert [make_mesh(devices, n).devices.size for n in (16, 12, 7, 9)] == [8, 6, 7, 3]


@pytest.mark.parametrize("name", ["abacus", "cpu:99", "cpu:x"])
def test_unknown_device_is_refused_by_name(name: str) -> None:
    from blurcore_jax.devices import pick_devices

    with pytest.raises(ArgumentError, match=f"device must be auto, cpu, gpu .* got '{name}'"):
        pick_devices(name)
