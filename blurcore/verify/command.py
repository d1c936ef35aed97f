"""``blurcore verify``: the report on stdout, progress on stderr; 0 passed, 1 something failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

from blurcore.errors import BlurcoreError, OutputError
from blurcore.runs.files import replace_text, require_file
from blurcore.verify.runner import Progress, verify


class _Report(Protocol):
    """What both kinds of report have."""

    @property
    def passed(self) -> bool: ...
    def to_text(self, *, terminal: bool) -> str: ...
    def to_json(self) -> str: ...
    def to_html(self) -> str: ...


class _UsageError(Exception):
    """The command line makes no sense."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise _UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="blurcore verify",
        description="Hold every installed backend to every identity of the mathematics, and say how close it came.",
        epilog="exit code: 0 all passed, 1 something failed, 2 wrong usage",
    )
    add = parser.add_argument
    add("--backend", action="append", metavar="NAME", help="only this backend; may be given several times")
    add("--quick", action="store_true", help="one small grid, no half precision: seconds")
    add("--seed", type=int, default=0, metavar="N", help="seed of the data and of the random partitions (default: 0)")
    add("--json", action="store_true", help="print everything as JSON")
    add("--html", type=Path, metavar="FILE", help="write one self-contained page with plots")
    add(
        "--precision",
        action="store_true",
        help="print the table of the coefficients' errors against 50 digits, and stop",
    )
    add(
        "--against",
        metavar="TARGET",
        help="check an implementation of yours: FILE.py, FILE.py:OBJECT or package.module:OBJECT",
    )
    add("--timeout", type=float, default=300.0, metavar="S", help="seconds that --against gives it (default: 300)")
    add(
        "--prove",
        action="store_true",
        help="prove the identities of the core's formulas, for all values, in place of measuring them",
    )
    return parser


@contextmanager
def progress_bar(what: str = "cells") -> Iterator[Progress | None]:
    """Show a bar on stderr where that is a terminal which can show it, else a line now and then."""
    console = None
    if sys.stderr.isatty():
        from blurcore.runs.progress import live_console

        console = live_console()
    if console is None:
        last = [-1]

        def line(done: int, total: int, where: str) -> None:
            quarter = 4 * done // max(total, 1)
            if quarter != last[0]:
                last[0] = quarter
                print(f"verify: {done}/{total} {what}, {where}", file=sys.stderr, flush=True)

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("verify"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, where: bar.update(task, completed=done, total=total, description=where)


def _print(report: _Report, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(report.to_json())
        return
    sys.stdout.write(report.to_text(terminal=sys.stdout.isatty()))


def _write_page(report: _Report, page: Path) -> None:
    try:
        replace_text(page, report.to_html())
    except OSError as error:
        raise OutputError(f"cannot write {page}: {error.strerror or error}") from None
    print(f"wrote {page}", file=sys.stderr)


def _prove() -> _Report:
    from blurcore.verify.prove import prove

    with progress_bar("claims") as progress:
        return prove(progress=progress)


def _measure(arguments: argparse.Namespace) -> _Report:
    import_module("scipy")  # which solves the heat equation: if it is missing, that is said before any work
    with progress_bar() as progress:
        return verify(arguments.backend, quick=arguments.quick, seed=arguments.seed, progress=progress)


def main(argv: list[str]) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    argv
        The arguments after ``blurcore verify``.
    """
    try:
        arguments = _parser().parse_args(argv)
        page = arguments.html
        if page is not None and (page.is_dir() or not page.resolve().parent.is_dir()):
            raise _UsageError(f"--html must name a file in a folder that exists; got {str(arguments.html)!r}")
        if page is not None:
            require_file("--html", page)
        if arguments.against is not None:
            from blurcore.verify.against.against_command import run_against

            if page is not None or arguments.backend or arguments.quick or arguments.precision or arguments.prove:
                raise _UsageError("--against takes no other option than --json and --timeout")
            return run_against(arguments.against, seconds=arguments.timeout, as_json=arguments.json)
        if arguments.prove and (arguments.backend or arguments.quick or arguments.precision or arguments.seed):
            raise _UsageError(
                "--prove is about the core's formulas: it takes no --backend, --quick, --seed or --precision"
            )
        if arguments.precision:
            from blurcore.verify.precision import precision_table

            print(precision_table(), end="")
            return 0
        report = _prove() if arguments.prove else _measure(arguments)
        try:
            if page is not None:
                _write_page(report, page)
        finally:  # a page that cannot be written does not take the report with it, nor a reader of stdout that leaves the page
            _print(report, arguments)
    except (_UsageError, BlurcoreError) as error:
        print(f"blurcore verify: error: {error}", file=sys.stderr)
        return 1 if isinstance(error, OutputError) else 2
    return 0 if report.passed else 1
