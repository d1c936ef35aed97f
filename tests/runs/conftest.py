"""A trainer of plain NumPy under the real loop and command line: what is shown with it holds for every backend.

As a program, ``python conftest.py PLACE train ...``, it says "in PLACE" when it is there and waits for a line on stdin:
that is where a test sends its signal. PLACE is setup, step, native, save or sampling; anything else waits nowhere.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.data.values import Samples, to_samples
from blurcore.engine import run_training
from blurcore.protocols import Team
from blurcore.runs import write_config

WAITS_AT_STEP = 3


class DummyTrainer:
    """A weight that goes to the mean of the batches, and a moment that grows with the step."""

    backend = "dummy"
    rows = slice(None)

    def __init__(self, wait: Callable[[str], None]) -> None:
        self.wait, self.step = wait, 0
        self.weight = np.zeros(4, np.float32)

    def train_step(self, images: np.ndarray, labels: np.ndarray | None = None) -> tuple[float, float]:
        self.step += 1
        if self.step == WAITS_AT_STEP:
            self.wait("step")
            self.wait("native")
        loss = float(images.mean())
        if np.isfinite(loss):
            self.weight += np.float32(loss * 1e-3)
        return loss, 1.0

    def arrays(self) -> dict[str, Any]:
        moment = np.full(1000 * self.step, self.step, np.float32)
        return {"model": {"w": self.weight.copy()}, "ema": {"w": self.weight.copy()}, "optimizer": {"m": moment}}

    def load_arrays(self, groups: dict[str, Any], step: int) -> None:
        self.weight, self.step = groups["model"]["w"].copy(), step

    def sample(self, settings: bc.SampleConfig, prior: Any) -> Samples:
        self.wait("sampling")
        return to_samples(np.zeros((settings.num_samples, 4, 4, 1)), "symmetric")


class DummyBackend:
    """What the command line asks of a backend."""

    name = "dummy"

    def __init__(self, wait: Callable[[str], None] = lambda place: None) -> None:
        self.wait = wait

    def processes(self, device: str = "auto") -> AbstractContextManager[Team]:
        del device
        return nullcontext(Team())

    def train(self, config: bc.RunConfig, folder: Path, *, resume: bool = False) -> None:
        def make(config: bc.RunConfig, shape: tuple[int, ...]) -> Any:
            self.wait("setup")
            return DummyTrainer(self.wait)

        run_training(config, folder, make, resume=resume)

    def sample(
        self, folder: Path, settings: bc.SampleConfig, *, device: str = "auto", progress: bool = True, watch: Any = None
    ) -> Samples:
        """Draw noise, of which as many samples are not finite as `eta` says in hundredths."""
        del folder, device, progress
        draws = np.random.default_rng(settings.seed).uniform(-1, 1, (settings.num_samples, 4, 4, 1))
        lost = round(100 * getattr(settings.solver, "eta", 0))
        draws[:lost, 0, 0] = np.resize([np.nan, np.inf, -np.inf], (len(draws), 1))[:lost]
        if watch is not None:
            watch(0, 0, draws)
        return to_samples(draws, "symmetric")


@pytest.fixture
def trainer() -> type[DummyTrainer]:
    """The class of the trainer."""
    return DummyTrainer


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration for eight steps on ten random images, each epoch in two and a half batches."""
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    config = bc.RunConfig(
        backend="dummy",
        data=bc.ArrayFile(path=str(tmp_path / "images.npy")),
        train=bc.TrainConfig(steps=8, batch_size=4, log_every=1, checkpoint_every=2, keep_checkpoints=2),
    )
    write_config(
        replace(config, sample=bc.SampleConfig(times=bc.Uniform(num_steps=1), num_samples=1)), tmp_path / "config.toml"
    )
    return tmp_path / "config.toml"


@pytest.fixture
def train(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """`blurcore train` in this process, into RUN: its exit code and what it says on stderr."""
    import blurcore.cli.train

    monkeypatch.setattr(blurcore.cli.train, "machinery", lambda name: DummyBackend())

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["train", str(config_file), "--out", str(tmp_path / "run"), *words])
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def blurcore(
    train: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Any command in this process, after `blurcore train`: its exit code and what it says on stdout and stderr."""
    for command in ("sample", "distances"):
        monkeypatch.setattr(f"blurcore.cli.{command}.machinery_of", lambda folder, name: DummyBackend())
    assert train()[0] == 0

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


class Program:
    """`blurcore train` in a process of its own, into RUN, which waits at a place."""

    def __init__(self, config_file: Path, place: str, *words: str) -> None:
        command = ["train", str(config_file), "--out", str(config_file.parent / "run"), *words]
        self.process = subprocess.Popen(
            [sys.executable, __file__, place, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        assert line == f"in {place}\n", self.process.communicate(timeout=300)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, *, go_on: bool) -> tuple[int, str]:
        """Return exit code and stderr; `go_on` lets it leave the place where it waits."""
        if go_on:
            _, errors = self.process.communicate("\n", timeout=300)
        else:  # stdin stays open: nothing but the signal ends it
            self.process.wait(60)
            errors = self.process.stderr.read()  # type: ignore[union-attr]
            self.process.communicate()
        return self.process.returncode, errors


@pytest.fixture
def program(config_file: Path) -> Any:
    """Start `blurcore train` in a process of its own, and return when it waits at a place."""
    started: list[Program] = []

    def start(place: str, *words: str) -> Program:
        started.append(Program(config_file, place, *words))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def _program(place: str, words: list[str]) -> int:
    import blurcore.cli.train
    import blurcore.runs.writer as writer

    save = writer.save_checkpoint

    def wait(at: str) -> None:
        if at == place:
            print(f"in {at}", flush=True)
            if at == "native":  # minutes in C, with no turn for the interpreter
                hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
            sys.stdin.readline()

    def slow_save(folder: Path, checkpoint: Any, *, keep: int) -> Path:
        if checkpoint.step:
            wait("save")
        return save(folder, checkpoint, keep=keep)

    writer.save_checkpoint = slow_save
    blurcore.cli.train.machinery = lambda name: DummyBackend(wait)  # type: ignore[attr-defined]
    return main(words)


if __name__ == "__main__":
    sys.exit(_program(sys.argv[1], sys.argv[2:]))
