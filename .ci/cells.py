"""Choose the sessions of the workflow: ``nox -l -t full --json | python .ci/cells.py EVENT`` prints their names as JSON.

A push and a pull request run what is not marked weekly; the schedule runs all. The report joins the others' files, in a job of
its own.
"""

import json
import sys


def cells(sessions: list[dict], event: str) -> list[str]:
    """Return the names of the sessions that one event runs."""
    left_out = {"schedule": set()}.get(event, {"weekly"})
    return [
        session["session"]
        for session in sessions
        if "full" in session["tags"] and not left_out & set(session["tags"]) and session["name"] != "report"
    ]


if __name__ == "__main__":
    print(json.dumps(cells(json.load(sys.stdin), sys.argv[1])))
