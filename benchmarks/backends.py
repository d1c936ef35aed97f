"""JAX against PyTorch on this machine: `python benchmarks/backends.py [FOLDER]`: the demo's network, a training step and samples.

Both run the trainers as `blurcore train` does, on the same images, each with all cores; the loss is read after each step,
so that nothing is left running. Compilation is timed apart: it is paid once a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import torch
from blurcore_jax.devices import pick_devices
from blurcore_jax.trainer import Trainer as JaxTrainer
from blurcore_torch.devices import pick_device
from blurcore_torch.trainer import Trainer as TorchTrainer
from paired import compare, output_folder, report

import blurcore as bc
from blurcore.cli.demo import demo_config
from blurcore.engine import Trainer

SHAPE = (28, 28, 1)
SAMPLES = bc.SampleConfig(times=bc.Uniform(num_steps=10), num_samples=64, batch_size=64)


def first_call(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def step_of(trainer: Trainer, images: np.ndarray) -> Callable[[], Any]:
    return lambda: float(trainer.train_step(images)[0])


def main() -> None:
    """Measure, print, write."""
    images = np.random.default_rng(0).integers(0, 256, (32, *SHAPE), dtype=np.uint8)
    rows = []
    for precision in ("float32", "bf16"):
        config = demo_config()
        config = replace(config, train=replace(config.train, precision=precision))
        ours = JaxTrainer(config, SHAPE, pick_devices("auto"))
        peer = TorchTrainer(config, SHAPE, pick_device("auto"))
        for what, a, b, pairs in (
            ("training step, batch 32", step_of(ours, images), step_of(peer, images), 15),
            ("64 samples, 10 steps", partial(ours.sample, SAMPLES, None), partial(peer.sample, SAMPLES, None), 7),
        ):
            first = first_call(a)
            result = compare(a, b, pairs=pairs)
            rows.append(
                {
                    "what": what,
                    "precision": precision,
                    "jax ms": 1e3 * result.ours,
                    "torch ms": 1e3 * result.peer,
                    "ratio": result.ratio,
                    "jax compiles s": first - result.ours,
                }
            )
    print(f"JAX {jax.__version__} on {jax.default_backend()}, PyTorch {torch.__version__}")
    report("backends", rows, output_folder())


if __name__ == "__main__":
    main()
