r"""Ancestral sampling, the paper's sampler: draw from the posterior with the predicted data in the place of u_0 (SPEC 4, 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from blurcore._arrays import align
from blurcore._checks import require
from blurcore._typing import Array, Time
from blurcore.diffusion import grid_shape, posterior, transition
from blurcore.processes import Process
from blurcore.samplers._base import Prediction, SamplerState


@final
@dataclass(frozen=True, kw_only=True)
class Ancestral:
    r""":math:`u_s = \mathrm{z\_coef}\, u_t + \mathrm{x\_coef}\, \hat u_0 + \mathrm{std} \; n`.

    Parameters
    ----------
    process
        The process to reverse; it must have noise.
    axes
        The axes of the grid in the state.
    variance
        "posterior": that of q(u_s | u_t, u_0), DDPM's "fixed small"; "upper": that of the forward step, "fixed large".
    """

    process: Process
    axes: tuple[int, ...] = (-2, -1)
    variance: Literal["posterior", "upper"] = "posterior"

    def __post_init__(self) -> None:
        require(self.variance in ("posterior", "upper"), "variance", self.variance, "'posterior' or 'upper'")

    @property
    def uses_noise(self) -> bool:
        """Ancestral sampling is random."""
        return True

    def step(
        self, state: SamplerState[Array], prediction: Prediction[Array], t: Time, s: Time, noise: Array | None = None
    ) -> SamplerState[Array]:
        """Go from t to s; see :meth:`Solver.step`."""
        u = state.u
        shape = grid_shape(u, self.axes)
        q = posterior(self.process, t, s, shape=shape, like=u)
        z_coef, x_coef = (align(c, ndim=u.ndim, axes=self.axes) for c in q[:2])
        mean = z_coef * u + x_coef * prediction.x0
        if noise is None:
            return SamplerState(mean)
        variance = (
            q.variance if self.variance == "posterior" else transition(self.process, t, s, shape=shape, like=u).variance
        )
        return SamplerState(mean + align(variance, ndim=u.ndim, axes=self.axes) ** 0.5 * noise)
