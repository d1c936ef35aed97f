r"""DPM-Solver++ multistep (Lu et al. 2022), per frequency: each has its own log-SNR, hence its own step h (SPEC 7).

.. math::

    h = (l_s - l_t) / 2, \qquad u_s = (\sigma_s / \sigma_t) u_t - \alpha_s \mathrm{expm1}(-h) X, \qquad
    X = \hat x + \frac{h}{2 h_{prev}} (\hat x - \hat x_{prev}) \quad (\text{second order}).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from blurcore._arrays import align, is_checkable, is_number, namespace
from blurcore._checks import require
from blurcore._typing import Array, Time
from blurcore.diffusion import grid_shape, marginal_for, require_noise
from blurcore.processes import Process
from blurcore.samplers._base import Prediction, SamplerState


@final
@dataclass(frozen=True, kw_only=True)
class DPMSolverPP:
    """Deterministic; order 1 is DDIM with eta = 0, order 2 (2M) remembers the last prediction.

    Parameters
    ----------
    process
        The process to reverse.
    axes
        The axes of the grid in the state.
    order
        1 or 2.
    """

    process: Process
    axes: tuple[int, ...] = (-2, -1)
    order: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        require(self.order in (1, 2), "order", self.order, "1 or 2")

    @property
    def uses_noise(self) -> bool:
        """Never: it solves an ordinary differential equation."""
        return False

    def step(
        self, state: SamplerState[Array], prediction: Prediction[Array], t: Time, s: Time, noise: Array | None = None
    ) -> SamplerState[Array]:
        """Go from t to s; see :meth:`Solver.step`. `noise` is not used."""
        del noise
        u, xp = state.u, namespace(u=state.u)
        if is_checkable(xp) or is_number(t):
            require_noise("the step of DPM-Solver++", self.process, t, shape=grid_shape(u, self.axes))
        m_t, m_s = (marginal_for(self.process, time, u, axes=self.axes) for time in (t, s))
        d = self.process.difference(t, s, shape=grid_shape(u, self.axes), like=u)
        h = align(d.log_snr, ndim=u.ndim, axes=self.axes) / -2
        x0 = prediction.x0
        if self.order == 2 and state.last_x0 is not None and state.last_h is not None:
            # Where h = 0 (DC of heat dissipation) nothing moves; where h is infinite (sigma_s = 0) first order is exact.
            usable = (state.last_h > 0) & xp.isfinite(h) & xp.isfinite(state.last_h)
            ratio = xp.where(usable, h, xp.zeros_like(h)) / xp.where(usable, state.last_h, xp.ones_like(h))
            x0 = x0 + ratio / 2 * (x0 - state.last_x0)
        following = (m_s.sigma / m_t.sigma) * u - m_s.alpha * xp.expm1(-h) * x0
        return SamplerState(following, last_x0=prediction.x0, last_h=h)
