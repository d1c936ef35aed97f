"""The interface of starts, and the default start of a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from blurcore.processes import Process
from blurcore.starts.support import Support

if TYPE_CHECKING:
    from blurcore.data import Dataset

Array = np.ndarray[Any, Any]


class Prior(Protocol):
    """A distribution of noise-free first states, in frequency space."""

    @property
    def support(self) -> Support:
        """The frequencies in which they are not 0."""
        ...

    @property
    def points(self) -> Array | None:
        """The states, if there are finitely many, each as likely as the others: (n, frequencies, C); else None."""
        ...

    def draw(self, rng: np.random.Generator, index: int) -> Array:
        """Return the state of a sample, from random numbers of its own or by its number, float32 (*grid, C)."""
        ...

    def arrays(self) -> dict[str, Array]:
        """Return what a checkpoint keeps."""
        ...


class Start(Protocol):
    """Where sampling starts: a kind under the role ``start``."""

    def fit(self, process: Process, data: Dataset, values: Any, *, seed: int) -> Prior | None:
        """Return the noise-free first states, from the training data; None: there is nothing but noise.

        Parameters
        ----------
        process
            The run's.
        data
            The training images.
        values
            The numbers that pixels become, "symmetric" or "unit".
        seed
            Of what is random in it.

        Raises
        ------
        ConfigError
            Process or data are not for this start.
        """
        ...

    def restore(
        self, process: Process, image_shape: tuple[int, ...], values: Any, arrays: Mapping[str, Array] | None
    ) -> Prior | None:
        """Return them again, for images (*grid, C), from what a checkpoint kept.

        Raises
        ------
        CheckpointError
            It kept nothing, or something that does not fit.
        ConfigError
            The process, or the images that a setting names, are not for this start.
        """
        ...

    def begins_at(self, process: Process, image_shape: tuple[int, ...], values: Any) -> float:
        """Return the time at which sampling starts, in (0, 1]."""
        ...


class FromTheEnd:
    """What starts at t = 1 inherit."""

    def begins_at(self, process: Process, image_shape: tuple[int, ...], values: Any) -> float:
        """Return 1; see :meth:`Start.begins_at`."""
        del process, image_shape, values
        return 1.0


def leaves_image(process: Process, grid: tuple[int, ...]) -> bool:
    """Whether the state at t = 1 shows more of an image than its noise hides: a tenth of the noise's standard deviation."""
    alpha, sigma = (np.asarray(c) for c in process.marginal(1.0, shape=grid))
    return float(np.max(alpha)) > 0.1 * float(np.min(sigma))


def default_start(process: Process, grid: tuple[int, ...]) -> Start:
    """Return the start of a process for which none is asked for: blurred training data where an image is left, else noise."""
    from blurcore.starts.blurred import BlurredData
    from blurcore.starts.noise import Noise

    return BlurredData() if leaves_image(process, grid) else Noise()
