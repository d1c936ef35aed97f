"""Plots of the evidence from the lines of the ledger, and samples side by side from the pictures of the runs.

python -m benchmarks.evidence.plots                          the plots
python -m benchmarks.evidence.plots runs/evidence/pictures   the samples too
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from benchmarks.evidence.exact import CALLS
from benchmarks.evidence.ledger import Ledger
from benchmarks.evidence.rows import GRIDS, Row, main_row
from benchmarks.evidence.tables import AS_LONG, LEDGER, NAMES, ROOT, Octaves, Question1, row_of
from benchmarks.evidence.trials import PROCESSES, Trial
from blurcore.figures.canvas import in_style, save_figure

IMAGES = ROOT / "docs" / "images"
SHOWN = (
    Row("ancestral"),
    Row("ddim"),
    Row("dpm_solver_pp", options=(("order", 2),)),
    Row("dpm_solver_sde", options=(("order", 2),)),
    Row("calibrated"),
)
SEED, COLUMNS, SIDE, LABEL = 2, 16, 28, 150


@in_style
def of_processes(ledger: Ledger) -> Figure:
    """Return the primary distances of question 1, a point for each seed."""
    asked = Question1(ledger, "hour", "digits")
    found = asked.values("sample", asked.primary)
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for place, (process, distances) in enumerate(found.items()):
        axes.plot(
            distances, [place] * len(distances), "o", color="C1" if process in ("nested", AS_LONG) else "C0", alpha=0.7
        )
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set(
        xlabel="Frechet distance to the training digits, features of a digit classifier; a point is a seed",
        xlim=(0, None),
    )
    axes.grid(axis="x", alpha=0.3)
    return figure


@in_style
def of_few_steps(ledger: Ledger) -> Figure:
    """Return the Frechet distances of question 3 by network calls, each solver on its best grid for that number."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    lines = [line for line in ledger.lines() if line["kind"] == "exact" and line["data"] == "digits"]
    for axes, process in zip(figure.subplots(1, 2, sharey=True), ("standard", "blur20"), strict=True):
        for row in SHOWN:
            best = []
            for calls in CALLS:
                own = [
                    line["found"]["frechet_digits"]
                    for line in lines
                    if (line["process"], line["calls"]) == (process, calls)
                    and row_of(line["row"]) in [row._replace(grid=grid) for grid in GRIDS]
                ]
                best.append(min(own, default=np.nan))
            axes.plot(CALLS, best, "o-", ms=3, label=NAMES[row.solver])
        axes.set(title=process, xscale="log", yscale="log", xlabel="network calls")
        axes.set_xticks(CALLS, list(map(str, CALLS)))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_yticks(ticks := (0.7, 1, 2, 5, 10), list(map(str, ticks)))
    figure.axes[0].set_ylabel("Frechet distance to the set")
    figure.axes[1].legend(fontsize="small")
    return figure


@in_style
def of_octaves(found: Octaves) -> Figure:
    """Return the error of x0 in each octave over training, a panel for each process that ends in noise."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (process, rows) in zip(figure.subplots(1, len(found), sharey=True), found.items(), strict=True):
        names = next(iter(rows.values()))[0]
        colors = colormaps["viridis"](np.linspace(0.0, 0.9, len(names)))
        for i, (name, color) in enumerate(zip(names, colors, strict=True)):
            axes.plot(list(rows), [shares[i] for _, shares in rows.values()], "o-", ms=3, color=color, label=name)
        axes.set(title=process, yscale="log", xlabel="images seen")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("error of x0 / power")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", title="wavelength")
    return figure


def of_samples(ledger: Ledger, pictures: Path) -> Any:
    """Return the first samples of one seed of each process of question 1, a row for each, from the pictures that were kept."""
    asked = Question1(ledger, "hour", "digits")
    names = list(asked.values("sample", asked.primary))
    sheet = Image.new("L", (LABEL + COLUMNS * SIDE, len(names) * (SIDE + 4)), 255)
    for place, name in enumerate(names):
        process = name.partition(",")[0]
        shares = {
            line["trial"]["share"]
            for line in asked.lines("sample")
            if line["trial"]["process"] == process and line["trial"]["seed"] == SEED
        }
        share = 1.0 if name in PROCESSES else max(shares)
        trial = Trial(data="digits", process=process, seed=SEED, prediction=asked.chosen[process], share=share)
        row, calls = main_row(trial)
        with Image.open(pictures / f"{trial.name} {row.name} {calls}.png") as picture:
            sheet.paste(picture.crop((0, 0, COLUMNS * SIDE, SIDE)), (LABEL, place * (SIDE + 4)))
        ImageDraw.Draw(sheet).text((2, place * (SIDE + 4) + 8), name, fill=0)
    return sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST)


def main() -> None:
    """Write the images."""
    ledger = Ledger(LEDGER)
    save_figure(of_processes(ledger), IMAGES / "evidence_processes.svg")
    save_figure(of_few_steps(ledger), IMAGES / "evidence_few_steps.svg")
    if found := Question1(ledger, "hour", "digits").octaves():
        save_figure(of_octaves(found), IMAGES / "evidence_octaves.svg")
    if len(sys.argv) > 1:
        of_samples(ledger, Path(sys.argv[1])).save(IMAGES / "evidence_samples.png")


if __name__ == "__main__":
    main()
