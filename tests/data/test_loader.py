from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from blurcore.data import ArrayDataset, Loader, Order, apply_flips, flips
from blurcore.errors import ArgumentError, DataError

IMAGES = np.random.default_rng(0).integers(0, 256, size=(10, 4, 5, 3), dtype=np.uint8)
DATA = ArrayDataset(IMAGES)


class Slow(ArrayDataset):
    """Later batches are ready before earlier ones."""

    def __getitem__(self, indices):
        time.sleep(0.002 * (int(np.sum(indices)) % 5))
        return super().__getitem__(indices)


class Broken(ArrayDataset):
    error: Exception = DataError("the image 'x.png' cannot be read: it is gone")
    reads = 0

    def __getitem__(self, indices):
        self.reads += 1
        if self.reads > 2:
            raise self.error
        return super().__getitem__(indices)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("blurcore-loader")]


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_loader_gives_the_batches_of_the_stateless_order(num_workers, flip):
    with Loader(DATA, batch_size=4, seed=5, num_workers=num_workers, flip=flip) as loader:
        for expected_step, (step, batch) in enumerate(itertools.islice(loader, 12)):
            expected = IMAGES[Order(10, 4, 5).batch(step)]
            expected = apply_flips(expected, flips(5, step, 4)) if flip else expected
            assert step == expected_step
            assert batch.dtype == np.uint8
            np.testing.assert_array_equal(batch, expected)


def test_order_of_batches_does_not_depend_on_which_thread_is_first():
    slow = Slow(IMAGES)
    with Loader(slow, batch_size=3, seed=0, num_workers=4, stop_step=40) as loader:
        found = list(loader)
    assert [step for step, _ in found] == list(range(40))
    for step, batch in found:
        np.testing.assert_array_equal(batch, IMAGES[Order(10, 3, 0).batch(step)])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_starts_at_any_step(num_workers):
    with Loader(DATA, batch_size=4, seed=1, stop_step=9) as whole:
        expected = list(whole)
    with Loader(DATA, batch_size=4, seed=1, start_step=6, stop_step=9, num_workers=num_workers) as resumed:
        found = list(resumed)
    assert [step for step, _ in found] == [6, 7, 8]
    for (_, batch), (_, other) in zip(found, expected[6:], strict=True):
        np.testing.assert_array_equal(batch, other)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_iterates_anew_each_time(num_workers):
    with Loader(DATA, batch_size=4, seed=1, stop_step=3, num_workers=num_workers) as loader:
        first, second = list(loader), list(loader)
    for (_, batch), (_, other) in zip(first, second, strict=True):
        np.testing.assert_array_equal(batch, other)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_without_steps_gives_nothing(num_workers):
    with Loader(DATA, batch_size=4, seed=1, start_step=3, stop_step=3, num_workers=num_workers) as loader:
        assert list(loader) == []


def test_loader_repeats_a_set_smaller_than_a_batch():
    with Loader(ArrayDataset(IMAGES[:3]), batch_size=7, seed=0, stop_step=3) as loader:
        rows = np.concatenate([batch for _, batch in loader])
    counts = [int((rows == image).all(axis=(1, 2, 3)).sum()) for image in IMAGES[:3]]
    assert counts == [7, 7, 7]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (DataError("the image 'x.png' cannot be read: it is gone"), "the image 'x.png' cannot be read: it is gone"),
        (OSError(5, "Input/output error"), r"OSError: \[Errno 5\] Input/output error"),
    ],
)
def test_error_of_a_worker_reaches_the_consumer_with_step_and_cause(num_workers, error, cause):
    broken = Broken(IMAGES)
    broken.error = error
    got = []

    def consume():
        with Loader(broken, batch_size=4, seed=0, num_workers=num_workers) as loader:
            got.extend(step for step, _ in loader)

    with pytest.raises(DataError, match=rf"the batch of step \d+ cannot be read: {cause}") as caught:
        consume()
    assert caught.value.__cause__ is error
    assert got == list(range(len(got)))
    assert not threads()


def test_threads_end_when_the_loader_is_closed():
    loader = Loader(DATA, batch_size=4, seed=0, num_workers=3)
    steps = iter(loader)
    next(steps)
    assert threads()
    loader.close()
    loader.close()
    assert not threads()
    with pytest.raises(DataError, match="the loader is closed"):
        next(steps)
    with pytest.raises(DataError, match="the loader is closed"):
        next(iter(loader))
    with pytest.raises(DataError, match="the loader is closed"), loader:
        pass


def test_threads_end_when_the_consumer_stops_early_or_fails():
    def consume():
        with Loader(DATA, batch_size=4, seed=0, num_workers=2) as loader:
            for step, _ in loader:
                assert threads()
                1 // step

    with pytest.raises(ZeroDivisionError):
        consume()
    assert not threads()


def test_loader_reads_a_bounded_number_of_batches_ahead():
    class Counting(ArrayDataset):
        reads = 0

        def __getitem__(self, indices):
            self.reads += 1
            return super().__getitem__(indices)

    data = Counting(IMAGES)
    with Loader(data, batch_size=2, seed=0, num_workers=2) as loader:
        steps = iter(loader)
        next(steps)
        time.sleep(0.05)
        assert data.reads <= 4


def test_batches_belong_to_the_caller():
    with Loader(DATA, batch_size=10, seed=0, stop_step=2) as loader:
        for _, batch in loader:
            batch[...] = 0
    np.testing.assert_array_equal(DATA[:], IMAGES)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer, 1 or more; got 0"),
        ({"seed": -1}, "seed must be an integer, 0 or more; got -1"),
        ({"start_step": -1}, "start_step must be 0 or more; got -1"),
        ({"start_step": 4, "stop_step": 3}, "stop_step must be None, or 4 or more; got 3"),
        ({"num_workers": -1}, "num_workers must be 0 or more; got -1"),
    ],
)
def test_loader_refuses_arguments_out_of_range(changed, message):
    with pytest.raises(ArgumentError, match=message):
        Loader(DATA, **{"batch_size": 2, "seed": 0} | changed)


def test_processes_that_share_a_batch_read_what_one_would():
    with Loader(DATA, batch_size=8, seed=2, flip=True) as whole:
        _, expected = next(iter(whole))
    for rows in (slice(0, 4), slice(4, 8)):
        with Loader(DATA, batch_size=8, seed=2, flip=True, rows=rows) as part:
            np.testing.assert_array_equal(next(iter(part))[1], expected[rows])
