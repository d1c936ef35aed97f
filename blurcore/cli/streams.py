"""The program's three streams as it needs them, whatever its caller made of them: closed, left early, or without Unicode."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Patient:
    """A stream that ignores a closed reader, so that a run continues without it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or not."""
        try:
            return int(self._stream.write(text))
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        with suppress(OSError):
            self._stream.flush()


@contextmanager
def standard_streams() -> Iterator[None]:
    """Open closed standard streams, escape characters that a stream cannot encode, and ignore a lost stderr."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the next file that is opened would get its number, and the messages of C code
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    before, sys.stderr = sys.stderr, _Patient(sys.stderr)
    try:
        yield
    finally:
        sys.stderr = before


def abandon_stdout() -> None:
    """Discard output that is buffered for a closed stdout, on which Python's own flush at exit would fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
