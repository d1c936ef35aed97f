"""The mathematics that a backend offers, by name; the core's own, which runs on any Array API array, is the default.

A backend that brings arrays alone takes :data:`CORE` as it is. One that brings its own, faster or slower (the NumPy
reference does) overrides some, and `blurcore verify` holds it to the same identities.
"""

from __future__ import annotations

from typing import Any

from blurcore import diffusion, prediction
from blurcore._typing import A, Array, Time
from blurcore.processes import SDE, Difference, Marginal, Process
from blurcore.transforms import Basis


class CoreOperations:
    """Every operation as the core does it; the methods are the functions of :mod:`blurcore.diffusion` and the like."""

    def forward(self, basis: Basis, x: A, *, axes: tuple[int, ...]) -> A:
        """Return u = V^T x."""
        return basis.forward(x, axes=axes)

    def inverse(self, basis: Basis, u: A, *, axes: tuple[int, ...]) -> A:
        """Return x = V u."""
        return basis.inverse(u, axes=axes)

    def eigenvalues(self, basis: Basis, shape: tuple[int, ...], *, like: Array) -> Array:
        """Return lambda on the grid."""
        return basis.eigenvalues(shape, like=like)

    def marginal(self, process: Process, t: Time, *, shape: tuple[int, ...], like: Array) -> Marginal[Array]:
        """Return alpha and sigma."""
        return process.marginal(t, shape=shape, like=like)

    def log_snr(self, process: Process, t: Time, *, shape: tuple[int, ...], like: Array) -> Array:
        """Return l_t."""
        return process.log_snr(t, shape=shape, like=like)

    def difference(
        self, process: Process, t: Time, s: Time, *, shape: tuple[int, ...], like: Array
    ) -> Difference[Array]:
        """Return alpha_t / alpha_s and l_t - l_s."""
        return process.difference(t, s, shape=shape, like=like)

    def diffuse(self, process: Process, x: A, t: Time, eps: Array, *, axes: tuple[int, ...]) -> A:
        """Return noisy data."""
        return diffusion.diffuse(process, x, t, eps, axes=axes)

    def transition(
        self, process: Process, t: Time, s: Time, *, shape: tuple[int, ...], like: Array
    ) -> diffusion.Transition[Array]:
        """Return the coefficients of the forward step."""
        return diffusion.transition(process, t, s, shape=shape, like=like)

    def posterior(
        self, process: Process, t: Time, s: Time, *, shape: tuple[int, ...], like: Array
    ) -> diffusion.Posterior[Array]:
        """Return the coefficients of the step back."""
        return diffusion.posterior(process, t, s, shape=shape, like=like)

    def sde(self, process: Process, t: Time, *, shape: tuple[int, ...], like: Array) -> SDE[Array]:
        """Return drift and diffusion."""
        return process.sde(t, shape=shape, like=like)

    def convert(
        self,
        value: A,
        source: prediction.Kind,
        target: prediction.Kind,
        *,
        z: Array,
        marginal: Marginal[Any] | prediction.PathScales[Any],
    ) -> A:
        """Return one parametrisation from another."""
        return prediction.convert(value, source, target, z=z, marginal=marginal)


CORE = CoreOperations()
"""The core's operations."""
