"""What tests/runs shows of every run, shown where it depends on the backend: forged state, poisoned batches, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import CheckpointError
from blurcore.runs import newest_checkpoint, read_config, write_config
from blurcore.testing.soak import run_soak

FIXTURES = Path(__file__).parent / "fixtures"


def copied(groups: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    return {group: {name: np.array(value) for name, value in arrays.items()} for group, arrays in groups.items()}


def assert_same_arrays(first: dict[str, Any], second: dict[str, Any]) -> None:
    for group, arrays in first.items():
        assert arrays.keys() == second[group].keys()
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, second[group][name], err_msg=f"{group}/{name}")


def test_checkpoint_that_does_not_fit_changes_nothing_and_its_keys_are_listed(
    machine: Any, config: bc.RunConfig
) -> None:
    """What is wrong is in the last group, so that whoever loads one group after the other has changed two by then."""
    trainer = machine.trainer(config, (8, 8, 1))
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    trainer.train_step(images)
    before = copied(trainer.arrays())
    forged = {group: {name: value + 1 for name, value in arrays.items()} for group, arrays in before.items()}
    names = sorted(forged["model"])
    optimizer = forged["optimizer"]
    del optimizer[f"{names[0]}/exp_avg"]
    optimizer["nobody/exp_avg"] = np.zeros(3, np.float32)
    optimizer[f"{names[1]}/exp_avg_sq"] = np.zeros((5, 5), np.float32)
    optimizer[f"{names[2]}/step"] = np.zeros((), np.int64)
    with pytest.raises(CheckpointError) as error:
        trainer.load_arrays(forged, 7)
    for problem in (
        f"optimizer: missing {names[0]}/exp_avg;",
        "optimizer: unexpected nobody/exp_avg;",
        f"optimizer: {names[1]}/exp_avg_sq has shape (5, 5), not ",
        f"optimizer: {names[2]}/step has dtype int64, not float32",
    ):
        assert problem in str(error.value)
    assert trainer.step == 1
    assert_same_arrays(before, trainer.arrays())


def test_snapshot_of_a_trainer_does_not_change_as_training_continues(machine: Any, config: bc.RunConfig) -> None:
    """It is written in the background, while the next steps change weights and moments in place."""
    trainer = machine.trainer(config, (8, 8, 1))
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    trainer.train_step(images)
    snapshot = trainer.arrays()
    before = copied(snapshot)
    for _ in range(3):
        loss, _ = trainer.train_step(images)
    assert np.isfinite(float(loss))
    assert_same_arrays(before, snapshot)
    assert not np.array_equal(trainer.arrays()["model"]["last.bias"], before["model"]["last.bias"])


@pytest.mark.parametrize("poison", [np.nan, np.inf, None], ids=["NaN", "infinity", "gradient"])
def test_step_that_is_not_finite_changes_nothing(machine: Any, config: bc.RunConfig, poison: float | None) -> None:
    trainer = machine.trainer(config, (8, 8, 1))
    batch = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)
    trainer.train_step(batch)
    poisoned = batch.copy()
    if poison is None:
        # A loss of 1e34, and a gradient of 1e17 times what comes out of the last norm, whose square no float32 holds.
        poisoned[:] = 1e17
        groups = copied(trainer.arrays())
        groups["model"]["last_norm.weight"] *= 1e4
        trainer.load_arrays(groups, 1)
    else:
        poisoned[3, 2, 1] = poison
    before = copied(trainer.arrays())
    loss, norm = (float(value) for value in trainer.train_step(poisoned))
    assert np.isfinite(loss) == (poison is None)
    assert not np.isfinite(norm)
    assert_same_arrays(before, trainer.arrays())
    assert trainer.step == 2
    loss, norm = (float(value) for value in trainer.train_step(batch))
    assert np.isfinite([loss, norm]).all()
    assert not np.array_equal(trainer.arrays()["ema"]["last.bias"], before["ema"]["last.bias"])


def test_checkpoint_of_format_1_is_loaded_sampled_and_resumed(machine: Any, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(FIXTURES / "format_1", run)
    config = read_config(run / "config.toml")
    assert newest_checkpoint(run).state["format"] == 1
    assert machine.sample(run, config.sample).shape == (2, 8, 8, 1)
    longer = replace(config, train=replace(config.train, steps=3))
    machine.train(longer, run, resume=True)
    assert newest_checkpoint(run).step == 3


def started(*words: str, patch: str = "") -> subprocess.Popen[str]:
    """Start the command line in a process of its own, after some lines of Python."""
    code = f"import sys\nfrom blurcore.cli import main\n{patch}\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def says(what: str, where: str) -> str:
    """Return lines of Python that let a function say something before it does what it does."""
    module, _, name = where.partition(":")
    owner = f"module.{name.rpartition('.')[0]}" if "." in name else "module"
    name = name.rpartition(".")[2]
    return f"""
import importlib
module = importlib.import_module({module!r})
owner, inner = {owner}, {owner}.{name}
def outer(*args, **kwargs):
    print({what!r}, flush=True)
    return inner(*args, **kwargs)
owner.{name} = outer
"""


def stopped(process: subprocess.Popen[str], word: str, number: signal.Signals) -> str:
    """Send a signal when a process has said a word; check how it ends, and return its stderr."""
    try:
        line = process.stdout.readline()  # type: ignore[union-attr]
        assert line == f"{word}\n", process.communicate(timeout=300)
        process.send_signal(number)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
    return errors


@pytest.mark.nightly  # test_resume.py stops a run by a signal every day
def test_signals_while_compiling_and_sampling_leave_a_checkpoint_and_no_traceback(
    machine: Any, config: bc.RunConfig, tmp_path: Path
) -> None:
    compiled = machine.name == "torch"  # JAX always compiles
    config = replace(
        config,
        backend=machine.name,
        model=replace(config.model, dropout=0.0),  # what tests/torch/test_trainer.py compiles too, and caches
        train=replace(config.train, steps=4, sample_every=2, compile=compiled),
        sample=replace(config.sample, times=bc.Uniform(num_steps=20_000)),
    )
    write_config(config, tmp_path / "config.toml")
    run = tmp_path / "run"
    train = ("train", str(tmp_path / "config.toml"), "--out", str(run))
    first_step = says("step", f"blurcore_{machine.name}.trainer:Trainer.train_step")
    errors = stopped(started(*train, patch=first_step), "step", signal.SIGINT)
    assert "after step 1 of 4" in errors
    assert newest_checkpoint(run).step == 1

    drawing = says("drawing", f"blurcore_{machine.name}.sampler:sample_batch")
    errors = stopped(started(*train, "--resume", patch=drawing), "drawing", signal.SIGTERM)
    assert "after step 2 of 4" in errors
    assert newest_checkpoint(run).step == 2

    errors = stopped(started("sample", str(run), patch=drawing), "drawing", signal.SIGINT)
    assert "SIGINT" in errors


@pytest.mark.nightly
def test_run_under_random_kills_ends_with_the_weights_of_the_steady_run(tmp_path: Path) -> None:
    seconds = float(os.environ.get("BLURCORE_SOAK_SECONDS", "15"))
    pytest.importorskip("torch")
    found = run_soak(tmp_path, seconds=seconds, kill_every=5.0, backend="torch", seed=0)
    assert found.startswith("survived")
    assert not found.startswith("survived 0")
