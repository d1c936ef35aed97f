"""Settings as flags: tyro reads them off the configuration dataclasses, the defaults being those of a file or a run."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TypeVar, cast

from blurcore.cli.nodes import choose_kinds, kinds_help, parse, tree_of
from blurcore.errors import ConfigError
from blurcore.protocols import Backend, Machinery
from blurcore.registry import AUTO, available, choose_backend, get_backend
from blurcore.runs.files import require_file, require_folder
from blurcore.runs.origin import trained_with

T = TypeVar("T")


def override(default: T, words: list[str], *, prog: str) -> T:
    """Return settings with the flags in `words` applied; an unknown or ill-typed one ends the program with code 2."""
    width = os.environ.get("COLUMNS", "")
    if width.isdigit() and int(width) < 40:
        os.environ["COLUMNS"] = "40"  # narrower, tyro's frames have no room for a word
    root = tree_of(default)
    left = choose_kinds(root, words)
    if "--help" in left or "-h" in left:
        print(kinds_help(root))
    return cast(T, parse(root, left, prog=prog))


def refuse_outputs(args: argparse.Namespace) -> None:
    """Refuse, before any work, paths that a command could not write afterwards."""
    if getattr(args, "help", False):
        return
    for flag, kind in getattr(args, "writes", {}).items():
        if (path := getattr(args, flag.removeprefix("--"))) is not None:
            (require_file if kind == "file" else require_folder)(flag, path)


def refuse_rest(words: list[str]) -> None:
    """Refuse words that no option of a command took."""
    if words:
        raise ConfigError(f"unknown option {words[0]!r}; see --help")


def show_help(command: str, default: object, words: list[str]) -> int:
    """Print a command's own help, then every setting."""
    from blurcore.cli.parser import build_parser

    parser = build_parser()
    actions = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    print(actions.choices[command].format_help())
    override(default, [*words, "--help"], prog=f"blurcore {command}")
    return 0


def machinery(name: str) -> Machinery:
    """Return a backend that trains and samples.

    Raises
    ------
    BackendError
        It is unknown or cannot be imported.
    ConfigError
        It brings arrays alone.
    """
    backend: Backend = get_backend(name)
    if isinstance(backend, Machinery):
        return backend
    able = [other for other in available() if isinstance(get_backend(other), Machinery)]
    raise ConfigError(
        f"backend {name!r} cannot train or sample yet; these can: {', '.join(able) or 'none that is installed'}"
    )


def choose_for_run(folder: Path, name: str | None) -> tuple[str, str]:
    """Return the name of the backend that is to work on a run, and in words why it is another than the one that trained it.

    Parameters
    ----------
    folder
        The run folder.
    name
        The backend that was asked for; None or "auto": the one that trained the run if it is installed, else the one that is.

    Returns
    -------
    tuple of str
        The name, and the reason in brackets, empty where there is nothing to say.
    """
    if name is not None and name != AUTO:
        return name, ""
    trained = trained_with(folder)
    chosen = choose_backend(trained_with=trained)
    return chosen, "" if trained in (AUTO, chosen) else f" ({trained}, which trained the run, is not installed)"


def machinery_of(folder: Path, name: str | None) -> Machinery:
    """Return the backend for a run; print a line on stderr if another one trained it.

    Raises
    ------
    BackendError
        It is unknown or cannot be imported, or none is installed.
    ConfigError
        It is no run folder, or the backend brings arrays alone.
    """
    chosen, reason = choose_for_run(folder, name)
    if reason:
        print(f"backend: {chosen}{reason}", file=sys.stderr)
    return machinery(chosen)


def default_folder(stem: str) -> Path:
    """Return a new run folder's name, by the time of day."""
    return Path("runs") / f"{stem}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
