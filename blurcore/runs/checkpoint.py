"""Checkpoints: arrays as safetensors, the rest as JSON, a manifest of sizes and hashes, and an atomic rename.

Nothing is ever unpickled. A folder without a manifest is a save that did not finish, and is never loaded. What a process
that died leaves in `checkpoints/` begins with a dot, and the next one that trains there clears it away:

::

    .partial-step-00001000     a save that did not finish
    .replaced-step-00001000    the checkpoint that was there before a second one of its step; put back if that did not come
    .removed-step-00001000     an old checkpoint on its way out
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from blurcore._typing import StrPath
from blurcore.errors import CheckpointError
from blurcore.registry import get_backend
from blurcore.runs.files import sync
from blurcore.runs.shards import INDEX, adopt_shards, check_shards

FORMAT = 1
GROUPS = ("model", "ema", "optimizer")
SAMPLING = ("ema", "prior")
"""The groups that sampling reads: the averaged weights, and what it starts from beside noise, if there is such a thing."""
"""Groups of arrays that every checkpoint has; all of their arrays are float32."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's two moments of a parameter, under PyTorch's names, which are those of the checkpoint: "PARAMETER/exp_avg"."""
_PREFIX = "step-"
_FILE_NAME = re.compile(r"\w[\w.-]*")  # no path leads out of the folder
_PARTIAL, _REPLACED, _REMOVED = ".partial-", ".replaced-", ".removed-"
_log = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray[Any, Any]]


class Checkpoint(NamedTuple):
    """A checkpoint in memory: the step it was taken after, named groups of arrays, and plain state.

    `shards`, where it is given, is a folder that holds the groups of the trainer (:mod:`blurcore.runs.shards`).
    """

    step: int
    groups: dict[str, Arrays]
    state: dict[str, Any]
    shards: Path | None = None


def checkpoint_path(folder: StrPath, step: int) -> Path:
    """Return where the checkpoint of a step lies in a run folder."""
    return Path(folder) / "checkpoints" / f"{_PREFIX}{step:08d}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(folder: StrPath, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint so that it is there whole or not at all, then drop all but the `keep` newest.

    Parameters
    ----------
    folder
        The run folder.
    checkpoint
        What to save; every group becomes one safetensors file. A folder of shards is moved into the checkpoint.
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
    folder = Path(folder)
    final = checkpoint_path(folder, checkpoint.step)
    partial = final.with_name(f"{_PARTIAL}{final.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(partial, checkpoint)
        _put_in_place(partial, final)
    except Exception as error:  # safetensors raises its own type for a full disk; whatever it was, say where
        with suppress(OSError):
            remove_leftovers(folder)
        raise CheckpointError(
            f"cannot write the checkpoint {final}: {error} ({_room(folder, checkpoint)}); earlier checkpoints are untouched"
        ) from error
    older = [path for path in complete_checkpoints(folder) if path.name < final.name]
    for old in older[: max(0, len(older) - (keep - 1))]:
        removed = old.with_name(f"{_REMOVED}{old.name}")
        with suppress(OSError):
            old.rename(removed)  # at once, so that no half of it is ever taken for a checkpoint
        shutil.rmtree(removed, ignore_errors=True)
    return final


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint's files, the manifest last, and wait until they are on the disk."""
    from safetensors.numpy import save_file

    for name, arrays in checkpoint.groups.items():
        save_file({k: np.asarray(v, order="C") for k, v in arrays.items()}, folder / f"{name}.safetensors")
    if checkpoint.shards is not None:
        adopt_shards(checkpoint.shards, folder)
    state = {"format": FORMAT, "step": checkpoint.step, **checkpoint.state}
    (folder / "state.json").write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    manifest = {f.name: {"bytes": f.stat().st_size, "sha256": _sha256(f)} for f in files}
    for file in files:
        sync(file)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    sync(folder / "manifest.json")
    sync(folder)


def _put_in_place(partial: Path, final: Path) -> None:
    replaced = final.with_name(f"{_REPLACED}{final.name}")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    partial.rename(final)
    sync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _room(folder: Path, checkpoint: Checkpoint) -> str:
    """Return a sentence with the bytes that a checkpoint needs and those that are free."""
    needed = sum(array.nbytes for arrays in checkpoint.groups.values() for array in arrays.values())
    try:
        room = f"it needs {needed} bytes, {shutil.disk_usage(folder).free} are free"
    except OSError:  # there is no such folder
        return f"it needs {needed} bytes"
    try:
        import resource
    except ImportError:  # no such limits on this system
        return room
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return room if limit == resource.RLIM_INFINITY else f"{room}, a file may have {limit}"


def complete_checkpoints(folder: StrPath) -> list[Path]:
    """Return the finished checkpoints of a run, oldest first."""
    return sorted(p.parent for p in (Path(folder) / "checkpoints").glob(f"{_PREFIX}*/manifest.json"))


def is_for_sampling(folder: Path) -> bool:
    """Return whether the newest checkpoint of a run has averaged weights alone, as an exported one has."""
    from safetensors import SafetensorError, safe_open

    for path in complete_checkpoints(folder)[-1:]:
        with suppress(OSError, SafetensorError), safe_open(path / "model.safetensors", framework="numpy") as weights:
            return not list(weights.keys())
    return False


def remove_leftovers(folder: Path) -> None:
    """Clear away what an interrupted save left behind; only for the process that holds the run folder."""
    for replaced in (folder / "checkpoints").glob(f"{_REPLACED}*"):
        original = replaced.with_name(replaced.name.removeprefix(_REPLACED))
        if not original.exists():
            replaced.rename(original)
    for prefix in (_PARTIAL, _REPLACED, _REMOVED):
        for path in (folder / "checkpoints").glob(f"{prefix}*"):
            shutil.rmtree(path, ignore_errors=True)


def set_aside_after(folder: Path, step: int) -> None:
    """Rename the checkpoints of later steps, which could not be read, so that none is counted, or in the way, from now on."""
    for path in complete_checkpoints(folder):
        if path.name > checkpoint_path(folder, step).name:
            damaged = path.with_name(f"damaged-{path.name}")
            shutil.rmtree(damaged, ignore_errors=True)
            path.rename(damaged)
            _log.warning("%s is damaged and has been renamed to %s", path, damaged.name)


def load_checkpoint(path: StrPath, *, groups: tuple[str, ...] | None = None, reader: str | None = None) -> Checkpoint:
    """Read a checkpoint after comparing every file that is read with the manifest.

    Parameters
    ----------
    path
        The checkpoint's folder.
    groups
        Which groups to read, of those that there are; the others are neither read nor hashed. None: all. Shards are read whole.
    reader
        A backend that reads its own shards: if it wrote this checkpoint's, their groups are left out, and `shards` is set.
        All other shards are put together here, by the backend that wrote them.

    Raises
    ------
    CheckpointError
        A file is missing or no file of a checkpoint, its size or hash differs, or it does not hold what it should; the
        message names it.
    BackendError
        The backend that wrote the shards cannot be imported.
    """
    path = Path(path)
    manifest, state = _check_files(path, groups)
    files = [path / name for name in manifest if name.endswith(".safetensors") and _is_wanted(name, groups)]
    found = {file.stem: _read_arrays(file) for file in files}
    checkpoint = Checkpoint(step=state["step"], groups=found, state=state)
    if INDEX not in manifest or groups == ():
        return checkpoint
    shards = check_shards(path)
    if state["backend"] == reader:
        return checkpoint._replace(shards=shards)
    return checkpoint._replace(groups=_read_shards(shards, state["backend"]) | found)


def _is_wanted(name: str, groups: tuple[str, ...] | None) -> bool:
    """Whether a file is read for some groups: those of other groups are not."""
    return groups is None or not name.endswith(".safetensors") or name.removesuffix(".safetensors") in groups


def _check_files(path: Path, groups: tuple[str, ...] | None = None) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return manifest and state of a checkpoint whose files are those of its manifest; errors as for :func:`load_checkpoint`."""
    manifest = _read_manifest(path)
    for name, entry in manifest.items():
        if not _is_wanted(name, groups):
            continue
        file = path / name
        try:
            size, digest = file.stat().st_size, _sha256(file)
        except OSError as error:
            raise CheckpointError(f"the checkpoint file {file} cannot be read: {error.strerror or error}") from None
        if size != entry["bytes"]:
            raise CheckpointError(f"the checkpoint file {file} has {size} bytes, not {entry['bytes']}: it is damaged")
        if digest != entry["sha256"]:
            raise CheckpointError(f"the checkpoint file {file} does not have the hash of its manifest: it is damaged")
    return manifest, _read_state(path / "state.json")


def _read_shards(shards: Path, backend: str) -> dict[str, Arrays]:
    read = getattr(get_backend(backend), "read_shards", None)
    if read is None:
        raise CheckpointError(f"the parts of the checkpoint {shards} are said to be of {backend}, which writes none")
    groups: dict[str, Arrays] = read(shards)
    return groups


def read_json(file: Path) -> dict[str, Any]:
    """Return the object that a JSON file of a checkpoint holds.

    Raises
    ------
    CheckpointError
        It cannot be read, or holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"the checkpoint file {file} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(
            f"the checkpoint file {file} must hold a JSON object; it holds a {type(content).__name__}"
        )
    return content


def _read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    file = path / "manifest.json"
    manifest = read_json(file)
    for name, entry in manifest.items():
        if not _FILE_NAME.fullmatch(name):
            raise CheckpointError(f"the checkpoint file {file} names {name!r}, which is outside of the checkpoint")
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("bytes"), int)
            or not isinstance(entry.get("sha256"), str)
        ):
            raise CheckpointError(
                f"the checkpoint file {file} must have bytes and sha256 for {name!r}; it has {entry!r}"
            )
    groups = () if INDEX in manifest else tuple(f"{group}.safetensors" for group in GROUPS)
    missing = [name for name in ("state.json", *groups) if name not in manifest]
    if missing:
        raise CheckpointError(f"the checkpoint file {file} must name {', '.join(missing)}; it names {sorted(manifest)}")
    return manifest


def _read_state(file: Path) -> dict[str, Any]:
    state = read_json(file)
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"the checkpoint file {file} has format {state.get('format')!r}; this version reads format {FORMAT}"
        )
    kinds = {"step": int, "image_shape": list, "data": str, "totals": dict, "backend": str}
    wrong = [f"{name} ({kind.__name__})" for name, kind in kinds.items() if type(state.get(name)) is not kind]
    if wrong:
        raise CheckpointError(f"the checkpoint file {file} must have {', '.join(wrong)}; it has {state!r}")
    if state["step"] < 0 or not all(type(n) is int and n > 0 for n in state["image_shape"]):
        raise CheckpointError(
            f"the checkpoint file {file} must have a step of 0 or more and an image_shape of positive integers;"
            f" it has {state['step']} and {state['image_shape']}"
        )
    return state


def _read_arrays(file: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays: Arrays = load_file(file)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint file {file} cannot be read: {error}") from None
    return arrays


def require_same_arrays(shapes: Mapping[str, tuple[int, ...]], arrays: Arrays, *, what: str) -> None:
    """Refuse arrays that are not those of a model, before one of them is taken over.

    Parameters
    ----------
    shapes
        The shape of each array that the model has; all are float32.
    arrays
        What the checkpoint has.
    what
        What they are, for the message.

    Raises
    ------
    CheckpointError
        Names are missing or too many, or shapes or dtypes differ; all are listed.
    """
    if problems := _misfits(shapes, arrays):
        raise CheckpointError(f"the {what} of the checkpoint do not fit this model: {'; '.join(problems)}")


def require_training_state(shapes: Mapping[str, tuple[int, ...]], groups: Mapping[str, Arrays]) -> None:
    """Refuse weights, average and optimiser of a checkpoint unless all of them are those of a model.

    Parameters
    ----------
    shapes
        The shape of each of the model's parameters.
    groups
        What the checkpoint has. The optimiser's group may be empty: PyTorch's has no state before its first step.

    Raises
    ------
    CheckpointError
        As :func:`require_same_arrays`, for the three groups together.
    """
    adam: dict[str, tuple[int, ...]] = {}
    if groups["optimizer"]:
        for name, shape in shapes.items():
            adam |= {f"{name}/step": (), **{f"{name}/{moment}": shape for moment in MOMENTS}}
    problems = [
        f"{group}: {problem}"
        for group, wanted in zip(GROUPS, (shapes, shapes, adam), strict=True)
        for problem in _misfits(wanted, groups[group])
    ]
    if problems:
        raise CheckpointError(f"the checkpoint does not fit this model: {'; '.join(problems)}")


def _misfits(shapes: Mapping[str, tuple[int, ...]], arrays: Arrays) -> list[str]:
    """Return what tells arrays from those of a model, one sentence for each."""
    problems = [f"missing {k}" for k in sorted(shapes.keys() - arrays.keys())]
    problems += [f"unexpected {k}" for k in sorted(arrays.keys() - shapes.keys())]
    for name in sorted(shapes.keys() & arrays.keys()):
        if arrays[name].shape != shapes[name]:
            problems.append(f"{name} has shape {arrays[name].shape}, not {shapes[name]}")
        if arrays[name].dtype != np.float32:
            problems.append(f"{name} has dtype {arrays[name].dtype}, not float32")
    return problems


def newest_checkpoint(
    folder: StrPath, *, groups: tuple[str, ...] | None = None, reader: str | None = None
) -> Checkpoint:
    """Read the newest complete and undamaged checkpoint of a run; warn of newer ones that are damaged.

    Parameters
    ----------
    folder
        The run folder.
    groups, reader
        As for :func:`load_checkpoint`. What is not read may be damaged unseen.

    Raises
    ------
    CheckpointError
        There is none.
    """
    problems: list[str] = []
    for path in reversed(complete_checkpoints(folder)):
        try:
            checkpoint = load_checkpoint(path, groups=groups, reader=reader)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            _log.warning("%s; falling back to the checkpoint of step %d", "; ".join(problems), checkpoint.step)
        return checkpoint
    raise CheckpointError(
        f"the run {folder} has no checkpoint to load" + (f" ({'; '.join(problems)})" if problems else "")
    )


def newest_identity(folder: StrPath) -> dict[str, Any]:
    """Return "step" and "checkpoint", a hash of all files, of what sampling reads; no array is read for it.

    Raises
    ------
    CheckpointError
        There is none.
    """
    for path in complete_checkpoints(folder)[::-1]:
        with suppress(CheckpointError):  # who reads it says what is wrong with it
            step = _check_files(path, SAMPLING)[1]["step"]
            return {"step": step, "checkpoint": _sha256(path / "manifest.json")[:16]}
    raise CheckpointError(f"the run {folder} has no checkpoint to load")
