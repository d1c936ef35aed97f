"""The ledger: one line of JSON for each thing that was done, added and never changed; what is in it is not done again."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Line = dict[str, Any]
PACKAGES = ("blurcore", "numpy", "scipy", "torch", "jax")


class Ledger:
    """A file of lines, each with a `job`, its name, and what belongs to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> Iterator[Line]:
        """Return the lines that are whole: one that was cut off in the middle is not there."""
        if self.path.is_file():
            yield from _whole_lines(self.path.read_text(encoding="utf-8"))

    def done(self) -> set[str]:
        """Return the names of the jobs that have a line."""
        return {line["job"] for line in self.lines()}

    def add(self, job: str, **what: Any) -> Line:
        """Add a line, with the date, the machine and the versions, and bring it to the disk."""
        line = {"job": job, **what, "about": about()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = not self.path.is_file() or self.path.read_bytes()[-1:] in (b"", b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + json.dumps(line, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return line


@lru_cache(maxsize=1)
def _whole_lines(text: str) -> tuple[Line, ...]:
    found = []
    for line in text.splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return tuple(found)


def about() -> dict[str, Any]:
    """Return date, machine and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    if name == "blurcore":
        import blurcore

        return blurcore.__version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None
