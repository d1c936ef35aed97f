"""Sets of drawn samples: what each was drawn with, so that none takes the place of another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from blurcore.config import SampleConfig
from blurcore.runs.checkpoint import newest_identity
from blurcore.runs.files import replace_text
from blurcore.serial import to_dict

_RECORD = "samples.json"
_FILES = (_RECORD, "samples.npz", "grid.png", "film.webp")


def files_of(folder: Path) -> list[Path]:
    """Return where the files of a set are, or would be."""
    return [folder / name for name in _FILES]


def record_of(run: Path, settings: SampleConfig, *, backend: str, device: str) -> dict[str, Any]:
    """Return what decides the samples of a run: checkpoint, calibration, settings, and what draws the noise.

    Raises
    ------
    CheckpointError
        The run has no checkpoint.
    """
    record: dict[str, Any] = {
        **newest_identity(run),
        "backend": backend,
        "device": device,
        "settings": to_dict(settings),
    }
    del record["settings"]["batch_size"]  # it changes no sample
    if settings.solver.needs_calibration:
        record["calibration"] = _hash(b"".join(path.read_bytes() for path in sorted(run.glob("calibration.*"))))
    found: dict[str, Any] = json.loads(json.dumps(record))  # as it is read again
    return found


def other_set(folder: Path, record: dict[str, Any]) -> str:
    """Return in words how the set in a folder differs from one of this record, empty where there is none or it does not."""
    if not any(path.exists() for path in files_of(folder)):
        return ""
    try:
        before = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        before, now = before | before["settings"], record | record["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return "settings that are not known"
    names = [name for name in now.keys() | before.keys() if name != "settings" and before.get(name) != now.get(name)]
    return ", ".join(f"{name} {before.get(name)!r}, not {now.get(name)!r}" for name in sorted(names))


def place_for(folder: Path, record: dict[str, Any]) -> Path:
    """Return the folder for a set: this one, or, where it holds a set of other settings, one with their hash in its name."""
    place = folder
    number = 1
    while other_set(place, record):
        suffix = _hash(json.dumps(record, sort_keys=True).encode())[:8] + (f"-{number}" if number > 1 else "")
        place, number = folder.with_name(f"{folder.name}-{suffix}"), number + 1
    return place


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Create the folder of a set of samples and write, first of all, the record of its settings."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / _RECORD, json.dumps(record, indent=1) + "\n")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
