"""SIGINT, SIGTERM and SIGHUP wherever they come: the step ends, a checkpoint is written, the exit code says which it was."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from blurcore._signals import Interrupted, watch_signals
from blurcore.runs import newest_checkpoint
from blurcore.runs.folder import read_metrics

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
ALL = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@ALL
def test_signal_in_a_step_ends_the_step_and_writes_its_checkpoint(
    program: Any, train: Callable[..., tuple[int, str]], tmp_path: Path, number: signal.Signals
) -> None:
    run = program("step")
    run.send(number)
    code, errors = run.ends(go_on=True)
    assert code == 128 + number, errors
    assert f"{number.name} after step 3 of 8" in errors
    assert "Traceback" not in errors
    assert newest_checkpoint(tmp_path / "run").step == 3
    assert train("--resume")[0] == 0
    assert [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")] == list(range(1, 9))


def test_terminal_that_goes_several_times_is_no_second_signal(program: Any, tmp_path: Path) -> None:
    """The system tells the processes of a terminal that it has gone, and the shell tells its jobs again."""
    run = program("step")
    for _ in range(3):
        run.send(signal.SIGHUP)
        time.sleep(0.05)  # the system would join them
    run.send(signal.SIGTERM)
    code, errors = run.ends(go_on=True)
    assert (code, newest_checkpoint(tmp_path / "run").step) == (129, 3), errors


def test_hang_up_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with watch_signals(ends=True) as watch:
            signal.raise_signal(signal.SIGHUP)
        assert (watch.number, signal.getsignal(signal.SIGHUP)) == (None, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signal_in_a_save_waits_for_the_save(program: Any, tmp_path: Path) -> None:
    run = program("save")  # of step 2; the training has gone on meanwhile
    run.send(signal.SIGTERM)
    assert newest_checkpoint(tmp_path / "run").step == 0
    assert run.process.poll() is None
    code, errors = run.ends(go_on=True)
    assert code == 143, errors
    assert newest_checkpoint(tmp_path / "run").step >= 2
    assert f"after step {newest_checkpoint(tmp_path / 'run').step} of 8" in errors


@pytest.mark.parametrize("place", ["step", "native", "save"])
def test_second_signal_leaves_at_once(program: Any, tmp_path: Path, place: str) -> None:
    run = program(place)
    run.send(signal.SIGTERM)
    run.send(signal.SIGINT)  # another one: the system may join two of a kind
    code, errors = run.ends(go_on=False)
    assert code in (130, 143), errors  # which of the two is seen last is the system's choice
    assert "Traceback" not in errors
    assert newest_checkpoint(tmp_path / "run").step < 3


@BOTH
def test_signal_before_the_first_step_leaves_no_folder(program: Any, tmp_path: Path, number: signal.Signals) -> None:
    run = program("setup")
    run.send(number)
    code, errors = run.ends(go_on=False)
    assert code == 128 + number, errors
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("every", ["3", "0"], ids=["on the way", "at the end"])
def test_signal_while_samples_are_drawn_ends_the_drawing(program: Any, tmp_path: Path, every: str) -> None:
    run = program("sampling", "--train.sample-every", every)
    run.send(signal.SIGTERM)
    code, errors = run.ends(go_on=False)
    assert code == 143, errors
    assert "Traceback" not in errors
    assert newest_checkpoint(tmp_path / "run").step == (int(every) or 8)
    assert list((tmp_path / "run" / "samples").iterdir()) == []


def test_signal_that_has_come_ends_what_may_end_as_soon_as_it_begins() -> None:
    with watch_signals(ends=False) as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.number == signal.SIGINT
        with pytest.raises(Interrupted), watch.ending():
            pytest.fail("it began")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class _Swallows:
    def __del__(self) -> None:  # Python drops what is raised here
        signal.raise_signal(signal.SIGINT)


def _in_a_destructor() -> None:
    _Swallows()


def _in_a_callback_of_the_garbage_collector() -> None:
    def callback(phase: str, info: dict[str, int]) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGINT)

    gc.callbacks.append(callback)
    gc.collect()


def _swallow_and_go_on(swallow: Callable[[], None], seconds: float) -> None:
    swallow()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.mark.parametrize("swallow", [_in_a_destructor, _in_a_callback_of_the_garbage_collector])
def test_signal_that_is_swallowed_is_raised_again_and_shows_no_traceback(
    swallow: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with watch_signals(ends=False) as watch, watch.ending(), pytest.raises(Interrupted):
        _swallow_and_go_on(swallow, seconds=60.0)
    assert watch.number == signal.SIGINT
    assert capsys.readouterr().err == ""


def test_signal_that_is_swallowed_is_known_to_what_watches_next() -> None:
    with watch_signals(ends=True) as setup:
        with suppress(Interrupted):  # as a library does in a bare `except`
            signal.raise_signal(signal.SIGINT)
        with watch_signals(ends=False) as training:
            assert (setup.number, training.number) == (signal.SIGINT, signal.SIGINT)
