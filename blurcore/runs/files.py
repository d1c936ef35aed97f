"""Files that are there whole or not at all, on the disk when we say so, and refused before any work where they cannot be."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from blurcore.errors import ConfigError

PARTIAL = ".partial"
"""Name of what is being written into a folder that is there already."""
_LOST = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
"""Errors of fsync that mean lost data; any other one means that there is no such call for this file on its file system."""


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk, where the file system supports it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():  # where folders cannot be opened, they cannot be waited for
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _LOST:
            raise
    finally:
        os.close(descriptor)


def is_occupied(path: Path) -> bool:
    """Return whether there is anything where a folder is to be made: a file, or a folder that holds something.

    What a new file system holds, and what an attempt that was killed has left, are nothing.
    """
    if not path.is_dir():
        return path.exists()
    return any(inside.name not in ("lost+found", PARTIAL) for inside in path.iterdir())


def replace_text(path: Path, text: str) -> None:
    """Write a file in the place of the one that is there, at once or not at all."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """As :func:`replace_text`."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        sync(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def changed_files(before: Mapping[str, str], now: Mapping[str, str], *, most: int = 5) -> list[str]:
    """Return how files differ by their hashes, as "added: 'a.png'", "gone: ..." and "changed: ..."; nothing if one is empty."""
    if not before or not now:
        return []
    parts = {
        "added": sorted(now.keys() - before.keys()),
        "gone": sorted(before.keys() - now.keys()),
        "changed": sorted(path for path in before.keys() & now.keys() if before[path] != now[path]),
    }
    return [
        f"{what}: {', '.join(map(repr, paths[:most]))}{f' and {len(paths) - most} more' if len(paths) > most else ''}"
        for what, paths in parts.items()
        if paths
    ]


def require_file(what: str, path: Path) -> None:
    """Refuse, before any work, a path at which no file can be written; missing folders above it can be made.

    Parameters
    ----------
    what
        The option, or what is to be written, for the message.
    path
        The file.

    Raises
    ------
    ConfigError
        There is a folder or a device, or the folder for it cannot be written.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no ordinary file"
        raise ConfigError(f"{what} must be a file; {str(path)!r} is {kind}")
    if not path.name:
        raise ConfigError(f"{what} must be a file; got {str(path)!r}")
    if (reason := why_unwritable(path.parent)) is not None:
        raise ConfigError(f"{what} must be a file that can be written; {str(path)!r} cannot: {reason}")


def require_folder(what: str, path: Path) -> None:
    """Refuse, before any work, a folder that cannot be made or written.

    Parameters
    ----------
    what
        The option, or what is to be written, for the message.
    path
        The folder, which need not be there yet.

    Raises
    ------
    ConfigError
        It, or the first folder above it that is there, is no folder or cannot be written.
    """
    if (reason := why_unwritable(path)) is not None:
        raise ConfigError(f"{what} must be a folder that can be written; {str(path)!r} cannot: {reason}")


def why_unwritable(folder: Path) -> str | None:
    """Return why nothing can be written into a folder that is there or is to be made, None if it can; nothing is left behind."""
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if there.exists() and not there.is_dir():
        return f"{os.strerror(errno.ENOTDIR)}: {str(there)!r}"
    try:
        tempfile.TemporaryFile(dir=there).close()  # what the system lets us do, whatever the permissions say
    except OSError as error:
        return f"{error.strerror or error}: {str(there)!r}"
    return None
