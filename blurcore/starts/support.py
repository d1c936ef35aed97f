"""The frequencies that a blur leaves, and the training images in them: all that a start from data keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from blurcore.errors import CheckpointError
from blurcore.processes import Process

if TYPE_CHECKING:
    from blurcore.data import Dataset

Array = np.ndarray[Any, Any]

_MAX_IMAGES = 10_000  # of a larger data set, a random part
_KEPT = 1e-6  # of the data's amplitude: what is left of a frequency below this is a hundredth of a grey level at most
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Support:
    """The frequencies that a blur leaves: flat indices into a grid."""

    grid: tuple[int, ...]
    frequencies: Array

    @classmethod
    def of(cls, process: Process, grid: tuple[int, ...]) -> Support:
        """Return the frequencies of which more than a millionth is left at t = 1."""
        alpha = np.broadcast_to(np.asarray(process.marginal(1.0, shape=grid).alpha), grid)
        return cls(grid, np.flatnonzero(alpha.ravel() > _KEPT))

    @classmethod
    def restore(cls, start: str, names: set[str], grid: tuple[int, ...], arrays: Mapping[str, Array] | None) -> Support:
        """Return the frequencies of a checkpoint's arrays.

        Raises
        ------
        CheckpointError
            There are no arrays of these names, or the frequencies are not places on the grid; `start` is named.
        """
        if arrays is None or set(arrays) != names:
            raise CheckpointError(f"the checkpoint has no blurred data for sample.start {start}")
        frequencies = arrays["frequencies"]
        inside = frequencies.ndim == 1 and frequencies.dtype.kind == "i"
        if inside and len(frequencies):
            inside = 0 <= int(frequencies.min()) <= int(frequencies.max()) < int(np.prod(grid))
        if not inside or any(v.dtype.kind != "f" for name, v in arrays.items() if name != "frequencies"):
            raise misfit(grid, arrays)
        return cls(grid, frequencies)

    def take(self, u: Array) -> Array:
        """Return the coefficients at the frequencies: (n, *grid, C) to (n, frequencies, C)."""
        kept: Array = u.reshape(len(u), -1, u.shape[-1])[:, self.frequencies]
        return kept

    def fill(self, values: Array) -> Array:
        """Return a state with these coefficients, (frequencies, C) to float32 (*grid, C), and zeros elsewhere."""
        state = np.zeros((int(np.prod(self.grid)), values.shape[-1]), np.float32)
        state[self.frequencies] = values
        return state.reshape(*self.grid, -1)

    def blurred(self, process: Process, data: Dataset, values: Any, *, seed: int) -> Array:
        """Return the coefficients of blurred training images, float32 (images, frequencies, C)."""
        from blurcore.data import permutation
        from blurcore.data.values import to_data

        count = len(data)
        chosen = np.arange(count) if count <= _MAX_IMAGES else permutation(count, seed, 0)[:_MAX_IMAGES]
        axes = tuple(range(1, 1 + len(self.grid)))
        alpha = np.broadcast_to(np.asarray(process.marginal(1.0, shape=self.grid).alpha), self.grid)[..., None]
        parts = []
        for first in range(0, len(chosen), _CHUNK):
            x = to_data(data[chosen[first : first + _CHUNK]], values)
            parts.append(self.take(alpha.astype(np.float32) * process.basis.forward(x, axes=axes)))
        return np.concatenate(parts).astype(np.float32)


def misfit(grid: tuple[int, ...], arrays: Mapping[str, Array]) -> CheckpointError:
    """Return the error of arrays that are not for a grid."""
    shapes = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    return CheckpointError(f"the blurred data of the checkpoint do not fit the grid {grid}: {shapes}")
