"""The report as text: each identity's worst error over its bound, a matrix of backends and dtypes, failures in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blurcore.verify.report import Report, Result, Row

WIDE = 140
"""Columns from which on every fact has a column of its own; below, the statement, source and place stand under the name."""
SHORT = {"float64": "f64", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def number(value: float) -> str:
    """Return a number in three characters and an exponent."""
    return "0" if value == 0 else f"{value:.1e}"


def place(result: Result) -> str:
    """Return where a result comes from."""
    device = "" if result.device.startswith("cpu") else f" {result.device}"
    grid = "x".join(map(str, result.shape))
    return f"{result.backend}{device} {SHORT.get(result.dtype, result.dtype)} {grid} {result.process}"


def by_identity(report: Report) -> list[Row]:
    """Return one row for each identity: the cell that came closest to its bound anywhere."""
    rows: dict[str, list[Row]] = {}
    for row in report.rows:
        rows.setdefault(row.worst.identity.name, []).append(row)
    return [
        Row(
            max(group, key=lambda r: (not r.passed, r.worst.ratio)).worst,
            sum(r.cells for r in group),
            sum(r.failed for r in group),
        )
        for group in rows.values()
    ]


def columns(report: Report) -> list[tuple[str, str, str]]:
    """Return the backends, devices and dtypes, in the order of the run."""
    return list(dict.fromkeys((r.backend, r.device, r.dtype) for r in report.results))


def render(report: Report, *, terminal: bool, width: int | None = None) -> str:
    """Return the whole report as text.

    Parameters
    ----------
    report
        What was found.
    terminal
        Whether it goes to a terminal: colours, and the terminal's width; plain and wide otherwise.
    width
        Number of columns, where it is to be another.
    """

    def show(console: Any) -> None:
        narrow = console.width < WIDE
        console.print(_narrow_identities(report) if narrow else _identities(report))
        console.print(_places(report) if narrow else _matrix(report))
        for failure in report.failures[:40]:
            console.print(f"[bold red]FAILED[/] {failure.identity.name}: {place(failure)}", markup=True)
            console.print(
                "       " + (failure.detail or f"error {number(failure.error)}, bound {number(failure.bound)}"),
                markup=False,
            )
        if len(report.failures) > 40:
            console.print(f"... and {len(report.failures) - 40} more failures (--json has all)")
        console.print("SPEC n is section n of the specification, docs/specification.md.", markup=False)
        console.print(report.summary, markup=False)

    return printed(show, terminal=terminal, width=width)


def printed(show: Callable[[Any], None], *, terminal: bool, width: int | None = None) -> str:
    """Return what a function prints on the console that it is handed; see :func:`render`."""
    from rich.console import Console

    console = Console(
        force_terminal=terminal,
        no_color=not terminal,
        width=width or (None if terminal else 200),
        highlight=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        show(console)
    return captured.get()


def new_table(title: str) -> Any:
    """Return an empty table in the manner of all reports."""
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)


def _identities(report: Report) -> Any:
    table = new_table(
        "Identities: the largest error, relative to its bound, over all backends, dtypes, grids and processes"
    )
    for name in ("identity", "statement", "source"):
        table.add_column(name, overflow="fold")
    for name in ("error", "bound"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("checks", justify="right")
    table.add_column("", no_wrap=True)
    from rich.text import Text

    for row in by_identity(report):
        worst = row.worst
        cells = (
            worst.identity.name,
            worst.identity.statement,
            worst.identity.source,
            number(worst.error),
            number(worst.bound),
        )
        state = Text("ok", "green") if row.passed else Text(f"{row.failed} FAILED", "bold red")
        table.add_row(*(Text(cell) for cell in cells), Text(place(worst)), str(row.cells), state)
    return table


def _narrow_identities(report: Report) -> Any:
    from rich.text import Text

    table = new_table("Identities: the largest error, relative to its bound, and where it was found")
    table.add_column("identity", overflow="fold")
    for name in ("error", "bound"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in by_identity(report):
        worst = row.worst
        cell = Text(worst.identity.name, "bold")
        cell.append(f"\n{worst.identity.statement}\n", "not bold")
        cell.append(f"{worst.identity.source}; {row.cells} checks; {place(worst)}", "not bold dim")
        state = Text("ok", "green") if row.passed else Text(f"{row.failed} FAILED", "bold red")
        table.add_row(cell, Text(number(worst.error)), Text(number(worst.bound)), state)
    return table


def _places(report: Report) -> Any:
    """Return what the matrix has in one column, one line for each backend, device and dtype."""
    from rich.text import Text

    table = new_table("Largest error / bound by backend and dtype (below 1 passes)")
    table.add_column("where", overflow="fold")
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("identity", overflow="fold")
    table.add_column("", no_wrap=True)
    for backend, device, dtype in columns(report):
        rows = [r for r in report.rows if (r.worst.backend, r.worst.device, r.worst.dtype) == (backend, device, dtype)]
        closest = max(rows, key=lambda r: (not r.passed, r.worst.ratio)).worst
        failed = sum(r.failed for r in rows)
        state = Text("ok", "green") if not failed else Text(f"{failed} FAILED", "bold red")
        table.add_row(
            Text(f"{backend} {device} {SHORT.get(dtype, dtype)}"),
            Text(f"{closest.ratio:.2g}"),
            Text(closest.identity.name),
            state,
        )
    return table


def _matrix(report: Report) -> Any:
    from rich.text import Text

    table = new_table("Largest error / bound by backend and dtype (below 1 passes; - says nothing there)")
    table.add_column("identity", overflow="fold")
    places = columns(report)
    for backend, device, dtype in places:
        kind = "" if device.startswith("cpu") else f"\n{device}"
        table.add_column(f"{backend}{kind}\n{SHORT.get(dtype, dtype)}", justify="right", no_wrap=True)
    found = {(r.worst.identity.name, r.worst.backend, r.worst.device, r.worst.dtype): r for r in report.rows}
    for name in dict.fromkeys(r.identity.name for r in report.results):
        cells = []
        for where in places:
            row = found.get((name, *where))
            if row is None:
                cells.append(Text("-", "dim"))
            elif row.passed:
                cells.append(Text(f"{row.worst.ratio:.2g}" if row.worst.ratio >= 0.001 else "0"))
            else:
                cells.append(Text("FAIL", "bold red"))
        table.add_row(Text(name), *cells)
    return table
