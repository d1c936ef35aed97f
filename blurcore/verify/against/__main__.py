"""The process that ``blurcore verify --against`` starts: it loads the implementation and writes what it found to a file."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from blurcore.errors import ArgumentError
from blurcore.verify.against.check import check
from blurcore.verify.against.find import load
from blurcore.verify.against.found import RaisedError

_OURS = str(Path(__file__).parents[2])


def shown(error: BaseException) -> str:
    """Return an exception's traceback without the frames of this package.

    Parameters
    ----------
    error
        What was raised.
    """
    told = traceback.TracebackException.from_exception(error)
    told.__cause__ = told.__context__ = None
    frames = [f for f in told.stack if not f.filename.startswith((_OURS, "<frozen", sys.prefix))]
    told.stack = traceback.StackSummary.from_list(frames)
    return "".join(told.format())


def outcome(target: str) -> dict[str, Any]:
    """Return the report, or what went wrong, as plain values.

    Parameters
    ----------
    target
        What to load.
    """
    try:
        report, raised = check(load(target))
    except ArgumentError as error:
        return {"usage": str(error)}
    except RaisedError as error:
        return {"raised": shown(error.__cause__ or error)}
    return {
        "report": report.to_dict(),
        "text": report.render(),
        "raised": None if raised is None else shown(raised),
    }


def main(target: str, result: str) -> None:
    """Check a target and write the outcome.

    Parameters
    ----------
    target
        What to load.
    result
        The file to write.
    """
    Path(result).write_text(json.dumps(outcome(target)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
