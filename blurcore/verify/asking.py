"""A process whose coefficients and transforms are a backend's operations, so that what the core builds from it tests the backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from blurcore._arrays import Frame
from blurcore._typing import A, Array, Time
from blurcore.operations import CoreOperations
from blurcore.processes import SDE, Difference, Marginal, Process, Velocity
from blurcore.transforms import Basis


@final
@dataclass(frozen=True)
class AskingBasis:
    """A basis whose transforms are a backend's operations."""

    basis: Basis
    operations: CoreOperations

    def forward(self, x: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        """Return u = V^T x."""
        return self.operations.forward(self.basis, x, axes=(axes,) if isinstance(axes, int) else axes)

    def inverse(self, u: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        """Return x = V u."""
        return self.operations.inverse(self.basis, u, axes=(axes,) if isinstance(axes, int) else axes)

    def eigenvalues(self, shape: tuple[int, ...], *, like: Array | None = None) -> Array:
        """Return lambda on the grid."""
        return (
            self.basis.eigenvalues(shape) if like is None else self.operations.eigenvalues(self.basis, shape, like=like)
        )

    def eigenvalues_in(self, shape: tuple[int, ...], f: Frame) -> Array:
        """Return lambda in a frame's working dtype, of the basis itself: operations have no frames."""
        return self.basis.eigenvalues_in(shape, f)


@final
@dataclass(frozen=True)
class AskingProcess:
    """A process whose coefficients are a backend's operations, except for checks on the host."""

    process: Process
    operations: CoreOperations

    @property
    def basis(self) -> Basis:
        """Its basis, whose transforms are the backend's."""
        return AskingBasis(self.process.basis, self.operations)

    def marginal(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Marginal[Array]:
        """Return alpha and sigma."""
        found: Marginal[Array] = self._ask("marginal", t, shape=shape, like=like)
        return found

    def log_snr(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Array:
        """Return l_t."""
        return self._ask("log_snr", t, shape=shape, like=like)

    def difference(self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Difference[Array]:
        """Return alpha_t / alpha_s and l_t - l_s."""
        found: Difference[Array] = self._ask("difference", t, s, shape=shape, like=like)
        return found

    def sde(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> SDE[Array]:
        """Return drift and diffusion."""
        found: SDE[Array] = self._ask("sde", t, shape=shape, like=like)
        return found

    def velocity(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Velocity[Array]:
        """Return the derivatives of alpha and sigma, of the process itself: operations have none."""
        return self.process.velocity(t, shape=shape, like=like)

    def _ask(self, name: str, *times: Time, shape: tuple[int, ...], like: Array | None) -> Any:
        if like is None:
            return getattr(self.process, name)(*times, shape=shape)
        return getattr(self.operations, name)(self.process, *times, shape=shape, like=like)
