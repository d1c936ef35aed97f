"""Batches for the training loop, read ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import numpy.typing as npt

from blurcore._checks import require
from blurcore.data.dataset import Dataset
from blurcore.data.order import Order, apply_flips, flips
from blurcore.errors import DataError, UnreadableDataError

_AHEAD = 2  # batches read ahead for each worker


class Loader:
    """Batches of a data set, step after step from any step.

    The batch of a step depends on the data set, `batch_size`, `seed`, `flip` and the step, not on `num_workers` and
    not on the steps before it. Use it in a `with` statement, or call :meth:`close`, to end the threads.

    Parameters
    ----------
    dataset
        The images.
    batch_size
        Images in a batch, at least 1.
    seed
        Seed of order and flips, 0 or more.
    start_step, stop_step
        The first step, and the one before which iteration ends (None: never).
    num_workers
        Threads that read ahead; 0 reads when a batch is asked for.
    flip
        Mirror each image with probability 1/2, left to right.
    rows
        The part of each batch to read; by default all of it.

    Yields
    ------
    (step, batch), the batch uint8 (batch_size, H, W, C), or its `rows`, and the caller's own.

    Raises
    ------
    ArgumentError
        An argument is out of its range.
    UnreadableDataError
        While iterating: a batch cannot be read, with the step and the cause.
    DataError
        While iterating: the loader is closed.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        stop_step: int | None = None,
        num_workers: int = 0,
        flip: bool = False,
        rows: slice = slice(None),
    ) -> None:
        require(start_step >= 0, "start_step", start_step, "0 or more")
        require(stop_step is None or stop_step >= start_step, "stop_step", stop_step, f"None, or {start_step} or more")
        require(num_workers >= 0, "num_workers", num_workers, "0 or more")
        self.dataset, self.flip, self.rows = dataset, flip, rows
        self.start_step, self.stop_step = start_step, stop_step
        self._order = Order(len(dataset), batch_size, seed)
        self._num_workers = num_workers
        self._pool = ThreadPoolExecutor(num_workers, thread_name_prefix="blurcore-loader") if num_workers else None
        self._closed = False

    def __iter__(self) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """Iterate from `start_step`; each call starts anew."""
        ahead: deque[Future[npt.NDArray[np.uint8]]] = deque()
        step = submitted = self.start_step
        try:
            while self.stop_step is None or step < self.stop_step:
                self._refuse_closed()
                if self._pool is None:
                    yield step, self._read(step, self._order.batch(step))
                else:
                    while len(ahead) < _AHEAD * self._num_workers and submitted != self.stop_step:
                        ahead.append(self._pool.submit(self._read, submitted, self._order.batch(submitted)))
                        submitted += 1
                    yield step, ahead.popleft().result()
                step += 1
        finally:
            for future in ahead:
                future.cancel()

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        """Return which images the batch of a step is made of, (batch_size,)."""
        return self._order.batch(step)

    def close(self) -> None:
        """Stop the threads after the batches being read; queued batches are dropped. Closing twice does nothing."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Loader:
        self._refuse_closed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise DataError("the loader is closed; make a new one to read more batches")

    def _read(self, step: int, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        try:
            batch = self.dataset[indices[self.rows]]
        except Exception as error:
            cause = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            raise UnreadableDataError(f"the batch of step {step} cannot be read: {cause}") from error
        return apply_flips(batch, flips(self._order.seed, step, len(indices))[self.rows]) if self.flip else batch
