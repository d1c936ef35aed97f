"""Configurations as TOML files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from blurcore._typing import StrPath
from blurcore.config import RunConfig
from blurcore.errors import ConfigError
from blurcore.runs.files import replace_text
from blurcore.serial import from_dict, to_dict


def read_config(path: StrPath) -> RunConfig:
    """Read a configuration; what the file leaves out has its default.

    Raises
    ------
    ConfigError
        The file is missing or no TOML, or has an unknown setting or a value of the wrong type or range; the message
        names the file and the setting.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows puts a mark before it
    except (OSError, UnicodeDecodeError) as error:
        below = sorted(path.parent.glob("*/config.toml")) if path.name == "config.toml" else []  # as in a demo's folder
        hint = f"; there is a run in {below[0].parent}" if below else ""
        raise ConfigError(
            f"cannot read the configuration {path}: {getattr(error, 'strerror', None) or error}{hint}"
        ) from None
    try:
        return from_dict(tomllib.loads(text), RunConfig)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}{_line_of(error, text)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> str:
    """Return the line that an error is about, to be put at the end of a sentence: the error has its number alone."""
    place = re.search(r"at line (\d+)", str(error))
    return "" if place is None else f": {text.splitlines()[int(place[1]) - 1].strip()!r}"


def write_config(config: RunConfig, path: StrPath) -> None:
    """Write a configuration with every setting spelled out; :func:`read_config` returns an equal one.

    A file that is there is replaced at once or not at all: without its configuration a run cannot be resumed.
    """
    import tomli_w

    replace_text(Path(path), tomli_w.dumps(to_dict(config)))
