"""The core on NumPy arrays, as a backend: always there."""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore.operations import CORE, CoreOperations


class NumpyBackend:
    """NumPy on the CPU."""

    name = "numpy"
    operations: CoreOperations = CORE

    @property
    def description(self) -> str:
        """Library and version."""
        return f"NumPy {np.__version__}"

    def devices(self) -> tuple[str, ...]:
        """Return the one device."""
        return ("cpu",)

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Return the real floating dtypes."""
        del device
        return ("float64", "float32", "float16")

    def asarray(self, values: np.ndarray[Any, Any], *, dtype: str, device: str) -> np.ndarray[Any, Any]:
        """Return a copy in that dtype."""
        del device
        return np.array(values, dtype=dtype)

    def to_numpy(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return float64."""
        return np.asarray(array, dtype=np.float64)


BACKEND = NumpyBackend()
"""The entry point's object."""
