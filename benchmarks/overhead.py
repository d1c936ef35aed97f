"""What the process itself costs, beside any network: `python benchmarks/overhead.py [FOLDER]` (CPU).

Sampling: a step with a network that returns its input, against two transforms and one update, all else known beforehand.
Training pairs: eps against two transforms and one update, v against four and two, where alpha and sigma are known; so what
is above 1 is the price of the schedule, of checks and of Python. Coefficients for a number: their time. Plans: the seconds
until the weights of all steps lie on the device, and the memory that is kept, and that was taken on the way.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from blurcore_torch.sampler import sample_batch
from paired import compare, output_folder, report, seconds_of

import blurcore as bc
from blurcore.engine import SamplingPlan
from blurcore.engine.steps import on_arrays

PROCESS = bc.BlurringDiffusion()
AXES = (-2, -1)
BATCHES = ((1, 32), (16, 32), (64, 32), (16, 128))
SOLVERS: dict[str, bc.Solver] = {"ancestral": bc.Ancestral(), "DDIM": bc.DDIM(), "DPM-Solver++ 2M": bc.DPMSolverPP()}
STEPS = 50
MIB = 2**20


class Echo(torch.nn.Module):
    """A network that returns its input."""

    def forward(self, z: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """Return z."""
        del cond
        return z


def plan_of(solver: bc.Solver, steps: int, size: int, axes: tuple[int, ...] = AXES) -> SamplingPlan:
    """Return a plan for images of three channels."""
    settings = bc.SampleConfig(solver=solver, times=bc.Uniform(num_steps=steps))
    return SamplingPlan(bc.RunConfig(process=PROCESS), settings, (size, size, 3), axes=axes)


def step_row(name: str, solver: bc.Solver, batch: int, size: int) -> dict[str, Any]:
    """Compare a step of sampling."""
    plan, echo, noise = plan_of(solver, STEPS, size), Echo(), torch.randn(batch, 3, size, size)
    first, second = torch.rand(size, size), torch.rand(size, size)

    def ours() -> None:
        sample_batch(plan, echo, lambda k: noise)

    @torch.no_grad()
    def peer() -> None:
        for _ in range(STEPS):
            u = PROCESS.basis.forward(PROCESS.basis.inverse(noise, axes=AXES), axes=AXES)
            torch.addcmul(first * noise, second, u)

    found = compare(ours, peer)
    return {
        "what": f"sampling step, {name}",
        "batch": batch,
        "size": f"{size} x {size} x 3",
        "ours ms": 1e3 * found.ours / STEPS,
        "peer ms": 1e3 * found.peer / STEPS,
        "ratio": found.ratio,
    }


def pair_row(prediction: bc.prediction.Kind, batch: int = 128, size: int = 32) -> dict[str, Any]:
    """Compare a training pair."""
    x, eps, t = torch.randn(batch, 3, size, size), torch.randn(batch, 3, size, size), torch.rand(batch)
    m, basis = bc.marginal_for(PROCESS, t, x), PROCESS.basis

    def mixed(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(basis.inverse(m.alpha * basis.forward(a, axes=AXES), axes=AXES), m.sigma, b)

    def peer() -> None:
        mixed(x, eps)
        if prediction == "v":
            mixed(eps, x)

    found = compare(lambda: bc.training_pair(PROCESS, x, t, eps, prediction=prediction), peer)
    return {
        "what": f"training pair, {prediction}",
        "batch": batch,
        "size": f"{size} x {size} x 3",
        "ours ms": 1e3 * found.ours,
        "peer ms": 1e3 * found.peer,
        "ratio": found.ratio,
    }


def number_rows() -> list[dict[str, Any]]:
    """Time the coefficients of one time, or of one step."""
    calls: dict[str, Callable[[], Any]] = {
        "marginal": lambda: PROCESS.marginal(0.5, shape=(32, 32)),
        "posterior": lambda: bc.posterior(PROCESS, 0.5, 0.49, shape=(32, 32)),
    }
    return [
        {"what": f"{name} at a number", "size": "32 x 32", "ours ms": 1e3 * seconds_of(call, least_runs=15)}
        for name, call in calls.items()
    ]


def plan_row(backend: str, steps: int, size: int) -> dict[str, Any]:
    """Measure a plan, from the configuration to the weights of all steps on the device, one block after another."""
    axes = AXES if backend == "torch" else (1, 2)

    def build() -> SamplingPlan:
        plan = plan_of(bc.Ancestral(), steps, size, axes=axes)
        move: Callable[[Any], Any] = torch.from_numpy if backend == "torch" else jax.numpy.asarray
        assert plan.index is not None
        index = move(plan.index.astype(np.int32))
        for block in plan.blocks():
            jax.block_until_ready(block.step.expand(on_arrays(move, block.values), index, plan.grid, 4))
        return plan

    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        build()
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    plan = build()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "backend": backend,
        "steps": steps,
        "size": f"{size} x {size} x 3",
        "seconds": sorted(seconds)[1],
        "kept MiB": plan.nbytes / MIB,
        "peak MiB on the host": peak / MIB,
    }


def main() -> None:
    """Measure, print, write."""
    rows = [step_row(name, solver, *case) for case in BATCHES for name, solver in SOLVERS.items()]
    report("overhead", [*rows, pair_row("eps"), pair_row("v")], output_folder())
    report("overhead-numbers", number_rows(), output_folder())
    report("overhead-plans", [plan_row(backend, 1000, 256) for backend in ("torch", "jax")], output_folder())


if __name__ == "__main__":
    main()
