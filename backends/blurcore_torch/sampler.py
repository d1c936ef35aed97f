"""Sampling: the loop around the core's solvers, with the state in frequency space and noise that is derived.

Sample i follows from (seed, i) alone: it has a generator of its own, whatever batch it is drawn in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

import blurcore as bc
from blurcore.config import SampleConfig
from blurcore.engine import (
    ALONE,
    Batch,
    Draw,
    SamplingPlan,
    Stream,
    condition,
    draws_of,
    first_states,
    sample_labels,
    walk,
)
from blurcore.objectives import path_for
from blurcore.protocols import Watcher
from blurcore.runs.progress import SamplingProgress
from blurcore.starts import Prior
from blurcore_torch.devices import memory_format
from blurcore_torch.distributed import joined
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
    plan: SamplingPlan,
    network: nn.Module,
    *,
    prior: Prior | None,
    device: torch.device,
    progress: bool,
    watch: Watcher | None = None,
) -> Tensor:
    """Draw samples; where there are several processes, each draws some of the batches, and all are given the result.

    Parameters
    ----------
    plan
        How; its settings say how many, and from which seed.
    network
        Maps (z_t, condition) to the prediction.
    prior
        What sampling starts from beside noise; None for a process that ends in noise.
    device
        Where the network is.
    progress
        Show a progress bar on stderr.
    watch
        Called for every batch with the states on the way, in data space: see :data:`blurcore.protocols.Watcher`. Each process
        then draws all batches.

    Returns
    -------
    Tensor
        (num_samples, C, *grid) on the CPU, in the range of the data if `settings.clip` is on, else as the solver left it.
    """
    config, settings, (*grid, channels) = plan.config, plan.settings, plan.image_shape
    network.eval()
    team = joined()
    firsts = range(0, settings.num_samples, settings.batch_size)
    mine = firsts if watch is not None else firsts[team.rank :: team.size]
    result = torch.zeros(settings.num_samples, channels, *grid, dtype=torch.float32, device="cpu")
    with SamplingProgress(
        sum(len(_batch(settings, first)) for first in mine), plan.calls, show=progress and team.rank == 0
    ) as bar:
        for first in mine:
            indices = _batch(settings, first)
            draws = draws_of(settings, indices)
            batch = Batch(
                states=first_states(prior, settings.seed, draws),
                labels=sample_labels(config, settings, indices),
                step_done=partial(_advance, bar, len(indices)),
                watch=None if watch is None else partial(watch, first),
            )
            noise = _derived_noise(settings.seed, draws, plan.image_shape, device)
            result[indices.start : indices.stop] = sample_batch(plan, network, noise, batch).cpu()
    if watch is None:
        result = torch.from_numpy(team.total(result.numpy()))
    if plan.clip is None:
        return result
    return plan.clip.data(torch.where(result.isfinite(), result, torch.nan))  # an infinity must not look like white


def _advance(bar: SamplingProgress, images: int, calls: int) -> None:
    bar.advance(images * calls)


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
def sample_batch(plan: SamplingPlan, network: nn.Module, noise: Noise, batch: Batch = ALONE) -> Tensor:
    """Draw one batch from noise that the caller brings.

    Parameters
    ----------
    plan
        How.
    network
        Maps (z_t, condition) to the prediction.
    noise
        noise(k) is standard normal, (batch, C, *grid), in frequency space, where white noise is white too: the start for
        k = 0, then that of step k; called once for each k in order, but for the steps that add none.
    batch
        First states, labels and callbacks.

    Returns
    -------
    Tensor
        (batch, C, *grid) where the noise is, as the solver left it.
    """
    config, axes, start = plan.config, plan.axes, noise(0)
    device, basis = start.device, config.process.basis

    def move(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    u = plan.first_state(start, move)
    if batch.states is not None:
        u = u + move(batch.states).movedim(-1, 1)
    labels = None if batch.labels is None else torch.from_numpy(batch.labels).to(device)
    layout = memory_format(device, len(axes))

    def ask(z: Tensor, cond: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=config.train.precision == "bf16"):
            z = z.contiguous(memory_format=layout)
            return guided(network, z, cond, labels, plan.settings.guidance, config.model.num_classes).float()

    def show(z: Tensor) -> np.ndarray:
        return channels_last(z).numpy()

    if not plan.adaptive:
        return walk(plan, u, ask, noise, batch, move=move, show=show, add=fused_sum)

    def predict(u: Tensor, t: float) -> bc.Prediction[Tensor]:
        cond = condition(config.process, torch.full((len(u),), t, device=device), config.model.embedding)
        path = path_for(plan.objective, t, u, axes=axes)
        return plan.objective.predict(path, ask(basis.inverse(u, axes=axes), cond), u, axes=axes, clip=plan.clip)

    tell = batch.watch or (lambda k, x: None)
    tell(0, show(basis.inverse(u, axes=axes)))
    x = basis.inverse(
        integrate(
            config.process, predict, u, axes=axes, tolerance=cast(Any, plan.solver).tolerance, first=plan.times[0]
        ),
        axes=axes,
    )
    tell(1, show(x))
    batch.step_done(1)
    return x


def fused_sum(terms: list[tuple[Tensor | None, Tensor]]) -> Tensor:
    """Return the sum of weight * value, in one pass over the data for each term; a weight of None is 1."""
    (weight, value), *rest = terms
    total, own = (value, False) if weight is None else (weight * value, True)
    for weight, value in rest:
        if weight is None:
            total = total + value
        else:
            total = total.addcmul_(weight, value) if own else torch.addcmul(total, weight, value)
        own = True
    return total


def guided(
    network: nn.Module, z: Tensor, cond: Tensor, labels: Tensor | None, guidance: float, num_classes: int
) -> Tensor:
    """Return the network's output, with classifier-free guidance if a scale is set (Ho & Salimans 2022, equation 6)."""
    if labels is None:
        return network(z, cond)
    if guidance in (0.0, 1.0):
        return network(z, cond, labels)
    both = torch.cat([labels, torch.full_like(labels, num_classes)])
    output = network(torch.cat([z, z]), torch.cat([cond, cond]), both)
    count = z.shape[0]  # not len, which torch.export takes for a constant
    with_label, without = output[:count], output[count:]
    return without + guidance * (with_label - without)
