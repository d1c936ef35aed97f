"""Settings as flags: tyro reads them off the configuration dataclasses, the defaults being those of a file or a run."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from blurcore.errors import ConfigError
from blurcore.protocols import Backend, Machinery
from blurcore.registry import AUTO, available, choose_backend, get_backend
from blurcore.runs.files import require_file, require_folder
from blurcore.runs.origin import trained_with
from blurcore.serial import class_of, from_dict, to_dict

T = TypeVar("T")


def override(default: T, words: list[str], *, prog: str) -> T:
    """Return settings with the flags in `words` applied; an unknown or ill-typed one ends the program with code 2."""
    import tyro

    width = os.environ.get("COLUMNS", "")
    if width.isdigit() and int(width) < 40:
        os.environ["COLUMNS"] = "40"  # narrower, tyro's frames have no room for a word
    default, words = _choose_kinds(default, words)
    return tyro.cli(type(default), default=default, args=words, prog=prog, config=(tyro.conf.AvoidSubcommands,))


def _choose_kinds(default: T, words: list[str]) -> tuple[T, list[str]]:
    """Apply flags such as `--process.blur.kind Sin`, which change the class of a setting; its own fields follow as flags.

    Numbers and words that the new class has in common with the old keep their values, everything else is the new class's
    default. Returns the settings and the words that are left.
    """
    left = []
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        path = flag.removeprefix("--").replace("-", "_").split(".")
        if not flag.startswith("--") or len(path) < 2 or path[-1] != "kind":
            left.append(word)
            continue
        data = to_dict(default)
        node: Any = data
        for name in path[:-1]:
            node = node.get(name, {}) if isinstance(node, dict) else {}
        if not isinstance(node, dict) or "kind" not in node:
            raise ConfigError(f"unknown option {flag!r}; see --help")
        kind = value if equals else next(remaining, None)
        fields = {field.name for field in dataclasses.fields(class_of({"kind": kind}, ".".join(path[:-1])))}
        kept = {name: value for name, value in node.items() if name in fields and not isinstance(value, dict)}
        node.clear()
        node.update(kept, kind=kind)
        default = from_dict(data, type(default))
    return default, left


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


def show_help(command: str, default: object) -> int:
    """Print a command's own help, then every setting."""
    from blurcore.cli.parser import build_parser

    parser = build_parser()
    actions = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    print(actions.choices[command].format_help())
    override(default, ["--help"], prog=f"blurcore {command}")
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
    """Return the backend that is to work on a run, and say on stderr where it is another than the one that trained it.

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
