"""One cell of the matrix: a backend, a device, a dtype, a grid and a process, with the backend's operations in NumPy."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from blurcore import operations
from blurcore._typing import Array
from blurcore.processes import BlurringDiffusion, ColdDiffusion, GaussianDiffusion, HeatDissipation, Process
from blurcore.protocols import Backend
from blurcore.schedules import CosineLogSNR, LinearBeta, LogLinear, Sin, SinSquared
from blurcore.transforms import DST, RealFourier
from blurcore.verify.asking import AskingProcess
from blurcore.verify.rounding import EPSILON

Values = np.ndarray[Any, Any]

PROCESSES: dict[str, Process] = {
    "blurring": BlurringDiffusion(),
    "blurring, absorbing, DDPM betas": BlurringDiffusion(
        noise=LinearBeta(), blur=Sin(sigma_blur_max=3.0), min_scale=0.01, basis=DST()
    ),
    "blurring, periodic": BlurringDiffusion(
        noise=CosineLogSNR(log_snr_min=-8.0, log_snr_max=8.0), blur=SinSquared(sigma_blur_max=2.0), basis=RealFourier()
    ),
    "gaussian": GaussianDiffusion(),
    "gaussian, DDPM betas": GaussianDiffusion(noise=LinearBeta()),
    "heat": HeatDissipation(blur=LogLinear(sigma_blur_min=0.5, sigma_blur_max=2.0, num_levels=20)),
    "cold": ColdDiffusion(blur=Sin(sigma_blur_max=2.0)),
}
"""The paper's defaults, and one that differs from them in every part, for each process."""

SHAPES: tuple[tuple[int, ...], ...] = ((9,), (16,), (6, 6), (5, 8), (3, 3, 3), (2, 3, 4))
"""Audio, images and volumes; square and not, odd and even."""
REPEATED_SHAPES: tuple[tuple[int, ...], ...] = ((16,), (6, 6), (3, 3, 3))
"""Those of them that have as many axes as another."""
QUICK_SHAPES: tuple[tuple[int, ...], ...] = ((4, 5),)
HALF = ("bfloat16", "float16")
BATCH, CHANNELS = 2, 3


@dataclass(frozen=True, eq=False)
class Case:
    """A cell, and the operations of its backend on NumPy values."""

    backend: Backend
    device: str
    dtype: str
    shape: tuple[int, ...]
    process_name: str
    process: Process
    seed: int = 0

    @property
    def ops(self) -> operations.CoreOperations:
        """The mathematics under test."""
        return self.backend.operations

    @property
    def asking(self) -> AskingProcess:
        """The process with the backend's operations for its own: for what the core builds from those."""
        return AskingProcess(self.process, self.ops)

    @property
    def data_eps(self) -> float:
        """Epsilon of the data."""
        return EPSILON[self.dtype]

    @property
    def eps(self) -> float:
        """Epsilon of coefficients and sums: float32's for half-precision data (SPEC 10)."""
        return EPSILON["float64" if self.dtype == "float64" else "float32"]

    @property
    def cast_eps(self) -> float:
        """What rounding half-precision data once more costs; 0 for wider data, whose results are not rounded again."""
        return self.data_eps if self.dtype in HALF else 0.0

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    def rng(self, purpose: str = "") -> np.random.Generator:
        """Return a generator that depends on the seed, the grid and the purpose alone: every backend sees the same data."""
        return np.random.default_rng([self.seed, *self.shape, zlib.crc32(f"{purpose} {self.process_name}".encode())])

    def array(self, values: Values) -> Array:
        """Move values to the backend."""
        return self.backend.asarray(np.asarray(values), dtype=self.dtype, device=self.device)

    def rounded(self, values: Values) -> Values:
        """Return values as the dtype holds them: the data that both sides of an identity start from."""
        return self.numpy(self.array(values))

    def numpy(self, array: Array) -> Values:
        """Return a result as float64."""
        return np.asarray(self.backend.to_numpy(array), dtype=np.float64)

    @cached_property
    def like(self) -> Array:
        """An array of the cell's library, dtype and device."""
        return self.array(np.zeros((1,)))

    def on_grid(self, coefficient: Array) -> Values:
        """Return a coefficient in NumPy on the whole grid; refuse one whose shape is neither the grid's nor 1."""
        values = self.numpy(coefficient)
        if values.ndim != len(self.shape) or any(
            n not in (1, m) for n, m in zip(values.shape, self.shape, strict=True)
        ):
            raise ValueError(f"a coefficient on the grid {self.shape} has shape {values.shape}")
        return np.broadcast_to(values, self.shape)

    def _coefficients(self, name: str, *times: float, process: Process | None = None) -> tuple[Values, ...]:
        """Call an operation at times that are numbers, once for each."""
        process = process or self.process
        key = (name, process, *times)
        if key not in self._seen:
            result = getattr(self.ops, name)(process, *times, shape=self.shape, like=self.like)
            self._seen[key] = tuple(
                self.on_grid(value) for value in (result if isinstance(result, tuple) else (result,))
            )
        return self._seen[key]

    @cached_property
    def _seen(self) -> dict[Any, tuple[Values, ...]]:
        return {}

    def marginal(self, t: float, process: Process | None = None) -> Sequence[Values]:
        """Return alpha and sigma."""
        return self._coefficients("marginal", t, process=process)

    def log_snr(self, t: float) -> Values:
        """Return l_t."""
        return self._coefficients("log_snr", t)[0]

    def difference(self, t: float, s: float) -> Sequence[Values]:
        """Return alpha_t / alpha_s and l_t - l_s."""
        return self._coefficients("difference", t, s)

    def transition(self, t: float, s: float, process: Process | None = None) -> Sequence[Values]:
        """Return alpha_{t|s} and sigma_{t|s}^2."""
        return self._coefficients("transition", t, s, process=process)

    def posterior(self, t: float, s: float, process: Process | None = None) -> Sequence[Values]:
        """Return the weights of u_t and u_0, and the variance."""
        return self._coefficients("posterior", t, s, process=process)

    def at_times(self, name: str, *times: Values) -> tuple[Values, ...]:
        """Call an operation at arrays of times, (n,), in the cell's dtype; the results have the shape (n, *grid)."""
        arrays = [self.array(t) for t in times]
        result = getattr(self.ops, name)(self.process, *arrays, shape=self.shape, like=self.like)
        full = (times[0].size, *self.shape)
        return tuple(np.broadcast_to(self.numpy(value), full) for value in result)

    def layouts(self) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """Return (shape of the data, axes of its grid): channels first, channels last, and the grid's axes in reverse."""
        k = len(self.shape)
        first = ((BATCH, CHANNELS, *self.shape), tuple(range(2, 2 + k)))
        last = ((BATCH, *self.shape, CHANNELS), tuple(range(1, 1 + k)))
        backwards = ((BATCH, *self.shape[::-1]), tuple(range(-1, -1 - k, -1)))
        return first, last, backwards
