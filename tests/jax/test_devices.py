"""Several devices, several processes: the same result as one, to the rounding of sums that are split otherwise."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError
from blurcore.runs import newest_checkpoint, write_config


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


@pytest.mark.slow
def test_eight_devices_give_what_one_gives(config: bc.RunConfig, tmp_path: Path) -> None:
    for name, devices in (("one", 1), ("eight", 8)):
        subprocess.run(command(config, tmp_path, name), env=environment(devices), check=True, timeout=300)
    assert_same_run(tmp_path / "one", tmp_path / "eight", config.train)

    script = """
import sys, numpy as np, jax, blurcore as bc
from pathlib import Path
from blurcore_jax.devices import pick_devices
from blurcore_jax.sampler import load_run, sample
from blurcore_jax.trainer import Trainer
assert len(jax.devices()) == 8
config, graphdef, params, shape, _ = load_run(Path(sys.argv[1]))
settings = bc.SampleConfig(num_samples=5, num_steps=3, batch_size=8)
draws = [sample(config, graphdef, params, image_shape=shape, settings=settings, prior=None, devices=d, progress=False)
         for d in (pick_devices("cpu"), pick_devices("cpu:3"))]
np.testing.assert_allclose(*draws, rtol=0, atol=1e-4)
trainer = Trainer(config, shape, pick_devices("cpu"))
trainer.train_step(np.zeros((16, 8, 8, 1), np.uint8))
assert len(trainer.mesh.devices) == 8
assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(trainer.state))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "eight")], env=environment(8), check=True, timeout=300)


@pytest.mark.slow
def test_two_processes_give_what_one_gives(config: bc.RunConfig, tmp_path: Path) -> None:
    config = replace(config, train=replace(config.train, sample_every=2, checkpoint_every=2))
    subprocess.run(command(config, tmp_path, "one"), env=environment(1), check=True, timeout=300)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            command(config, tmp_path, "two"),
            env=environment(
                1, JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(i), JAX_ENABLE_X64="0"
            ),
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert_same_run(tmp_path / "one", tmp_path / "two", config.train)
    assert len(list((tmp_path / "two" / "samples").glob("*.png"))) == 2


def test_mesh_takes_as_many_devices_as_divide_the_batch() -> None:
    from blurcore_jax.devices import make_mesh

    devices: list[Any] = [f"device {i}" for i in range(8)]
    assert [make_mesh(devices, n).devices.size for n in (16, 12, 7, 9)] == [8, 6, 7, 3]


@pytest.mark.parametrize("name", ["abacus", "cpu:99", "cpu:x"])
def test_unknown_device_is_refused_by_name(name: str) -> None:
    from blurcore_jax.devices import pick_devices

    with pytest.raises(ArgumentError, match=f"device must be auto, cpu, gpu .* got '{name}'"):
        pick_devices(name)
