r"""DPM-Solver++ multistep (Lu et al. 2022), per frequency: each has its own log-SNR, hence its own step h (SPEC 7).

.. math::

    h = (l_s - l_t) / 2, \qquad u_s = (\sigma_s / \sigma_t) u_t - \alpha_s \mathrm{expm1}(-h) X, \qquad
    X = \hat x + \frac{h}{2 h_{prev}} (\hat x - \hat x_{prev}) \quad (\text{second order}).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, final

from blurcore._arrays import align, is_checkable, is_number, namespace
from blurcore._checks import require
from blurcore._typing import A, Array, Time
from blurcore.diffusion import require_noise
from blurcore.processes import Process
from blurcore.samplers._base import Prediction, SamplerState, Stepper


class DPMCoefficients(NamedTuple, Generic[A]):
    """The step of first order, u_s = z u_t + x0 x0_hat, and half the log-SNR that it gains; shapes ``(*time, *grid)``."""

    z: A
    x0: A
    h: A


@final
@dataclass(frozen=True, kw_only=True)
class DPMSolverPP(Stepper):
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

    def start(self, u: Array) -> SamplerState[Array]:
        """Return the first state: with h = 0 there is no step to remember, and the first one is of first order."""
        if self.order == 1:
            return SamplerState(u)
        zero = namespace(u=u).zeros_like(u)
        return SamplerState(u, last_x0=zero, last_h=zero)

    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> DPMCoefficients[Array]:
        """Return the first-order step and h; see :meth:`Solver.coefficients`."""
        d = self.process.difference(t, s, shape=shape, like=like)
        xp = namespace(h=d.log_snr)
        if is_checkable(xp) or is_number(t):
            require_noise("the step of DPM-Solver++", self.process, t, shape=shape)
        m_t, m_s = (self.process.marginal(time, shape=shape, like=like) for time in (t, s))
        h = d.log_snr / -2
        return DPMCoefficients(z=m_s.sigma / m_t.sigma, x0=-m_s.alpha * xp.expm1(-h), h=h)

    def apply(
        self,
        coefficients: DPMCoefficients[Array],
        state: SamplerState[Array],
        prediction: Prediction[Array],
        noise: Array | None = None,
    ) -> SamplerState[Array]:
        """Take the step; see :meth:`Solver.apply`. `noise` is not used."""
        del noise
        u, xp = state.u, namespace(u=state.u)
        z_coef, x_coef, h = (align(c, ndim=u.ndim, axes=self.axes) for c in coefficients)
        x0 = prediction.x0
        if self.order == 1:
            return SamplerState(z_coef * u + x_coef * x0)
        if state.last_x0 is not None and state.last_h is not None:
            # Where h = 0 (DC of heat dissipation) nothing moves; where h is infinite (sigma_s = 0) first order is exact.
            usable = (state.last_h > 0) & xp.isfinite(h) & xp.isfinite(state.last_h)
            ratio = xp.where(usable, h, xp.zeros_like(h)) / xp.where(usable, state.last_h, xp.ones_like(h))
            x0 = x0 + ratio / 2 * (x0 - state.last_x0)
        last_h = xp.broadcast_to(h, u.shape)  # of one shape from step to step
        return SamplerState(z_coef * u + x_coef * x0, last_x0=prediction.x0, last_h=last_h)
