"""Checkpoints in parts, each written by the process that has it: files of the backend's own engine, in a folder of their own.

The folder `shards/` of a checkpoint takes the place of the files of its large groups. What it must hold, to the last bit,
is in `shards.json`, which is a file of the checkpoint like any other. Only the backend that wrote the parts can put them
together.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from blurcore.errors import CheckpointError
from blurcore.runs.files import sync

FOLDER, INDEX = "shards", "shards.json"


def adopt_shards(shards: Path, checkpoint: Path) -> None:
    """Move a folder of parts that all processes have finished into a checkpoint, and list it there.

    Parameters
    ----------
    shards
        The folder, on the file system of the checkpoint.
    checkpoint
        The folder of a checkpoint that is being written.
    """
    target = checkpoint / FOLDER
    shards.rename(target)
    index = {}
    for path in (target, *target.rglob("*")):
        sync(path)
        if path.is_file():
            index[path.relative_to(target).as_posix()] = {"bytes": path.stat().st_size, "sha256": _digest(path)}
    (checkpoint / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def check_shards(checkpoint: Path) -> Path:
    """Compare the parts of a checkpoint with their list, and return their folder.

    Raises
    ------
    CheckpointError
        A file is missing, is not listed, or its size or hash differs; the message names it.
    """
    target = checkpoint / FOLDER
    try:
        index = json.loads((checkpoint / INDEX).read_text(encoding="utf-8"))
        found = {file.relative_to(target).as_posix(): file for file in _files(target)}
        problems = [f"{name} is missing" for name in sorted(index.keys() - found.keys())]
        problems += [f"{name} does not belong there" for name in sorted(found.keys() - index.keys())]
        for name in sorted(index.keys() & found.keys()):
            size = found[name].stat().st_size
            if size != index[name]["bytes"]:
                problems.append(f"{name} has {size} bytes, not {index[name]['bytes']}")
            elif _digest(found[name]) != index[name]["sha256"]:
                problems.append(f"{name} does not have its hash")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the parts of the checkpoint {checkpoint} cannot be read: {error}") from None
    if problems:
        raise CheckpointError(f"the parts of the checkpoint {target} are damaged: {'; '.join(problems)}")
    return target


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
