"""The command line: one sentence for a mistake, an exit code that scripts can trust, and a fast `--help`.

Exit codes: 0 done, 1 a run or a check failed, 2 usage, 3 stopped by numbers that are not finite, 130 and 143 stopped by
SIGINT and SIGTERM. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import importlib
import os
import sys

from blurcore.errors import BlurcoreError, CheckpointError, RunStoppedError


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv
        The words after `blurcore`; those of the process where not given.
    """
    from blurcore.cli.parser import build_parser

    words = sys.argv[1:] if argv is None else argv
    try:
        args, rest = build_parser().parse_known_args(words)
        command = importlib.import_module(f"blurcore.cli.{args.command}")
        code = int(command.run(args, rest))
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse and tyro have said what was wrong
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 2
    except RunStoppedError as error:
        return _fail(error, error.exit_code)
    except CheckpointError as error:
        return _fail(error, 1)
    except BlurcoreError as error:
        return _fail(error, 2)
    except KeyboardInterrupt:
        print("blurcore: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _fail(error: Exception, code: int) -> int:
    print(f"blurcore: error: {error}", file=sys.stderr)
    return code
