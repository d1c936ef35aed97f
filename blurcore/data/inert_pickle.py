"""Arrays in pickles, read without making any object of a class that the pickle names."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from blurcore.errors import DataError

_KNOWN = {
    "numpy.core.multiarray": {"_reconstruct"},
    "numpy._core.multiarray": {"_reconstruct"},
    "numpy": {"ndarray", "dtype"},
}


class _Part:
    """The call by which a pickle would build an array or a dtype, recorded and not executed."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _KNOWN.get(module, ()):
            return _Part
        raise DataError(f"a pickle that names {module}.{name} is not read: arrays of numbers, text and lists are")

    def persistent_load(self, pid: Any) -> Any:
        raise DataError("a pickle that refers to something outside is not read")


def read_pickle(content: bytes) -> dict[Any, Any]:
    """Return the dictionary of a pickle: numbers, bytes, lists of them, and arrays of uint8.

    Names in a pickle are never looked up: what is not a plain array is refused. Text of Python 2 stays bytes.

    Raises
    ------
    DataError
        It is damaged, or holds something else.
    """
    try:
        found = _Reader(io.BytesIO(content), encoding="bytes").load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle fails in many ways
        raise DataError(f"a pickle is damaged: {type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"a pickle must hold a dictionary; got {type(found).__name__}")
    return {key: _array(value) if isinstance(value, _Part) else value for key, value in found.items()}


def _array(part: _Part) -> Any:
    """Return the array that a pickle describes: (version, shape, dtype, order, bytes)."""
    match part.state:
        case (_, tuple() as shape, _Part(arguments=(name, *_)), order, bytes() as raw) if name in (b"u1", "u1"):
            return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if order else "C")
    raise DataError(f"a pickle must hold arrays of uint8; got {part.arguments!r}")
