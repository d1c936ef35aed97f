"""A film of samples as they come into being: one grid of images for each of some states on the way, animated."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blurcore.data.grid import make_grid
from blurcore.data.images import pillow
from blurcore.data.pictures import as_images
from blurcore.data.values import Values, to_pixels
from blurcore.errors import DataError

_FRAMES = 60
_MILLISECONDS = 80
_LAST_FRAME = 2000


@dataclass
class Film:
    """Takes the states of the first batch (a :data:`blurcore.protocols.Watcher`), and saves them.

    Parameters
    ----------
    values
        Range of the data.
    """

    values: Values
    states: list[np.ndarray[Any, Any]] = field(default_factory=list)

    def __call__(self, first: int, calls: int, x: np.ndarray[Any, Any]) -> None:
        """Keep a state, in data space, if it is one of the first batch."""
        del calls
        if first == 0:
            self.states.append(to_pixels(x, self.values))

    def save(self, path: Path, *, scale: int = 1) -> None:
        """Write at most 60 evenly spaced states as an animated WebP or GIF, by the path's suffix; the last one stays longer.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        chosen = np.unique(np.linspace(0, len(self.states) - 1, min(_FRAMES, len(self.states))).round().astype(int))
        grids = [make_grid(*as_images(self.states[i]), scale=scale) for i in chosen]
        first, *others = [pillow().fromarray(np.repeat(g, 3, axis=-1) if g.shape[-1] == 1 else g) for g in grids]
        partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        try:
            first.save(
                partial, save_all=True, append_images=others, loop=0, lossless=True,
                duration=[_MILLISECONDS] * len(others) + [_LAST_FRAME],
            )  # fmt: skip
            os.replace(partial, path)
        except OSError as error:
            raise DataError(f"the film cannot be written to {str(path)!r}: {error.strerror or error}") from error
        finally:
            partial.unlink(missing_ok=True)
