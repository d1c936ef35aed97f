"""One sentence for every bad argument: what it is called, what it was, what would be right."""

from __future__ import annotations

import math
from typing import Any

from blurcore.errors import ArgumentError


def require(condition: bool, name: str, value: Any, expected: str) -> None:
    """Raise :class:`ArgumentError` unless `condition` holds; NaN fails every comparison, so it is refused too."""
    if not condition:
        raise ArgumentError(f"{name} must be {expected}; got {value!r}")


def require_finite(name: str, value: Any, expected: str = "a finite number") -> None:
    """Refuse NaN, infinity and what is no real number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ArgumentError(f"{name} must be {expected}; got {value!r}")
