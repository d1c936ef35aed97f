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
from blurcore.data import Dataset, Loader, save_samples
from blurcore.data.values import Samples
from blurcore.engine.log import Scalars, Totals, summary_writer, wandb_module
from blurcore.engine.nesting import check_sizes, choose_sizes, kept_sizes, restore_sizes
from blurcore.engine.priors import fit_prior, restore_prior, start_of
from blurcore.engine.sampling import check_sampling, objective_of
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.errors import ArgumentError, CheckpointError, ConfigError, DataError, DegenerateError, RunStoppedError
from blurcore.runs import Checkpoint, RunFolder, newest_checkpoint
from blurcore.runs.checkpoint import Arrays, set_aside_after
from blurcore.runs.files import changed_files
from blurcore.runs.folder import read_files
from blurcore.runs.progress import TrainingProgress
from blurcore.runs.writer import CheckpointWriter
from blurcore.starts import Prior, leaves_image

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
        """Take one step, or launch it, on uint8 images (batch, *grid, C); `labels` (batch,) for networks with classes.

        Returns the mean loss of the batch and the norm of its gradient before clipping, which the loop turns into floats
        only after the next step; a step in which either is not finite changes nothing but the step's number.
        """
        ...

    @property
    def rows(self) -> slice:
        """The rows of each batch for this process; processes that train together share a batch."""
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


class Curve(Protocol):
    """The training images, as samples are compared with them on the way."""

    def distances(self, samples: Samples) -> dict[str, float]:
        """Return the distances of samples to them, by name."""
        ...


def no_curve(config: RunConfig, data: Dataset, leads: bool) -> Curve | None:
    """Return None: samples are drawn, and compared with nothing."""
    del config, data, leads
    return None


def evaluation_settings(config: RunConfig) -> SampleConfig:
    """Return the sampling settings of a run's curve: those of its grids, with the number of samples of the curve and all classes."""
    return replace(config.sample, num_samples=config.train.evaluate_samples, label=None, vary="all")


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
    try:
        objective_of(config).check(shape)
    except (ArgumentError, DegenerateError) as error:
        raise ConfigError(str(error)) from None
    if config.model.embedding == "log_snr" and leaves_image(process, shape):
        raise ConfigError(f"model.embedding must be time for {type(process).__name__}, whose log-SNR is constant at DC")
    check_sampling(config, config.sample, shape)


def run_training(
    config: RunConfig,
    folder: StrPath,
    make_trainer: Callable[[RunConfig, tuple[int, ...]], Trainer],
    *,
    resume: bool = False,
    leads: bool = True,
    agree: Callable[[int], int] | None = None,
    make_curve: Callable[[RunConfig, Dataset, bool], Curve | None] = no_curve,
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
    make_curve
        Makes what samples are compared with on the way, from the configuration, the data and `leads`, where
        `train.evaluate_every` asks for it: :func:`blurcore.measure.curve_of`.

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
    config = replace(config, data=config.data.absolute())  # for later commands, wherever they are given
    config.data.refuse_inside(folder)
    run = RunFolder(folder, config, resume=resume) if leads else None
    data = config.data.load()
    check_config(config, data.image_shape)
    labels = _labels(config, data)
    grid = data.image_shape[:-1]
    config = restore_sizes(config, newest_checkpoint(folder, groups=()).state) if resume else choose_sizes(config, data)
    check_sizes(config, config.sample, grid)
    if leads and config.sample.start is None and leaves_image(config.process, grid):
        start, process = (type(kind).__name__ for kind in (start_of(config, config.sample, grid), config.process))
        print(f"start: {start}, because {process} leaves an image at t = 1", file=sys.stderr)
    prior = None if resume else fit_prior(config, data)  # a run that goes on keeps its own
    curve = make_curve(config, data, leads) if config.train.evaluate_every else None
    trainer = make_trainer(config, data.image_shape)
    # From here on there is a folder, and a signal leaves a checkpoint in it.
    with watch_signals(ends=False) as watch, run or nullcontext():
        loop = _Loop(config, trainer, run, folder, data, labels, prior, curve)
        before = trainer.backend
        if resume:
            checkpoint = newest_checkpoint(folder, reader=trainer.backend)
            before = checkpoint.state["backend"]
            loop.restore(checkpoint)
        with Scalars(run, config.train, num_images=len(data), kept=loop.kept) as scalars:
            if run is not None:
                _say_what_trains(trainer.backend, before, data)
                if words := config.resolution.words(grid):
                    print(f"sizes: {words}", file=sys.stderr, flush=True)
                if loop.kept is not None:  # nothing is refused any more
                    run.take_over(loop.kept)
                else:
                    run.write_files(data.files)
            loop.run(scalars, watch, agree)


class _Loop:
    """A trainer, its data and its folder."""

    def __init__(
        self,
        config: RunConfig,
        trainer: Trainer,
        run: RunFolder | None,
        path: Path,
        data: Dataset,
        labels: Labels | None,
        prior: Prior | None,
        curve: Curve | None,
    ) -> None:
        self.config, self.trainer, self.folder, self.data, self.prior = config, trainer, run, data, prior
        self.path, self.labels, self.curve = path, labels, curve
        self.totals = Totals()
        self.kept: int | None = None  # the last step whose scalars stay, of a run that goes on
        self.writer: CheckpointWriter | None = None
        self._saved_at: int | None = None  # the last step of which there is, or is about to be, a checkpoint
        self._due = False  # a checkpoint waits for a step that is not skipped
        self._pending: tuple[SupportsFloat, SupportsFloat] | None = None

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a saved state; nothing is written before it has been accepted."""
        self._check_data(checkpoint)
        self.prior = restore_prior(
            self.config, self.config.sample, self.data.image_shape, checkpoint.groups.get("prior")
        )
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
        """Return the checkpoint's entry for the data: shape and hash of the images, and hash of the labels in use."""
        state = {"image_shape": list(self.data.image_shape), "data": self.data.fingerprint}
        return state if self.labels is None else state | {"labels": hashlib.sha256(self.labels.tobytes()).hexdigest()}

    def run(self, scalars: Scalars, watch: Watch, agree: Callable[[int], int] | None) -> None:
        """Train to the last step, or to a signal."""
        settings, trainer = self.config.train, self.trainer
        self.alone = agree is None
        agree = agree or int
        loader = Loader(
            self.data,
            batch_size=settings.batch_size,
            seed=self.config.seed,
            start_step=trainer.step,
            num_workers=settings.num_workers,
            flip=self.config.data.flip,
            rows=trainer.rows,
        )
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
        """Return the labels of a batch, some replaced by the null label of classifier-free guidance."""
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
        """Add the step that was launched last to the totals, unless it has been added."""
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
        """Save a checkpoint before an error in an optional part of a run is raised."""
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
        """Start writing the checkpoint of this step, unless it exists."""
        self._due = False
        if self._saved_at == self.trainer.step:
            return
        trainer = self.trainer
        state = {
            **self._data_state(),
            **kept_sizes(self.config, self.data.image_shape[:-1]),
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
            if samples is None or self.curve is None:
                return {}
            if samples.lost:
                _log.warning("step %d: %s, and left out of the curve", self.trainer.step, samples.lost)
            return self.curve.distances(samples)

    def _sample(self, settings: SampleConfig, watch: Watch) -> Samples | None:
        """Draw samples by all processes together; a signal ends it where there is no other process, and None is returned."""
        try:
            with watch.ending() if self.alone else nullcontext():
                return self.trainer.sample(settings, self.prior)
        except Interrupted:
            return None


def _say_what_trains(backend: str, before: str, data: Dataset) -> None:
    """Print the backend, the one that trained before if it was another, and the number of images."""
    trains = f"training with {backend}" + ("" if backend == before else f", where {before} did before,")
    count, shape = len(data), " x ".join(map(str, data.image_shape))
    images = f"{count:,} image{'' if count == 1 else 's'}"
    print(f"{trains} on {images}, {shape}: {data.source}", file=sys.stderr, flush=True)


def _labels(config: RunConfig, data: Dataset) -> Labels | None:
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
    labels = data.labels()
    if labels is None:
        raise DataError(
            f"the data set {data.name} has no labels, which model.num_classes = {classes} asks for; 0 is for data without"
        )
    if len(labels) != len(data):
        raise DataError(f"the data set has {len(data)} images and {len(labels)} labels")
    if labels.max(initial=0) >= classes:
        raise ConfigError(
            f"model.num_classes must be at least {labels.max() + 1}, for the labels of the data; got {classes}"
        )
    return labels
