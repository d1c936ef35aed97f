"""Training by `blurcore train`, in a process of its own, and what it cost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.evidence.trials import Trial, config_of, images_of
from blurcore.errors import BlurcoreError
from blurcore.runs import newest_checkpoint, write_config


def train(trial: Trial, folder: Path) -> dict[str, Any]:
    """Train a trial into a folder, going on where it was, and return what it cost, over all the times that it was taken up.

    Raises
    ------
    RuntimeError
        `blurcore train` failed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".toml")
    config = config_of(trial)
    write_config(config, file)
    costs = folder.with_suffix(".seconds.json")
    if steps_done(folder) < config.train.steps:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        from_step = steps_done(folder)
        command = [sys.executable, "-m", "blurcore", "train", str(file), "--out", str(folder)]
        command += ["--resume"] if from_step >= 0 else []
        code = _wait(subprocess.Popen(command, env={"OMP_NUM_THREADS": "1", **os.environ}))
        after, to_step = resource.getrusage(resource.RUSAGE_CHILDREN), steps_done(folder)
        part = {
            "from": max(0, from_step),
            "to": to_step,
            "wall_s": round(time.perf_counter() - start, 1),
            "processor_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        }
        parts = [*_read(costs), part]
        costs.write_text(json.dumps(parts), encoding="utf-8")
        if code != 0:
            raise RuntimeError(f"blurcore train {file} ended with exit code {code}")
    parts = [part for part in _read(costs) if part["to"] > part["from"]]
    steps = sum(part["to"] - part["from"] for part in parts)
    metrics = [
        json.loads(text) for text in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines() if text.strip()
    ]
    return {
        "images": images_of(trial),
        "processor_s_per_image": _ratio(sum(part["processor_s"] for part in parts), steps * config.train.batch_size),
        "wall_s": sum(part["wall_s"] for part in parts),
        "parts": len(parts),
        "loss": [[line["step"], round(line["loss"], 5)] for line in metrics if "loss" in line],
    }


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a process; one that is interrupted is given the time to leave its checkpoint."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        return process.wait()


def steps_done(folder: Path) -> int:
    """Return the step of a run's newest checkpoint, -1 where there is none."""
    try:
        return newest_checkpoint(folder, groups=()).step
    except (BlurcoreError, OSError):
        return -1


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None
