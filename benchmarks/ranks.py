"""What it costs to share a step: `python benchmarks/ranks.py [FOLDER]` starts two ranks with gloo, one thread each.

Each rank has the same batch in every row, so that a step of two ranks does twice the work of one alone. Two that work side by
side and share nothing show what the machine itself takes (memory, caches, clock); the rest is communication. One alone has one
thread too, while the other rank sleeps.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from blurcore_torch.distributed import own_device, processes
from blurcore_torch.trainer import Trainer
from paired import output_folder, report

import blurcore as bc
from blurcore.cli.demo import demo_config

NETWORKS = {  # model, shape of an image, images of each rank, rounds
    "demo": (demo_config().model, (28, 28, 1), 32, 15),
    "cifar10, 35.7 M": (bc.MODEL_PRESETS["cifar10"], (32, 32, 3), 4, 5),
}
ALONE, APART, DDP, FSDP = "alone", "two, apart", "two, ddp", "two, fsdp"


def trainer(model: bc.ModelConfig, shape: tuple[int, ...], batch: int, parallel: str = "ddp") -> Callable[[], object]:
    """Return a step of a new trainer, which is alone where no process has been joined yet."""
    train = bc.TrainConfig(
        objective=bc.Denoising(prediction="x0"),
        batch_size=batch * (dist.get_world_size() if dist.is_initialized() else 1),
    )
    config = bc.RunConfig(device="cpu", model=model, train=replace(train, parallel=parallel))
    made = Trainer(config, shape, own_device("cpu"))
    images = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)
    return lambda: made.train_step(images)


def seconds(call: Callable[[], object]) -> float:
    """Return the time until both ranks are done."""
    dist.barrier()
    start = time.perf_counter()
    call()
    dist.barrier()
    return time.perf_counter() - start


def measure(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time all ways by turns, every other round backwards."""
    for step in steps.values():
        step()  # allocates, plans its messages
    times: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(rounds):
        for name, step in list(steps.items())[:: -1 if i % 2 else 1]:
            times[name].append(seconds(step))
    return times


def main() -> None:
    """Start the ranks; in a rank, measure, and in the first one print and write."""
    if not dist.is_torchelastic_launched():
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *sys.argv]
        sys.exit(subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode)
    torch.set_num_threads(1)
    own = {name: trainer(*network[:3]) for name, network in NETWORKS.items()}  # before the processes are joined
    rows = []
    with processes("cpu") as team:
        for name, (model, shape, batch, rounds) in NETWORKS.items():
            steps = {ALONE: own[name] if team.rank == 0 else lambda: None, APART: own[name]}
            steps |= {way: trainer(model, shape, batch, way.split()[-1]) for way in (DDP, FSDP)}
            times = measure(steps, rounds)
            for way, values in times.items():
                ratios = {
                    f"over {other}": statistics.median(a / b for a, b in zip(values, times[other], strict=True))
                    for other in (ALONE, APART)
                }
                rows.append(
                    {
                        "network": name,
                        "images a rank": batch,
                        "ranks": way,
                        "threads a rank": 1,
                        "step ms": 1e3 * statistics.median(values),
                        **ratios,
                    }
                )
        if team.rank == 0:
            report("ranks", rows, output_folder())


if __name__ == "__main__":
    main()
