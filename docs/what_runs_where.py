"""Write the README's table of what runs where from the numbers of a run of the matrix.

``python docs/what_runs_where.py reports/joined/summary.json`` keeps those numbers as docs/matrix.json and writes the table.
"""

import json
import sys
from pathlib import Path

DOCS = Path(__file__).parent
SUMMARY, README = DOCS / "matrix.json", DOCS.parent / "README.md"
COLUMNS = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "array_api_strict": "array-api-strict"}
# What a reader asks for, and where its tests lie: a test counts in the first row that has its file.
ROWS = {
    "`compile` / `jit`, `vmap`, autodiff": (
        "core/test_frameworks",
        "core/test_time_derivatives",
        "jax/test_compilation",
    ),
    "several devices, several processes": ("torch/test_distributed", "training/test_shards", "jax/test_devices"),
    "processes, transition, posterior, conversions, losses, solvers, likelihoods": (
        "core/",
        "resolution/",
        "restoration/",
        "properties/",
        "samplers/",
        "reference/",
        "statistics/",
    ),
    "every identity within its bound (`blurcore verify`), the kit for backends": ("verify/", "conformance/"),
    "U-Net, trainer, sampler; `train`, `sample`, `evaluate`, `demo`": (
        "training/",
        "torch/",
        "jax/",
        "cli/",
        "runs/",
        "metrics/",
        "explore/",
    ),
}


def row_of(file):
    """Return the row that a test file counts in, or None."""
    inner = file.removeprefix("tests/")
    return next((row for row, places in ROWS.items() if inner.startswith(places)), None)


def table(summary):
    """Return the table: how many tests passed, by library."""
    counts = {row: dict.fromkeys(COLUMNS, 0) for row in ROWS}
    for file, libraries in summary["files"].items():
        row = row_of(file)
        for library, number in libraries.items() if row else ():
            counts[row][library] += number
    lines = [f"| tests that passed | {' | '.join(COLUMNS.values())} |", "| --- |" + " ---: |" * len(COLUMNS)]
    for row, numbers in counts.items():
        lines.append(f"| {row} | {' | '.join(f'{n:,}' if n else '' for n in numbers.values())} |")
    return "\n".join(lines) + "\n"


def written(readme, summary):
    """Return the README with that table as the first one under its heading."""
    start = readme.index("\n| ", readme.index("## What runs where")) + 1
    return readme[:start] + table(summary) + readme[readme.index("\n\n", start) + 1 :]


def main(path):
    """Keep the numbers and write the table."""
    SUMMARY.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    summary = json.loads(SUMMARY.read_text(encoding="utf-8"))
    README.write_text(written(README.read_text(encoding="utf-8"), summary), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
