"""The training loop: data in, steps, metrics, checkpoints and samples out; stoppable anywhere.

A step is a function of (configuration, data, weights, step number) and nothing else: the data's order, the times, the
noise and the dropout masks follow from the seed and the step. That is what makes a resumed run equal, to the last bit
on a CPU, to one that was never stopped.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, SupportsFloat

import numpy as np

from blurcore.config import RunConfig, SampleConfig
from blurcore.data import Dataset, Loader, load, load_labels, save_samples
from blurcore.engine.metrics import Scalars, Totals, summary_writer
from blurcore.engine.priors import Prior, fit_prior, restore_prior, starts_from_data
from blurcore.engine.sampling import check_sampling, objective_of
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.errors import CheckpointError, ConfigError, DataError, DegenerateError, RunStoppedError
from blurcore.losses import check_prediction
from blurcore.runs import Checkpoint, RunFolder, newest_checkpoint, save_checkpoint
from blurcore.runs.checkpoint import Arrays
from blurcore.runs.progress import TrainingProgress

Labels = np.ndarray[Any, np.dtype[np.int64]]

_MAX_SKIPPED = 10  # steps in a row with a loss or gradient that is not finite, before the run gives up


class Trainer(Protocol):
    """A run in a backend's memory: network, average, optimiser, step."""

    @property
    def backend(self) -> str:
        """Name of the backend."""
        ...

    @property
    def step(self) -> int:
        """Number of steps taken."""
        ...

    def train_step(
        self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any] | None = None
    ) -> tuple[SupportsFloat, SupportsFloat]:
        """Take one step on a batch of uint8 images (batch, *grid, C), or set it going; `labels` (batch,) where there are classes.

        Returns the mean loss of the batch and the norm of its gradient before clipping, which the loop turns into floats
        only after the next step; a step in which either is not finite changes nothing but the step's number.
        """
        ...

    def arrays(self) -> dict[str, Arrays]:
        """Return the groups "model", "ema" and "optimizer" in the layout that the backends share."""
        ...

    def load_arrays(self, groups: dict[str, Arrays], step: int) -> None:
        """Take over what `arrays` of any backend returned; CheckpointError if it is another network's."""
        ...

    def sample(self, settings: SampleConfig, prior: Prior | None) -> np.ndarray[Any, Any]:
        """Draw images with the averaged weights, from noise or from the prior: uint8, (n, *grid, C)."""
        ...


def check_config(config: RunConfig, image_shape: tuple[int, ...]) -> None:
    """Refuse, before any work, what cannot be trained and sampled with these settings.

    Raises
    ------
    ConfigError
        Process, prediction, embedding or sampler do not go together, or TensorBoard is asked for and not installed;
        says what to do.
    """
    shape, process = image_shape[:-1], config.process
    if config.train.tensorboard:
        summary_writer()
    objective_of(config)
    if starts_from_data(process):
        if config.model.embedding == "log_snr":
            raise ConfigError(
                f"model.embedding must be time for {type(process).__name__}, whose log-SNR is constant at DC"
            )
    else:
        first = process.marginal(1.0, shape=shape)
        if float(first.alpha.max()) > 0.1 * float(first.sigma.min()):
            raise ConfigError(
                f"{type(process).__name__} leaves an image in its last state (alpha_1 / sigma_1 ="
                f" {float(first.alpha.max()) / max(float(first.sigma.min()), 1e-300):.3g} at DC), so sampling cannot start from"
                " noise; it needs noise that covers all frequencies at t = 1"
            )
    if config.train.prediction != "residual":
        try:
            check_prediction(process, config.train.prediction, (1.0, 0.5), shape=shape)
        except DegenerateError as error:
            raise ConfigError(str(error)) from None
    check_sampling(config, config.sample, shape)


def run_training(
    config: RunConfig,
    folder: Path,
    make_trainer: Callable[[RunConfig, tuple[int, ...]], Trainer],
    *,
    resume: bool = False,
    leads: bool = True,
    agree: Callable[[bool], bool] = lambda stop: stop,
) -> None:
    """Train a model into a run folder, or go on with the one that is there.

    Parameters
    ----------
    config
        The run's configuration.
    folder
        The run folder; new or empty unless `resume`.
    make_trainer
        Makes the backend's trainer from the configuration and the shape (*grid, C) of the data.
    resume
        Start from the newest complete checkpoint, whichever backend wrote it.
    leads
        Whether this process writes. Where several processes train one model, one leads, and the others keep step.
    agree
        Whether any process wants to stop, from whether this one does; asked before each step.

    Raises
    ------
    ConfigError, DataError, CheckpointError
        Before the first step: the settings, the data or the folder do not serve.
    RunStoppedError
        A signal ended the run, or too many steps in a row were not finite; a checkpoint has been written.
    """
    data = load(config.data)
    check_config(config, data.image_shape)
    labels = _labels(config, len(data))
    prior = None if resume else fit_prior(config, data)  # a run that goes on keeps its own
    with RunFolder(folder, config, resume=resume) if leads else nullcontext() as run:
        loop = _Loop(config, make_trainer(config, data.image_shape), run, data, labels, prior)
        if resume:
            loop.restore(newest_checkpoint(folder))
        loop.run(agree)


class _Loop:
    """A trainer, its data and its folder."""

    def __init__(
        self, config: RunConfig, trainer: Trainer, run: RunFolder | None, data: Dataset, labels: Labels | None, prior: Prior | None
    ) -> None:  # fmt: skip
        self.config, self.trainer, self.folder, self.data, self.prior = config, trainer, run, data, prior
        self.labels = labels
        self.totals = Totals()
        self.saved_at = 0
        self._pending: tuple[SupportsFloat, SupportsFloat] | None = None

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a saved state."""
        if checkpoint.state["data"] != self.data.fingerprint:
            raise CheckpointError(
                f"the data set {self.data.name} has changed since the checkpoint of step {checkpoint.step} was written"
            )
        self.trainer.load_arrays(checkpoint.groups, checkpoint.step)
        self.prior = restore_prior(self.config.process, self.data.image_shape[:-1], checkpoint.groups.get("prior"))
        self.totals = Totals(**checkpoint.state["totals"])
        self.saved_at = checkpoint.step
        if self.folder is not None:
            self.folder.rewind_metrics(checkpoint.step)

    def run(self, agree: Callable[[bool], bool]) -> None:
        """Train to the last step, or to a signal."""
        settings, trainer = self.config.train, self.trainer
        loader = Loader(
            self.data, batch_size=settings.batch_size, seed=self.config.seed, start_step=trainer.step,
            num_workers=settings.num_workers, flip=self.config.data.flip,
        )  # fmt: skip
        with _signals() as received, loader, Scalars(self.folder, settings.tensorboard) as scalars:
            show = self.folder is not None
            with TrainingProgress(total=settings.steps, start=trainer.step, show=show) as progress:
                batches = iter(loader)
                clock = time.perf_counter()
                stop = False
                while trainer.step < settings.steps and not (stop := agree(bool(received))):
                    labels = self._labels(loader.indices(trainer.step))
                    result = trainer.train_step(next(batches)[1], labels)
                    self._count(progress)
                    self._pending = result
                    if self._looks_now():
                        self._count(progress)
                    if trainer.step % settings.log_every == 0 or trainer.step == settings.steps:
                        now = time.perf_counter()
                        self.totals = scalars.write(self.totals, settings, trainer.step, seconds=now - clock)
                        clock = now
                    self._check_progress()
                    if trainer.step < settings.steps:
                        self._now_and_then()
                self._count(progress)
            self._save()
            if received or stop:
                number = received[0] if received else int(signal.SIGTERM)  # another process had the signal
                raise RunStoppedError(
                    f"{signal.Signals(number).name} after step {trainer.step} of {settings.steps}; a checkpoint is written,"
                    " resume to go on",
                    exit_code=128 + number,
                )
        self._draw()

    def _labels(self, indices: np.ndarray[Any, Any]) -> Labels | None:
        """Return the labels of a batch, some of them replaced by the one that says nothing."""
        if self.labels is None:
            return None
        rng = np.random.default_rng(derived_seed(self.config.seed, Stream.LABEL, self.trainer.step))
        hidden = rng.random(len(indices)) < self.config.train.label_dropout
        return np.where(hidden, self.config.model.num_classes, self.labels[indices])

    def _looks_now(self) -> bool:
        """Whether anything is written after this step, which wants its loss."""
        step, settings = self.trainer.step, self.config.train
        every = (settings.log_every, settings.checkpoint_every, settings.sample_every or settings.steps)
        return step == settings.steps or any(step % n == 0 for n in every)

    def _count(self, progress: TrainingProgress) -> None:
        """Count the step that has been set going last, if it has not been counted."""
        if self._pending is not None:
            loss, norm = (float(value) for value in self._pending)
            self._pending = None
            self.totals.add(loss, norm)
            progress.advance(loss, self.config.train.batch_size)

    def _check_progress(self) -> None:
        if self.totals.skipped_in_a_row >= _MAX_SKIPPED:
            raise RunStoppedError(
                f"the loss or the gradient was not finite for {_MAX_SKIPPED} steps in a row, up to step {self.trainer.step};"
                f" the last good checkpoint is that of step {self.saved_at}",
                exit_code=3,
            )

    def _now_and_then(self) -> None:
        step, settings = self.trainer.step, self.config.train
        if settings.sample_every and step % settings.sample_every == 0:
            self._draw()
        if step % settings.checkpoint_every == 0:
            self._save()

    def _save(self) -> None:
        trainer = self.trainer
        state = {
            "image_shape": list(self.data.image_shape), "data": self.data.fingerprint, "totals": self.totals.to_dict(),
            "backend": trainer.backend,
        }  # fmt: skip
        if self.folder is not None:
            prior = {} if self.prior is None else {"prior": self.prior.arrays()}
            checkpoint = Checkpoint(step=trainer.step, groups=trainer.arrays() | prior, state=state)
            save_checkpoint(self.folder.path, checkpoint, keep=self.config.train.keep_checkpoints)
        self.saved_at = trainer.step

    def _draw(self) -> None:
        """Save a grid of samples under the step's number."""
        images = self.trainer.sample(self.config.sample, self.prior)  # by all processes together
        if self.folder is not None:
            save_samples(images, self.folder.path / "samples" / f"step-{self.trainer.step:08d}.png")


def _labels(config: RunConfig, count: int) -> Labels | None:
    """Return the labels of the training data, None for a network without classes.

    Raises
    ------
    ConfigError
        There are labels that the network has no class for.
    DataError
        The data have no labels, or not one for each image.
    """
    classes = config.model.num_classes
    if classes == 0:
        return None
    labels = load_labels(config.data)
    if len(labels) != count:
        raise DataError(f"the data set has {count} images and {len(labels)} labels")
    if labels.max(initial=0) >= classes:
        raise ConfigError(
            f"model.num_classes must be at least {labels.max() + 1}, for the labels of the data; got {classes}"
        )
    return labels


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
