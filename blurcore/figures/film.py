"""Films: samples as they come into being, one frame for each of some states on the way, as an animated WebP or GIF."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blurcore._typing import StrPath
from blurcore.data.formats import pillow
from blurcore.data.pictures import grids_that_fit
from blurcore.data.values import Values, to_pixels
from blurcore.errors import OutputError

Array = np.ndarray[Any, Any]

_FRAMES = 60
_MILLISECONDS = 80
_LAST_FRAME = 2000
_MAX_PIXELS = 2**23
"""Of a frame: 60 of them, which Pillow wants at once, are 1.5 GB."""
_MAX_SIDE = 16_383
"""WebP has 14 bits for each side."""


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` evenly spaced numbers from 0 to count - 1, both among them."""
    return [round(i) for i in np.linspace(0, count - 1, min(most, count)).tolist()]


def write_film(frames: Sequence[Array], path: StrPath, *, milliseconds: int = _MILLISECONDS, loop: bool = True) -> None:
    """Write frames as an animated WebP (without loss) or GIF, by the path's suffix; the last one stays for two seconds.

    Parameters
    ----------
    frames
        uint8 (H, W, 1) or (H, W, 3), all of one shape.
    path
        The file; its folder is made.
    milliseconds
        How long a frame is shown.
    loop
        Begin again at the end.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    grey = all(frame.shape[-1] == 1 or bool((frame == frame[..., :1]).all()) for frame in frames)
    first, *others = (_picture(frame, grey=grey, palette=path.suffix.lower() == ".gif") for frame in frames)
    # A GIF without a count is played once, a WebP as often as it says.
    again = {"loop": 0} if loop else {"loop": 1} if path.suffix.lower() == ".webp" else {}
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        first.save(
            partial,
            save_all=True,
            append_images=others,
            lossless=True,
            method=4,
            minimize_size=True,
            duration=[milliseconds] * len(others) + [_LAST_FRAME],
            **again,
        )
        os.replace(partial, path)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _unwritten(path: Path, error: OSError) -> OutputError:
    return OutputError(f"the film cannot be written to {str(path)!r}: {error.strerror or error}")


def _picture(frame: Array, *, grey: bool, palette: bool) -> Any:
    """Return a frame as Pillow wants it for the format: a GIF has 256 colours, which all greys fit into."""
    if grey and palette:
        return pillow().fromarray(np.ascontiguousarray(frame[..., 0]))
    picture = pillow().fromarray(np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else np.ascontiguousarray(frame))
    return picture.quantize(256) if palette else picture


@dataclass
class Film:
    """Takes the states of the first batch (a :data:`blurcore.protocols.Watcher`), and saves them.

    Parameters
    ----------
    values
        Range of the data.
    """

    values: Values
    states: list[Array] = field(default_factory=list)

    def __call__(self, first: int, calls: int, x: Array) -> None:
        """Keep a state, in data space, if it is one of the first batch."""
        del calls
        if first == 0:
            self.states.append(to_pixels(x, self.values))

    def save(self, path: StrPath, *, scale: int = 1) -> bool:
        """Write at most 60 evenly spaced states as a grid each, of the samples that fit; see :func:`write_film`.

        Returns
        -------
        bool
            Whether the film is there: not where not even one sample fits.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        chosen = [self.states[i] for i in evenly(len(self.states), _FRAMES)]
        frames = grids_that_fit(chosen, str(path), scale=scale, pixels=_MAX_PIXELS, side=_MAX_SIDE)
        if frames:
            write_film(frames, path)
        return bool(frames)
