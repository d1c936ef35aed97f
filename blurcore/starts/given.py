r"""Start from images that are there: sampling goes on from a time at which they are partly drowned in noise.

An image that is to be changed (SDEdit, Meng et al. 2022), or a smaller one that is to be enlarged: in frequency space the smaller
image is the first frequencies of the larger, and the time is chosen where the others are dead (SPEC 11; :mod:`blurcore.relay`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from blurcore._checks import make_plain, require, require_finite
from blurcore.errors import ConfigError
from blurcore.processes import Process
from blurcore.relay import embed, handover_time, image_state
from blurcore.starts.support import Support
from blurcore.transforms import DCT

if TYPE_CHECKING:
    from blurcore.data import Dataset

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class GivenStates:
    """Noise-free states (n, *grid, C), in frequency space; sample i takes number i, and begins again after the last."""

    states: Array
    points: None = None

    @property
    def support(self) -> Support:
        """All frequencies."""
        grid = self.states.shape[1:-1]
        return Support(grid, np.arange(int(np.prod(grid))))

    def draw(self, rng: np.random.Generator, index: int) -> Array:
        """Return the state of a sample; see :meth:`Prior.draw`."""
        del rng
        state: Array = self.states[index % len(self.states)]
        return state

    def arrays(self) -> dict[str, Array]:
        """Return nothing: the images are where they were."""
        return {}


@dataclass(frozen=True, kw_only=True)
class _FromImages(ABC):
    """A start from images that lie somewhere; nothing is fitted."""

    path: str
    """A folder of images, an image, or a .npy or .npz file: of the run's size, or smaller ones to enlarge."""

    def fit(self, process: Process, data: Dataset, values: Any, *, seed: int) -> GivenStates:
        """Return the states of the images; nothing is fitted."""
        del seed
        return self.restore(process, data.image_shape, values, None)

    @abstractmethod
    def restore(
        self, process: Process, image_shape: tuple[int, ...], values: Any, arrays: Mapping[str, Array] | None
    ) -> GivenStates:
        """Return the states of the images; see :meth:`Start.restore`."""

    def _read(self, image_shape: tuple[int, ...], values: Any) -> Array:
        """Return the images as data, float32 (n, *their grid, C)."""
        from blurcore.data.opening import open_images
        from blurcore.data.values import to_data

        return to_data(open_images(Path(self.path), image_shape, name="sample.start.path")[:], values)


@final
@dataclass(frozen=True, kw_only=True)
class Image(_FromImages):
    """Given images at a time between 0 and 1: the later, the less of them is kept (SDEdit)."""

    time: float = 0.5
    """Where sampling starts, in (0, 1)."""

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("time", self.time)
        require(0.0 < self.time < 1.0, "time", self.time, "in (0, 1)")

    def begins_at(self, process: Process, image_shape: tuple[int, ...], values: Any) -> float:
        """Return `time`; see :meth:`Start.begins_at`."""
        del process, image_shape, values
        return self.time

    def restore(
        self, process: Process, image_shape: tuple[int, ...], values: Any, arrays: Mapping[str, Array] | None
    ) -> GivenStates:
        """Return the states of the images; see :meth:`Start.restore`.

        Raises
        ------
        ConfigError
            They are not of the run's size.
        """
        del arrays
        x = self._read(image_shape, values)
        if x.shape[1:] != image_shape:
            raise ConfigError(f"sample.start.path must hold images of the run's size, {image_shape}; got {x.shape[1:]}")
        axes = tuple(range(1, x.ndim - 1))
        return GivenStates(np.asarray(image_state(process, x, self.time, axes=axes), np.float32))


@final
@dataclass(frozen=True, kw_only=True)
class LowResolution(_FromImages):
    """Smaller images, enlarged: sampling starts where the frequencies that they lack are dead.

    What the larger images hold in those is taken to be no more than the smaller ones hold in the highest octave that they have.
    """

    tolerance: float = 0.01
    """What the missing frequencies may cost, in nats an image, > 0."""

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("tolerance", self.tolerance)
        require(self.tolerance > 0, "tolerance", self.tolerance, "positive")

    def begins_at(self, process: Process, image_shape: tuple[int, ...], values: Any) -> float:
        """Return the earliest time at which what is missing is dead; see :meth:`Start.begins_at`.

        Raises
        ------
        ConfigError
            The images do not serve.
        ArgumentError
            Not even t = 1 is late enough.
        """
        return self._handover(process, image_shape, values)[1]

    def restore(
        self, process: Process, image_shape: tuple[int, ...], values: Any, arrays: Mapping[str, Array] | None
    ) -> GivenStates:
        """Return the states of the enlarged images; see :meth:`Start.restore`."""
        del arrays
        u, t = self._handover(process, image_shape, values)
        axes = tuple(range(1, u.ndim - 1))
        x = DCT().inverse(u, axes=axes)
        return GivenStates(np.asarray(image_state(process, x, t, axes=axes), np.float32))

    def _handover(self, process: Process, image_shape: tuple[int, ...], values: Any) -> tuple[Array, float]:
        """Return the images' DCT coefficients on the run's grid, and the time at which the others are dead."""
        grid = image_shape[:-1]
        own, ours = (np.asarray(basis.eigenvalues(grid)) for basis in (process.basis, DCT()))
        if np.any(own) and not np.array_equal(own, ours):
            name = type(process.basis).__name__
            raise ConfigError(f"process.basis must be DCT for sample.start LowResolution; got {name}")
        x = self._read(image_shape, values).astype(np.float64)
        small = x.shape[1:-1]
        if x.shape[-1] != image_shape[-1] or any(m > n for m, n in zip(small, grid, strict=True)) or small == grid:
            raise ConfigError(
                f"sample.start.path must hold images smaller than the run's, {image_shape}; got {x.shape[1:]}"
            )
        axes = tuple(range(1, x.ndim - 1))
        u = np.asarray(embed(DCT().forward(x, axes=axes), grid, axes=axes))
        power = (u**2).mean(axis=0).sum(axis=-1)[tuple(slice(0, m) for m in small)]
        place = np.indices(small) / np.array(small).reshape(-1, *[1] * len(small))
        highest = float(power[place.max(axis=0) >= 0.5].mean())
        t = handover_time(process, grid=grid, small=small, spectrum=highest, tolerance=self.tolerance)
        return u, t
