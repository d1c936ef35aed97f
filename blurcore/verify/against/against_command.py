"""``blurcore verify --against``: run the check in a process of its own, with a time limit, and print what it found."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from blurcore.errors import ArgumentError
from blurcore.verify.against.find import split


def run_against(target: str, *, seconds: float, as_json: bool) -> int:
    """Print what holds of an implementation; return 0 if all does, else 1.

    Parameters
    ----------
    target
        ``FILE.py``, ``FILE.py:OBJECT`` or ``package.module:OBJECT``.
    seconds
        How long it may take.
    as_json
        Whether to print JSON.

    Raises
    ------
    ArgumentError
        There is no such file or object, or nothing in it is known.
    """
    if not seconds > 0:
        raise ArgumentError(f"--timeout must be a number of seconds above 0; got {seconds:g}")
    try:
        split(target)
    except ArgumentError as error:
        raise ArgumentError(f"--against: {error}") from None
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        # what the file prints goes to stderr: stdout is the report's
        child = subprocess.Popen(
            [sys.executable, "-m", "blurcore.verify.against", target, str(result)], stdout=2, start_new_session=True
        )
        try:
            code = child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            print(f"blurcore verify: {target} ran longer than {seconds:g} s (--timeout)", file=sys.stderr)
            return 1
        finally:
            _end(child)
        if not result.is_file():
            print(f"blurcore verify: {target} ended Python, with exit code {code}", file=sys.stderr)
            return 1
        found = json.loads(result.read_text(encoding="utf-8"))
    if "usage" in found:
        raise ArgumentError(f"--against: {found['usage']}")
    if found.get("report") is not None:
        print(
            json.dumps(found["report"], indent=1, allow_nan=False) if as_json else found["text"],
            end="\n" if as_json else "",
        )
    if found.get("raised") is not None:
        print(found["raised"], end="", file=sys.stderr)
    return 0 if found.get("report") is not None and found["report"]["passed"] else 1


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and what it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    elif child.poll() is None:
        child.kill()
    child.wait()
