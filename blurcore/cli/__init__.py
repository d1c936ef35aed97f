"""The command line: one sentence for a mistake, an exit code that scripts can trust, and a fast `--help`.

Exit codes: 0 done, 1 a run or a check failed, 2 usage, 3 stopped by numbers that are not finite, 129, 130 and 143 stopped by
SIGHUP, SIGINT and SIGTERM. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import importlib
import signal
import sys

from blurcore._signals import watch_signals
from blurcore.cli.streams import abandon_stdout, standard_streams
from blurcore.errors import (
    BlurcoreError,
    CheckpointError,
    NotFiniteError,
    OutputError,
    RunStoppedError,
    UnreadableDataError,
)

_EXTRAS = {
    **dict.fromkeys(("tyro", "shtab", "tomli_w", "rich", "PIL", "matplotlib", "safetensors", "scipy", "sympy"), "cli"),
    **dict.fromkeys(("mlxtend", "nibabel", "skimage", "sklearn"), "data"),
    **dict.fromkeys(("flax", "optax"), "jax"),
    "huggingface_hub": "hub",
}
"""The extra that brings a package: the core alone needs none of them."""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv
        The words after `blurcore`; those of the process where not given.
    """
    with standard_streams():
        with watch_signals(ends=True) as watch:
            try:
                code = _written(sys.argv[1:] if argv is None else argv)
            except BaseException:
                if watch.number is None:
                    raise
                code = 128 + watch.number
        if watch.number is None:
            return code
        # Whatever the signal has turned into on its way through the libraries.
        return _fail(f"stopped by {signal.Signals(watch.number).name}", 128 + watch.number)


def _written(words: list[str]) -> int:
    """Run one command and flush its output; a closed pipe is no error."""
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        abandon_stdout()
        return 0
    except OSError as error:
        code = _fail(error, 1)
        try:
            sys.stdout.flush()
        except OSError:
            abandon_stdout()
        return code


def _run(words: list[str]) -> int:
    """Run one command; convert a user's mistakes to one sentence and an exit code."""
    from blurcore.cli.settings import refuse_outputs
    from blurcore.cli.word_order import parse

    try:
        args, rest = parse(words)
        refuse_outputs(args)
        command = importlib.import_module(f"blurcore.cli.{args.command}")
        return int(command.run(args, rest))
    except SystemExit as stop:  # argparse and tyro have said what was wrong
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 2
    except RunStoppedError as error:
        return _fail(error, error.exit_code)
    except (CheckpointError, NotFiniteError, OutputError, UnreadableDataError) as error:
        return _fail(error, 1)
    except BlurcoreError as error:
        return _fail(error, 2)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        return _fail(
            f"this needs {package}, which is not installed; try: pip install 'blurcore[{_EXTRAS[package]}]'", 2
        )


def _fail(error: Exception | str, code: int) -> int:
    print(f"blurcore: error: {error}", file=sys.stderr)
    return code
