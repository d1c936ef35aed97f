"""The training loop: data in, steps, metrics, checkpoints and samples out; stoppable anywhere.

A step is a function of (configuration, data, weights, step number) and nothing else: the data's order, the times, the
noise and the dropout masks follow from the seed and the step. That is what makes a resumed run equal, to the last bit
on a CPU, to one that was never stopped.
"""

from __future__ import annotations

import hashlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, SupportsFloat

import numpy as np

from blurcore import __version__
from blurcore._signals import Interrupted, Watch, watch_signals
from blurcore._typing import StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data import Dataset, Loader, load, load_labels, save_samples
from blurcore.data.loading import refuse_inside, with_absolute_path
from blurcore.data.values import Samples
from blurcore.engine.metrics import Scalars, Totals, summary_writer, wandb_module
from blurcore.engine.priors import Prior, fit_prior, restore_prior, starts_from_data
from blurcore.engine.quality import Reference, check_evaluation, evaluation_settings
from blurcore.engine.sampling import check_sampling, objective_of
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.errors import CheckpointError, ConfigError, DataError, DegenerateError, RunStoppedError
from blurcore.losses import check_prediction
from blurcore.runs import Checkpoint, RunFolder, newest_checkpoint
from blurcore.runs.checkpoint import Arrays, set_aside_after
from blurcore.runs.files import changed_files
from blurcore.runs.folder import read_files
from blurcore.runs.progress import TrainingProgress
from blurcore.runs.writer import CheckpointWriter

_log = logging.getLogger(__name__)

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

    @property
    def rows(self) -> slice:
        """The part of each batch that this process wants; several processes that train together share a batch."""
        ...

    def arrays(self) -> dict[str, Arrays]:
        """Return the groups "model", "ema" and "optimizer" in the layout that the backends share.

        All processes of a run ask at once; only what the one that writes is given counts.
        """
        ...

    def load_arrays(self, groups: dict[str, Arrays], step: int) -> None:
        """Take over what `arrays` of any backend returned; CheckpointError if it is another network's."""
        ...

    def save_shards(self, path: Path) -> None:
        """Write the three groups into a folder that is not there yet: all processes at once, each its part, done on return."""
        ...

    def load_shards(self, path: Path, step: int) -> None:
        """Take over what `save_shards` of this backend wrote, on any number of processes; CheckpointError as above."""
        ...

    def sample(self, settings: SampleConfig, prior: Prior | None) -> Samples:
        """Draw images with the averaged weights, from noise or from the prior."""
        ...


def check_config(config: RunConfig, image_shape: tuple[int, ...]) -> None:
    """Refuse, before any work, what cannot be trained and sampled with these settings.

    Raises
    ------
    ConfigError
        Process, prediction, embedding or sampler do not go together, or TensorBoard or W&B is asked for and not installed;
        says what to do.
    """
    shape, process = image_shape[:-1], config.process
    if config.train.tensorboard:
        summary_writer()
    if config.train.wandb:
        wandb_module()
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
    if config.train.evaluate_every:
        check_evaluation(config, image_shape)


def run_training(
    config: RunConfig,
    folder: StrPath,
    make_trainer: Callable[[RunConfig, tuple[int, ...]], Trainer],
    *,
    resume: bool = False,
    leads: bool = True,
    agree: Callable[[int], int] | None = None,
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
        The number of the signal that any process has received, 0 for none, from that which this one has; asked before each
        step. None: there is only one process, which may leave the drawing of samples in the middle.

    Raises
    ------
    ConfigError, DataError, CheckpointError
        Before the first step: the settings, the data or the folder do not serve, or the folder lies inside the data.
    CheckpointError
        A checkpoint or the metrics cannot be written.
    RunStoppedError
        A signal ended the run, or too many steps in a row were not finite; a checkpoint has been written.
    """
    folder = Path(folder)
    config = replace(config, data=with_absolute_path(config.data))  # for later commands, wherever they are given
    refuse_inside(config.data, folder)
    run = RunFolder(folder, config, resume=resume) if leads else None
    data = load(config.data)
    check_config(config, data.image_shape)
    labels = _labels(config, len(data))
    prior = None if resume else fit_prior(config, data)  # a run that goes on keeps its own
    reference = Reference(data) if leads and config.train.evaluate_every else None
    trainer = make_trainer(config, data.image_shape)
    # From here on there is a folder, and a signal leaves a checkpoint in it.
    with watch_signals(ends=False) as watch, run or nullcontext():
        loop = _Loop(config, trainer, run, folder, data, labels, prior, reference)
        before = trainer.backend
        if resume:
            checkpoint = newest_checkpoint(folder, reader=trainer.backend)
            before = checkpoint.state["backend"]
            loop.restore(checkpoint)
        with Scalars(run, config.train, num_images=len(data), kept=loop.kept) as scalars:
            if run is not None:
                _say_what_trains(trainer.backend, before, data)
                if loop.kept is not None:  # nothing is refused any more
                    run.take_over(loop.kept)
                else:
                    run.write_files(data.files)
            loop.run(scalars, watch, agree)


class _Loop:
    """A trainer, its data and its folder."""

    def __init__(
        self, config: RunConfig, trainer: Trainer, run: RunFolder | None, path: Path, data: Dataset, labels: Labels | None,
        prior: Prior | None, reference: Reference | None,
    ) -> None:  # fmt: skip
        self.config, self.trainer, self.folder, self.data, self.prior = config, trainer, run, data, prior
        self.path, self.labels, self.reference = path, labels, reference
        self.totals = Totals()
        self.kept: int | None = None  # the last step whose scalars stay, of a run that goes on
        self.writer: CheckpointWriter | None = None
        self._saved_at: int | None = None  # the last step of which there is, or is about to be, a checkpoint
        self._due = False  # a checkpoint waits for a step that is not skipped
        self._pending: tuple[SupportsFloat, SupportsFloat] | None = None

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a saved state; nothing is written before it has been accepted."""
        self._check_data(checkpoint)
        self.prior = restore_prior(self.config.process, self.data.image_shape[:-1], checkpoint.groups.get("prior"))
        self.totals = Totals.from_dict(checkpoint.state["totals"])
        if checkpoint.shards is not None:
            self.trainer.load_shards(checkpoint.shards, checkpoint.step)
        else:
            self.trainer.load_arrays(checkpoint.groups, checkpoint.step)
        self._saved_at = checkpoint.step
        # What the last step of a run of fewer steps said comes again, in the mean that it was a part of.
        self.kept = checkpoint.step - (self.totals.count > 0)

    def _check_data(self, checkpoint: Checkpoint) -> None:
        before, now = checkpoint.state, self._data_state()
        changed = [f"{k}: {before.get(k)!r} -> {v!r}" for k, v in now.items() if before.get(k) != v]
        if changed:
            if "images" in before and before["images"] != len(self.data):
                changed.insert(0, f"{before['images']} images -> {len(self.data)}")
            files = changed_files(read_files(self.path), self.data.files)
            raise CheckpointError(
                f"the data set {self.data.name} has changed since the checkpoint of step {checkpoint.step} was written:"
                f" {'; '.join([*files, *changed])}"
            )

    def _data_state(self) -> dict[str, Any]:
        """Return what a checkpoint says of the data: the shape and hash of the images, and of the labels that are trained on."""
        state = {"image_shape": list(self.data.image_shape), "data": self.data.fingerprint}
        return state if self.labels is None else state | {"labels": hashlib.sha256(self.labels.tobytes()).hexdigest()}

    def run(self, scalars: Scalars, watch: Watch, agree: Callable[[int], int] | None) -> None:
        """Train to the last step, or to a signal."""
        settings, trainer = self.config.train, self.trainer
        self.alone = agree is None
        agree = agree or int
        loader = Loader(
            self.data, batch_size=settings.batch_size, seed=self.config.seed, start_step=trainer.step,
            num_workers=settings.num_workers, flip=self.config.data.flip, rows=trainer.rows,
        )  # fmt: skip
        with loader, self._writing() as self.writer:
            if self._saved_at is not None and self.folder is not None:
                set_aside_after(self.folder.path, self._saved_at)
            if self._saved_at is None:
                self._save()  # what is killed before its first interval can be resumed too,
                if self.writer is not None:
                    self.writer.wait()  # and a disk that is too small shows before the first step
            self._train(loader, scalars, watch, agree)
            self._save()
        if number := agree(watch.number or 0):
            raise RunStoppedError(
                f"{signal.Signals(number).name} after step {trainer.step} of {settings.steps}; a checkpoint is written,"
                " resume to go on",
                exit_code=128 + number,
            )
        self._draw(watch)
        if number := agree(watch.number or 0):
            raise RunStoppedError(
                f"{signal.Signals(number).name} after the last step; a checkpoint is written, resume to draw samples",
                exit_code=128 + number,
            )

    def _train(self, loader: Loader, scalars: Scalars, watch: Watch, agree: Callable[[int], int]) -> None:
        """Take the steps that are left, or those before a signal."""
        settings, trainer = self.config.train, self.trainer
        with TrainingProgress(total=settings.steps, start=trainer.step, show=self.folder is not None) as progress:
            batches = iter(loader)
            clock = time.perf_counter()
            while trainer.step < settings.steps and not agree(watch.number or 0):
                labels = self._labels(loader.indices(trainer.step))
                result = trainer.train_step(next(batches)[1], labels)
                self._count(progress)
                self._pending = result
                self._due |= trainer.step % settings.checkpoint_every == 0
                if self._looks_now():
                    self._count(progress)
                evaluates = settings.evaluate_every > 0 and trainer.step % settings.evaluate_every == 0
                in_turn = evaluates or trainer.step % settings.log_every == 0
                if in_turn or trainer.step == settings.steps:
                    seconds = time.perf_counter() - clock
                    distances = self._evaluate(watch) if evaluates else {}
                    fresh = scalars.write(self.totals, settings, trainer.step, seconds=seconds, distances=distances)
                    # What a last step says out of turn is part of the next mean, should the run go on.
                    self.totals = fresh if in_turn else self.totals
                    clock = time.perf_counter()
                self._check_progress()
                if trainer.step < settings.steps:
                    self._now_and_then(watch)
            self._count(progress)

    def _labels(self, indices: np.ndarray[Any, Any]) -> Labels | None:
        """Return the labels of a batch, some of them replaced by the one that says nothing."""
        if self.labels is None:
            return None
        rng = np.random.default_rng(derived_seed(self.config.seed, Stream.LABEL, self.trainer.step))
        hidden = rng.random(len(indices)) < self.config.train.label_dropout
        return np.where(hidden, self.config.model.num_classes, self.labels[indices])[self.trainer.rows]

    def _looks_now(self) -> bool:
        """Whether anything is written after this step, which wants its loss."""
        step, settings = self.trainer.step, self.config.train
        every = (settings.log_every, settings.sample_every or settings.steps, settings.evaluate_every or settings.steps)
        return self._due or step == settings.steps or any(step % n == 0 for n in every)

    def _count(self, progress: TrainingProgress) -> None:
        """Count the step that has been set going last, if it has not been counted."""
        if self._pending is not None:
            loss, norm = (float(value) for value in self._pending)
            self._pending = None
            self.totals.add(loss, norm)
            progress.advance(loss, self.config.train.batch_size)

    def _check_progress(self) -> None:
        if self.writer is not None:
            self.writer.check()
        if self.totals.skipped_in_a_row >= _MAX_SKIPPED:
            raise RunStoppedError(
                f"the loss or the gradient was not finite for {_MAX_SKIPPED} steps in a row, up to step {self.trainer.step};"
                f" the last good checkpoint is that of step {self._saved_at}",
                exit_code=3,
            )

    def _now_and_then(self, watch: Watch) -> None:
        step, settings = self.trainer.step, self.config.train
        # In a row of skipped steps no checkpoint is written, which would push the good ones out.
        if self._due and self.totals.skipped_in_a_row == 0:
            self._save()
        if settings.sample_every and step % settings.sample_every == 0:
            with self._saved_first():
                self._draw(watch)

    @contextmanager
    def _saved_first(self) -> Iterator[None]:
        """Save the steps that have been taken before an error goes on in what a run could do without."""
        try:
            yield
        except Exception:
            if self.alone and self.totals.skipped_in_a_row == 0:  # with others, all of them would have to save
                self._save()
            raise

    def _writing(self) -> AbstractContextManager[CheckpointWriter | None]:
        if self.folder is None:
            return nullcontext()
        return CheckpointWriter(self.folder.path, keep=self.config.train.keep_checkpoints)

    def _save(self) -> None:
        """Set the checkpoint of this step going, unless there is one."""
        self._due = False
        if self._saved_at == self.trainer.step:
            return
        trainer = self.trainer
        state = {
            **self._data_state(),
            "images": len(self.data),
            "left_out": dict(self.data.left_out),
            "totals": self.totals.to_dict(),
            "backend": trainer.backend,
            "version": __version__,
        }
        if self.writer is not None:
            self.writer.wait()  # before the arrays are copied: one copy in memory, not two
        shards = self.path / "checkpoints" / f".partial-shards-{trainer.step:08d}"
        if sharded := self.config.train.sharded_checkpoints:
            trainer.save_shards(shards)
        groups = {} if sharded else trainer.arrays()
        if self.writer is not None:
            prior = {} if self.prior is None else {"prior": self.prior.arrays()}
            checkpoint = Checkpoint(trainer.step, groups | prior, state, shards if sharded else None)
            self.writer.save(checkpoint)
        self._saved_at = trainer.step

    def _draw(self, watch: Watch) -> None:
        """Save a grid of samples under the step's number."""
        samples = self._sample(self.config.sample, watch)
        if samples is not None and self.folder is not None:
            if samples.lost:
                _log.warning("step %d: %s", self.trainer.step, samples.lost)
            save_samples(samples.images, self.folder.path / "samples" / f"step-{self.trainer.step:08d}.png")

    def _evaluate(self, watch: Watch) -> dict[str, float]:
        """Return how far samples are from the training images; nothing where a signal came between, or another process leads."""
        with self._saved_first():
            samples = self._sample(evaluation_settings(self.config), watch)
            if samples is None or self.reference is None:
                return {}
            if samples.lost:
                _log.warning("step %d: %s, and left out of the curve", self.trainer.step, samples.lost)
            return self.reference.distances(samples)

    def _sample(self, settings: SampleConfig, watch: Watch) -> Samples | None:
        """Draw samples by all processes together; a signal ends it where there is no other process, and None is returned."""
        try:
            with watch.ending() if self.alone else nullcontext():
                return self.trainer.sample(settings, self.prior)
        except Interrupted:
            return None


def _say_what_trains(backend: str, before: str, data: Dataset) -> None:
    """Say which backend trains, which one did before where it is another, and on what: nothing else shows too few images."""
    trains = f"training with {backend}" + ("" if backend == before else f", where {before} did before,")
    count, shape = len(data), " x ".join(map(str, data.image_shape))
    images = f"{count:,} image{'' if count == 1 else 's'}"
    print(f"{trains} on {images}, {shape}: {data.source}", file=sys.stderr, flush=True)


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
