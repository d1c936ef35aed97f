"""``python -m blurcore.testing --backend NAME``: does a backend conform? 0 yes, 1 no, 2 wrong usage."""

from __future__ import annotations

import argparse
import json
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
    from blurcore.testing.conformance import CONTRACT, conformance, judge, read_expected
    from blurcore.verify import text
    from blurcore.verify.command import progress_bar

    parser = argparse.ArgumentParser(
        prog="python -m blurcore.testing",
        description="Hold a backend to every identity of the mathematics and to the protocol of backends.",
        epilog="exit code: 0 all as expected, 1 something failed, or passed that was expected to fail, 2 wrong usage",
    )
    parser.add_argument("--backend", required=True, metavar="NAME", help="a registered name, or module:OBJECT")
    parser.add_argument("--quick", action="store_true", help="one small grid, no half precision")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the data (default: 0)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--expected", type=Path, metavar="FILE", help='TOML: "name of a check" = "reason why it is expected to fail"'
    )
    parser.add_argument("--version", action="version", version=f"contract {CONTRACT}")
    arguments = parser.parse_args(argv)
    if str(Path.cwd()) not in sys.path:  # module:OBJECT of a file in this folder, however this was started
        sys.path.insert(0, str(Path.cwd()))
    try:
        expected = {} if arguments.expected is None else read_expected(arguments.expected)
        with progress_bar() as progress:
            report = conformance(arguments.backend, quick=arguments.quick, seed=arguments.seed, progress=progress)
    except BlurcoreError as error:
        print(f"python -m blurcore.testing: error: {error}", file=sys.stderr)
        return 2
    verdict = judge(report, expected)
    passed = bool(report.results) and verdict.passed
    if arguments.json:
        about = {"contract": CONTRACT, "expected": expected, "verdict": verdict._asdict()}
        print(json.dumps(about | report.to_dict() | {"passed": passed}, indent=1, allow_nan=False))
    else:
        sys.stdout.write(text.render(report, terminal=sys.stdout.isatty()))
        for name in verdict.expected:
            print(f"expected to fail: {name} ({expected[name]})")
        for name in verdict.failed:
            print(f"FAILED: {name}")
        for name in verdict.mended:
            print(f"PASSED, and was expected to fail: {name} ({expected[name]})")
        print(f"contract {CONTRACT}: {'passed' if passed else 'failed'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
