"""A run folder read for use: its network, samples drawn from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blurcore._typing import StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data.values import Samples, to_samples
from blurcore.engine import (
    SamplingPlan,
    condition,
    read_run,
    restore_prior,
)
from blurcore.measure import read_calibration
from blurcore.protocols import RunNetwork, Watcher
from blurcore.resolution import restrict
from blurcore_torch.checkpoints import load_module
from blurcore_torch.devices import memory_format
from blurcore_torch.distributed import own_device, processes
from blurcore_torch.model import build_model
from blurcore_torch.sampler import channels_last, grid_axes, sample


def load_run(folder: StrPath, device: torch.device) -> tuple[RunConfig, nn.Module, tuple[int, ...], Any, int]:
    """Return configuration, network with the averaged weights, shape (*grid, C), kept prior and step of a run.

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, no complete checkpoint, or one that does not fit the configuration.
    """
    config, checkpoint = read_run(folder)
    image_shape = tuple(checkpoint.state["image_shape"])
    model = build_model(config, image_shape)
    load_module(model, checkpoint.groups["ema"], what="averaged weights")
    return (
        config,
        model.to(device, memory_format=memory_format(device, len(image_shape) - 1)).eval(),
        image_shape,
        checkpoint.groups.get("prior"),
        checkpoint.step,
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
        config, network, image_shape, kept, _ = load_run(folder, where)
        prior = restore_prior(config, settings, image_shape, kept)
        x0_error = read_calibration(folder) if settings.solver.needs_calibration else None
        plan = SamplingPlan(config, settings, image_shape, axes=grid_axes(image_shape), x0_error=x0_error)
        draws = sample(plan, network, prior=prior, device=where, progress=progress, watch=watch)
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
    config, network, image_shape, _, step = load_run(folder, where)

    network.requires_grad_(False)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(values, np.float32)).to(where)

    def say(x: Tensor, t: np.ndarray) -> Tensor:
        process = restrict(config.process, image_shape[:-1], tuple(x.shape[1:-1]))
        cond = condition(process, tensor(t), config.model.embedding)
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

    return RunNetwork(config, image_shape, step, call, vjp)
