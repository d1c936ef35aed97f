"""How the cost of the process grows: `python benchmarks/growth.py [FOLDER]` draws docs/images/growth.svg.

Against the side N of an image, the batch and the number of steps, on log axes, with the exponent that fits the larger
half of each line. What is timed has no network in it: a pair of transforms, a training pair, the schedule and the updates
of a whole run of ancestral sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from paired import output_folder, report, seconds_of

import blurcore as bc
from blurcore.figures.canvas import new_figure, save_figure

PROCESS = bc.BlurringDiffusion()
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "growth.svg"
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
STEPS = (10, 20, 50, 100, 200, 500, 1000)
MAKE: dict[str, Callable[[np.ndarray], Any]] = {
    "NumPy": np.asarray,
    "PyTorch": torch.from_numpy,
    "JAX": jax.numpy.asarray,
}
Lines = dict[str, dict[int, float]]


def finished(library: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f compiled and waited for, where the library is JAX."""
    if library != "JAX":
        return f
    compiled = jax.jit(f)
    return lambda *args: jax.block_until_ready(compiled(*args))


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def against_size() -> Lines:
    """Time a pair of transforms of four images."""
    lines: Lines = {name: {} for name in MAKE}
    for name, make in MAKE.items():
        both = finished(name, lambda x: PROCESS.basis.inverse(PROCESS.basis.forward(x)))
        for n in SIZES:
            x = make(images(4, 1, n, n))
            lines[name][n] = seconds_of(lambda both=both, x=x: both(x))
    return lines


def against_batch() -> Lines:
    """Time a training pair of 32 x 32 x 3."""
    lines: Lines = {name: {} for name in MAKE}
    for name, make in MAKE.items():
        pair = finished(name, lambda x, t, eps: bc.training_pair(PROCESS, x, t, eps))
        for batch in BATCHES:
            args = make(images(batch, 3, 32, 32)), make(np.full(batch, 0.5, np.float32)), make(images(batch, 3, 32, 32))
            lines[name][batch] = seconds_of(lambda pair=pair, args=args: pair(*args))
    return lines


def against_steps() -> Lines:
    """Time ancestral sampling of eight images of 32 x 32 x 3 but for the network."""
    lines: Lines = {name: {} for name in ("NumPy", "PyTorch")}
    solver = bc.Ancestral(process=PROCESS)
    for name in lines:
        x = MAKE[name](images(8, 3, 32, 32))
        for steps in STEPS:

            def run(x: Any = x, times: tuple[float, ...] = bc.uniform_times(steps)) -> None:
                state = solver.start(x)
                for t, s in solver.stages(times):
                    z = PROCESS.basis.inverse(state.u)
                    state = solver.step(state, bc.predict(PROCESS, z, "v", state.u, t), t, s, x)

            lines[name][steps] = seconds_of(run, least_runs=1)
    return lines


def exponent(line: dict[int, float]) -> float:
    """Return the slope of the larger half of a line on log axes."""
    points = sorted(line.items())[len(line) // 2 - 1 :]
    return float(np.polyfit(np.log([n for n, _ in points]), np.log([s for _, s in points]), 1)[0])


def main() -> None:
    """Measure, print, draw, write."""
    what = {
        "N, side of the image": against_size(),
        "batch": against_batch(),
        "number of steps": against_steps(),
    }
    figure, rows = new_figure(11, 3.6), []
    for axes, (against, lines) in zip(figure.subplots(1, 3), what.items(), strict=True):
        for name, line in lines.items():
            slope = exponent(line)
            axes.loglog(list(line), [1e3 * s for s in line.values()], "o-", label=f"{name}: {slope:.2f}", markersize=3)
            first, *_, last = line
            rows.append(
                {
                    "against": against,
                    "library": name,
                    "from": first,
                    "to": last,
                    "first ms": 1e3 * line[first],
                    "last ms": 1e3 * line[last],
                    "exponent": slope,
                }
            )
        axes.set_xlabel(against)
        axes.set_ylabel("ms")
        axes.legend(title="exponent", frameon=False)
    save_figure(figure, PICTURE)
    report("growth", rows, output_folder())


if __name__ == "__main__":
    main()
