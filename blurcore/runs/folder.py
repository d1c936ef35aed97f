"""Opening a run folder, for one process at a time."""

from __future__ import annotations

import errno
import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from blurcore._typing import StrPath
from blurcore.config import RunConfig
from blurcore.errors import CheckpointError, ConfigError
from blurcore.runs.checkpoint import complete_checkpoints, is_for_sampling, remove_leftovers
from blurcore.runs.config_file import read_config, write_config
from blurcore.runs.files import is_occupied, replace_text, sync, why_unwritable
from blurcore.serial import to_dict

# What may change between a run and its continuation, because it does not change the weights of any step.
_FREE = {
    "backend",
    "device",
    "sample",
    "data.path",
    "data.strict",
    "train.steps",
    "train.log_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.num_workers",
    "train.tensorboard",
    "train.wandb",
    "train.gradient_checkpointing",
    "train.parallel",
    "train.sharded_checkpoints",
    "train.evaluate_every",
    "train.evaluate_samples",
}
_PARTS = ("checkpoints", "samples")
_FILES = "data.json"
_MADE = ("config.toml", _FILES, "metrics.jsonl", "run.lock", *_PARTS, "tensorboard", "wandb")
_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)
"""What a lock that another process has is called; anything else says that the file system has no locks."""
_log = logging.getLogger(__name__)


def _flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat.update(_flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat


def _is_free(name: str, config: RunConfig) -> bool:
    if name == "train.steps" and config.train.schedule != "constant":
        return False  # the learning rate of every step depends on the last one
    return any(name == free or name.startswith(f"{free}.") for free in _FREE)


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """Return the settings that differ and decide what the weights become, as "name: old -> new"."""
    before, after = _flatten(to_dict(old)), _flatten(to_dict(new))
    names = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k) and not _is_free(k, new))
    return [f"{name}: {before.get(name)!r} -> {after.get(name)!r}" for name in names]


class RunFolder:
    """A run folder: looked at when it is made, held for writing within a `with` statement.

    A run that fails before its first checkpoint leaves nothing behind that would be in the way of the next one.

    Parameters
    ----------
    path
        The folder; made on entering if it is not there.
    config
        The configuration of the run.
    resume
        Go on with the run that is there.

    Raises
    ------
    ConfigError
        There is a run already and `resume` is off, there is none and it is on, or the configuration differs from the
        run's in a setting that decides what the weights become (all are listed), the run was exported for sampling alone, or
        the run has no checkpoint to resume from, or the folder cannot be written.
    CheckpointError
        On entering: another process is writing there.
    """

    def __init__(self, path: StrPath, config: RunConfig, *, resume: bool) -> None:
        self.path, self.config, self.resume = Path(path), config, resume
        self._check()

    def _check(self) -> None:
        """Refuse, without changing anything, a folder that does not serve."""
        exists = (self.path / "config.toml").is_file()
        if self.resume and not exists:
            raise ConfigError(f"there is nothing to resume in {self.path}: it has no config.toml")
        if not self.resume and is_occupied(self.path):
            raise ConfigError(f"{self.path} is not empty: resume the run that is there, or choose another folder")
        if self.resume and (changed := differences(read_config(self.path / "config.toml"), self.config)):
            raise ConfigError(f"the run in {self.path} has another configuration: {'; '.join(changed)}")
        if self.resume and is_for_sampling(self.path):
            raise ConfigError(
                f"the run in {self.path} cannot be resumed: it was exported without the last weights and the optimiser's state;"
                " resume the run that it was made of"
            )
        if self.resume and not complete_checkpoints(self.path):
            raise ConfigError(f"there is nothing to resume in {self.path}: it has no checkpoint")
        if (reason := why_unwritable(self.path)) is not None:
            raise ConfigError(f"cannot write to the run folder {self.path}: {reason}")

    def __enter__(self) -> RunFolder:
        self._check()  # again: preparing the run may have taken minutes
        self._new = not self.path.exists()
        with self._writing():
            for part in _PARTS:
                (self.path / part).mkdir(parents=True, exist_ok=True)
            self._lock = self._take_lock()
            try:
                self._prepare()
            except BaseException:
                self._lock.close()
                raise
        return self

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(f"cannot write to the run folder {self.path}: {error.strerror or error}") from None

    def _prepare(self) -> None:
        remove_leftovers(self.path)
        if not self.resume:
            self._write_config()

    def _write_config(self) -> None:
        write_config(self.config, self.path / "config.toml")
        for folder in (self.path, self.path.parent):
            sync(folder)

    def write_files(self, files: Mapping[str, str]) -> None:
        """Keep the hashes of the image files, so that a resume can name those that have changed; nothing where there are none."""
        if files:
            with self._writing():
                replace_text(self.path / _FILES, json.dumps(dict(files), indent=0) + "\n")

    def take_over(self, step: int) -> None:
        """Give a run that goes on its new configuration, which nothing refuses any more, and take its metrics back to a step."""
        with self._writing():
            self._write_config()
        self._rewind_metrics(step)

    def _take_lock(self) -> IO[str]:
        """Lock the folder, where its file system has locks; the lock goes with the process, however it ends."""
        lock = (self.path / "run.lock").open("a", encoding="utf-8")
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            return lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                lock.close()
                raise CheckpointError(f"another process is writing to {self.path}") from None
            _log.warning(
                "the file system of %s has no locks (%s): see to it that no second process trains there",
                self.path,
                error.strerror or error,
            )
        return lock

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self.resume and not complete_checkpoints(self.path):
            self._unmake()
        self._lock.close()

    def _unmake(self) -> None:
        """Remove what a run without a checkpoint has made, which could neither be resumed nor begun again."""
        for name in _MADE:
            part = self.path / name
            shutil.rmtree(part, ignore_errors=True)
            with suppress(OSError):
                part.unlink(missing_ok=True)
        if self._new:
            with suppress(OSError):
                self.path.rmdir()

    @property
    def metrics_path(self) -> Path:
        """Where the metrics are."""
        return self.path / "metrics.jsonl"

    def log(self, **values: float | int | str | None) -> None:
        """Append one line of metrics; what is not finite becomes null, which JSON has."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        with self._writing_metrics(), self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(clean) + "\n")

    def _rewind_metrics(self, step: int) -> None:
        """Drop the lines after a step (and lines cut short), so that no step appears twice after resuming."""
        if not self.metrics_path.exists():
            return
        kept = [line for line in read_metrics(self.metrics_path) if line.get("step", 0) <= step]
        with self._writing_metrics():
            replace_text(self.metrics_path, "".join(json.dumps(line) + "\n" for line in kept))

    @contextmanager
    def _writing_metrics(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CheckpointError(f"cannot write the metrics {self.metrics_path}: {error.strerror or error}") from error


def read_files(folder: StrPath) -> dict[str, str]:
    """Return the hashes of the image files that a run was begun with, by their paths; empty where they are not known."""
    try:
        found = json.loads((Path(folder) / _FILES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_metrics(path: StrPath) -> list[dict[str, Any]]:
    """Return the metrics of a run, skipping lines that were cut short."""
    lines = []
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):  # a line cut to "1" is JSON too
            lines.append(values)
    return lines
