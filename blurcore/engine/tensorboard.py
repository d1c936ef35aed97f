"""TensorBoard's files taken back to a step: a run that was killed after its last checkpoint takes the steps since then again.

A file is a row of records, each an event in protocol buffers between its length and checksums.
"""

from __future__ import annotations

import importlib
import struct
from pathlib import Path

from blurcore.errors import CheckpointError
from blurcore.runs.files import replace_bytes

_HEAD, _TAIL = struct.Struct("<QI"), 4  # the length of what is between, and a checksum of it; another one of that


def rewind(folder: Path, step: int) -> None:
    """Drop the scalars after a step, and records cut short, from all files of a folder.

    Raises
    ------
    CheckpointError
        A file cannot be read or written.
    """
    for path in sorted(folder.glob("events.out.tfevents.*")):
        try:
            before = path.read_bytes()
            after = b"".join(record for record in _records(before) if _stays(record, step))
            if after != before:
                replace_bytes(path, after)
        except OSError as error:
            raise CheckpointError(f"cannot take {path} back to step {step}: {error.strerror or error}") from error


def _records(content: bytes) -> list[bytes]:
    found, first = [], 0
    while first + _HEAD.size <= len(content):
        last = first + _HEAD.size + _HEAD.unpack_from(content, first)[0] + _TAIL
        if last > len(content):
            break
        found.append(content[first:last])
        first = last
    return found


def _stays(record: bytes, step: int) -> bool:
    protocol = importlib.import_module("tensorboardX.proto.event_pb2")
    event = protocol.Event.FromString(record[_HEAD.size : -_TAIL])
    return bool(event.HasField("file_version") or event.step <= step)
