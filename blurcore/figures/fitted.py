"""The spectrum of data, and the settings that fit it."""

from __future__ import annotations

import math

import numpy as np

from blurcore._typing import StrPath
from blurcore.data_spectrum import deviation
from blurcore.figures.canvas import PAGE, in_style, new_figure, save_figure
from blurcore.measure.fitting import Fit
from blurcore.transforms import DCT


@in_style
def draw_fit(found: Fit, path: StrPath, *, title: str) -> None:
    """Draw the variance of each frequency, the line through its nodes, and what the blur leaves of it at t = 1.

    Parameters
    ----------
    found
        The settings, and the spectrum.
    path
        PNG, SVG or PDF, by its suffix.
    title
        Whose spectrum it is.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    lam = np.asarray(DCT().eigenvalues(found.variance.shape)).ravel()
    order = np.argsort(lam)
    lam, c = lam[order], found.variance.ravel()[order]
    radius = np.sqrt(lam) / math.pi
    decay = (1 - found.min_scale) * np.exp(-lam * found.sigma_blur_max**2 / 2) + found.min_scale
    figure = new_figure(PAGE, 2.9)
    axis = figure.subplots()
    axis.plot(radius, np.where(c > 0, c, np.nan), ".", markersize=2, color="0.6", label="variance of the data")
    axis.plot(radius, deviation(found.sigma_data, lam) ** 2, label="through its nodes (sigma_data)")
    axis.plot(
        radius,
        decay**2 * np.where(c > 0, c, np.nan),
        ".",
        markersize=2,
        label=f"after the blur of {found.sigma_blur_max:.3g} pixels, floor {found.min_scale:.2g}",
    )
    axis.set(xlabel="frequency / Nyquist's", ylabel="variance", yscale="log", xlim=(0, None))
    axis.grid(visible=True)
    axis.legend(loc="best")
    axis.set_title(title, fontsize=8.5)
    save_figure(figure, path)
