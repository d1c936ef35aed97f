"""Turn the results in benchmarks/results into the tables of docs/speed.md: `python benchmarks/page.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "speed_tables.md"
TITLES = {
    "transforms-summary": "Transforms: ours / peer, over all sizes, directions and dtypes",
    "transforms": "Transforms: ours / peer, float32, about 400,000 numbers (forward, inverse, forward + gradient)",
    "choice": "Products and FFTs, by the length of the axes",
    "process": "What the process costs beside the network",
    "overhead": "What the process costs beside a network that returns its input: ours / transforms and fused updates alone",
    "overhead-numbers": "Coefficients at a number",
    "overhead-plans": "A plan of sampling, until the weights of all steps are on the device",
    "throughput-cpu": "Training and sampling on two CPU cores, float32",
    "throughput-cuda": "Training and sampling on a GPU",
    "memory": "Peak memory of a training step at batch 128, and of 256 samples, 35.7 M parameters",
    "nested": "Over sizes against the whole size, images per second of the process's cores, on a machine that was shared",
    "nested-memory": "Memory of a training step at batch 64, over sizes and of the whole size, 0.6 M parameters",
    "backends": "JAX / PyTorch, the same preset",
    "ranks": "Two processes / one, at equal work for each",
    "checkpoints": "Saving and loading the 35.7 M network",
    "growth": "How the process grows",
    "startup": "Starting up",
    "drift": "1000 steps in float32 against float64",
    "profiles": "Where the time goes, 35.7 M parameters at batch 4",
}


def main() -> None:
    """Write the page."""
    sections = ["<!-- written by `nox -s bench`; do not edit -->"]
    for name, title in TITLES.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            rows = pivot(record["rows"]) if name == "transforms" else record["rows"]
            sections.append(f"### {title}\n\n{table(rows)}\n\n{origin(record)}")
    PAGE.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def pivot(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each N, and one column for each peer with its three ratios."""
    lines: dict[int, dict[str, Any]] = {}
    for row in rows:
        if row["dtype"] == "float32" and row["images"] != 3:
            line = lines.setdefault(row["N"], {"N": row["N"]})
            column = f"{row['library']}: {row['peer']}"
            line[column] = " ".join(filter(None, (line.get(column), f"{row['ratio']:.2f}")))
    return list(lines.values())


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a table in Markdown; numbers to the right."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    numbers = {name for name in names if all(isinstance(row.get(name, 0), (int, float)) for row in rows)}
    lines = [names, ["---:" if name in numbers else "---" for name in names]]
    lines += [[word(row.get(name, "")) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def word(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def origin(record: dict[str, Any]) -> str:
    """Return where and with what a table was measured."""
    machine, versions = record["machine"], record["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "blurcore")
    cores = f"{machine['cores']} cores of {machine['processor']}"
    return f"*{record['date'][:10]}, {cores}, Python {machine['python']}, {packages}.*"


if __name__ == "__main__":
    main()
