"""The paper's Figure 1: one image under three processes, over time."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

import blurcore as bc
from blurcore._checks import require
from blurcore._typing import StrPath
from blurcore.data import load_image, resize_and_crop, to_float, to_uint8
from blurcore.errors import DataError
from blurcore.figures.canvas import Margins, image_panels, in_style, label_row, save_figure


def load_picture(path: StrPath | None, *, size: int) -> npt.NDArray[np.uint8]:
    """Return an image whose shorter side is `size`, uint8 (H, W, 3); without a path, a photograph of scikit-image's.

    Raises
    ------
    ArgumentError
        `size` is no number from 8 to 1024.
    DataError
        The file is missing or unreadable, or scikit-image is not installed and no path is given.
    """
    require(8 <= size <= 1024, "size", size, "from 8 to 1024 pixels")
    if path is None:
        spec = importlib.util.find_spec("skimage")
        if spec is None or not spec.submodule_search_locations:
            raise DataError("no image given, and scikit-image, which ships one, is not installed; name an image")
        path = Path(spec.submodule_search_locations[0]) / "data" / "chelsea.png"
    picture = load_image(path)
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    return resize_and_crop(picture, (round(height * scale), round(width * scale)))


@in_style
def draw_overview(
    picture: npt.NDArray[np.uint8],
    path: StrPath,
    *,
    columns: int = 6,
    sigma_blur_max: float | None = None,
    seed: int = 0,
) -> None:
    """Draw an image under standard diffusion, heat dissipation and blurring diffusion, the same noise in all.

    Parameters
    ----------
    picture
        uint8 (H, W, 3).
    path
        PNG, SVG or PDF, by its suffix.
    columns
        Number of times from 0 to 1, at least 2.
    sigma_blur_max
        Widest blur in pixels; 20 for each 32 pixels of the shorter side where not given, the paper's proportion.
    seed
        Of the noise.

    Raises
    ------
    ArgumentError
        `columns` is below 2, or `sigma_blur_max` negative.
    ConfigError
        The file cannot be written.
    """
    require(columns >= 2, "columns", columns, "at least 2")
    height, width = picture.shape[:2]
    blur = bc.SinSquared(sigma_blur_max=20.0 * min(height, width) / 32 if sigma_blur_max is None else sigma_blur_max)
    rows: dict[str, bc.Process] = {
        "standard\ndiffusion": bc.GaussianDiffusion(),
        "heat\ndissipation": bc.HeatDissipation(blur=blur),
        "blurring\ndiffusion": bc.BlurringDiffusion(blur=blur),
    }
    x = to_float(picture)
    eps = np.random.default_rng(seed).standard_normal(x.shape)
    figure, axes = image_panels(len(rows), columns, (height, width), margins=Margins(left=0.85, top=0.3))
    times = np.linspace(0.0, 1.0, columns) ** 1.6  # closer together at first, where the blur does most of its work
    for row, (name, process) in zip(axes, rows.items(), strict=True):
        for axis, t in zip(row, times, strict=True):
            z = bc.diffuse(process, x.astype(np.float64), float(t), eps, axes=(0, 1))
            axis.imshow(to_uint8(z), interpolation="nearest")
        label_row(row[0], name)
    for axis, t in zip(axes[0], times, strict=True):
        axis.set_title(f"t = {t:.2g}")
    save_figure(figure, path)
