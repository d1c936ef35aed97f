"""Checkpoints: arrays as safetensors, the rest as JSON, a manifest of sizes and hashes, and an atomic rename.

Nothing is ever unpickled. A folder without a manifest is a save that did not finish, and is never loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from blurcore.errors import CheckpointError

FORMAT = 1
_PREFIX = "step-"
_log = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray[Any, Any]]


class Checkpoint(NamedTuple):
    """A checkpoint in memory: the step it was taken after, named groups of arrays, and plain state."""

    step: int
    groups: dict[str, Arrays]
    state: dict[str, Any]


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies in a run folder."""
    return folder / "checkpoints" / f"{_PREFIX}{step:08d}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint so that it is there whole or not at all, then drop all but the `keep` newest.

    Parameters
    ----------
    folder
        The run folder.
    checkpoint
        What to save; every group becomes one safetensors file.
    keep
        How many checkpoints to leave, at least 1.

    Returns
    -------
    Path
        The checkpoint's folder.

    Raises
    ------
    CheckpointError
        Writing failed (disk full, no permission); the message names the path, and earlier checkpoints are untouched.
    """
    from safetensors.numpy import save_file

    final = checkpoint_path(folder, checkpoint.step)
    partial = final.with_name(f".partial-{final.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, arrays in checkpoint.groups.items():
            save_file({k: np.asarray(v, order="C") for k, v in arrays.items()}, partial / f"{name}.safetensors")
        state = {"format": FORMAT, "step": checkpoint.step, **checkpoint.state}
        (partial / "state.json").write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
        files = sorted(partial.iterdir())
        manifest = {f.name: {"bytes": f.stat().st_size, "sha256": _sha256(f)} for f in files}
        for file in files:
            _sync(file)
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _sync(partial / "manifest.json")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _sync(final.parent)
    except Exception as error:  # safetensors raises its own type for a full disk; whatever it was, say where
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(f"cannot write the checkpoint {final}: {error}") from error
    for old in _complete(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def _complete(folder: Path) -> list[Path]:
    """Return the finished checkpoints, oldest first."""
    return sorted(p.parent for p in (folder / "checkpoints").glob(f"{_PREFIX}*/manifest.json"))


def remove_partial(folder: Path) -> None:
    """Remove what an interrupted save left behind."""
    for path in (folder / "checkpoints").glob(".partial-*"):
        shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint after comparing every file with the manifest.

    Raises
    ------
    CheckpointError
        A file is missing, or its size or hash differs; the message names it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        for name, entry in manifest.items():
            file = path / name
            if not file.is_file():
                raise CheckpointError(f"the checkpoint file {file} is missing")
            if file.stat().st_size != entry["bytes"]:
                raise CheckpointError(
                    f"the checkpoint file {file} has {file.stat().st_size} bytes, not {entry['bytes']}: it is damaged"
                )
            if _sha256(file) != entry["sha256"]:
                raise CheckpointError(
                    f"the checkpoint file {file} does not have the hash of its manifest: it is damaged"
                )
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        groups: dict[str, Arrays] = {
            Path(name).stem: load_file(path / name) for name in manifest if name.endswith(".safetensors")
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError, SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"the checkpoint {path} cannot be read: {error}") from error
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"the checkpoint {path} has format {state.get('format')!r}; this version reads format {FORMAT}"
        )
    return Checkpoint(step=state["step"], groups=groups, state=state)


def require_same_arrays(shapes: Mapping[str, tuple[int, ...]], arrays: Arrays, *, what: str) -> None:
    """Refuse arrays that are not those of a model, before one of them is taken over.

    Parameters
    ----------
    shapes
        The shape of each array that the model has.
    arrays
        What the checkpoint has.
    what
        What they are, for the message.

    Raises
    ------
    CheckpointError
        Names are missing or too many, or shapes differ; all are listed.
    """
    problems = [f"missing {k}" for k in sorted(shapes.keys() - arrays.keys())]
    problems += [f"unexpected {k}" for k in sorted(arrays.keys() - shapes.keys())]
    problems += [
        f"{k} has shape {arrays[k].shape}, not {shapes[k]}"
        for k in sorted(shapes.keys() & arrays.keys())
        if arrays[k].shape != shapes[k]
    ]
    if problems:
        raise CheckpointError(f"the {what} of the checkpoint do not fit this model: {'; '.join(problems)}")


def newest_checkpoint(folder: Path) -> Checkpoint:
    """Read the newest checkpoint of a run that is complete and undamaged; say so where a newer one is not.

    Raises
    ------
    CheckpointError
        There is none.
    """
    problems = []
    for path in reversed(_complete(folder)):
        try:
            return load_checkpoint(path)
        except CheckpointError as error:
            _log.warning("%s; falling back to the checkpoint before it", error)
            problems.append(str(error))
    raise CheckpointError(
        f"the run {folder} has no checkpoint to load" + (f" ({'; '.join(problems)})" if problems else "")
    )
