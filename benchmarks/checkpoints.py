"""What a checkpoint costs: `python benchmarks/checkpoints.py [FOLDER]` (PyTorch and JAX, CPU).

The network is DDPM's, of 35.7 M parameters, with its average and Adam's moments: four arrays for each weight. The stall is how
long the training waits for a save: for all of it in one thread, for the copy of the arrays where it is written in the
background. What is lost in all is what a save adds to it and the three steps that follow: hashing and writing in the background
want a core and the disk, which on a CPU the steps have to share.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from paired import output_folder, report

import blurcore as bc
from blurcore.runs import Checkpoint, load_checkpoint, save_checkpoint
from blurcore.runs.writer import CheckpointWriter

BATCH = 4
STEPS = 3  # after a save, each time
REPEATS = 3
STATE = {"image_shape": [32, 32, 3], "data": "", "totals": {}}


def make_trainer(backend: str) -> Any:
    config = bc.RunConfig(
        backend=backend, device="cpu", model=bc.MODEL_PRESETS["cifar10"], train=bc.TrainConfig(batch_size=BATCH)
    )
    trainer = importlib.import_module(f"blurcore_{backend}.trainer")
    devices = importlib.import_module(f"blurcore_{backend}.devices")
    device = devices.pick_device("cpu") if backend == "torch" else devices.pick_devices("cpu")
    return trainer.Trainer(config, (32, 32, 3), device)


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def row(backend: str, folder: Path) -> dict[str, Any]:
    trainer = make_trainer(backend)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8)

    def steps() -> None:
        for _ in range(STEPS):
            float(trainer.train_step(images)[0])

    def snapshot() -> Checkpoint:
        return Checkpoint(trainer.step, trainer.arrays(), {**STATE, "backend": backend})

    def one_thread() -> None:
        save_checkpoint(folder, snapshot(), keep=1)
        steps()

    def background() -> None:
        with CheckpointWriter(folder, keep=1) as writer:
            found["stall"].append(seconds(lambda: writer.save(snapshot())))
            steps()  # on leaving, what is left of the save is waited for

    steps()  # compiles, and makes Adam's moments
    found: dict[str, list[float]] = {name: [] for name in ("step", "save", "load", "stall", "one thread", "background")}
    for _ in range(REPEATS):
        checkpoint = snapshot()
        found["save"].append(seconds(lambda c=checkpoint: save_checkpoint(folder, c, keep=1)))
        path = folder / "checkpoints" / f"step-{trainer.step:08d}"
        found["load"].append(seconds(lambda p=path: load_checkpoint(p)))
        size = sum(file.stat().st_size for file in path.iterdir())
        plain = seconds(steps)
        found["one thread"].append(seconds(one_thread) - plain)
        found["background"].append(seconds(background) - plain)
        found["step"].append(plain / STEPS)
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        "backend": backend,
        "megabytes": size / 1e6,
        "save s": middle["save"],
        "load s": middle["load"],
        "step s": middle["step"],
        "stall s": middle["stall"],
        "stall / step": middle["stall"] / middle["step"],
        "lost in all s": middle["background"],
        "lost in one thread s": middle["one thread"],
    }


def main() -> None:
    """Measure, print, write."""
    rows = []
    for backend in ("torch", "jax"):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(backend, Path(folder)))
    report("checkpoints", rows, output_folder())


if __name__ == "__main__":
    main()
