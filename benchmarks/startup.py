"""How long a user waits before anything happens: `python benchmarks/startup.py [FOLDER]`.

Each is a new process, by turns with one that imports NumPy alone, which is our only large requirement.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

from paired import compare, output_folder, report

NUMPY = [sys.executable, "-c", "import numpy"]
COMMANDS = {
    "import blurcore": ([sys.executable, "-c", "import blurcore"], 0.2),
    "blurcore --help": ([sys.executable, "-m", "blurcore", "--help"], 0.5),
}
HEAVY = ("torch", "jax", "flax", "scipy", "matplotlib", "PIL", "rich", "tyro", "importlib.metadata")


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def loaded() -> list[str]:
    """Return which of the heavy modules `import blurcore` loads: none, if all is well."""
    code = f"import sys, blurcore; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def main() -> None:
    """Measure, print, write."""
    rows: list[dict[str, Any]] = []
    for what, (command, target) in COMMANDS.items():
        result = compare(partial(run, command), partial(run, NUMPY), pairs=15, least_seconds=0.0)
        rows.append(
            {
                "what": what,
                "seconds": result.ours,
                "target s": target,
                "import numpy s": result.peer,
                "ratio": result.ratio,
            }
        )
    rows[0]["also loads"] = rows[1]["also loads"] = " ".join(loaded()) or "nothing heavy"
    report("startup", rows, output_folder())


if __name__ == "__main__":
    main()
