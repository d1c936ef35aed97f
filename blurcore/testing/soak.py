"""Train, kill and resume repeatedly, and compare the weights with those of an uninterrupted run.

::

    python -m blurcore.testing.soak --minutes 60 --kill-every 60

A run of the tiny network is ended by SIGKILL, SIGTERM or SIGINT at random moments (importing, compiling, in a step, in a
save) and resumed each time. The moments are counted from what the run has done, not from its start, so that a slow machine
is disturbed in all of these places too. When the time is up a last SIGTERM ends it, and a second run is taken to the same step
without a break. Weights, average, optimiser and metrics must agree to the last bit.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

import blurcore as bc
from blurcore._typing import StrPath
from blurcore.errors import CheckpointError
from blurcore.runs import newest_checkpoint, write_config
from blurcore.runs.folder import read_metrics

_STEPS = 10_000_000  # more than any soak gets to: what ends a run is a signal
_NUMBERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_TIMING = "images_per_s"
_EARLY = 0.25  # share of the signals that come before the run is at work
_GLANCE = 0.2  # seconds between two looks at what the run has written
_PATIENCE = 300.0  # seconds in which a run must have stopped after a signal


class SoakError(Exception):
    """A run did not survive."""


def soak_config(backend: str) -> bc.RunConfig:
    """Return the tiny network with all that could differ after a restart: dropout, accumulation, loader threads, flips."""
    return bc.RunConfig(
        seed=1,
        backend=backend,
        device="cpu",
        data=bc.Digits(flip=True),
        model=replace(bc.MODEL_PRESETS["tiny"], dropout=0.1),
        train=bc.TrainConfig(
            objective=bc.Denoising(prediction="v"),
            steps=_STEPS,
            batch_size=8,
            accumulate=2,
            num_workers=1,
            warmup_steps=10,
            ema_decay=0.99,
            log_every=7,
            checkpoint_every=10,
        ),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=1), num_samples=1),
    )


class Soak:
    """A run that is disturbed, and the one that is not.

    Parameters
    ----------
    folder
        Where both runs go.
    backend
        Which backend trains.
    seed
        Seed of the signals and their moments.
    """

    def __init__(self, folder: StrPath, *, backend: str, seed: int) -> None:
        folder = Path(folder)
        self.folder, self.random = folder, random.Random(seed)
        self.disturbed, self.steady = folder / "disturbed", folder / "steady"
        self.survived: Counter[str] = Counter()
        self._start_took: float | None = None  # seconds from the last start to the first thing that the run wrote
        write_config(soak_config(backend), folder / "config.toml")

    def disturb(self, seconds: float, kill_every: float) -> int:
        """Train for some seconds under random signals, at least one of them while it is at work; stop, and return the step."""
        end = time.monotonic() + seconds
        while self._start_took is None or time.monotonic() < end:
            process = self._start(self.disturbed)
            if self._start_took is not None and self.random.random() < _EARLY:
                wait = self.random.uniform(0.0, self._start_took)
            else:
                self._start_took = self._wait_for_work(process)
                wait = min(self.random.uniform(0.0, 2.0 * kill_every), max(0.0, end - time.monotonic()))
            self._go_on(process, wait)
            self._end(process, self.random.choice(_NUMBERS))
        return self._stop_at_next_checkpoint()

    def compare(self, step: int) -> None:
        """Train a second run to the same step without a break, and compare."""
        process = self._start(self.steady, "--train.steps", str(step))
        process.wait()
        if process.returncode != 0:
            raise SoakError(f"the undisturbed run failed with code {process.returncode}:\n{self._errors(process)}")
        ours, theirs = (newest_checkpoint(run) for run in (self.disturbed, self.steady))
        differing = [
            f"{group}/{name}"
            for group, arrays in theirs.groups.items()
            for name, value in arrays.items()
            if not np.array_equal(value, ours.groups[group][name])
        ]
        if (ours.step, differing) != (theirs.step, []):
            raise SoakError(f"the disturbed run differs at step {ours.step} of {theirs.step}: {', '.join(differing)}")
        lines = [
            [{k: v for k, v in line.items() if k != _TIMING} for line in read_metrics(run / "metrics.jsonl")]
            for run in (self.disturbed, self.steady)
        ]
        undisturbed = [line for line in lines[1] if line["step"] % soak_config("torch").train.log_every == 0]
        if lines[0] != undisturbed:
            raise SoakError("the disturbed run has other metrics than the undisturbed one")

    def _start(self, run: Path, *words: str) -> subprocess.Popen[bytes]:
        resume = ["--resume"] if list((run / "checkpoints").glob("step-*/manifest.json")) else []
        if not resume and run.exists():  # killed before it had a checkpoint to resume from
            for path in sorted(run.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        command = ["train", str(self.folder / "config.toml"), "--out", str(run), *resume, *words]
        with (self.folder / "stderr.txt").open("wb") as errors:
            return subprocess.Popen([sys.executable, "-m", "blurcore", *command], stdout=errors, stderr=errors)

    def _errors(self, process: subprocess.Popen[bytes]) -> str:
        process.wait()
        return (self.folder / "stderr.txt").read_text(encoding="utf-8", errors="replace")

    def _go_on(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """Leave the run alone for some seconds, in which it must not end."""
        if self._ends_within(process, seconds):
            raise SoakError(f"the run ended by itself with code {process.returncode}:\n{self._errors(process)}")

    def _wait_for_work(self, process: subprocess.Popen[bytes]) -> float:
        """Wait until the run has written something, a checkpoint or metrics, and return the seconds that it took."""
        began, before = time.monotonic(), self._written()
        while self._written() == before:
            self._go_on(process, _GLANCE)
        return time.monotonic() - began

    def _written(self) -> tuple[int, int]:
        """Return the step of the newest checkpoint and the time of the newest metrics, -1 where there are none."""
        metrics = self.disturbed / "metrics.jsonl"
        return self._saved(), metrics.stat().st_mtime_ns if metrics.exists() else -1

    def _ends_within(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _end(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Send a signal, and check how the run took it."""
        before = self._saved()
        process.send_signal(number)
        if not self._ends_within(process, _PATIENCE):
            process.kill()
            raise SoakError(f"the run did not stop within {_PATIENCE:.0f} s of {number.name}")
        # Before the program has set its handlers, in the first moments of the interpreter, the system ends it.
        fine = {-number, 128 + number} - ({128 + number} if number == signal.SIGKILL else set())
        if process.returncode not in fine:
            raise SoakError(
                f"the run ended with code {process.returncode} after {number.name}:\n{self._errors(process)}"
            )
        if process.returncode > 0 and "Traceback" in (text := self._errors(process)):
            raise SoakError(f"the run ended with a traceback after {number.name}:\n{text}")
        if self._saved() < before:
            raise SoakError(f"{number.name} lost a checkpoint: step {before} was there, {self._saved()} is")
        self.survived[number.name] += 1

    def _saved(self) -> int:
        """Return the step of the newest checkpoint that can be read, -1 where there is none."""
        try:
            return newest_checkpoint(self.disturbed, groups=()).step
        except CheckpointError:
            return -1

    def _stop_at_next_checkpoint(self) -> int:
        """Take the run to its next checkpoint after a step, end it by SIGTERM, and return the step that it stopped at."""
        before = max(self._saved(), 0)  # the checkpoint before the first step has nothing to compare, and no metrics
        process = self._start(self.disturbed)
        while self._saved() <= before:
            self._go_on(process, _GLANCE)
        process.send_signal(signal.SIGTERM)
        process.wait()
        if process.returncode != 128 + signal.SIGTERM:
            raise SoakError(f"the last SIGTERM gave code {process.returncode}:\n{self._errors(process)}")
        return newest_checkpoint(self.disturbed, groups=()).step


def run_soak(folder: StrPath, *, seconds: float, kill_every: float, backend: str, seed: int) -> str:
    """Disturb a run, compare it with a steady one, and return what was survived, as a sentence.

    Raises
    ------
    SoakError
        The run was lost, stopped wrongly, or ended with other weights or metrics.
    """
    soak = Soak(folder, backend=backend, seed=seed)
    step = soak.disturb(seconds, kill_every)
    total = soak.survived.total()
    print(
        f"{total} kills in {seconds:.0f} s, {step} steps; now the same steps without a break",
        file=sys.stderr,
        flush=True,
    )
    soak.compare(step)
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(soak.survived.items()))
    return f"survived {total} kills ({kinds}) in {step} steps on {backend}: weights, optimiser and metrics are those of the steady run"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m blurcore.testing.soak", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="time under kills; the steady run takes as long again (default: 60)"
    )
    parser.add_argument(
        "--kill-every", type=float, default=60.0, help="mean seconds at work before a kill (default: 60)"
    )
    parser.add_argument(
        "--backend", default="auto", help="backend that trains (default: torch, or jax where that alone is installed)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of signals and moments (default: 0)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(
                run_soak(
                    Path(folder),
                    seconds=60 * args.minutes,
                    kill_every=args.kill_every,
                    backend=args.backend,
                    seed=args.seed,
                )
            )
        except SoakError as error:
            print(f"soak: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
