"""Ratios of times, measured in pairs: ours and the peer's by turns, in both orders, medians of what is left of the noise.

A machine's speed drifts by a factor of two within minutes; the ratio of two calls that follow each other does not.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

Call = Callable[[], Any]
Clock = Callable[[], float]


class Ratio(NamedTuple):
    """Median seconds of one call of ours and of the peer's, and the median of the ratios of neighbours."""

    ours: float
    peer: float
    ratio: float


def compare(
    ours: Call, peer: Call, *, pairs: int = 15, least_seconds: float = 0.01, clock: Clock = time.perf_counter
) -> Ratio:
    """Time two calls, each of which must have finished its work when it returns.

    Parameters
    ----------
    ours, peer
        What to time.
    pairs
        Number of pairs; every other one has the peer first.
    least_seconds
        Calls are repeated within a measurement until it takes about this long.
    clock
        What tells the time; ``time.process_time`` counts the seconds of this process's cores, whoever else works on the machine.
    """
    repeats = max(_repeats(ours, least_seconds), _repeats(peer, least_seconds))
    times: list[tuple[float, float]] = []
    for i in range(pairs):
        if i % 2:
            second = _seconds(peer, repeats, clock)
            first = _seconds(ours, repeats, clock)
        else:
            first = _seconds(ours, repeats, clock)
            second = _seconds(peer, repeats, clock)
        times.append((first, second))
    return Ratio(
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(a / b for a, b in times),
    )


def seconds_of(call: Call, *, least_seconds: float = 0.02, least_runs: int = 5) -> float:
    """Return the median seconds of a call that has no peer."""
    repeats = _repeats(call, least_seconds / 4)
    return statistics.median(_seconds(call, repeats) for _ in range(least_runs))


def geometric_mean(ratios: list[float]) -> float:
    """Return the mean that says of a ratio and its inverse that they cancel."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def _repeats(call: Call, least_seconds: float) -> int:
    call()  # compiles, allocates, fills caches
    return max(1, round(least_seconds / max(_seconds(call, 1), 1e-7)))


def _seconds(call: Call, repeats: int, clock: Clock = time.perf_counter) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows of equal keys as a table for people."""
    names = list(rows[0])
    words = [names, *([_word(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in words) for i in range(len(names))]
    return "\n".join("  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)) for line in words)


def _word(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def report(name: str, rows: list[dict[str, Any]], folder: Path | None) -> None:
    """Print a table and, where a folder is given, write the rows as JSON with the machine, the versions and the date."""
    print(f"\n{name}\n{table(rows)}")
    if folder is None:
        return
    record = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        "versions": {package: v for package in PACKAGES if (v := _version(package))},
        "rows": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


PACKAGES = (
    "blurcore",
    "numpy",
    "scipy",
    "torch",
    "jax",
    "flax",
    "torch-dct",
    "dctorch",
    "diffusers",
    "denoising-diffusion-pytorch",
)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def output_folder() -> Path | None:
    """Return the folder for JSON files, the only argument that a benchmark takes."""
    return Path(sys.argv[1]) if len(sys.argv) > 1 else None
