"""What dies in the tests of checkpoints: `python harm.py NAME RUN ...` forks it, kills it, and prints what is left as JSON.

A program without threads and frameworks, so that fifty forks are safe and take a second.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy  # noqa: F401  (imported before the audit hook counts files)

from blurcore.errors import CheckpointError
from blurcore.runs import Checkpoint, newest_checkpoint, save_checkpoint
from blurcore.runs.checkpoint import remove_leftovers

STATE: dict[str, Any] = {"image_shape": [8, 8, 1], "data": "", "totals": {}, "backend": "none"}
OPERATIONS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree")


def made(step: int, size: int = 50) -> Checkpoint:
    """Return a checkpoint in which every number is its step."""
    weights = {"weight": np.full(size, step, np.float32)}
    return Checkpoint(step, {"model": weights, "ema": weights, "optimizer": weights}, STATE)


def hidden(run: Path) -> list[str]:
    """Return what saves that did not finish have left."""
    return sorted(path.name for path in (run / "checkpoints").glob(".*"))


def checked(run: Path) -> Checkpoint:
    """Clear up as the next start does, and return the newest checkpoint, whose numbers must all be its step."""
    remove_leftovers(run)
    assert hidden(run) == []
    newest = newest_checkpoint(run)
    assert all((array == newest.step).all() for group in newest.groups.values() for array in group.values())
    return newest


def at_random(run: Path, kills: int) -> dict[str, int]:
    """Kill a process that saves one checkpoint after the other, again and again."""
    save_checkpoint(run, made(0), keep=1)
    step, in_a_save, chance = 0, 0, random.Random(0)
    for _ in range(kills):
        reader, writer = os.pipe()
        child = os.fork()
        while child == 0:
            step += 1
            save_checkpoint(run, made(step, size=20_000), keep=1)
            os.write(writer, b"x")
        os.read(reader, 1)  # a first save is over: the kill falls into one of those that follow
        time.sleep(chance.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(writer)
        acknowledged = step + 1 + len(os.read(reader, 10_000))
        os.close(reader)
        in_a_save += bool(hidden(run))
        step = checked(run).step
        assert step in (acknowledged, acknowledged + 1), (step, acknowledged)
    return {"in_a_save": in_a_save}


def at_each_operation(run: Path, second: int) -> dict[str, int]:
    """Let the save of `second` die before its first, second, ... operation on files, until one gets through."""
    deaths = 0
    while True:
        shutil.rmtree(run, ignore_errors=True)
        save_checkpoint(run, made(1), keep=1)
        child = os.fork()
        if child == 0:
            _die_before(deaths)
            save_checkpoint(run, made(second, size=60), keep=1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        newest = checked(run)
        assert newest.step in (1, second)
        if status == 0:
            assert len(newest.groups["model"]["weight"]) == 60
            return {"deaths": deaths}
        deaths += 1


def _die_before(operation: int) -> None:
    seen = iter(range(operation))

    def count(event: str, arguments: object) -> None:
        if event in OPERATIONS and next(seen, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def on_full_disk(run: Path, size: int) -> dict[str, Any]:
    """Save a checkpoint that is too large for the disk."""
    save_checkpoint(run, made(1), keep=1)
    try:
        save_checkpoint(run, made(2, size=size), keep=1)
    except CheckpointError as error:
        left = hidden(run)
        return {"error": str(error), "left": left, "step": checked(run).step}
    return {}


if __name__ == "__main__":
    harm = {"at_random": at_random, "at_each_operation": at_each_operation, "on_full_disk": on_full_disk}[sys.argv[1]]
    print(json.dumps(harm(Path(sys.argv[2]), int(sys.argv[3]))))
