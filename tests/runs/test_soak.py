"""The soak notices what it is there to notice; the soak itself is run in tests/training."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blurcore.runs import Checkpoint, save_checkpoint
from blurcore.testing.soak import Soak, SoakError

STATE: dict[str, Any] = {"image_shape": [8, 8, 1], "data": "", "totals": {}, "backend": "none"}


def write(run: Path, *, step: int = 9, weight: float = 1.0, loss: float = 0.5) -> None:
    arrays = {"w": np.full(3, weight, np.float32)}
    save_checkpoint(run, Checkpoint(step, {"model": arrays, "ema": arrays, "optimizer": {}}, STATE), keep=1)
    lines = [{"step": 7, "loss": loss, "images_per_s": weight}, {"step": 9, "loss": 0.1}]
    lines = lines if run.name == "steady" else lines[:1]  # the steady run ends there, and has a line of its last step
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Soak:
    soak = Soak(tmp_path, backend="none", seed=0)
    write(soak.steady)
    monkeypatch.setattr(soak, "_start", lambda *words: subprocess.Popen(["true"]))
    return soak


def test_equal_runs_pass(soak: Soak) -> None:
    write(soak.disturbed)
    soak.compare(9)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"weight": 1.0000001}, "ema/w, model/w"), ({"step": 10}, "step 10 of 9"), ({"loss": 0.6}, "other metrics")],
)
def test_runs_that_differ_fail(soak: Soak, change: dict[str, Any], says: str) -> None:
    write(soak.disturbed, **change)
    with pytest.raises(SoakError, match=says):
        soak.compare(9)


@pytest.mark.parametrize(
    ("trap", "says"),
    [("exit 5", "ended with code 5 after SIGTERM"), ("echo Traceback >&2; exit 143", "ended with a traceback")],
)
def test_run_that_takes_a_signal_wrongly_fails(soak: Soak, tmp_path: Path, trap: str, says: str) -> None:
    script = f"trap '{trap}' TERM; echo ready; while :; do sleep 0.01; done"
    with (tmp_path / "stderr.txt").open("wb") as errors:
        process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(SoakError, match=says):
        soak._end(process, signal.SIGTERM)
    process.stdout.close()


def test_kill_that_loses_a_checkpoint_fails(soak: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = iter([5, 4, 4])
    monkeypatch.setattr(soak, "_saved", lambda: next(saved))
    with pytest.raises(SoakError, match="lost a checkpoint: step 5 was there, 4 is"):
        soak._end(subprocess.Popen(["sleep", "60"]), signal.SIGKILL)
