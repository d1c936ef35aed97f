"""Write what a run of tests found as JSON: a pytest plug-in, which also works with xdist.

``pytest -p blurcore.testing.matrix_report --report reports/core-3.11.json`` leaves one file for one cell of a test matrix: versions,
the outcome of every test, reasons of skips, texts of failures, seconds. ``python -m blurcore.testing.matrix reports`` joins
the files of all cells.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

FORMAT = 1
# From the best to the worst; a test has the worst outcome of its set-up, call and teardown.
OUTCOMES = ("passed", "xfailed", "skipped", "failed")
DISTRIBUTIONS = (
    "array-api-compat",
    "array-api-strict",
    "blurcore",
    "diffusers",
    "flax",
    "hypothesis",
    "jax",
    "jaxlib",
    "numpy",
    "optax",
    "pytest",
    "scipy",
    "torch",
)
SLOWEST = 20


def versions() -> dict[str, str]:
    """Return the versions of the array libraries and test tools that are installed."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _outcome(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return what one phase of a test ended in."""
    if report.skipped:
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    return report.outcome


def _text(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the reason of a skip or the text of a failure."""
    if report.skipped:
        if hasattr(report, "wasxfail"):
            return str(report.wasxfail)
        if isinstance(report.longrepr, tuple):
            return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longreprtext


@dataclass(eq=False)
class Recorder:
    """Collects the outcomes of tests on the controller of xdist, or where there is none, and writes them at the end."""

    path: Path
    arguments: tuple[str, ...]
    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    workers_s: float = 0.0
    began: float = field(default_factory=time.monotonic)
    date: datetime = field(default_factory=lambda: datetime.now(UTC))

    def _record(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        outcome = _outcome(report)
        if OUTCOMES.index(outcome) >= OUTCOMES.index(self.outcomes.get(report.nodeid, OUTCOMES[0])):
            self.outcomes[report.nodeid] = outcome
            if outcome != "passed":
                self.texts[report.nodeid] = _text(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one phase of a test."""
        self._record(report)
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Add a file that was skipped as a whole, or that cannot be imported."""
        if not report.passed:
            self._record(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Add the processor time of a worker of xdist."""
        self.workers_s += getattr(node, "workeroutput", {}).get("blurcore_processor_s", 0.0)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Iterator[None]:
        """Write the file, after xdist has heard from its workers."""
        yield
        slowest = sorted(self.seconds.items(), key=lambda item: -item[1])[:SLOWEST]
        own_s = processor_seconds() if not self.workers_s else time.process_time()
        content = {
            "format": FORMAT,
            "cell": self.path.stem,
            "date": self.date.isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "versions": versions(),
            "arguments": self.arguments,
            "exit": int(exitstatus),
            "wall_s": round(time.monotonic() - self.began, 1),
            "processor_s": round(own_s + self.workers_s, 1),
            "slowest": [[name, round(seconds, 2)] for name, seconds in slowest],
            "outcomes": dict(sorted(self.outcomes.items())),
            "texts": dict(sorted(self.texts.items())),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(content, indent=1), encoding="utf-8")


class Worker:
    """Tells the controller of xdist how much processor time a worker took."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Leave the number where the controller reads it."""
        output: dict[str, Any] = getattr(session.config, "workeroutput")  # noqa: B009  (xdist adds it)
        output["blurcore_processor_s"] = processor_seconds()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--report``."""
    parser.addoption(
        "--report", metavar="FILE", help="write outcomes, reasons and seconds of all tests to FILE, as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start recording, if a file is named."""
    name = config.getoption("--report")
    if name is None:
        return
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Worker())
    else:
        path = Path(config.invocation_params.dir, name)
        path.unlink(missing_ok=True)  # a run that is killed must not leave the report of an earlier one
        config.pluginmanager.register(Recorder(path=path, arguments=tuple(config.invocation_params.args)))
