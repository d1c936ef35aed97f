"""Files that are there whole or not at all, and on the disk when we say so."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_occupied(path: Path) -> bool:
    """Return whether there is anything where a folder is to be made: a file, or a folder that holds something."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def replace_text(path: Path, text: str) -> None:
    """Write a file in the place of the one that is there, at once or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        sync(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
