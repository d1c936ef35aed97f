"""One style for all figures, one way to open and save them, with no window and no global state.

Text stays text in SVG and PDF, so that it can be searched, copied and set in the fonts of a paper; labels are without
matplotlib's mathematics, which would scatter their letters, but for formulas in lines of their own. Images are drawn pixel for
pixel: each of theirs is a square of whole pixels of the output (:func:`image_panels`), so nothing is resampled.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import numpy as np

from blurcore._typing import StrPath
from blurcore.errors import OutputError

P = ParamSpec("P")
R = TypeVar("R")

DPI = 200
"""Pixels for each inch of a PNG, and of the images inside SVG and PDF; more where large images want them."""
COLUMN, PAGE = 3.4, 7.0
"""Widths in inches: of a column of a two-column paper, and of both."""
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "blurcore",
    "pdf.fonttype": 42,
}


def in_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a function with the package's matplotlib style; restore the settings afterwards."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def new_figure(
    width: float, height: float, *, dpi: int = DPI, layout: Literal["constrained"] | None = "constrained"
) -> Any:
    """Return an empty matplotlib figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout=layout)


class Margins(NamedTuple):
    """Room around panels, in inches."""

    left: float = 0.1
    top: float = 0.1
    right: float = 0.1
    bottom: float = 0.1
    between: float = 0.03
    """Room between two panels beside each other."""
    under: float = 0.03
    """Room between two panels above each other."""


def image_panels(
    rows: int, columns: int, shape: tuple[int, int], *, width: float = PAGE, margins: Margins
) -> tuple[Any, Any]:
    """Return a figure and its axes, (rows, columns), each made for an image of this shape and without ticks.

    Parameters
    ----------
    rows, columns
        Numbers of panels.
    shape
        (height, width) of the images in pixels.
    width
        How wide the figure may be, in inches.
    margins
        Room around and between the panels.
    """
    left_for_images = width - margins.left - (columns - 1) * margins.between - margins.right
    dpi = max(DPI, math.ceil(columns * shape[1] / max(left_for_images, 0.1)))
    m = Margins(*(round(inches * dpi) for inches in margins))
    around = m.left + (columns - 1) * m.between + m.right
    scale = max(1, round(width * dpi - around) // (columns * shape[1]))
    high, wide = shape[0] * scale, shape[1] * scale
    total = around + columns * wide, m.top + rows * high + (rows - 1) * m.under + m.bottom
    figure = new_figure(total[0] / dpi, total[1] / dpi, dpi=dpi, layout=None)
    axes = np.empty((rows, columns), dtype=object)
    for i in range(rows):
        for j in range(columns):
            left = m.left + j * (wide + m.between)
            bottom = total[1] - m.top - (i + 1) * high - i * m.under
            place = (left / total[0], bottom / total[1], wide / total[0], high / total[1])
            axes[i, j] = figure.add_axes(place, xticks=[], yticks=[])
            axes[i, j].spines[:].set_visible(False)
    return figure, axes


def name_of(process: object) -> str:
    """Return a process's name in words: "blurring diffusion" for `BlurringDiffusion`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(process).__name__).lower()
    return words.replace("gaussian", "Gaussian")


def label_row(axis: Any, text: str) -> None:
    """Write a label to the left of a row's first panel."""
    axis.set_ylabel(text, rotation=0, ha="right", va="center", labelpad=6)


def save_figure(figure: Any, path: StrPath) -> None:
    """Write a figure, the same bytes each time; its folder is made.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    date = {".svg": "Date", ".pdf": "CreationDate"}.get(Path(path).suffix.lower())
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi="figure", metadata={} if date is None else {date: None})
    except OSError as error:
        raise OutputError(f"cannot write the figure {path}: {error.strerror or error}") from None
