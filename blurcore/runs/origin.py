"""Which backend trained a run: a matter of record, since any other can go on with it."""

from __future__ import annotations

from pathlib import Path

from blurcore._typing import StrPath
from blurcore.errors import CheckpointError
from blurcore.runs.checkpoint import complete_checkpoints, read_json
from blurcore.runs.config_file import read_config


def trained_with(folder: StrPath) -> str:
    """Return the name of the backend that wrote a run's newest readable checkpoint, or the configuration's where there is none.

    Raises
    ------
    ConfigError
        It is no run folder.
    """
    config = read_config(Path(folder) / "config.toml")
    for checkpoint in reversed(complete_checkpoints(folder)):
        try:
            name = read_json(checkpoint / "state.json").get("backend")
        except CheckpointError:  # whoever loads it falls back to an older one, and says so
            continue
        if isinstance(name, str):
            return name
    return config.backend
