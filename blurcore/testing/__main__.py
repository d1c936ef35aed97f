"""``python -m blurcore.testing --backend NAME``: does a backend conform? 0 yes, 1 no, 2 wrong usage."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from blurcore.errors import BlurcoreError


def main(argv: list[str]) -> int:
    """Run the conformance kit and return its exit code.

    Parameters
    ----------
    argv
        The arguments after ``python -m blurcore.testing``.
    """
    from blurcore.testing.conformance import conformance
    from blurcore.verify import text
    from blurcore.verify.command import progress_bar

    parser = argparse.ArgumentParser(
        prog="python -m blurcore.testing",
        description="Hold a backend to every identity of the mathematics and to the protocol of backends.",
        epilog="exit code: 0 all passed, 1 something failed, 2 wrong usage",
    )
    parser.add_argument("--backend", required=True, metavar="NAME", help="a registered name, or module:OBJECT")
    parser.add_argument("--quick", action="store_true", help="one small grid, no half precision")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the data (default: 0)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    arguments = parser.parse_args(argv)
    if str(Path.cwd()) not in sys.path:  # module:OBJECT of a file in this folder, however this was started
        sys.path.insert(0, str(Path.cwd()))
    try:
        with progress_bar() as progress:
            report = conformance(arguments.backend, quick=arguments.quick, seed=arguments.seed, progress=progress)
    except BlurcoreError as error:
        print(f"python -m blurcore.testing: error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(report.to_json())
    else:
        sys.stdout.write(text.render(report, terminal=sys.stdout.isatty()))
        for name in dict.fromkeys(failure.identity.name for failure in report.failures):
            print(f"FAILED: {name}")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
