"""Log-SNR over frequency and time: what each process destroys first, which is its inductive bias."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import blurcore as bc
from blurcore._checks import require
from blurcore.figures.canvas import new_figure, save_figure

_RANGE = (-24.0, 10.0)


def draw_snr(path: Path, *, size: int = 32, sigma_blur_max: float = 20.0) -> None:
    """Draw the log-SNR of the frequencies of one axis for standard diffusion, heat dissipation and blurring diffusion.

    Parameters
    ----------
    path
        PNG, SVG or PDF, by its suffix.
    size
        Side of the image in pixels, at least 4.
    sigma_blur_max
        Widest blur in pixels.

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
    times = np.linspace(0.0, 1.0, 201)
    figure = new_figure(10.5, 3.6)
    axes = figure.subplots(1, len(panels), sharey=True)
    mesh = None
    for axis, (name, process) in zip(axes, panels.items(), strict=True):
        log_snr = np.broadcast_to(bc.log_snr(process, times, shape=(size,)), (len(times), size))
        frequency = np.arange(size)
        mesh = axis.pcolormesh(
            frequency,
            times,
            log_snr,
            cmap="RdYlBu_r",
            vmin=_RANGE[0],
            vmax=_RANGE[1],
            shading="nearest",
            rasterized=True,
        )
        lines = axis.contour(
            frequency, times, log_snr, levels=[-10, -5, 0, 5], colors="black", linewidths=0.8, linestyles="solid"
        )
        if isinstance(process, bc.GaussianDiffusion):
            axis.clabel(lines, fmt="%g", fontsize=8)  # the other panels have the same levels, but no room for numbers
        axis.set(title=name, xlabel="frequency $k$ (half waves per image)")
    axes[0].set_ylabel("time $t$")
    bar = figure.colorbar(mesh, ax=axes, extend="both")
    bar.set_label(r"log-SNR $\ell_t = 2\log\alpha_t - 2\log\sigma_t$")
    save_figure(figure, path)
