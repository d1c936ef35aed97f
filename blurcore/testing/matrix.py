"""Join the reports of the cells of a test matrix: ``python -m blurcore.testing.matrix FOLDER``.

Reads what ``blurcore.testing.matrix_report`` wrote (FOLDER/*.json) and writes into FOLDER/joined: ``matrix.md``, a table of cells by
areas; ``matrix.xml``, JUnit's format; ``matrix.html``, the failures of all cells side by side, those that pass in another cell
first; ``summary.json``, the numbers alone. Exit code 1 if a test was skipped in every cell that has it, 2 if there is no report.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from blurcore.testing.matrix_report import FORMAT, OUTCOMES

LIBRARY = re.compile(r"(?<![a-z_])(numpy|array_api_strict|torch|jax)(?![a-z_])")


def file_of(test: str) -> str:
    """Return the file of a test's id, ``tests/core/test_inputs.py::test_x[numpy]``."""
    return test.partition("::")[0]


def area_of(test: str) -> str:
    """Return the name of the folder that a test lies in."""
    return Path(file_of(test)).parent.name or "."


def libraries_of(test: str) -> set[str]:
    """Return the array libraries that the id of a test names: in its folder, its class (TestTorch) or its parameters."""
    path, _, parameters = test.partition("[")
    classes = [word.removeprefix("Test").lower() for word in path.split("::")[1:-1]]
    return set(LIBRARY.findall(" ".join((area_of(test), *classes, parameters))))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The report of one cell."""

    name: str
    date: str
    python: str
    versions: dict[str, str]
    wall_s: float
    processor_s: float
    slowest: list[tuple[str, float]]
    outcomes: dict[str, str]
    texts: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Cell:
        """Read a file that ``blurcore.testing.matrix_report`` wrote."""
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise ValueError(f"{path} has format {content.get('format')!r}, not {FORMAT}")
        return cls(name=content["cell"], **{key: content[key] for key in cls.__annotations__ if key != "name"})

    def tests(self, outcome: str) -> list[str]:
        """Return the tests that ended so."""
        return [test for test, ended in self.outcomes.items() if ended == outcome]

    def counts(self, area: str | None = None) -> Counter[str]:
        """Return how many tests of an area, or of all, ended how."""
        return Counter(ended for test, ended in self.outcomes.items() if area in (None, area_of(test)))


def skipped_everywhere(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the tests, and files, that were skipped in every cell that has them, with one reason each."""
    reasons: dict[str, str] = {}
    ran: set[str] = set()
    for cell in cells:
        for test, outcome in cell.outcomes.items():
            if outcome == "skipped":
                reasons.setdefault(test, cell.texts[test])
            else:
                ran |= {test, file_of(test)}
    return {test: reason for test, reason in sorted(reasons.items()) if test not in ran}


def failures(cells: Sequence[Cell]) -> list[str]:
    """Return the tests that failed in some cell: first those that passed in another, then by name."""
    failed = {test for cell in cells for test in cell.tests("failed")}
    passed = {test for cell in cells for test in cell.tests("passed")} & failed
    return sorted(failed, key=lambda test: (test not in passed, test))


def entry(counts: Counter[str]) -> str:
    """Return the text of one entry of the table."""
    words = {
        "passed": "{} passed",
        "failed": "**{} failed**",
        "skipped": "{} skipped",
        "xfailed": "{} expected to fail",
    }
    found = [words[key].format(counts[key]) for key in ("failed", "passed", "skipped", "xfailed") if counts[key]]
    return ", ".join(found) or "no tests"


def markdown(cells: Sequence[Cell], absent: Iterable[tuple[str, str]] = ()) -> str:
    """Return the table of cells by areas, what was not run, failures, reasons of skips and the slowest tests."""
    areas = sorted({area_of(test) for cell in cells for test in cell.outcomes})
    lines = ["# The test matrix", "", "| | Python | wall | processor | all | " + " | ".join(areas) + " |"]
    lines.append("| --- | --- | ---: | ---: |" + " --- |" * (1 + len(areas)))
    for cell in cells:
        numbers = [entry(cell.counts(area)) for area in (None, *areas)]
        row = (cell.name, cell.python, f"{cell.wall_s:.0f} s", f"{cell.processor_s:.0f} s", *numbers)
        lines.append(f"| {' | '.join(row)} |")
    rows = list(absent)
    if rows:
        lines += ["", "## Not run here", "", *(f"- {name}: {reason}" for name, reason in rows)]
    failed = failures(cells)
    if failed:
        lines += ["", "## Failures", ""]
        for test in failed:
            ends = ", ".join(f"{cell.name} {cell.outcomes[test]}" for cell in cells if test in cell.outcomes)
            lines.append(f"- `{test}`: {ends}")
    everywhere = skipped_everywhere(cells)
    if everywhere:
        lines += ["", "## Skipped in every cell", "", *(f"- `{test}`: {reason}" for test, reason in everywhere.items())]
    lines += ["", "## Why tests were skipped", ""]
    for cell in cells:
        reasons = Counter(cell.texts[test] for test in cell.tests("skipped"))
        lines += [f"- {cell.name}: {count} x {reason}" for reason, count in reasons.most_common()]
    lines += ["", "## The slowest tests", ""]
    slowest = sorted(((s, test, cell.name) for cell in cells for test, s in cell.slowest), reverse=True)[:20]
    lines += [f"- {seconds:.1f} s, {name}: `{test}`" for seconds, test, name in slowest]
    return "\n".join(lines) + "\n"


def junit(cells: Sequence[Cell]) -> str:
    """Return the outcomes of all cells as JUnit XML, one suite for each."""
    root = ElementTree.Element("testsuites")
    for cell in cells:
        counts = cell.counts()
        numbers = {
            "tests": counts.total(),
            "failures": counts["failed"],
            "skipped": counts["skipped"] + counts["xfailed"],
        }
        attributes = {"name": cell.name, "time": str(cell.wall_s), "errors": "0"}
        attributes |= {key: str(value) for key, value in numbers.items()}
        suite = ElementTree.SubElement(root, "testsuite", attributes)
        for test, outcome in cell.outcomes.items():
            case = ElementTree.SubElement(
                suite, "testcase", classname=file_of(test), name=test.partition("::")[2] or test
            )
            if outcome == "passed":
                continue
            text = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", cell.texts[test])  # what XML cannot hold: colours
            if outcome == "failed":
                ElementTree.SubElement(case, "failure", message=text.rpartition("\n")[2]).text = text
            else:
                ElementTree.SubElement(case, "skipped", message=text)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def html(cells: Sequence[Cell], absent: Iterable[tuple[str, str]] = ()) -> str:
    """Return one page: the failures of all cells side by side, those that pass in another cell first; then the table."""
    named = {cell.name: cell for cell in cells if cell.tests("failed")}
    passed = {test for cell in cells for test in cell.tests("passed")}
    rows = []
    for test in failures(cells):
        columns = []
        for cell in named.values():
            outcome, text = cell.outcomes.get(test, ""), escape(cell.texts.get(test, ""))
            body = (
                f"<details open><summary>failed</summary><pre>{text}</pre></details>"
                if outcome == "failed"
                else outcome
            )
            columns.append(f'<td class="{outcome}">{body}</td>')
        elsewhere = [cell.name for cell in cells if cell.outcomes.get(test) == "passed"]
        note = f"passes in {', '.join(elsewhere)}" if test in passed else "passes nowhere"
        rows.append(f"<tr><th>{escape(test)}<br><small>{escape(note)}</small></th>{''.join(columns)}</tr>")
    heads = "".join(f"<th>{escape(name)}</th>" for name in named)
    table = f"<table><tr><th></th>{heads}</tr>{''.join(rows)}</table>" if rows else "<p>No test failed.</p>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>The test matrix</title><style>'
        "body{font:14px sans-serif;margin:1em}table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:4px;"
        "vertical-align:top;text-align:left}pre{font-size:11px;max-width:60em;overflow:auto}.failed{background:#fdd}"
        f".passed{{background:#dfd}}</style><h1>Failures, cell by cell</h1>{table}<h1>All cells</h1>"
        f"<pre>{escape(markdown(cells, absent))}</pre></html>\n"
    )


def summary(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the numbers alone: those of each cell, and of each file how many tests passed on which library in some cell."""
    passed = {test for cell in cells for test in cell.tests("passed")}
    files: dict[str, Counter[str]] = {}
    for test in passed:
        files.setdefault(file_of(test), Counter()).update(libraries_of(test))
    return {
        "cells": {
            cell.name: {
                "date": cell.date,
                "python": cell.python,
                "versions": cell.versions,
                "wall_s": cell.wall_s,
                "processor_s": cell.processor_s,
                "counts": {key: cell.counts()[key] for key in OUTCOMES},
            }
            for cell in cells
        },
        "files": {file: dict(sorted(counts.items())) for file, counts in sorted(files.items()) if counts},
    }


def main(argv: list[str]) -> int:
    """Join the reports of a folder and return the exit code.

    Parameters
    ----------
    argv
        The arguments after ``python -m blurcore.testing.matrix``.
    """
    parser = argparse.ArgumentParser(
        prog="python -m blurcore.testing.matrix",
        description="Join the reports of test cells into one table, as Markdown, JUnit XML and HTML.",
        epilog="exit code: 0 done, 1 a test was skipped in every cell that has it, 2 no reports",
    )
    parser.add_argument("folder", type=Path, help="where the reports of the cells lie, *.json")
    parser.add_argument(
        "--absent", nargs=2, action="append", default=[], metavar=("CELL", "REASON"), help="a cell not run"
    )
    arguments = parser.parse_args(argv)
    try:
        cells = [Cell.read(path) for path in sorted(arguments.folder.glob("*.json"))]
    except (ValueError, KeyError) as error:
        print(f"python -m blurcore.testing.matrix: error: not a report of a cell: {error}", file=sys.stderr)
        return 2
    if not cells:
        print(f"python -m blurcore.testing.matrix: error: no reports (*.json) in {arguments.folder}", file=sys.stderr)
        return 2
    joined = arguments.folder / "joined"
    joined.mkdir(exist_ok=True)
    (joined / "matrix.md").write_text(markdown(cells, arguments.absent), encoding="utf-8")
    (joined / "matrix.xml").write_text(junit(cells), encoding="utf-8")
    (joined / "matrix.html").write_text(html(cells, arguments.absent), encoding="utf-8")
    (joined / "summary.json").write_text(json.dumps(summary(cells), indent=1) + "\n", encoding="utf-8")
    for cell in cells:
        print(f"{cell.name}: {entry(cell.counts())}, {cell.wall_s:.0f} s")
    print(f"wrote matrix.md, matrix.xml, matrix.html and summary.json to {joined}")
    everywhere = skipped_everywhere(cells)
    for test, reason in everywhere.items():
        print(f"skipped in every cell: {test}: {reason}", file=sys.stderr)
    return 1 if everywhere else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
