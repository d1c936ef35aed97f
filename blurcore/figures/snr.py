"""Log-SNR over frequency and time: what each process destroys first, which is its inductive bias."""

from __future__ import annotations

from typing import Any

import numpy as np

import blurcore as bc
from blurcore._checks import require
from blurcore._typing import StrPath
from blurcore.figures.canvas import COLUMN, PAGE, in_style, new_figure, save_figure

_LIMIT = 15.0
_LEVELS = (-10, -5, 0, 5)


@in_style
def draw_snr(path: StrPath, *, size: int = 32, sigma_blur_max: float = 20.0, stacked: bool = False) -> None:
    """Draw the log-SNR of the frequencies of one axis for standard diffusion, heat dissipation and blurring diffusion.

    Blue is signal, red is noise; the thick line is where they are equally strong.

    Parameters
    ----------
    path
        PNG, SVG or PDF, by its suffix.
    size
        Side of the image in pixels, at least 4.
    sigma_blur_max
        Widest blur in pixels.
    stacked
        One panel above the other, as wide as a column of a two-column paper, in the place of side by side.

    Raises
    ------
    ArgumentError
        `size` is below 4, or `sigma_blur_max` negative.
    ConfigError
        The file cannot be written.
    """
    require(size >= 4, "size", size, "at least 4 pixels")
    blur = bc.SinSquared(sigma_blur_max=sigma_blur_max)
    panels: dict[str, bc.Process] = {
        "standard diffusion": bc.GaussianDiffusion(),
        "heat dissipation": bc.HeatDissipation(blur=blur),
        "blurring diffusion": bc.BlurringDiffusion(blur=blur),
    }
    figure = new_figure(COLUMN, 5.4) if stacked else new_figure(PAGE, 2.5)
    shape = (len(panels), 1) if stacked else (1, len(panels))
    axes = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False)
    mesh = None
    for axis, (name, process) in zip(axes.ravel(), panels.items(), strict=True):
        mesh = _draw_panel(axis, process, size, numbered=axis is axes.flat[0])
        axis.set_title(name)
    axes[-1, axes.shape[1] // 2].set_xlabel("frequency k (half waves per image)")
    for axis in axes[:, 0]:
        axis.set_ylabel("time t")
    bar = figure.colorbar(
        mesh, ax=axes, extend="both", ticks=(-_LIMIT, *_LEVELS, 10, _LIMIT), aspect=40 if stacked else 20
    )
    bar.set_label("log-SNR, 2 log(α / σ)")
    save_figure(figure, path)


def _draw_panel(axis: Any, process: bc.Process, size: int, *, numbered: bool) -> Any:
    """Draw one process, with numbers on its levels if asked for; returns what the colour bar shows."""
    times, frequency = np.linspace(0.0, 1.0, 201), np.arange(size)
    log_snr = np.broadcast_to(np.asarray(bc.log_snr(process, times, shape=(size,))), (len(times), size))
    mesh = axis.pcolormesh(
        frequency, times, log_snr, cmap="RdBu", vmin=-_LIMIT, vmax=_LIMIT, shading="nearest", rasterized=True
    )
    widths = [1.6 if level == 0 else 0.6 for level in _LEVELS]
    lines = axis.contour(
        frequency, times, log_snr, levels=_LEVELS, colors="black", linewidths=widths, linestyles="solid"
    )
    if numbered:
        # The other panels have the same levels, but no room for numbers; -10 is at the very edge.
        axis.clabel(lines, levels=_LEVELS[1:], fmt="%g", fontsize=7)
    return mesh
