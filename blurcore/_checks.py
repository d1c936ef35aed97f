"""One sentence for every bad argument: what it is called, what it was, what would be right."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from blurcore.errors import ArgumentError


def require(condition: bool, name: str, value: Any, expected: str) -> None:
    """Raise :class:`ArgumentError` unless `condition` holds; NaN fails every comparison, so it is refused too."""
    if not condition:
        raise ArgumentError(f"{name} must be {expected}; got {value!r}")


def plain(value: Any) -> Any:
    """Return a NumPy scalar as the Python scalar that it stands for, in tuples too; anything else as it is."""
    if isinstance(value, np.floating):  # longdouble's own `item` is a longdouble
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is tuple and any(isinstance(v, (np.generic, tuple)) for v in value):
        return tuple(plain(v) for v in value)
    return value


def make_plain(settings: Any) -> None:
    """Convert the fields of a frozen dataclass to Python scalars; called first in the ``__post_init__`` of settings."""
    for field in dataclasses.fields(settings):
        given = getattr(settings, field.name)
        if (value := plain(given)) is not given:
            object.__setattr__(settings, field.name, value)


def require_finite(name: str, value: Any, expected: str = "a finite number") -> None:
    """Raise for NaN, infinity and values that are not real numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ArgumentError(f"{name} must be {expected}; got {value!r}")
