"""SIGINT, SIGTERM and SIGHUP: the first is noted, or ends what may end anywhere; a second SIGINT or SIGTERM leaves at once.

SIGHUP, which says that the terminal has gone, may come several times (from the system, and from the shell) without anybody
wanting anything, so it never leaves at once; and where it is ignored, as under `nohup`, it stays so.

A handler in Python runs only when the interpreter gets a turn, which a long call into a library does not give it. So a
thread listens on the wake-up descriptor, which the interpreter's own handler in C writes to.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_URGENT = (signal.SIGINT, signal.SIGTERM)
_HANG_UP = getattr(signal, "SIGHUP", None)  # not on every system


class Interrupted(BaseException):
    """A signal ends the program. Derives from BaseException, so that handlers of errors do not catch it."""


class Watch:
    """Which signal has come (`number`, None before), and whether it may end what is going on."""

    def __init__(self, *, ends: bool, number: int | None) -> None:
        self.number = number
        self.urgent = int(number in _URGENT)
        """How many have come that ask to end."""
        self._ends = ends

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Let a signal raise :class:`Interrupted` within, at once if it has come already."""
        before, self._ends = self._ends, True
        try:
            if self.number is not None:
                raise Interrupted
            yield
        finally:
            self._ends = before

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        del frame
        if self.number is None:
            self.number = number
            if self._ends:
                raise Interrupted


_watches: list[Watch] = []
"""Those that watch now, the innermost last."""


@contextmanager
def watch_signals(*, ends: bool) -> Iterator[Watch]:
    """Watch for SIGINT, SIGTERM and SIGHUP.

    Parameters
    ----------
    ends
        Whether the first one raises :class:`Interrupted`, anywhere; otherwise it is only noted.
    """
    # what the one around this one raised, a library may have swallowed in a bare `except`
    watch = Watch(ends=ends, number=_watches[-1].number if _watches else None)
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield watch
        return
    watched = list(_URGENT)
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) != signal.SIG_IGN:
        watched.append(_HANG_UP)
    with _second_leaves(watch), _raised_again(watch):
        before = {number: signal.signal(number, watch.note) for number in watched}
        _watches.append(watch)
        try:
            yield watch
        finally:
            _watches.remove(watch)
            for number, handler in before.items():
                if signal.getsignal(number) == watch.note:  # what was set within stays
                    signal.signal(number, handler)


@contextmanager
def _raised_again(watch: Watch) -> Iterator[None]:
    """Raise a signal again if a destructor or a callback of the garbage collector has swallowed its exception.

    Python reports such an exception to `sys.unraisablehook`, with a traceback, and goes on.
    """
    before, timers = sys.unraisablehook, []

    def send() -> None:
        number = watch.number
        if number is not None and _watches[-1:] == [watch]:  # an inner watch has copied the number
            watch.urgent -= number in _URGENT
            watch.number = None
            signal.raise_signal(number)

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, Interrupted):
            before(unraisable)
            return
        timers.append(threading.Timer(0.1, send))  # sent from here, it would be swallowed again
        timers[-1].start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()
            timer.join()


@contextmanager
def _second_leaves(watch: Watch) -> Iterator[None]:
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_leave_at_second, args=(reader, watch), name="blurcore-signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()  # which ends the thread
        thread.join()
        reader.close()


def _leave_at_second(reader: socket.socket, watch: Watch) -> None:
    while received := reader.recv(1):
        watch.urgent += received[0] in _URGENT
        if watch.urgent == 2 and received[0] in _URGENT:
            with suppress(OSError):  # the terminal may have gone
                if sys.stderr.isatty():
                    os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
            os._exit(128 + received[0])
