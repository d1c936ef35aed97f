"""Fields of a kind that are not settings: a process, axes, a measured table, which it is given when it is built."""

from __future__ import annotations

import dataclasses
from typing import Any, final

from blurcore.errors import ArgumentError

_MARK = "late"


@final
class Unknown:
    """The value of a late field until a kind is built; using it is refused."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ArgumentError(
            "this kind must be built before it is used, such as DDIM(eta=0.5).build(process, axes=(-2, -1)) or"
            " DDIM(process=process, eta=0.5); got its settings alone"
        )

    def __reduce__(self) -> str:
        return "UNKNOWN"

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = Unknown()


def late(default: Any = UNKNOWN) -> Any:
    """Return a dataclass field that no file, flag or folder name holds: it is given when the kind is built."""
    return dataclasses.field(default=default, repr=False, metadata={_MARK: True})


def settings_of(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    """Return the fields of a dataclass, or of an instance, that are settings."""
    return tuple(field for field in dataclasses.fields(kind) if not field.metadata.get(_MARK))
