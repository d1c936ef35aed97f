"""Training: data and derived noise in, the paper's simple loss, AdamW, an average of the weights; stoppable anywhere.

A step is a function of (configuration, data, weights, step number) and nothing else: the data's order, the times, the
noise and the dropout masks follow from the seed and the step. That is what makes a resumed run equal, to the last bit
on a CPU, to one that was never stopped.
"""

from __future__ import annotations

import copy
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor, nn

import blurcore as bc
from blurcore.config import RunConfig, TrainConfig
from blurcore.data import Dataset, Loader, load, save_grid
from blurcore.errors import CheckpointError, ConfigError, DegenerateError, RunStoppedError
from blurcore.runs import Checkpoint, RunFolder, newest_checkpoint, save_checkpoint
from blurcore.runs.progress import TrainingProgress
from blurcore_torch.checkpoints import load_module, load_optimizer, optimizer_arrays, to_arrays
from blurcore_torch.devices import memory_format, pick_device
from blurcore_torch.model import UNet
from blurcore_torch.random import Stream, derived_seed, generator
from blurcore_torch.sampler import condition, sample, to_images

_log = logging.getLogger(__name__)
_MAX_SKIPPED = 10  # steps in a row with a loss or gradient that is not finite, before the run gives up


def learning_rate(settings: TrainConfig, step: int) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up, then constant or a half cosine to 0."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "constant":
        return settings.learning_rate * warm
    done = max(0, step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def ema_decay(settings: TrainConfig, step: int) -> float:
    """Return the decay of the average after a step, short at first so that the start is forgotten."""
    return min(settings.ema_decay, (1 + step) / (10 + step))


def build_model(config: RunConfig, image_shape: tuple[int, int, int]) -> UNet:
    """Return the network of a configuration for images (H, W, C), its weights drawn from the run's seed."""
    height, width, channels = image_shape
    seed = derived_seed(config.seed, Stream.WEIGHTS)
    return UNet(config.model, in_channels=channels, out_channels=channels, image_size=(height, width), seed=seed)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of the first; a second one leaves at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if received:
            raise SystemExit(128 + number)
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Totals:
    """What has been counted since the last line of metrics, and in the whole run."""

    loss: float = 0.0
    grad_norm: float = 0.0
    count: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0


@dataclass
class Trainer:
    """The state of a run in memory: network, average, optimiser, step."""

    config: RunConfig
    image_shape: tuple[int, int, int]
    device: torch.device
    model: UNet = field(init=False)
    ema: UNet = field(init=False)
    step: int = 0
    totals: Totals = field(default_factory=Totals)

    def __post_init__(self) -> None:
        settings = self.config.train
        self.model = build_model(self.config, self.image_shape).to(
            self.device, memory_format=memory_format(self.device)
        )
        self.ema = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.names = [name for name, _ in self.model.named_parameters()]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.network: nn.Module = self.model
        if settings.compile:  # one image size per run: static shapes, which are faster and which Inductor always lowers
            self.network = torch.compile(self.model, dynamic=False)  # type: ignore[assignment]

    def train_step(self, images: np.ndarray) -> tuple[float, float]:
        """Take one optimiser step on a batch of uint8 images (batch, H, W, C).

        Returns
        -------
        tuple of float
            The mean loss of the batch and the norm of its gradient before clipping; a step in which either is not
            finite changes nothing.
        """
        settings, seed = self.config.train, self.config.seed
        x = _to_data(images, self.device)
        uniform = torch.rand(len(x), generator=generator(self.device, seed, Stream.TIME, self.step), device=self.device)
        eps = torch.randn(x.shape, generator=generator(self.device, seed, Stream.NOISE, self.step), device=self.device)
        t = bc.draw_times(uniform, settings.times)
        torch.manual_seed(derived_seed(seed, Stream.DROPOUT, self.step))
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for part in zip(*(v.chunk(settings.accumulate) for v in (x, t, eps)), strict=True):
            loss = self._loss(*part).sum() / len(x)
            loss.backward()
            total += loss.detach()
        limit = settings.grad_clip or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        mean = float(total)
        if math.isfinite(norm) and math.isfinite(mean):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(settings, self.step)
            self.optimizer.step()
            self._average()
        self.step += 1
        return mean, norm

    def _loss(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        process, settings = self.config.process, self.config.train
        pair = bc.training_pair(process, x, t, eps, prediction=settings.prediction)
        z = pair.z.contiguous(memory_format=memory_format(self.device))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            output = self.network(z, condition(process, t, self.config.model.embedding))
        return bc.simple_loss(output.float(), pair.target)

    @torch.no_grad()
    def _average(self) -> None:
        weight = 1 - ema_decay(self.config.train, self.step)
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), weight)

    def checkpoint(self, data: Dataset) -> Checkpoint:
        """Return the whole state for saving."""
        groups = {
            "model": to_arrays(self.model.state_dict()),
            "ema": to_arrays(self.ema.state_dict()),
            "optimizer": optimizer_arrays(self.optimizer, self.names),
        }
        totals = {k: v if math.isfinite(v) else None for k, v in vars(self.totals).items()}
        state = {"image_shape": list(self.image_shape), "data": data.fingerprint, "totals": totals, "backend": "torch"}
        return Checkpoint(step=self.step, groups=groups, state=state)

    def restore(self, checkpoint: Checkpoint, data: Dataset) -> None:
        """Take over a saved state.

        Raises
        ------
        CheckpointError
            It belongs to other data or another network.
        """
        if checkpoint.state["data"] != data.fingerprint:
            raise CheckpointError(
                f"the data set {data.name} has changed since the checkpoint of step {checkpoint.step} was written"
            )
        load_module(self.model, checkpoint.groups["model"], what="weights")
        load_module(self.ema, checkpoint.groups["ema"], what="averaged weights")
        load_optimizer(self.optimizer, checkpoint.groups["optimizer"], self.names)
        self.totals = Totals(**checkpoint.state["totals"])
        self.step = checkpoint.step


def _to_data(images: np.ndarray, device: torch.device) -> Tensor:
    """Return uint8 images (batch, H, W, C) as data in [-1, 1], channels first."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device, non_blocking=True)
    return (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()


def check_config(config: RunConfig, image_shape: tuple[int, int, int]) -> None:
    """Refuse, before any work, what cannot be trained and sampled with these settings.

    Raises
    ------
    ConfigError
        The process cannot be sampled from noise, or the prediction would divide by zero; says what to do.
    """
    shape = image_shape[:2]
    first = config.process.marginal(1.0, shape=shape)
    if float(first.alpha.max()) > 0.1 * float(first.sigma.min()):
        raise ConfigError(
            f"{type(config.process).__name__} leaves an image in its last state (alpha_1 / sigma_1 ="
            f" {float(first.alpha.max()) / max(float(first.sigma.min()), 1e-300):.3g} at DC), so sampling cannot start from noise;"
            " this trainer needs a process whose noise covers all frequencies at t = 1"
        )
    try:
        bc.check_prediction(config.process, config.train.prediction, (1.0, 0.5), shape=shape)
    except DegenerateError as error:
        raise ConfigError(str(error)) from None


def train(config: RunConfig, folder: Path, *, resume: bool = False) -> None:
    """Train a model into a run folder, or go on with the one that is there.

    Parameters
    ----------
    config
        The run's configuration.
    folder
        The run folder; new or empty unless `resume`.
    resume
        Start from the newest complete checkpoint.

    Raises
    ------
    ConfigError, DataError, CheckpointError
        Before the first step: the settings, the data or the folder do not serve.
    RunStoppedError
        A signal ended the run, or too many steps in a row were not finite; a checkpoint has been written.
    """
    device = pick_device(config.device)
    data = load(config.data)
    check_config(config, data.image_shape)
    with RunFolder(folder, config, resume=resume) as run, torch.random.fork_rng(devices=_cuda_devices(device)):
        trainer = Trainer(config, data.image_shape, device)
        if resume:
            trainer.restore(newest_checkpoint(run.path), data)
            run.rewind_metrics(trainer.step)
        _loop(trainer, run, data)


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _loop(trainer: Trainer, run: RunFolder, data: Dataset) -> None:
    settings = trainer.config.train
    loader = Loader(
        data, batch_size=settings.batch_size, seed=trainer.config.seed, start_step=trainer.step,
        num_workers=settings.num_workers, flip=trainer.config.data.flip,
    )  # fmt: skip
    saved_at = trainer.step
    with _signals() as received, loader, Scalars(run, settings.tensorboard) as scalars:
        with TrainingProgress(total=settings.steps, start=trainer.step) as progress:
            batches = iter(loader)
            clock = time.perf_counter()
            while trainer.step < settings.steps and not received:
                loss, norm = trainer.train_step(next(batches)[1])
                _count(trainer.totals, loss, norm)
                progress.advance(loss, settings.batch_size)
                step = trainer.step
                if step % settings.log_every == 0 or step == settings.steps:
                    now = time.perf_counter()
                    scalars.write(trainer, seconds=now - clock)
                    clock = now
                if trainer.totals.skipped_in_a_row >= _MAX_SKIPPED:
                    raise RunStoppedError(
                        f"the loss or the gradient was not finite for {_MAX_SKIPPED} steps in a row, up to step {step};"
                        f" the last good checkpoint is that of step {saved_at}",
                        exit_code=3,
                    )
                if settings.sample_every and step % settings.sample_every == 0 and step < settings.steps:
                    save_samples(trainer, run)
                if step % settings.checkpoint_every == 0 and step < settings.steps:
                    save_checkpoint(run.path, trainer.checkpoint(data), keep=settings.keep_checkpoints)
                    saved_at = step
        save_checkpoint(run.path, trainer.checkpoint(data), keep=settings.keep_checkpoints)
        if received:
            name = signal.Signals(received[0]).name
            raise RunStoppedError(
                f"{name} after step {trainer.step} of {settings.steps}; a checkpoint is written, resume to go on",
                exit_code=128 + received[0],
            )
    save_samples(trainer, run)


def _count(totals: Totals, loss: float, norm: float) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        totals.loss += loss
        totals.grad_norm += norm
        totals.count += 1
        totals.skipped_in_a_row = 0
    else:
        totals.skipped += 1
        totals.skipped_in_a_row += 1
        _log.warning("a step was skipped: its loss (%g) or the norm of its gradient (%g) is not finite", loss, norm)


class Scalars:
    """Metrics as JSON lines, and for TensorBoard where asked for."""

    def __init__(self, run: RunFolder, tensorboard: bool) -> None:
        self._run = run
        self._writer = None
        if tensorboard:
            try:
                from tensorboardX import SummaryWriter
            except ImportError as error:
                raise ConfigError(
                    "train.tensorboard needs tensorboardX; try: pip install 'blurcore[tensorboard]'"
                ) from error
            self._writer = SummaryWriter(str(run.path / "tensorboard"))

    def write(self, trainer: Trainer, *, seconds: float) -> None:
        """Write the means since the last line, and start anew."""
        totals, settings = trainer.totals, trainer.config.train
        count = max(1, totals.count)
        values = {
            "loss": totals.loss / count if totals.count else math.nan,
            "grad_norm": totals.grad_norm / count if totals.count else math.nan,
            "learning_rate": learning_rate(settings, trainer.step - 1),
            "images_per_s": settings.batch_size * totals.count / max(seconds, 1e-9),
            "skipped": totals.skipped,
        }
        self._run.log(step=trainer.step, **values)
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"train/{name}", value, trainer.step)
        trainer.totals = Totals(skipped=totals.skipped, skipped_in_a_row=totals.skipped_in_a_row)

    def __enter__(self) -> Scalars:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.close()


def save_samples(trainer: Trainer, run: RunFolder) -> Path:
    """Draw a grid of samples with the averaged weights and save it under the step's number."""
    settings = trainer.config.sample
    draws = sample(
        trainer.config,
        trainer.ema,
        image_shape=trainer.image_shape,
        settings=settings,
        device=trainer.device,
        progress=False,
    )
    path = run.path / "samples" / f"step-{trainer.step:08d}.png"
    save_grid(to_images(draws), path)
    return path
