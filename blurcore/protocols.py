"""What a backend is: arrays, and, if it can, the machinery that trains and samples models.

Discovered through the entry-point group ``blurcore.backends`` (:mod:`blurcore.registry`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from blurcore._typing import Array, StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data.values import Samples
from blurcore.operations import CoreOperations

Watcher = Callable[[int, int, np.ndarray[Any, Any]], None]
"""watch(i, k, x): the samples from number i on after k network calls, in data space, float32 (batch, *grid, C)."""


class Team(NamedTuple):
    """The processes that work on one run together, as one of them sees them; by default it is alone."""

    rank: int = 0
    """This one's number; 0 writes."""
    size: int = 1
    total: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] = lambda array: array
    """total(array): the sum over all processes, in each; all of them must ask, with arrays of one shape and dtype."""


class RunNetwork(NamedTuple):
    """A run's trained network as a function of NumPy arrays, for what is measured on the host."""

    config: RunConfig
    image_shape: tuple[int, ...]
    step: int
    call: Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any]], np.ndarray[Any, Any]]
    """call(z, t): float32 (batch, *grid, C) and times (batch,) to the prediction, in data space."""
    vjp: Callable[..., tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] | None = None
    """vjp(z, t, v): the prediction, and the product of v with its Jacobian in z, both (batch, *grid, C)."""


@runtime_checkable
class Backend(Protocol):
    """An array library made known to blurcore. All that `blurcore verify` and the conformance kit need."""

    @property
    def name(self) -> str:
        """Name under which it is registered."""
        ...

    @property
    def description(self) -> str:
        """One line for tables: library and version."""
        ...

    @property
    def operations(self) -> CoreOperations:
        """The mathematics; :data:`blurcore.operations.CORE` unless the backend brings its own."""
        ...

    def devices(self) -> tuple[str, ...]:
        """Return the devices that are there, such as ("cpu", "cuda:0")."""
        ...

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Return the real floating dtypes that the device has, of float64, float32, bfloat16, float16."""
        ...

    def asarray(self, values: np.ndarray[Any, Any], *, dtype: str, device: str) -> Array:
        """Move a NumPy array to the device, in that dtype."""
        ...

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """Return an array as NumPy float64."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """A backend that writes a run as a program which needs no blurcore."""

    def export(self, folder: StrPath, settings: SampleConfig, path: StrPath, *, form: str, part: str) -> dict[str, Any]:
        """Write a run's network (`part` "network"), or a sampling step with it ("step"), and return what has to be known of it."""
        ...


@runtime_checkable
class Autodiff(Protocol):
    """A backend that differentiates."""

    def derivative(self, f: Callable[[Array], Array], t: Array) -> Array:
        """Return df/dt for a scalar array t, by the library's own automatic differentiation; shape of f(t)."""
        ...


@runtime_checkable
class Machinery(Protocol):
    """A backend that trains and samples."""

    @property
    def name(self) -> str:
        """Name under which it is registered."""
        ...

    def processes(self, device: str = "auto") -> AbstractContextManager[Team]:
        """Join the other processes that were started to work together, if there are any, for the time of a `with` statement."""
        ...

    def train(self, config: RunConfig, folder: StrPath, *, resume: bool = False) -> None:
        """Train into a run folder; with `resume`, go on from its newest checkpoint."""
        ...

    def sample(
        self,
        folder: StrPath,
        settings: SampleConfig,
        *,
        device: str = "auto",
        progress: bool = True,
        watch: Watcher | None = None,
    ) -> Samples:
        """Draw images from a run; `watch` is shown the states on the way."""
        ...

    def network(self, folder: StrPath, *, device: str = "auto") -> RunNetwork:
        """Return a run's network with the averaged weights."""
        ...
