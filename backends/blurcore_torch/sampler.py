"""Sampling: the loop around the core's solvers, with the state in frequency space and noise that is derived.

Sample i follows from (seed, i) alone: it has a generator of its own, whatever batch it is drawn in.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import blurcore as bc
from blurcore.config import RunConfig, SampleConfig
from blurcore.engine import Stream, condition, solver_of, times_of, to_pixels
from blurcore.runs import newest_checkpoint, read_config
from blurcore.runs.progress import SamplingProgress
from blurcore_torch.devices import memory_format, pick_device
from blurcore_torch.random import generator

AXES = (-2, -1)


@torch.no_grad()
def sample(
    config: RunConfig, network: nn.Module, *, image_shape: tuple[int, int, int], settings: SampleConfig,
    device: torch.device, progress: bool,
) -> Tensor:  # fmt: skip
    """Draw samples.

    Parameters
    ----------
    config
        The run's configuration: process, prediction and embedding are taken from it.
    network
        Maps (z_t, condition) to the prediction.
    image_shape
        (H, W, C).
    settings
        Solver, steps, number, seed.
    device
        Where the network is.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    Tensor
        (num_samples, C, H, W) on the CPU, in [-1, 1] if `settings.clip`, else as the solver left it.
    """
    times = times_of(config.process, settings)
    calls = len(solver_of(config.process, settings, axes=AXES).stages(times))
    bc.check_markov(config.process, times[::-1], shape=image_shape[:2])
    network.eval()
    batches = []
    with SamplingProgress(settings.num_samples, calls, show=progress) as bar:
        for first in range(0, settings.num_samples, settings.batch_size):
            indices = range(first, min(first + settings.batch_size, settings.num_samples))
            noise = _derived_noise(settings.seed, indices, image_shape, device)
            shape = (len(indices), *image_shape)
            batches.append(
                sample_batch(
                    config, network, noise, shape=shape, settings=settings, device=device, step_done=bar.advance
                ).cpu()
            )
    draws = torch.cat(batches)
    return draws.clamp(-1, 1) if settings.clip else draws


def _derived_noise(
    seed: int, indices: range, image_shape: tuple[int, int, int], device: torch.device
) -> Callable[[int], Tensor]:
    height, width, channels = image_shape
    generators = [generator(device, seed, Stream.SAMPLE, i) for i in indices]
    return lambda step: torch.stack(
        [torch.randn(channels, height, width, generator=g, device=device) for g in generators]
    )


@torch.no_grad()
def sample_batch(
    config: RunConfig, network: nn.Module, noise: Callable[[int], Tensor], *, shape: tuple[int, int, int, int],
    settings: SampleConfig, device: torch.device, step_done: Callable[[int], None] = lambda images: None,
) -> Tensor:  # fmt: skip
    """Draw one batch from noise that the caller brings.

    Parameters
    ----------
    config, network, settings, device
        As for :func:`sample`.
    noise
        noise(k) is standard normal, (batch, C, H, W), in frequency space, where white noise is white too: the start for
        k = 0, then that of step k; called once for each k in order, but for the steps that add none.
    shape
        (batch, H, W, C).
    step_done
        Called after each step with the number of images.

    Returns
    -------
    Tensor
        (batch, C, H, W) on the device, as the solver left it.
    """
    process, times = config.process, times_of(config.process, settings)
    solver = solver_of(process, settings, axes=AXES)
    prior = noise(0)
    state = solver.start(bc.marginal_for(process, times[0], prior, axes=AXES).sigma * prior)
    for k, (t, s) in enumerate(solver.stages(times), start=1):
        z = process.basis.inverse(state.u, axes=AXES)
        cond = condition(process, torch.full((len(z),), t, device=device), config.model.embedding)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.train.precision == "bf16"):
            output = network(z.contiguous(memory_format=memory_format(device)), cond)
        prediction = bc.predict(
            process, output.float(), config.train.prediction, state.u, t, axes=AXES, clip=settings.clip
        )
        state = solver.step(state, prediction, t, s, noise(k) if solver.uses_noise and s > 0 else None)
        step_done(shape[0])
    return process.basis.inverse(state.u, axes=AXES)


def to_images(draws: Tensor) -> np.ndarray:
    """Return data in [-1, 1], (n, C, H, W), as uint8 images (n, H, W, C)."""
    return to_pixels(draws.permute(0, 2, 3, 1).cpu().numpy())


def load_run(folder: Path, device: torch.device) -> tuple[RunConfig, nn.Module, tuple[int, int, int]]:
    """Return a run's configuration, its network with the averaged weights, and the image shape (H, W, C).

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, no complete checkpoint, or one that does not fit the configuration.
    """
    from blurcore_torch.checkpoints import load_module
    from blurcore_torch.trainer import build_model

    config = read_config(Path(folder) / "config.toml")
    checkpoint = newest_checkpoint(Path(folder))
    height, width, channels = checkpoint.state["image_shape"]
    model = build_model(config, (height, width, channels))
    load_module(model, checkpoint.groups["ema"], what="averaged weights")
    return config, model.to(device, memory_format=memory_format(device)).eval(), (height, width, channels)


def sample_run(folder: Path, settings: SampleConfig, *, device: str = "auto", progress: bool = True) -> np.ndarray:
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

    Returns
    -------
    ndarray
        uint8, (num_samples, H, W, C).

    Raises
    ------
    ConfigError, CheckpointError, ArgumentError
        The folder holds no run or no complete checkpoint; the device is not there.
    """
    where = pick_device(device)
    config, network, image_shape = load_run(folder, where)
    return to_images(
        sample(config, network, image_shape=image_shape, settings=settings, device=where, progress=progress)
    )
