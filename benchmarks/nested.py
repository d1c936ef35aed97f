"""Training and sampling over sizes against the whole size, on both backends: `python benchmarks/nested.py [FOLDER]`.

Colour photographs (`Photos`) at 32 x 32 and enlarged to 64 x 64, the paper's process with its widest blur growing with the size,
sizes by `Nested()` for the data. Each pair is the same trainer with `Nested` and with `Full`, by turns; sampling takes 50 steps. The
memory of a training step at batch 64 is the largest resident set of a process beyond its idle one (PyTorch), and what XLA plans for
the compiled step beside its arguments (JAX). Compilation is not counted. Seconds are those of this process's cores, since machines are
shared: one thread for PyTorch (OMP_NUM_THREADS=1), what XLA takes for JAX.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from paired import compare, output_folder, report

import blurcore as bc
from blurcore.engine.nesting import choose_sizes

DEMO = replace(bc.MODEL_PRESETS["small"])
LARGE = replace(bc.MODEL_PRESETS["cifar10"], dropout=0.0)
CASES: tuple[tuple[str, int, bc.ModelConfig, int, int, tuple[str, ...]], ...] = (
    # name, pixels, network, training batch, samples, backends
    ("0.6 M", 32, DEMO, 64, 64, ("torch", "jax")),
    ("0.6 M", 64, DEMO, 32, 16, ("torch",)),
    ("35.7 M", 32, LARGE, 16, 4, ("torch",)),
)
PAIRS = {"training": 5, "sampling": 3}
STEPS = 50
MIB = 2**20


def make(name: str, config: bc.RunConfig, shape: tuple[int, ...]) -> Any:
    """Return a backend's trainer."""
    if name == "torch":
        from blurcore_torch.devices import pick_device
        from blurcore_torch.trainer import Trainer

        return Trainer(config, shape, pick_device("cpu"))
    from blurcore_jax.devices import pick_devices
    from blurcore_jax.trainer import Trainer as JaxTrainer

    return JaxTrainer(config, shape, pick_devices("cpu")[:1])


def both(pixels: int, model: bc.ModelConfig, batch: int) -> tuple[bc.RunConfig, bc.RunConfig]:
    """Return the configurations over sizes and of the whole one."""
    size = None if pixels == 32 else (pixels, pixels)
    full = bc.RunConfig(
        process=bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=20.0 * pixels / 32)),
        data=bc.Photos(image_size=size),
        model=model,
        train=bc.TrainConfig(batch_size=batch, objective=bc.Denoising(prediction="x0"), warmup_steps=0),
    )
    return choose_sizes(replace(full, resolution=bc.Nested()), full.data.load()), full


def step_of(trainer: Any, images: np.ndarray[Any, Any]) -> Any:
    """Return a training step that has finished when it returns."""
    return lambda: float(trainer.train_step(images)[0])


def memory(name: str, kind: str) -> float:
    """Return what a training step of the small network at batch 64 takes beyond the idle process, in MiB; in a process of its own."""
    config = dict(zip(("nested", "full"), both(32, DEMO, 64), strict=True))[kind]
    trainer = make(name, config, (32, 32, 3))
    images = np.zeros((64, 32, 32, 3), np.uint8)
    if name == "jax":
        from blurcore_jax.devices import put, split
        from blurcore_jax.trainer import Scalars

        now = Scalars(trainer.keys, np.int32(0), np.float32(1e-3), np.float32(0.1))
        batch = put((images, np.zeros(len(images), np.int32)), split(trainer.mesh))
        program = trainer._step.lower(trainer.state, *batch, now).compile()
        return float(program.memory_analysis().temp_size_in_bytes) / MIB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        trainer.train_step(images)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def apart(name: str, kind: str) -> float:
    """Return :func:`memory`, of a process of its own."""
    words = [sys.executable, __file__, "--memory", name, kind]
    done = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, print, write."""
    if "--memory" in sys.argv:
        print(json.dumps(memory(*sys.argv[-2:])))
        return
    rows = []
    for parameters, pixels, model, batch, count, names in CASES:
        configs, shape = both(pixels, model, batch), (pixels, pixels, 3)
        print(configs[0].resolution.words((pixels, pixels)), flush=True)
        images = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)
        settings = bc.SampleConfig(times=bc.Uniform(num_steps=STEPS), num_samples=count, batch_size=count)
        for name in names:
            nested, full = (make(name, config, shape) for config in configs)
            calls = {
                ("training", batch): [step_of(trainer, images) for trainer in (nested, full)],
                ("sampling", count): [partial(t.sample, settings, None) for t in (nested, full)],
            }
            for (what, work), (ours, whole) in calls.items():
                found = compare(ours, whole, pairs=PAIRS[what], clock=time.process_time)
                row = {"what": f"{what}, batch {work}", "network": parameters, "pixels": pixels, "backend": name}
                row |= {"over sizes, images/s": work / found.ours, "whole, images/s": work / found.peer}
                rows.append(row | {"times as many": 1 / found.ratio})
                print(rows[-1], flush=True)
                report("nested", rows, output_folder())  # a part of it, should the rest take too long
    rows = []
    for name in ("torch", "jax"):
        nested, full = (apart(name, kind) for kind in ("nested", "full"))
        rows.append({"backend": name, "over sizes, MiB": nested, "whole, MiB": full, "share": nested / full})
    report("nested-memory", rows, output_folder())


if __name__ == "__main__":
    main()
