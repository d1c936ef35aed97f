"""A complete backend: Dask arrays, so that volumes larger than memory can be diffused chunk by chunk.

Try it from this folder (``pip install "dask[array]"``)::

    python -m blurcore.testing --backend dask_backend:BACKEND

To have it found by name, declare it in the ``pyproject.toml`` of its package::

    [project.entry-points."blurcore.backends"]
    dask = "dask_backend:BACKEND"
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import dask.array as da
import numpy as np

from blurcore.operations import CORE, CoreOperations


class DaskBackend:
    """Dask on NumPy chunks; the mathematics is the core's, which runs on any Array API array."""

    name = "dask"
    operations: CoreOperations = CORE

    @property
    def description(self) -> str:
        """One line for tables."""
        return f"Dask {version('dask')}"

    def devices(self) -> tuple[str, ...]:
        """Return the devices: Dask's chunks lie in the memory of the CPU."""
        return ("cpu",)

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Return the real floating dtypes, the widest first."""
        return ("float64", "float32")

    def asarray(self, values: np.ndarray[Any, Any], *, dtype: str, device: str) -> da.Array:
        """Move NumPy values to the library, in that dtype."""
        return da.from_array(np.array(values, dtype=dtype))

    def to_numpy(self, array: da.Array) -> np.ndarray[Any, Any]:
        """Return an array as NumPy float64."""
        return np.asarray(array.compute(scheduler="synchronous"), dtype=np.float64)


BACKEND = DaskBackend()
