"""Settings as flags: tyro reads them off the configuration dataclasses, the defaults being those of a file or a run."""

from __future__ import annotations

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from blurcore.errors import ConfigError
from blurcore.protocols import Backend, Machinery
from blurcore.registry import available, get_backend

T = TypeVar("T")


def override(default: T, words: list[str], *, prog: str) -> T:
    """Return settings with the flags in `words` applied; an unknown or ill-typed one ends the program with code 2."""
    import tyro

    width = os.environ.get("COLUMNS", "")
    if width.isdigit() and int(width) < 40:
        os.environ["COLUMNS"] = "40"  # narrower, tyro's frames have no room for a word
    return tyro.cli(type(default), default=default, args=words, prog=prog, config=(tyro.conf.AvoidSubcommands,))


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


def default_folder(stem: str) -> Path:
    """Return a new run folder's name, by the time of day."""
    return Path("runs") / f"{stem}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
