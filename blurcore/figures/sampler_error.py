"""Spectral error against steps, for every sampler: a plot and a table, worked out when asked for (SPEC 9)."""

from __future__ import annotations

import os
from pathlib import Path

from blurcore._typing import StrPath
from blurcore.errors import OutputError
from blurcore.figures.canvas import PAGE, in_style, new_figure, save_figure
from blurcore.processes import BlurringDiffusion
from blurcore.verify.sampler_spectrum import error_table

STEPS = (10, 20, 50, 100, 250, 1000)

_INTRODUCTION = """\
# The error of every sampler

Data: Gaussian, {size} x {size}, with the spectrum of natural images, 1 / (lambda + 0.01). Process: blurring diffusion with the
paper's defaults. Network: the exact denoiser. The output of every sampler is then Gaussian as well, and its variance
in each frequency follows from the sampler's own steps in closed form; the table shows the worst frequency's
|variance / target - 1|. Regenerate it, and the plot, with

```
blurcore figure sampler-error --out docs/images/sampler_error.svg --table docs/sampler_error.md
```

![Worst spectral error against steps]({picture})

"""
_REMARKS = """
A random sampler's last step adds no noise, unless the name says so: at 50 steps most of ancestral sampling's error is its
reverse variance, which is that of the posterior, as if the network's guess were the data. Calibrated sampling adds the
network's own error in each frequency, and is exact here at any number of steps. Trained networks are not exact denoisers,
and real data are not Gaussian: see [what it buys there](calibration.md).

The third order takes a step at second order where it is more than 1.5 times as long as the one before it
([why](specification.md#spec-9)). What that costs here: of third order all through its row would begin 3.5e-01, 1.5e-01, 1.8e-02
and go on the same. What it buys: with a network whose word about each coefficient is off by noise of 0.02, the mean of
|variance / target - 1| at 20 steps is 0.24, not 2.4 (0.19 at second order).
"""


@in_style
def draw_sampler_error(
    path: StrPath, *, table: StrPath | None = None, steps: tuple[int, ...] = STEPS, size: int = 32
) -> str:
    """Draw the plot, write the table as a page in Markdown, and return the table.

    Parameters
    ----------
    path
        PNG, SVG or PDF, by its suffix.
    table
        Where to write the page; None writes none.
    steps
        Numbers of steps.
    size
        Side of the image in pixels.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    rows = error_table(BlurringDiffusion(), steps, shape=(size, size))
    figure = new_figure(PAGE, 4.4)
    axis = figure.subplots()
    for i, ((name, grid), errors) in enumerate(rows.items()):
        color = f"C{i}" if i < 10 else "black"
        axis.loglog(steps, errors, marker="o", color=color, label=f"{name} ({grid})")
    axis.set_ylim(1e-10, 3.0)
    axis.set_xlabel("steps")
    axis.set_ylabel("worst |variance / target - 1|")
    axis.grid(visible=True, which="major")
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 0.15))
    save_figure(figure, path)
    lines = ["| sampler | grid | " + " | ".join(str(n) for n in steps) + " |", "| --- | --- |" + " --- |" * len(steps)]
    lines += [
        f"| {name} | {grid} | " + " | ".join(f"{e:.1e}" for e in errors) + " |" for (name, grid), errors in rows.items()
    ]
    text = "\n".join(lines) + "\n"
    if table is not None:
        table = Path(table)
        picture = Path(os.path.relpath(path, table.parent)).as_posix()
        page = _INTRODUCTION.format(size=size, picture=picture) + text + _REMARKS
        try:
            table.write_text(page, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write the table {table}: {error.strerror or error}") from None
    return text
