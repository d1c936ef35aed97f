"""Checkpoints written while training goes on: one thread, one checkpoint at a time."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from blurcore.errors import CheckpointError
from blurcore.runs.checkpoint import Checkpoint, save_checkpoint

_log = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes checkpoints in the background; a context manager that waits for the last one.

    Parameters
    ----------
    folder
        The run folder.
    keep
        How many checkpoints to leave.

    Raises
    ------
    CheckpointError
        From `check`, `save`, `wait` or on leaving, whichever is next: the checkpoint before could not be written.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self._folder, self._keep = folder, keep
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="blurcore-checkpoint")
        self._pending: Future[Path] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Start writing a checkpoint whose arrays are not modified any more, after waiting for the previous one."""
        self.wait()
        self._pending = self._pool.submit(save_checkpoint, self._folder, checkpoint, keep=self._keep)

    def check(self) -> None:
        """Raise what has gone wrong, without waiting."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the checkpoint is on the disk."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except CheckpointError as failed:
            if error is None:
                raise
            _log.warning("%s", failed)  # the error that ends the run is the one to report
        finally:
            self._pool.shutdown()
