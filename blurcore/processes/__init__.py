"""The processes, one a file; `PROCESSES` is the only list of them."""

from __future__ import annotations

from typing import Protocol

from blurcore._typing import Array, Time
from blurcore.processes._affine import SDE, Difference, Marginal, Velocity
from blurcore.processes.blurring import BlurringDiffusion
from blurcore.processes.cold import ColdDiffusion
from blurcore.processes.gaussian import GaussianDiffusion
from blurcore.processes.heat import HeatDissipation
from blurcore.processes.spectral import Logs, SpectralProcess
from blurcore.transforms import Basis

PROCESSES = {cls.__name__: cls for cls in (BlurringDiffusion, GaussianDiffusion, HeatDissipation, ColdDiffusion)}
"""The processes that a configuration can name."""


class Process(Protocol):
    """What the free functions of :mod:`blurcore.diffusion`, the losses and the samplers ask of a process.

    Coefficients have the shape ``(*time, *grid)``, or 1 for grid axes on which they do not depend.
    """

    @property
    def basis(self) -> Basis:
        """The basis in which the process is diagonal."""
        ...

    def marginal(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Marginal[Array]:
        """Return alpha_t and sigma_t."""
        ...

    def log_snr(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Array:
        """Return l_t, finite where alpha underflows."""
        ...

    def difference(self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Difference[Array]:
        """Return alpha_t / alpha_s and l_t - l_s, without cancellation."""
        ...

    def sde(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> SDE[Array]:
        """Return drift and diffusion of the forward process in continuous time."""
        ...

    def velocity(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Velocity[Array]:
        """Return d alpha / dt and d sigma / dt."""
        ...


__all__ = [
    "PROCESSES",
    "SDE",
    "BlurringDiffusion",
    "ColdDiffusion",
    "Difference",
    "GaussianDiffusion",
    "HeatDissipation",
    "Logs",
    "Marginal",
    "Process",
    "SpectralProcess",
    "Velocity",
]
