"""The loss of a run in each band of frequencies over time: what its network has learnt, and what it cannot know."""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore._typing import StrPath
from blurcore.data import Dataset, Source
from blurcore.figures.canvas import PAGE, in_style, new_figure, save_figure
from blurcore.measure import SpectralLoss, octave_bands

Array = np.ndarray[Any, Any]


def held_out(source: Source) -> tuple[Dataset, str]:
    """Return held-out images of a run and their description; its training images where the data have no test part.

    Raises
    ------
    DataError
        As :meth:`blurcore.data.Source.load`.
    """
    if not source.has_test_part:
        return source.load(), "training"
    return source.part("test").load(), "held-out"


def band_curves(found: SpectralLoss) -> tuple[tuple[str, ...], Array, Array]:
    """Return the names of the bands, the mean loss of their frequencies, and its share of the target's power.

    Returns
    -------
    tuple
        names, and two arrays (bands, times); a share is NaN where the target has no power.
    """
    names, members = octave_bands(found.basis, found.loss.shape[1:])
    loss, power = (np.stack([values[:, band].mean(axis=1) for band in members]) for values in (found.loss, found.power))
    share = np.divide(loss, power, out=np.full_like(loss, np.nan), where=power > 0)
    return names, loss, share


@in_style
def draw_losses(found: SpectralLoss, path: StrPath, *, title: str, prediction: str) -> None:
    """Draw the loss of each band over time: as it is, and as a share of the target's power.

    Parameters
    ----------
    found
        The loss of each frequency.
    path
        PNG, SVG or PDF, by its suffix.
    title
        Whose loss it is.
    prediction
        What the network predicts.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    import matplotlib

    names, loss, share = band_curves(found)
    colors = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, len(names)))
    figure = new_figure(PAGE, 2.9)
    left, right = figure.subplots(1, 2, sharex=True)
    for axis, curves in ((left, loss), (right, share)):
        for name, curve, color in zip(names, curves, colors, strict=True):
            # A loss of exactly 0, as at t = 0 for a network that repeats what it sees, has no place on a logarithmic axis.
            axis.plot(found.times, np.where(curve > 0, curve, np.nan), color=color, label=name, marker=".")
        axis.set(xlabel="time t", yscale="log", xlim=(0, 1))
        axis.grid(visible=True)
    left.set_ylabel(f"mean squared error of {prediction}")
    right.set_ylabel("error / power of the target")
    right.axhline(1.0, color="black", linewidth=0.8, linestyle="--", label="knows nothing")
    figure.suptitle(title, fontsize=8.5)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right upper", title="wavelength", title_fontsize=7)
    save_figure(figure, path)
