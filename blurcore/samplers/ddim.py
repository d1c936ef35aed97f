r"""DDIM (Song et al. 2021), per frequency: from deterministic (eta = 0) to ancestral (eta = 1) (SPEC 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from blurcore._arrays import align, namespace
from blurcore._checks import require
from blurcore._typing import Array, Time
from blurcore.diffusion import grid_shape, marginal_for, posterior
from blurcore.processes import Process
from blurcore.samplers._base import Prediction, SamplerState


@final
@dataclass(frozen=True, kw_only=True)
class DDIM:
    r""":math:`u_s = \alpha_s \hat u_0 + \sqrt{\sigma_s^2 - \eta^2 \sigma_{t \to s}^2}\, \hat\epsilon + \eta \sigma_{t \to s} n`.

    Parameters
    ----------
    process
        The process to reverse.
    axes
        The axes of the grid in the state.
    eta
        In [0, 1].
    """

    process: Process
    axes: tuple[int, ...] = (-2, -1)
    eta: float = 0.0

    def __post_init__(self) -> None:
        require(0.0 <= self.eta <= 1.0, "eta", self.eta, "in [0, 1]")

    @property
    def uses_noise(self) -> bool:
        """Whether eta > 0."""
        return self.eta > 0

    def step(
        self, state: SamplerState[Array], prediction: Prediction[Array], t: Time, s: Time, noise: Array | None = None
    ) -> SamplerState[Array]:
        """Go from t to s; see :meth:`Solver.step`."""
        u = state.u
        m = marginal_for(self.process, s, u, axes=self.axes)
        if self.eta == 0:
            return SamplerState(m.alpha * prediction.x0 + m.sigma * prediction.eps)
        q = posterior(self.process, t, s, shape=grid_shape(u, self.axes), like=u)
        added = self.eta**2 * align(q.variance, ndim=u.ndim, axes=self.axes)
        kept = namespace(u=u).clip(m.sigma**2 - added, 0.0, None)  # exact 0 may round to -1e-10
        mean = m.alpha * prediction.x0 + kept**0.5 * prediction.eps
        return SamplerState(mean if noise is None else mean + added**0.5 * noise)
