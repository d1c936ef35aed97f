"""Which frequencies live when: what dropping the high ones would cost, over time, and the sizes of images that follow from it."""

from __future__ import annotations

from typing import Any

import numpy as np

import blurcore as bc
from blurcore._checks import require
from blurcore._typing import StrPath
from blurcore.figures.canvas import PAGE, in_style, new_figure, save_figure
from blurcore.resolution import Resolutions, halved, mean_power, resolutions_for

Host = np.ndarray[Any, Any]

WIDEST = (0.0, 10.0, 20.0)
"""Widest blurs of the panels, in pixels of 32; without blur it is standard diffusion."""
_RANGE = (-4.0, 4.0)  # powers of ten that colours tell apart


@in_style
def draw_dead_frequencies(
    path: StrPath, data: Any, *, tolerance: float = 0.01, multiple: int = 4
) -> dict[str, Resolutions]:
    """Draw, for processes without blur and with more and more of it, the nats that dropping all frequencies from k on costs at time t.

    The thick line is the tolerance; what is hatched a network over sizes does not compute.

    Parameters
    ----------
    path
        PNG, SVG or PDF, by its suffix.
    data
        A data set of square images.
    tolerance
        KL in nats for an image, > 0.
    multiple
        What the sizes are multiples of.

    Returns
    -------
    dict
        The sizes of each panel, by its title.

    Raises
    ------
    ArgumentError
        The images are not square, or `tolerance` is not positive.
    ConfigError
        The file cannot be written.
    """
    grid = tuple(data.image_shape[:-1])
    require(len(grid) == 2 and grid[0] == grid[1], "data", grid, "square images")
    power = mean_power(data, bc.DCT(), limit=4000)
    figure = new_figure(PAGE, 2.7)
    axes = figure.subplots(1, len(WIDEST), sharex=True, sharey=True)
    found: dict[str, Resolutions] = {}
    mesh = None
    for axis, widest in zip(axes, WIDEST, strict=True):
        blur = bc.SinSquared(sigma_blur_max=widest * grid[0] / 32)
        process = bc.BlurringDiffusion(blur=blur if widest else bc.NoBlur(), min_scale=1e-3 if widest else 1.0)
        sizes = resolutions_for(process, power, sizes=halved(grid, multiple=multiple), tolerance=tolerance)
        mesh = _draw_panel(axis, process, power, sizes, tolerance)
        title = f"blur up to {widest:g} px" if widest else "standard diffusion"
        axis.set_title(f"{title}\n{sizes.share():.0%} of the points")
        found[title] = sizes
    axes[len(axes) // 2].set_xlabel("frequency k (half waves per image)")
    axes[0].set_ylabel("time t")
    bar = figure.colorbar(mesh, ax=axes, extend="both", aspect=20)
    bar.set_label("log10 of the nats of k and above")
    save_figure(figure, path)
    return found


def _draw_panel(axis: Any, process: bc.Process, power: Host, sizes: Resolutions, tolerance: float) -> Any:
    """Draw one process; returns what the colour bar shows."""
    times, side = np.linspace(0.0, 1.0, 201), power.shape[0]
    nats = cost_from(process, power, times)
    with np.errstate(divide="ignore"):
        levels = np.log10(nats)
    mesh = axis.pcolormesh(
        np.arange(side),
        times,
        levels,
        cmap="viridis",
        vmin=_RANGE[0],
        vmax=_RANGE[1],
        shading="nearest",
        rasterized=True,
    )
    axis.contour(
        np.arange(side), times, levels, levels=[np.log10(tolerance)], colors="white", linewidths=1.6, linestyles="solid"
    )
    ends = (*sizes.since[1:], 1.0)
    for (size, _), since, end in zip(sizes.sizes, sizes.since, ends, strict=True):
        axis.fill_betweenx(
            [since, end], size - 0.5, side - 0.5, facecolor="none", edgecolor="white", hatch="///", linewidth=0
        )
        axis.plot([size - 0.5] * 2, [since, end], color="white", linewidth=0.8)
    return mesh


def cost_from(process: bc.Process, power: Host, times: Host) -> Host:
    """Return the KL, in nats for an image, of dropping all frequencies from k on, of either axis: ``(times, side)`` (SPEC 11)."""
    m = process.marginal(times, shape=power.shape)
    alpha, sigma = (np.broadcast_to(np.asarray(v, np.float64), (len(times), *power.shape)) for v in m)
    each = 0.5 * (alpha / sigma) ** 2 * power
    ring = np.maximum(*np.indices(power.shape))
    by_ring = np.stack([each[:, ring == k].sum(axis=1) for k in range(power.shape[0])], axis=1)
    return np.cumsum(by_ring[:, ::-1], axis=1)[:, ::-1]
