"""Restoration with a run's network: from settings and observed pictures to samples of what they are pictures of.

The loop is :func:`blurcore.restoration.restore` on NumPy arrays in float64; the network, and the product with its Jacobian that some
methods want, come from the backend (:class:`blurcore.protocols.RunNetwork`), whichever it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from blurcore._checks import make_plain, require, require_finite
from blurcore.config import SampleConfig
from blurcore.data import Dataset, permutation
from blurcore.data.values import SCALES, to_data
from blurcore.engine.sampling import has_noise, objective_of, times_of
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.engine.sized_network import SizedNetwork
from blurcore.errors import ArgumentError, ConfigError, NotFiniteError
from blurcore.oracle import gaussian_variance
from blurcore.processes import Process
from blurcore.protocols import RunNetwork
from blurcore.restoration import (
    Blur,
    Calibrated,
    Guess,
    Method,
    Noise,
    Observation,
    Operator,
    Problem,
    Spectrum,
    restore,
)
from blurcore.runs.progress import SamplingProgress
from blurcore.samplers import Times, Uniform, X0Error
from blurcore.starts import leaves_image
from blurcore.transforms import DCT, Basis

Array = np.ndarray[Any, Any]

_MAX_IMAGES = 4096  # of which a spectrum is taken


@dataclass(frozen=True, kw_only=True)
class RestoreConfig:
    """Restoration: what was observed, and how it is undone."""

    operator: Operator = field(default_factory=Blur)
    """What was done to the images: Identity, Blur, LowPass, Restrict, Average, Mask."""
    noise: float = 0.05
    """Standard deviation of the noise on what was observed, in units of the data, whose range is 2 (or 1, if data.values is
    unit); > 0. Rounding to 8 bits alone is 0.0023."""
    method: Method = field(default_factory=Calibrated)
    """How the sampler is steered: Calibrated, DDRM, PiGDM, DPS."""
    times: Times = field(default_factory=lambda: Uniform(num_steps=100))
    """Where the steps end, and how many there are; each calls the network once (PiGDM and DPS: and its gradient)."""
    num_samples: int = 4
    """Restorations of each image: samples of what it may have been."""
    last_noise: bool = False
    """Add noise in the last step too, as in every other."""
    batch_size: int = 64
    """Restorations in one batch; it does not change them."""
    seed: int = 0
    """Restoration j of image i depends on (seed, i, j) alone."""

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("noise", self.noise)
        require(self.noise > 0, "noise", self.noise, "positive; 0.0023 stands for rounding to 8 bits")
        for name in ("num_samples", "batch_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(self.seed >= 0, "seed", self.seed, "0 or more")


class Undecided(NamedTuple):
    """What is known of the data and of the network's error; see :func:`undecided`."""

    prior: Spectrum
    table: X0Error | None

    def at(self, process: Process, t: float) -> Array:
        """Return Var[u_0 | u_t], ``(*grid,)``: as it was measured, or of Gaussian data with the spectrum."""
        grid = self.prior.variance.shape
        if self.table is not None:
            first, *_, last = self.table.times
            return np.asarray(self.table.at(min(max(t, first), last), shape=grid))
        marginal = process.marginal(t, shape=grid)
        return np.asarray(gaussian_variance(variance=self.prior.variance, marginal=marginal))


def working_basis(process: Process, grid: tuple[int, ...]) -> Basis:
    """Return the basis in which restoration works: the process's, or, if it has none, the DCT, in which it is diagonal too."""
    return process.basis if np.any(np.asarray(process.basis.eigenvalues(grid))) else DCT()


def spectrum_of(data: Dataset, basis: Basis, values: Any, *, seed: int = 0) -> Spectrum:
    """Return the mean and the variance of data in each frequency, over images and channels.

    Parameters
    ----------
    data
        The images; of more than 4,096 a random part.
    basis
        Where the frequencies are.
    values
        The numbers that pixels become: `data.values`.
    seed
        Of the part.
    """
    axes = tuple(range(1, len(data.image_shape)))
    chosen = permutation(len(data), seed, 0)[:_MAX_IMAGES]
    total, squares = np.zeros(data.image_shape[:-1]), np.zeros(data.image_shape[:-1])
    for first in range(0, len(chosen), 256):
        x = to_data(data[chosen[first : first + 256]], values).astype(np.float64)
        u = np.asarray(basis.forward(x, axes=axes)).mean(axis=-1, keepdims=True)
        total += u.sum(axis=(0, -1))
    mean = total / len(chosen)
    for first in range(0, len(chosen), 256):
        x = to_data(data[chosen[first : first + 256]], values).astype(np.float64)
        away = np.asarray(basis.forward(x, axes=axes)) - mean[..., None]
        squares += (away**2).mean(axis=-1).sum(axis=0)
    return Spectrum(mean, squares / len(chosen))


def check_restoring(network: RunNetwork, settings: RestoreConfig) -> Observation:
    """Return the operator on the run's grid, after checking that restoration can work.

    Raises
    ------
    ConfigError
        The operator does not fit the images or the method, or the network does not tell data from noise.
    """
    config, grid = network.config, network.image_shape[:-1]
    objective = objective_of(config)
    if objective.predicts != "data" or not has_noise(config.process, grid):
        raise ConfigError(
            f"restore needs a network that predicts eps, v or x0 of a process with noise; this run has"
            f" {type(config.process).__name__} and train.objective {type(config.train.objective).__name__}"
        )
    basis = working_basis(config.process, grid)
    try:
        observation = settings.operator.observation(basis, grid, axes=tuple(range(1, len(grid) + 1)))
        settings.method.check_operator(observation)
        times_of(config.process, SampleConfig(times=settings.times))
    except ArgumentError as error:
        raise ConfigError(str(error)) from None
    return observation


def needs_table(network: RunNetwork, settings: RestoreConfig) -> bool:
    """Whether the method wants the error that `blurcore calibrate` measures."""
    return settings.method.covariance == "measured"


def needs_spectrum(network: RunNetwork, settings: RestoreConfig) -> bool:
    """Whether the spectrum of the run's data is wanted: by the method, or because t = 1 leaves some of the image."""
    return settings.method.covariance == "gaussian" or leaves_image(network.config.process, network.image_shape[:-1])


def undecided(
    network: RunNetwork, settings: RestoreConfig, *, table: X0Error | None = None, spectrum: Spectrum | None = None
) -> Undecided:
    """Return the network's error as the method takes it, and the spectrum from which the chain starts.

    Parameters
    ----------
    network, settings
        The run and how it is asked.
    table
        The measured error, where :func:`needs_table` says so.
    spectrum
        The data's, where :func:`needs_spectrum` says so.
    """
    grid = network.image_shape[:-1]
    plain = Spectrum(np.zeros(grid), np.ones(grid))
    if table is not None and spectrum is None:
        plain = Spectrum(np.zeros(grid), np.asarray(table.at(table.times[-1], shape=grid)))
    return Undecided(plain if spectrum is None else spectrum, table)


def observe_images(
    observation: Observation, images: Array, *, noise: float, seed: int, indices: Sequence[int]
) -> Array:
    """Return pictures of images (n, *grid, C), in data space, with noise that follows from (seed, index); float32 (n, *seen, C)."""
    basis: Basis = observation.basis  # type: ignore[attr-defined]
    axes = tuple(range(1, images.ndim - 1))
    y = observation.observe(np.asarray(basis.forward(images.astype(np.float64), axes=axes)))
    drawn = [
        np.random.default_rng(derived_seed(seed, Stream.OBSERVATION, i)).standard_normal(y.shape[1:]) for i in indices
    ]
    return np.asarray(observation.show(y + noise * np.stack(drawn)), np.float32)


def ask_network(network: RunNetwork, basis: Basis) -> Any:
    """Return a function of (u, t) that evaluates the network at a state in this basis, as a :class:`blurcore.restoration.Guess`."""
    model, own = SizedNetwork(network), network.config.process.basis

    def over(u: Array, a: Basis, b: Basis) -> Array:
        return u if a == b else np.asarray(b.forward(a.inverse(u, axes=model.axes), axes=model.axes))

    def ask(u: Array, t: float) -> Guess[Array]:
        found = model.ask(over(u, basis, own), t)
        return Guess(over(found.x0, own, basis), lambda v: over(found.pull(over(v, basis, own)), own, basis))

    return ask


def restore_images(
    network: RunNetwork,
    pictures: Array,
    settings: RestoreConfig,
    observation: Observation,
    known: Undecided,
    *,
    progress: bool = False,
) -> Array:
    """Return samples of the images that pictures are of.

    Parameters
    ----------
    network
        The run's.
    pictures
        What was observed, float (n, *seen, C) in data space.
    settings
        Method, steps, number, seed.
    observation
        Of :func:`check_restoring`.
    known
        Of :func:`undecided`.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    ndarray
        float32 (n, num_samples, *grid, C), in data space.

    Raises
    ------
    NotFiniteError
        No restoration is finite.
    """
    config, each = network.config, settings.num_samples
    process, shape = config.process, network.image_shape
    grid, axes = shape[:-1], tuple(range(1, len(shape)))
    basis = working_basis(process, grid)
    times = times_of(process, SampleConfig(times=settings.times))
    total = len(pictures) * each
    y = np.asarray(observation.read(pictures.astype(np.float64)))
    result = np.empty((total, *shape), np.float32)
    ask = ask_network(network, basis)
    with SamplingProgress(total, len(times) - 1, show=progress) as bar:
        for first in range(0, total, settings.batch_size):
            items = range(first, min(first + settings.batch_size, total))
            seeds = [(settings.seed, Stream.RESTORATION, i // each, i % each) for i in items]
            sources = [np.random.default_rng(derived_seed(*words)) for words in seeds]
            seen = y[np.array(items) // each]

            def noise(k: int, sources: Any = sources, seen: Array = seen) -> Noise[Array]:
                del k  # each item goes through its own numbers in order
                shapes = (shape, shape, seen.shape[1:])
                rows = [[source.standard_normal(s) for s in shapes] for source in sources]
                return Noise(*(np.stack(column) for column in zip(*rows, strict=True)))

            u = restore(
                process,
                settings.method,
                Problem(observation, seen, settings.noise**2),
                ask,
                noise,
                times=times,
                covariance=lambda t: known.at(process, t),
                prior=known.prior,
                axes=axes,
                last_noise=settings.last_noise,
                step_done=partial(_advance, bar, len(items)),
            )
            result[items.start : items.stop] = basis.inverse(u, axes=axes)
    if not np.isfinite(result).any():
        raise NotFiniteError(
            f"no restoration is finite: {type(settings.method).__name__} has left the range of numbers; more steps,"
            " or another method, may stay in it"
        )
    return result.reshape(len(pictures), each, *shape)


def _advance(bar: SamplingProgress, images: int, calls: int) -> None:
    bar.advance(images * calls)


def report_of(
    observation: Observation,
    pictures: Array,
    restored: Array,
    truth: Array | None,
    settings: RestoreConfig,
    values: Any,
) -> dict[str, float]:
    """Return how well restorations go with what was observed, and with the truth where it is known.

    Parameters
    ----------
    observation, pictures, settings
        As for :func:`restore_images`.
    restored
        Its result.
    truth
        The images, float (n, *grid, C).
    values
        `data.values`: the range, against whose width PSNR is taken.

    Returns
    -------
    dict
        `consistency`: the root mean square of H x - y in units of the noise, 1 for the truth. With a truth `psnr`, of single
        restorations, and `psnr_of_mean`, of the mean over the restorations of an image, in decibels.
    """
    basis: Basis = observation.basis  # type: ignore[attr-defined]
    count, each, *shape = restored.shape
    axes = tuple(range(1, len(shape)))
    flat = restored.reshape(-1, *shape).astype(np.float64)
    y = np.repeat(np.asarray(observation.read(pictures.astype(np.float64))), each, axis=0)
    away = np.asarray(observation.observe(np.asarray(basis.forward(flat, axes=axes)))) - y
    seen = (
        np.asarray(observation.read(np.ones((1, *observation.seen, shape[-1])))) if observation.gain is None else None
    )
    kept = math.prod(observation.seen) * shape[-1]
    if seen is not None and seen.shape == (1, *shape):  # a mask: the pixels that are seen
        kept = int(np.count_nonzero(seen))
    report = {"consistency": math.sqrt(float((away**2).sum()) / (count * each * kept)) / settings.noise}
    if truth is not None:
        scale = SCALES[values]
        width = scale.high - scale.low

        def decibels(images: Array) -> float:
            error = ((np.clip(images, scale.low, scale.high) - truth) ** 2).mean(axis=tuple(range(1, truth.ndim)))
            return float(np.mean(10 * np.log10(width**2 / np.maximum(error, 1e-12))))

        report["psnr"] = float(np.mean([decibels(restored[:, j]) for j in range(each)]))
        report["psnr_of_mean"] = decibels(restored.mean(axis=1))
    return report
