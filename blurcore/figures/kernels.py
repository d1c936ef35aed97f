r"""The process in pixel space, seen from one pixel: its blur, and the covariance of its noise with all other pixels (SPEC 3).

What is diagonal in frequency is a matrix over pixels, :math:`V \mathrm{diag}(c) V^T`, and its row of the centre pixel a kernel.
Four kernels are drawn for each time, and with them noise that has the third as its covariance:

==============================================  ====================================================================
:math:`\alpha_t`                                what the centre pixel becomes: the blur
:math:`\sigma_t^2`                              noise of q(z_t | x): white
:math:`\sigma_t^2 / \alpha_t^2`                 noise of z_t after the blur is undone: not isotropic, which is the equivalence
:math:`\sigma_{t|s}^2`                          noise that a step from s to t adds
==============================================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import blurcore as bc
from blurcore._checks import require
from blurcore._typing import StrPath
from blurcore.errors import ArgumentError
from blurcore.figures.canvas import PAGE, Margins, image_panels, in_style, label_row, save_figure

Array = np.ndarray[Any, Any]

TIMES = (0.05, 0.1, 0.2, 0.5)
_LINEAR = 1e-3  # share of the peak below which the colours are linear
_TICKS = (-1, -0.1, -0.01, 0, 0.01, 0.1, 1)


def pixel_kernel(basis: bc.Basis, diagonal: Array) -> Array:
    """Return the row of V diag(diagonal) V^T that belongs to the centre pixel.

    Parameters
    ----------
    basis
        Where the matrix is diagonal.
    diagonal
        One number for each frequency, float64, of the grid's shape.

    Returns
    -------
    ndarray
        Of the shape of `diagonal`; the pixel is n // 2 of each axis.
    """
    axes = tuple(range(diagonal.ndim))
    impulse = np.zeros(diagonal.shape)
    impulse[tuple(n // 2 for n in diagonal.shape)] = 1.0
    kernel: Array = basis.inverse(diagonal * basis.forward(impulse, axes=axes), axes=axes)
    return kernel


def equivalent_variance(process: bc.Process, t: float, shape: tuple[int, ...]) -> Array:
    """Return sigma_t^2 / alpha_t^2 for each frequency: the noise beside data that are not blurred.

    Raises
    ------
    ArgumentError
        alpha is so small at `t` that nothing of a frequency is left to divide by.
    """
    alpha, sigma = (np.broadcast_to(np.asarray(c), shape) for c in process.marginal(t, shape=shape))
    require(
        bool(alpha.min() > 1e-100),
        "t",
        t,
        f"a time at which every frequency is left (alpha falls to {alpha.min():.1e})",
    )
    variance: Array = (sigma / alpha) ** 2
    return variance


@in_style
def draw_kernels(
    path: StrPath,
    *,
    size: int = 33,
    sigma_blur_max: float = 20.0,
    min_scale: float = 1e-3,
    times: tuple[float, ...] = TIMES,
    seed: int = 0,
) -> None:
    """Draw the kernels of blurring diffusion, each in shares of its peak, which is written under it.

    Parameters
    ----------
    path
        PNG, SVG or PDF, by its suffix.
    size
        Side of the image in pixels, from 3 to 256; odd ones have a pixel in the middle.
    sigma_blur_max, min_scale
        Of the process.
    times
        Rising, above 0, at most 1; one column for each. The step of a column is that from the column before.
    seed
        Of the noise that is drawn.

    Raises
    ------
    ArgumentError
        A value is out of its range.
    ConfigError
        The file cannot be written.
    """
    require(3 <= size <= 256, "size", size, "from 3 to 256 pixels")
    if not times or any(not s < t <= 1 for s, t in zip((0.0, *times), times, strict=False)):
        raise ArgumentError(f"times must rise, above 0 and up to 1; got {times}")
    process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=sigma_blur_max), min_scale=min_scale)
    shape = (size, size)
    rows = _rows(process, shape)
    margins = Margins(left=1.35, top=0.4, right=0.75, bottom=0.2, between=0.1, under=0.22)
    figure, axes = image_panels(len(rows) + 1, len(times), shape, width=PAGE - 1, margins=margins)
    mesh = None
    for row, (name, diagonal) in zip(axes[:-1], rows.items(), strict=True):
        label_row(row[0], name)
        for axis, t, s in zip(row, times, (0.0, *times[:-1]), strict=True):
            mesh = _draw_kernel(axis, pixel_kernel(process.basis, np.broadcast_to(np.asarray(diagonal(t, s)), shape)))
    label_row(axes[-1, 0], "a draw of it")
    eps = np.random.default_rng(seed).standard_normal(shape)
    for first, last, t in zip(axes[0], axes[-1], times, strict=True):
        width = float(np.sqrt(2 * process.blur.tau(t)))
        first.set_title(f"t = {t:g}\nblur {width:.2g} px")
        noise = process.basis.inverse(np.sqrt(equivalent_variance(process, t, shape)) * process.basis.forward(eps))
        last.imshow(noise, cmap="gray", vmin=-3 * noise.std(), vmax=3 * noise.std(), interpolation="nearest")
        last.set_xlabel(f"std {noise.std():.3g}", labelpad=2, fontsize=6.5)
    _add_bar(figure, axes, mesh)
    save_figure(figure, path)


def _rows(process: bc.Process, shape: tuple[int, ...]) -> dict[str, Callable[[float, float], Any]]:
    """Return what is drawn, by the label of its row: the diagonal at (t, s)."""
    return {
        "blur\n$V\\,\\mathrm{diag}(\\alpha_t)\\,V^T$": lambda t, s: process.marginal(t, shape=shape).alpha,
        "noise\n$V\\,\\mathrm{diag}(\\sigma_t^2)\\,V^T$": lambda t, s: process.marginal(t, shape=shape).sigma ** 2,
        "noise of a step\nfrom s to t\n$V\\,\\mathrm{diag}(\\sigma_{t|s}^2)\\,V^T$": lambda t, s: (
            bc.transition(process, t, s, shape=shape).variance
        ),
        "noise once the\nblur is undone\n$V\\,\\mathrm{diag}(\\sigma_t^2/\\alpha_t^2)\\,V^T$": lambda t, s: (
            equivalent_variance(process, t, shape)
        ),
    }


def _draw_kernel(axis: Any, kernel: Array) -> Any:
    """Draw a kernel in shares of its peak; returns what the colour bar shows."""
    from matplotlib.colors import SymLogNorm

    peak = float(np.abs(kernel).max())
    norm = SymLogNorm(_LINEAR, vmin=-1, vmax=1)
    axis.set_xlabel(f"peak {peak:.3g}", labelpad=2, fontsize=6.5)
    return axis.imshow(kernel / peak, cmap="RdBu", norm=norm, interpolation="nearest")


def _add_bar(figure: Any, axes: Any, mesh: Any) -> None:
    """Put the colour bar beside the kernels' rows."""
    top, bottom = axes[0, -1].get_position(), axes[-2, -1].get_position()
    place = (top.x1 + 0.02, bottom.y0, 0.018, top.y1 - bottom.y0)
    bar = figure.colorbar(mesh, cax=figure.add_axes(place), ticks=_TICKS, format="%g")
    bar.ax.minorticks_off()
    bar.set_label("share of the peak (logarithmic beyond ±0.001)")
