"""Names for what flows through the core. An array is whatever `array_api_compat.array_namespace` accepts."""

from __future__ import annotations

import os
from typing import Any, TypeAlias, TypeVar

Array: TypeAlias = Any
"""An array of NumPy, PyTorch, JAX or any other library of the Array API standard."""
Time: TypeAlias = Any
"""A time in [0, 1]: a Python number, or an array whose axes are the leading axes of the data."""
StrPath: TypeAlias = str | os.PathLike[str]
"""Where a file or a folder is."""
Namespace: TypeAlias = Any
DType: TypeAlias = Any
Device: TypeAlias = Any

A = TypeVar("A")
"""The array type of a value: what goes in comes out."""
