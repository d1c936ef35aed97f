"""Progress bars on stderr: live in a terminal that can show them, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_SECONDS = 20.0  # between two lines where there is no terminal


_NARROWEST = 60  # columns: a bar that wraps leaves a row behind each time it is drawn


def live_console() -> Console | None:
    """Return stderr as a terminal on which a line can be redrawn; None where there is none."""
    console = Console(stderr=True)
    # Rich takes FORCE_COLOR, which notebooks and CI set, for a terminal; it is none on which a line can be redrawn.
    live = sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal and console.width >= _NARROWEST
    return console if live and console.encoding.startswith("utf") else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Bar:
    """A bar with a free text beside it; subclasses say what the text is."""

    def __init__(self, what: str, total: int, start: int, *, show: bool) -> None:
        self._what, self._total, self._done, self._first = what, total, start, start
        self._began = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self._show = show
        console = live_console() if show else None
        if console is not None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(compact=True),
                console=console,
            )
            self._task = self._bar.add_task(what, total=total, completed=start, note="")

    def _update(self, done: int, note: str) -> None:
        self._done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if self._show and (now - self._last_line >= _PLAIN_SECONDS or done >= self._total):
            self._last_line = now
            left = (now - self._began) / max(1, done - self._first) * (self._total - done)
            print(f"{self._what} {done}/{self._total} {note} {_clock(left)} left", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class TrainingProgress(_Bar):
    """Steps, with a smoothed loss, images per second and the time left."""

    def __init__(self, *, total: int, start: int, show: bool = True) -> None:
        super().__init__("training", total, start, show=show)
        self._loss: float | None = None
        self._images = 0

    def advance(self, loss: float, images: int) -> None:
        """Count one step."""
        if loss == loss:  # a skipped step's NaN would stay in the average for good
            self._loss = loss if self._loss is None else 0.98 * self._loss + 0.02 * loss
        self._images += images
        rate = self._images / max(time.monotonic() - self._began, 1e-9)
        shown = "-" if self._loss is None else f"{self._loss:.4f}"
        self._update(self._done + 1, f"loss {shown}, {rate:.0f} images/s")


class SamplingProgress(_Bar):
    """Network calls, counted in images."""

    def __init__(self, num_samples: int, num_calls: int, *, show: bool) -> None:
        super().__init__("sampling", num_samples * num_calls, 0, show=show)

    def advance(self, images: int) -> None:
        """Count one network call for each of a batch's images."""
        self._update(self._done + images, "")


class ImageProgress(_Bar):
    """Images that have been looked at."""

    def __init__(self, what: str, num_images: int, *, show: bool) -> None:
        super().__init__(what, num_images, 0, show=show)

    def advance(self, images: int) -> None:
        """Count a batch."""
        self._update(self._done + images, "")
