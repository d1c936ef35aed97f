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
    file, costs = (folder.parent / f"{folder.name}{end}" for end in (".toml", ".seconds.json"))  # a name may have dots
    config = config_of(trial)
    write_config(config, file)
    if steps_done(folder) < config.train.steps:
        start, from_step = time.perf_counter(), steps_done(folder)
        command = [sys.executable, "-m", "blurcore", "train", str(file), "--out", str(folder)]
        command += ["--resume"] if from_step >= 0 else []
        code, used = _wait(subprocess.Popen(command, env={"OMP_NUM_THREADS": "1", **os.environ}))
        part = {
            "from": max(0, from_step),
            "to": steps_done(folder),
            "wall_s": round(time.perf_counter() - start, 1),
            "processor_s": round(used.ru_utime + used.ru_stime, 1),
            "peak_mib": round(used.ru_maxrss / 1024),
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
        "peak_mib": max((part["peak_mib"] for part in parts), default=None),
        "loss": [[line["step"], round(line["loss"], 5)] for line in metrics if "loss" in line],
    }


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, resource.struct_rusage]:
    """Return the exit code of a process and what it used; one that is interrupted is given the time to leave its checkpoint."""
    try:
        _, status, used = os.wait4(process.pid, 0)
    except KeyboardInterrupt:
        process.terminate()
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used


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
