"""Where the time of a training step and of a sampling step goes, for each backend: `python benchmarks/profiles.py [FOLDER]`.

The 35.7 M network at 32 x 32 x 3, float32. PyTorch: its own profiler, time of the operators themselves by kind. JAX: the
compiled program is one call, so that parts of the step are compiled and timed apart, and the whole beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import peers
import torch
from blurcore_jax.devices import pick_devices
from blurcore_jax.model import abstract_model
from blurcore_jax.trainer import Trainer as JaxTrainer
from flax import nnx
from paired import output_folder, report, seconds_of
from torch.profiler import ProfilerActivity, profile

import blurcore as bc

BATCH = 4
KINDS = {
    "convolutions, backward": ("convolution_backward",),
    "convolutions": ("conv",),
    "matrix products": ("mm", "addmm", "bmm", "attention", "linear"),
    "group norms": ("group_norm", "batch_norm"),
    "SiLU": ("silu",),
    "optimiser": ("adamw",),
    "average of the weights": ("lerp",),
    "norm of the gradient": ("norm", "stack"),
    "concatenation, up-sampling, copies": ("cat", "upsample", "copy_", "clone", "pad", "fill_", "zero_"),
    "random numbers": ("randn", "normal_", "uniform_", "rand"),
}


def kind_of(operator: str) -> str:
    name = operator.removeprefix("aten::").strip("_").lower()
    for kind, words in KINDS.items():
        if any(word.strip("_") in name for word in words):
            return kind
    return "the rest"


def of_torch(what: str, call: Callable[[], Any]) -> list[dict[str, Any]]:
    """Return the share of each kind of operator in a call."""
    call()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(3):
            call()
    spent: dict[str, float] = defaultdict(float)
    for entry in recorded.key_averages():
        spent[kind_of(entry.key)] += entry.self_cpu_time_total / 3e3
    total = sum(spent.values())
    return [
        {"backend": "torch", "what": what, "part": part, "ms": ms, "share": ms / total}
        for part, ms in sorted(spent.items(), key=lambda item: -item[1])
    ]


def of_jax(trainer: JaxTrainer, images: Any) -> list[dict[str, Any]]:
    """Return the time of the step and of its parts, each compiled alone."""
    graphdef, _ = abstract_model(trainer.config, peers.SHAPE)
    params = jax.tree.map(jnp.copy, trainer.state.params)  # a step gives its own away
    x, t = jnp.zeros((BATCH, *peers.SHAPE)), jnp.full((BATCH,), 0.5)
    process = trainer.config.process

    def loss(params: Any, z: jax.Array) -> jax.Array:
        return jnp.square(nnx.merge(graphdef, params)(z, t)).mean()

    parts = {
        "network, forward": jax.jit(loss),
        "network, forward and backward": jax.jit(jax.value_and_grad(loss)),
        "process: times, noise, transforms": jax.jit(lambda params, z: bc.training_pair(process, z, t, z, axes=(1, 2))),
    }
    whole = 1e3 * seconds_of(lambda: float(trainer.train_step(images)[0]))
    times = {name: 1e3 * seconds_of(lambda f=f: jax.block_until_ready(f(params, x))) for name, f in parts.items()}
    times["optimiser, average, clipping (what is left)"] = whole - sum(list(times.values())[1:])
    return [{"backend": "jax", "what": "training step", "part": "whole step", "ms": whole, "share": 1.0}] + [
        {"backend": "jax", "what": "training step", "part": part, "ms": ms, "share": ms / whole}
        for part, ms in times.items()
    ]


def main() -> None:
    """Measure, print, write."""
    images = peers.images(BATCH)
    ours = peers.make("blurcore", batch_size=BATCH)
    rows = of_torch("training step", lambda: ours.train_step(images))
    rows += of_torch("sampling step", lambda: ours.sample(BATCH, 1))
    torch.set_num_threads(1)  # JAX has the cores to itself from here on
    rows += of_jax(JaxTrainer(peers.config_of(batch_size=BATCH), peers.SHAPE, pick_devices("auto")), images)
    report("profiles", rows, output_folder())


if __name__ == "__main__":
    main()
