"""A run that was stopped and resumed is the run that was not, to the last bit on a CPU."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import CheckpointError, ConfigError
from blurcore.runs import load_checkpoint, newest_checkpoint, write_config

TIMING = ("images_per_s",)
WAITS = """
import sys
from blurcore_{}.trainer import Trainer
from blurcore.cli import main
take = Trainer.train_step
def wait_and_take(self, *batch):
    if self.step == 5:
        print("waits", flush=True)
        sys.stdin.readline()
    return take(self, *batch)
Trainer.train_step = wait_and_take
sys.exit(main(sys.argv[1:]))
"""


def losses(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMING} for line in lines]


def assert_same_run(a: Path, b: Path) -> None:
    first, second = newest_checkpoint(a), newest_checkpoint(b)
    assert first.step == second.step
    for group in first.groups:
        assert first.groups[group].keys() == second.groups[group].keys()
        for name, value in first.groups[group].items():
            np.testing.assert_array_equal(value, second.groups[group][name], err_msg=f"{group}/{name}")
    assert losses(a) == losses(b)


@pytest.fixture
def steady(machine: Any, config: bc.RunConfig, tmp_path: Path) -> Path:
    machine.train(config, tmp_path / "steady")
    return tmp_path / "steady"


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_run_resumed_after_any_step_equals_the_steady_run(
    machine: Any, config: bc.RunConfig, steady: Path, tmp_path: Path, stop: int
) -> None:
    folder = tmp_path / "resumed"
    machine.train(replace(config, train=replace(config.train, steps=stop)), folder)
    machine.train(config, folder, resume=True)
    assert_same_run(steady, folder)


def test_run_in_parts_equals_the_whole_across_epochs_with_accumulation_and_other_loader_threads(
    machine: Any, config: bc.RunConfig, tmp_path: Path
) -> None:
    """Twenty images make an epoch of two and a half batches; a break is in the middle of one, with threads and without."""
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    config = replace(
        config,
        data=bc.ArrayFile(path=str(tmp_path / "images.npy")),
        train=replace(config.train, accumulate=2, log_every=2),
    )
    machine.train(config, tmp_path / "steady")
    for steps, num_workers in ((3, 2), (5, 0), (8, 1)):
        part = replace(config, train=replace(config.train, steps=steps, num_workers=num_workers))
        machine.train(part, tmp_path / "parts", resume=steps > 3)
    assert_same_run(tmp_path / "steady", tmp_path / "parts")
    assert [line["step"] for line in losses(tmp_path / "parts")] == [2, 4, 6, 8]


def test_accumulation_changes_the_weights_by_rounding_alone(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    config = replace(config, model=replace(config.model, dropout=0.0), train=replace(config.train, steps=3))
    machine.train(config, tmp_path / "whole")
    machine.train(replace(config, train=replace(config.train, accumulate=2)), tmp_path / "parts")
    whole, parts = (newest_checkpoint(tmp_path / name).groups["model"] for name in ("whole", "parts"))
    for name, value in whole.items():
        # Adam turns a gradient's rounding into up to its learning rate where the gradient is all but zero.
        np.testing.assert_allclose(parts[name], value, rtol=0, atol=2e-4, err_msg=name)
        assert np.median(np.abs(parts[name] - value)) < 1e-6


def test_run_stopped_by_a_signal_resumes_to_the_steady_run(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    number = signal.SIGINT if machine.name == "torch" else signal.SIGTERM  # tests/runs has both of them, everywhere
    config = replace(config, backend=machine.name, train=replace(config.train, checkpoint_every=10_000))
    machine.train(config, tmp_path / "steady")
    write_config(config, tmp_path / "config.toml")
    folder = tmp_path / "stopped"
    words = ["train", str(tmp_path / "config.toml"), "--out", str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS.format(machine.name), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n", process.communicate()
    process.send_signal(number)
    _, stderr = process.communicate("go on\n", timeout=300)
    assert process.returncode == 128 + number, stderr
    assert "Traceback" not in stderr
    assert newest_checkpoint(folder).step == 6
    command = [sys.executable, "-m", "blurcore", *words, "--resume"]
    assert subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0
    assert_same_run(tmp_path / "steady", folder)


def test_resuming_without_a_run_is_refused(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        machine.train(config, tmp_path / "none", resume=True)


def test_new_run_in_a_used_folder_is_refused(machine: Any, config: bc.RunConfig, steady: Path) -> None:
    with pytest.raises(ConfigError, match="not empty"):
        machine.train(config, steady)


def test_resuming_with_other_settings_lists_them(machine: Any, config: bc.RunConfig, steady: Path) -> None:
    other = replace(config, seed=4, train=replace(config.train, learning_rate=0.5, steps=9))
    with pytest.raises(ConfigError, match=r"seed: 3 -> 4.*train.learning_rate: 0.001 -> 0.5") as error:
        machine.train(other, steady, resume=True)
    assert "train.steps" not in str(error.value)


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_damaged_checkpoint_is_named_and_resuming_falls_back(
    machine: Any, config: bc.RunConfig, steady: Path, tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = steady / "checkpoints" / "step-00000008" / "model.safetensors"
    content = bytearray(file.read_bytes())
    if harm == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif harm == "truncate":
        file.write_bytes(content[:-10])
    else:
        file.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_checkpoint(file.parent)
    machine.train(config, steady, resume=True)
    assert "falling back" in caplog.text
    machine.train(config, tmp_path / "again")
    assert_same_run(tmp_path / "again", steady)


def test_half_written_checkpoint_is_ignored_and_removed(machine: Any, config: bc.RunConfig, steady: Path) -> None:
    partial = steady / "checkpoints" / ".partial-step-00000009"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    assert newest_checkpoint(steady).step == 8
    machine.train(config, steady, resume=True)
    assert not partial.exists()
