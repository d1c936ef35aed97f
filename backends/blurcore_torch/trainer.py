"""Training: derived noise, the paper's simple loss, AdamW, an average of the weights; the loop is blurcore.engine's."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from blurcore._typing import StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data.values import SCALES, Samples, Values, to_samples
from blurcore.engine import (
    SamplingPlan,
    Stream,
    SubBatch,
    derived_seed,
    ema_decay,
    learning_rate,
    run_training,
    sub_batches,
)
from blurcore.measure import curve_of
from blurcore.runs.checkpoint import Arrays, require_training_state
from blurcore.starts import Prior
from blurcore_torch import distributed
from blurcore_torch.checkpoints import load_module, load_optimizer, optimizer_tensors, to_arrays
from blurcore_torch.devices import memory_format
from blurcore_torch.model import UNet, build_model
from blurcore_torch.random import generator
from blurcore_torch.sampler import channels_last, grid_axes, sample


@dataclass
class Trainer:
    """The state of a run in memory: network, average, optimiser, step (a :class:`blurcore.engine.Trainer`)."""

    config: RunConfig
    image_shape: tuple[int, ...]
    device: torch.device
    model: UNet = field(init=False)
    ema: UNet = field(init=False)
    step: int = 0
    backend: str = "torch"

    def __post_init__(self) -> None:
        settings = self.config.train
        self.axes = grid_axes(self.image_shape)
        self.rank, self.size = distributed.rank_and_size()
        self.rows = distributed.rows_of(settings.batch_size, settings.accumulate)
        self.model = build_model(self.config, self.image_shape).to(
            self.device, memory_format=memory_format(self.device, len(self.axes))
        )
        self.ema = copy.deepcopy(self.model).requires_grad_(False).eval()
        *grid, channels = self.image_shape
        self.parts = self.size * settings.accumulate
        self.sub_batches = sub_batches(self.config, tuple(grid), settings.batch_size // self.parts)
        shapes = [(sub.count, channels, *sub.portion.size) for sub in self.sub_batches]
        self.dropout = distributed.DropoutSkipper(self.model, shapes)
        self.sharded = self.size > 1 and settings.parallel == "fsdp"
        if self.sharded:
            self.model, self.ema = (distributed.shard(network, self.device) for network in (self.model, self.ema))
        self.names = [name for name, _ in self.model.named_parameters()]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        replicated = self.size > 1 and not self.sharded
        self.network: nn.Module = distributed.replicate(self.model, self.device) if replicated else self.model
        if (
            settings.compile
        ):  # a program for each size: static shapes, which are faster and which Inductor always lowers
            self.network = torch.compile(self.network, dynamic=False)

    def train_step(self, images: np.ndarray, labels: np.ndarray | None = None) -> tuple[float, float]:
        """Take one optimiser step on a batch of uint8 images (batch, *grid, C), or on this process's rows of it.

        Returns
        -------
        tuple of float
            The mean loss of the batch and the norm of its gradient before clipping; a step in which either is not
            finite changes nothing. Both are the same in all processes.
        """
        settings = self.config.train
        x = _to_data(images, self.config.data.values, self.device)
        classes = torch.zeros(len(x)) if labels is None else torch.from_numpy(labels).to(self.device)
        parts = list(zip(x.chunk(settings.accumulate), classes.chunk(settings.accumulate), self._draw(x), strict=True))
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for k, (images_of_part, labels_of_part, drawn) in enumerate(parts):
            for sub, t, eps in drawn:
                last = k == len(parts) - 1 and sub is self.sub_batches[-1]
                rows = sub.portion.rows
                with distributed.gradients(self.network, shared=last):
                    loss = self._loss(sub, images_of_part[rows], t, eps, labels_of_part[rows]).sum() / len(x)
                    loss.backward()
                total += loss.detach()
        limit = settings.grad_clip or math.inf
        norm = float(distributed.whole(nn.utils.clip_grad_norm_(self.model.parameters(), limit)))
        mean = float(distributed.mean(total) if self.size > 1 else total)
        if math.isfinite(norm) and math.isfinite(mean):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(settings, self.step)
            self.optimizer.step()
            self._average()
        self.step += 1
        return mean, norm

    def _draw(self, x: Tensor) -> list[list[tuple[SubBatch, Tensor, Tensor]]]:
        """Return times and noise of a step for each part of this process's images, by size; the dropout masks' generator is ready then."""
        seed, accumulate = self.config.seed, self.config.train.accumulate
        batch = self.size * len(x)
        uniform = torch.rand(batch, generator=generator(self.device, seed, Stream.TIME, self.step), device=self.device)
        source = generator(self.device, seed, Stream.NOISE, self.step)
        found: list[list[tuple[SubBatch, Tensor, Tensor]]] = [[] for _ in range(accumulate)]
        for sub in self.sub_batches:  # of what the whole batch has, this process takes its parts
            t: Tensor = sub.times(uniform.reshape(self.parts, -1)[:, sub.portion.rows].reshape(-1))
            eps = torch.randn((len(t), x.shape[1], *sub.portion.size), generator=source, device=self.device)
            for k in range(accumulate):
                rows = slice((self.rank * accumulate + k) * sub.count, (self.rank * accumulate + k + 1) * sub.count)
                found[k].append((sub, t[rows], eps[rows]))
        torch.manual_seed(derived_seed(seed, Stream.DROPOUT, self.step))
        self.dropout.skip(self.rank * accumulate, self.device)
        return found

    def _loss(self, sub: SubBatch, x: Tensor, t: Tensor, eps: Tensor, classes: Tensor) -> Tensor:
        example = sub.examples(sub.images(x, axes=self.axes), t, eps, axes=self.axes)
        z = example.z.contiguous(memory_format=memory_format(self.device, len(self.axes)))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.train.precision == "bf16"):
            given = (classes,) if self.config.model.num_classes else ()
            output = self.network(z, example.condition, *given)
        return example.weight * sub.objective.loss(output.float(), example.target)

    @torch.no_grad()
    def _average(self) -> None:
        weight = 1 - ema_decay(self.config.train, self.step)
        ema, model = ([distributed.local(p) for p in network.parameters()] for network in (self.ema, self.model))
        torch._foreach_lerp_(ema, model, weight)

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the whole state by group and name, spread over the processes or not."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer, self.names),
        }

    def arrays(self) -> dict[str, Arrays]:
        """Return the whole state; see :meth:`blurcore.engine.Trainer.arrays`."""
        return {group: to_arrays(tensors) for group, tensors in self._tensors().items()}

    def load_arrays(self, groups: dict[str, Arrays], step: int) -> None:
        """Take over a saved state; see :meth:`blurcore.engine.Trainer.load_arrays`."""
        require_training_state({name: tuple(p.shape) for name, p in self.model.named_parameters()}, groups)
        load_module(self.model, groups["model"], what="weights")
        load_module(self.ema, groups["ema"], what="averaged weights")
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in groups["optimizer"].items()}
        load_optimizer(self.optimizer, tensors, self.names)
        self.step = step

    def save_shards(self, path: Path) -> None:
        """Write this process's part of the state; see :meth:`blurcore.engine.Trainer.save_shards`."""
        from blurcore_torch.shards import save_shards

        save_shards(_flat(self._tensors()), path)

    def load_shards(self, path: Path, step: int) -> None:
        """Take over what :meth:`save_shards` wrote; see :meth:`blurcore.engine.Trainer.load_shards`."""
        from blurcore_torch.shards import load_shards, shard_shapes

        groups = self._tensors() | {"optimizer": {}}
        if any(name.startswith("optimizer/") for name in shard_shapes(path)):  # there is none before the first step
            for name, parameter in zip(self.names, self.model.parameters(), strict=True):
                moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
                entries = {"step": torch.zeros(()), **moments}
                groups["optimizer"] |= {f"{name}/{key}": value for key, value in entries.items()}
        load_shards(_flat(groups), path)
        load_optimizer(self.optimizer, groups["optimizer"], self.names)
        self.step = step

    def sample(self, settings: SampleConfig, prior: Prior | None) -> Samples:
        """Draw images with the averaged weights; see :meth:`blurcore.engine.Trainer.sample`."""
        network = self.ema
        if self.sharded:  # whole for a while: the processes have different numbers of batches to draw
            network = build_model(self.config, self.image_shape).to(self.device)
            averaged = {name: distributed.whole(tensor) for name, tensor in self.ema.state_dict().items()}
            network.load_state_dict(averaged)
        plan = SamplingPlan(self.config, settings, self.image_shape, axes=grid_axes(self.image_shape))
        draws = sample(plan, network, prior=prior, device=self.device, progress=False)
        return to_samples(channels_last(draws).numpy(), self.config.data.values)


def _flat(groups: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of all groups by "group/name"."""
    return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}


def _to_data(images: np.ndarray, values: Values, device: torch.device) -> Tensor:
    """Return a batch (batch, *grid, C) as data in their range, channels first."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device, non_blocking=True).movedim(-1, 1)
    if pixels.is_floating_point():  # signals, in their range already
        return pixels.float().contiguous()
    scale = SCALES[values]
    return (pixels.float() / scale.divisor + scale.low).contiguous()


def train(config: RunConfig, folder: StrPath, *, resume: bool = False) -> None:
    """Train a model into a run folder, or go on with the one that is there; see :func:`blurcore.engine.run_training`.

    Where torchrun has started several processes, all of them train the one model (:mod:`blurcore_torch.distributed`).
    """
    with distributed.processes(config.device) as team:
        device = distributed.own_device(config.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            run_training(
                config,
                folder,
                lambda config, image_shape: Trainer(config, image_shape, device),
                resume=resume,
                leads=team.rank == 0,
                agree=distributed.agree if team.size > 1 else None,
                make_curve=curve_of,
            )
