"""Sampling: the loop around the core's solvers, with the state in frequency space and noise that is derived.

Sample i follows from (seed, i) alone: it has a generator of its own, whatever batch it is drawn in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import blurcore as bc
from blurcore._typing import StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data.values import Samples, to_samples
from blurcore.engine import (
    Draw,
    Prior,
    Stream,
    check_sampling,
    clip_of,
    condition,
    draws_of,
    first_states,
    objective_of,
    read_calibration,
    restore_prior,
    sample_labels,
    solver_of,
    times_of,
)
from blurcore.protocols import RunNetwork, Watcher
from blurcore.runs import newest_checkpoint, read_config
from blurcore.runs.progress import SamplingProgress
from blurcore_torch.devices import memory_format
from blurcore_torch.distributed import joined, own_device, processes
from blurcore_torch.ode import integrate
from blurcore_torch.random import generator

Noise = Callable[[int], Tensor]


def grid_axes(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of the grid in a batch (B, C, *grid), for data (*grid, C)."""
    return tuple(range(1 - len(image_shape), 0))


def channels_last(x: Tensor) -> Tensor:
    """Return (B, C, *grid) as (B, *grid, C) on the CPU."""
    return x.movedim(1, -1).cpu()


@torch.no_grad()
def sample(
    config: RunConfig, network: nn.Module, *, image_shape: tuple[int, ...], settings: SampleConfig, prior: Prior | None,
    device: torch.device, progress: bool, x0_error: bc.X0Error | None = None, watch: Watcher | None = None,
) -> Tensor:  # fmt: skip
    """Draw samples; where there are several processes, each draws some of the batches, and all are given the result.

    Parameters
    ----------
    config
        The run's configuration: process, prediction and embedding are taken from it.
    network
        Maps (z_t, condition) to the prediction.
    image_shape
        (*grid, C).
    settings
        Solver, steps, number, seed.
    prior
        What sampling starts from beside noise; None for a process that ends in noise.
    device
        Where the network is.
    progress
        Show a progress bar on stderr.
    x0_error
        What the calibrated sampler wants to know of the network.
    watch
        Called for every batch with the states on the way, in data space: see :data:`blurcore.protocols.Watcher`. Each process
        then draws all batches.

    Returns
    -------
    Tensor
        (num_samples, C, *grid) on the CPU, in the range of the data if `settings.clip` is on, else as the solver left it.
    """
    grid = image_shape[:-1]
    check_sampling(config, settings, grid, x0_error)
    times = times_of(config.process, settings)
    calls = len(solver_of(config, settings, axes=grid_axes(image_shape), x0_error=x0_error).stages(times))
    bc.check_markov(config.process, times[::-1], shape=grid)
    calls = 1 if settings.sampler == "ode" else calls
    network.eval()
    team = joined()
    firsts = range(0, settings.num_samples, settings.batch_size)
    mine = firsts if watch is not None else firsts[team.rank :: team.size]
    result = torch.zeros(settings.num_samples, image_shape[-1], *grid, dtype=torch.float32, device="cpu")
    with SamplingProgress(
        sum(len(_batch(settings, first)) for first in mine), calls, show=progress and team.rank == 0
    ) as bar:
        for first in mine:
            indices = _batch(settings, first)
            draws = draws_of(settings, indices)
            states = first_states(prior, settings.seed, draws)
            result[indices.start : indices.stop] = sample_batch(
                config, network, _derived_noise(settings.seed, draws, image_shape, device), shape=(len(draws), *image_shape),
                settings=settings, device=device, states=states, x0_error=x0_error, step_done=bar.advance,
                labels=sample_labels(config, settings, indices),
                watch=None if watch is None else lambda k, x, i=first: watch(i, k, x),
            ).cpu()  # fmt: skip
    if watch is None:
        result = torch.from_numpy(team.total(result.numpy()))
    clip = clip_of(config.data, settings)
    if clip is None:
        return result
    return clip.data(torch.where(result.isfinite(), result, torch.nan))  # an infinity must not look like white


def _batch(settings: SampleConfig, first: int) -> range:
    """Return the numbers of the samples in the batch that begins with one of them."""
    return range(first, min(first + settings.batch_size, settings.num_samples))


def _derived_noise(seed: int, draws: Sequence[Draw], image_shape: tuple[int, ...], device: torch.device) -> Noise:
    """Return noise(k) of a batch: the initial state's for k = 0, then that of step k, each sample from its own generators."""
    shape = (image_shape[-1], *image_shape[:-1])

    def numbers(index: int, *, used: bool) -> Callable[[], Tensor]:
        source = generator(device, seed, Stream.SAMPLE, index)
        if used:  # the first draw of a sample is its initial state
            torch.randn(shape, generator=source, device=device)
        return lambda: torch.randn(shape, generator=source, device=device)

    def one(draw: Draw) -> Callable[[int], Tensor]:
        first = numbers(draw.start, used=False)
        steps = first if draw.noise == draw.start else numbers(draw.noise, used=True)
        if draw.way == 0:
            return lambda k: steps() if k else first()
        toward, (near, far) = numbers(draw.other, used=False), draw.weights
        return lambda k: near * (steps() if k else first()) + far * toward()

    rows = [one(draw) for draw in draws]
    return lambda k: torch.stack([row(k) for row in rows])


@torch.no_grad()
def sample_batch(
    config: RunConfig, network: nn.Module, noise: Noise, *, shape: tuple[int, ...], settings: SampleConfig, device: torch.device,
    states: np.ndarray | None = None, x0_error: bc.X0Error | None = None, labels: np.ndarray | None = None,
    step_done: Callable[[int], None] = lambda images: None,
    watch: Callable[[int, np.ndarray], None] | None = None,
) -> Tensor:  # fmt: skip
    """Draw one batch from noise that the caller brings.

    Parameters
    ----------
    config, network, settings, device, x0_error
        As for :func:`sample`.
    noise
        noise(k) is standard normal, (batch, C, *grid), in frequency space, where white noise is white too: the start for
        k = 0, then that of step k; called once for each k in order, but for the steps that add none.
    shape
        (batch, *grid, C).
    states
        Noise-free first states in frequency space, (batch, *grid, C); None for zeros.
    labels
        Classes, (batch,); None for a network without.
    step_done
        Called after each step with the number of images.
    watch
        Called with k and the state after k steps, in data space, (batch, *grid, C).

    Returns
    -------
    Tensor
        (batch, C, *grid) on the device, as the solver left it.
    """
    process, times, axes = config.process, times_of(config.process, settings), grid_axes(shape[1:])
    solver = solver_of(config, settings, axes=axes, x0_error=x0_error)
    objective, clip = objective_of(config), clip_of(config.data, settings)
    start = noise(0)
    u = bc.marginal_for(process, times[0], start, axes=axes).sigma * start
    if states is not None:
        u = u + torch.from_numpy(np.ascontiguousarray(states)).to(device).movedim(-1, 1)

    say = _guided(network, settings.guidance, labels, config.model.num_classes)

    def predict(u: Tensor, t: float) -> bc.Prediction[Tensor]:
        z = process.basis.inverse(u, axes=axes)
        cond = condition(process, torch.full((len(z),), t, device=device), config.model.embedding)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.train.precision == "bf16"):
            output = say(z.contiguous(memory_format=memory_format(device, len(axes))), cond)
        return objective.predict(bc.marginal_for(process, t, u, axes=axes), output.float(), u, axes=axes, clip=clip)

    def show(k: int, u: Tensor) -> None:
        if watch is not None:
            watch(k, channels_last(process.basis.inverse(u, axes=axes)).numpy())

    if settings.sampler == "ode":
        show(0, u)
        u = integrate(process, predict, u, axes=axes, tolerance=settings.tolerance)
        show(1, u)
        step_done(shape[0])
        return process.basis.inverse(u, axes=axes)
    state = solver.start(u)
    stages = solver.stages(times)
    for k, (t, s) in enumerate(stages, start=1):
        show(k - 1, state.u)
        noisy = solver.uses_noise and (s > 0 or settings.last_noise)
        state = solver.step(state, predict(state.u, t), t, s, noise(k) if noisy else None)
        step_done(shape[0])
    show(len(stages), state.u)
    return process.basis.inverse(state.u, axes=axes)


def _guided(
    network: nn.Module, guidance: float, labels: np.ndarray | None, num_classes: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the network with its labels bound: plain, or with classifier-free guidance (Ho & Salimans 2022, equation 6)."""
    if labels is None:
        return network

    def plain(z: Tensor, cond: Tensor) -> Tensor:
        return network(z, cond, torch.from_numpy(labels).to(z.device))

    def guided(z: Tensor, cond: Tensor) -> Tensor:
        given = torch.from_numpy(labels).to(z.device)
        both = torch.cat([given, torch.full_like(given, num_classes)])
        with_label, without = network(torch.cat([z, z]), torch.cat([cond, cond]), both).chunk(2)
        return without + guidance * (with_label - without)

    return plain if guidance in (0.0, 1.0) else guided


def load_run(folder: StrPath, device: torch.device) -> tuple[RunConfig, nn.Module, tuple[int, ...], Prior | None]:
    """Return a run's configuration, its network with the averaged weights, the data's shape (*grid, C), and its prior.

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, no complete checkpoint, or one that does not fit the configuration.
    """
    from blurcore_torch.checkpoints import load_module
    from blurcore_torch.trainer import build_model

    config = read_config(Path(folder) / "config.toml")
    checkpoint = newest_checkpoint(folder)
    image_shape = tuple(checkpoint.state["image_shape"])
    model = build_model(config, image_shape)
    load_module(model, checkpoint.groups["ema"], what="averaged weights")
    prior = restore_prior(config.process, image_shape[:-1], checkpoint.groups.get("prior"))
    return (
        config,
        model.to(device, memory_format=memory_format(device, len(image_shape) - 1)).eval(),
        image_shape,
        prior,
    )


def sample_run(
    folder: StrPath,
    settings: SampleConfig,
    *,
    device: str = "auto",
    progress: bool = True,
    watch: Watcher | None = None,
) -> Samples:
    """Draw images from a run's averaged weights.

    Parameters
    ----------
    folder
        The run folder; nothing else is needed.
    settings
        Solver, steps, number, seed.
    device
        "auto" or a PyTorch device.
    progress
        Show a progress bar on stderr.
    watch
        Called with the states on the way; :data:`blurcore.protocols.Watcher`.

    Returns
    -------
    Samples
        `images` uint8 (num_samples, *grid, C); `finite` says of each whether it is one.

    Raises
    ------
    ConfigError, CheckpointError, ArgumentError
        The folder holds no run or no complete checkpoint; sampler or device are not for it.
    """
    with processes(device):
        where = own_device(device)
        config, network, image_shape, prior = load_run(folder, where)
        x0_error = read_calibration(folder) if settings.sampler == "calibrated" else None
        draws = sample(
            config, network, image_shape=image_shape, settings=settings, prior=prior, device=where, progress=progress,
            x0_error=x0_error, watch=watch,
        )  # fmt: skip
    return to_samples(channels_last(draws).numpy(), config.data.values)


def run_network(folder: StrPath, *, device: str = "auto") -> RunNetwork:
    """Return a run's network with the averaged weights, as a function of NumPy arrays.

    Parameters
    ----------
    folder, device
        As for :func:`sample_run`.

    Raises
    ------
    ConfigError, CheckpointError, ArgumentError
        As :func:`sample_run`.
    """
    where = own_device(device)
    config, network, image_shape, _ = load_run(folder, where)

    network.requires_grad_(False)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(values, np.float32)).to(where)

    def say(x: Tensor, t: np.ndarray) -> Tensor:
        cond = condition(config.process, tensor(t), config.model.embedding)
        with torch.autocast(where.type, torch.bfloat16, enabled=config.train.precision == "bf16"):
            z = x.movedim(-1, 1).contiguous(memory_format=memory_format(where, x.ndim - 2))
            return network(z, cond).float().movedim(1, -1)

    @torch.no_grad()
    def call(z: np.ndarray, t: np.ndarray) -> np.ndarray:
        return say(tensor(z), t).cpu().numpy()

    def vjp(z: np.ndarray, t: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = tensor(z).requires_grad_()
        output = say(x, t)
        (product,) = torch.autograd.grad(output, x, tensor(v))
        return output.detach().cpu().numpy(), product.cpu().numpy()

    return RunNetwork(config, image_shape, newest_checkpoint(folder).step, call, vjp)
