r"""DPM-Solver++ multistep (Lu et al. 2022), per frequency: each has its own log-SNR, hence its own step h (SPEC 7).

.. math::

    h = (l_s - l_t) / 2, \qquad u_s = (\sigma_s / \sigma_t) u_t - \alpha_s \mathrm{expm1}(-h) X, \qquad
    X = \hat x + \frac{h}{2 h_{prev}} (\hat x - \hat x_{prev}) \quad (\text{second order}).

The third order (3M) integrates the parabola through three predictions exactly: with :math:`\theta` running from 0 to 1 over the
step, :math:`\hat x + D_1 \theta + D_2 \theta^2` contributes

.. math::

    \alpha_s \int_0^1 h e^{-h (1 - \theta)} (D_1 \theta + D_2 \theta^2) d\theta = \alpha_s (w_1 D_1 + w_2 D_2), \qquad
    w_1 = 1 - \frac{1 - e^{-h}}{h}, \quad w_2 = 1 - \frac{2 w_1}{h} .

A parabola carries what the network gets wrong far beyond the step: at the end of one r times as long as the step before it, and that
as the one before, the weights of the three predictions are

.. math:: \frac{(1 + a)(1 + b)}{a b}, \quad -\frac{1 + b}{a (b - a)}, \quad \frac{1 + a}{b (b - a)}, \qquad
    a = \frac{1}{r}, \quad b = \frac{1}{r} + \frac{1}{r^2},

whose sizes add up to 7 for r = 1, 15 for r = 1.5, 29 for r = 2 and 2,900 for r = 11, where those of the second order add up to 1 + r.
Where the blur sets in on a log-SNR grid, r goes up to 11. Hence a step that is more than 1.5 times as long as the one before it, or
follows such a one, is taken at second order, in the frequencies where it is: the errors of a network are then not amplified by more
than the second order amplifies them on the same grid. What it costs with an exact network is in docs/sampler_error.md; a grid that is
fine enough has no such steps, so that the slope is still 3.

Lu et al.'s published code has :math:`w_2 / 2` for a :math:`D_2` that is this coefficient and not the second derivative,
twice as much; with it the slope is 2, not 3 (tests/samplers/test_exact.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, final

from blurcore._arrays import align, is_checkable, is_number, namespace, quiet, together
from blurcore._checks import make_plain, require
from blurcore._typing import A_co, Array, Time
from blurcore.diffusion import require_noise
from blurcore.samplers._base import Prediction, SamplerState, Stepper

LONGEST = 1.5
"""How many times as long as the step before it a step of third order may be."""


class DPMCoefficients(NamedTuple, Generic[A_co]):
    """The step of first order, u_s = z u_t + x0 x0_hat, and half the log-SNR that it gains; shapes ``(*time, *grid)``.

    For the third order also alpha_s w_1 and alpha_s w_2, the weights of a parabola's two higher terms.
    """

    z: A_co
    x0: A_co
    h: A_co
    linear: A_co | None = None
    square: A_co | None = None


def parabola_weights(h: Array) -> tuple[Array, Array]:
    r"""Return :math:`\int_0^1 h e^{-h (1 - \theta)} \theta^n d\theta` for n = 1 and 2, h >= 0; both are 1 where h is infinite.

    The closed forms subtract numbers that agree in their first digits where h is small. There the series is summed
    instead, :math:`\sum_k n! (-1)^k h^{k + 1} / (k + n + 1)!`, at most 1 / 20! off.
    """
    xp = namespace(h=h)
    small = h < 1
    near, far = xp.where(small, h, xp.zeros_like(h)), xp.where(small, xp.ones_like(h), h)
    first, second = xp.zeros_like(h), xp.zeros_like(h)
    for k in range(18, -1, -1):  # Horner: near * (c_0 - near * (c_1 - ...))
        first = near * (1 / math.factorial(k + 2) - first)
        second = near * (2 / math.factorial(k + 3) - second)
    closed = 1 + xp.expm1(-far) / far
    return xp.where(small, first, closed), xp.where(small, second, 1 - 2 * closed / far)


def extrapolate(x0: Array, h: Array, state: SamplerState[Array]) -> Array:
    """Return the prediction half a step ahead, on the line through it and the last one: X of the second order."""
    if state.last_x0 is None or state.last_h is None:
        return x0
    xp = namespace(x0=x0)
    # Where h = 0 (DC of heat dissipation) nothing moves; where h is infinite (sigma_s = 0) first order is exact.
    usable = (state.last_h > 0) & xp.isfinite(h) & xp.isfinite(state.last_h)
    ratio = xp.where(usable, h, xp.zeros_like(h)) / xp.where(usable, state.last_h, xp.ones_like(h))
    return x0 + ratio / 2 * (x0 - state.last_x0)


@final
@dataclass(frozen=True, kw_only=True)
class DPMSolverPP(Stepper):
    """Deterministic; order 1 is DDIM with eta = 0, order 2 (2M) remembers the last prediction, order 3 (3M) the last two.

    Parameters
    ----------
    process
        The process to reverse.
    axes
        The axes of the grid in the state.
    order
        1, 2 or 3. The first steps are of the orders that their memory allows, and no step of order 3 is more than 1.5 times as
        long as the one before it, in half the log-SNR of its frequency; longer ones are of order 2.
    """

    order: Literal[1, 2, 3] = 2

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.order in (1, 2, 3), "order", self.order, "1, 2 or 3")

    @property
    def uses_noise(self) -> bool:
        """Never: it solves an ordinary differential equation."""
        return False

    def start(self, u: Array) -> SamplerState[Array]:
        """Return the first state: with h = 0 there is no step to remember, and the first one is of first order."""
        (u,) = together(u=u)
        if self.order == 1:
            return SamplerState(u)
        zero = namespace(u=u).zeros_like(u)
        if self.order == 2:
            return SamplerState(u, last_x0=zero, last_h=zero)
        return SamplerState(u, last_x0=zero, last_h=zero, older_x0=zero, older_h=zero)

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> DPMCoefficients[Array]:
        """Return the first-order step, h, and a parabola's weights if order is 3; see :meth:`Solver.coefficients`."""
        d = self.process.difference(t, s, shape=shape, like=like)
        xp = namespace(h=d.log_snr)
        if is_checkable(xp) or is_number(t):
            require_noise("the step of DPM-Solver++", self.process, t, shape=shape)
        m_t, m_s = (self.process.marginal(time, shape=shape, like=like) for time in (t, s))
        h = d.log_snr / -2
        first = DPMCoefficients(z=m_s.sigma / m_t.sigma, x0=-m_s.alpha * xp.expm1(-h), h=h)
        if self.order < 3:
            return first
        linear, square = parabola_weights(h)
        return first._replace(linear=m_s.alpha * linear, square=m_s.alpha * square)

    @quiet
    def apply(
        self,
        coefficients: DPMCoefficients[Array],
        state: SamplerState[Array],
        prediction: Prediction[Array],
        noise: Array | None = None,
    ) -> SamplerState[Array]:
        """Take the step; see :meth:`Solver.apply`. `noise` is not used."""
        del noise
        u, x0 = together(u=state.u, x0=prediction.x0)
        if self.order == 3:
            return self._third(coefficients, state._replace(u=u), x0)
        xp = namespace(u=u)
        z_coef, x_coef, h = (align(c, ndim=u.ndim, axes=self.axes) for c in coefficients if c is not None)
        if self.order == 1:
            return SamplerState(z_coef * u + x_coef * x0)
        last_h = xp.broadcast_to(h, u.shape)  # of one shape from step to step
        return SamplerState(z_coef * u + x_coef * extrapolate(x0, h, state), last_x0=x0, last_h=last_h)

    def _third(
        self, coefficients: DPMCoefficients[Array], state: SamplerState[Array], x0: Array
    ) -> SamplerState[Array]:
        """Integrate the parabola through the last three predictions; where it bends too far, take the step of second order."""
        u, xp = state.u, namespace(u=state.u)
        z_coef, x_coef, h, linear, square = (
            align(c, ndim=u.ndim, axes=self.axes) for c in coefficients if c is not None
        )
        second, h = x_coef * extrapolate(x0, h, state), xp.broadcast_to(h, u.shape)
        zero, one = xp.zeros_like(u), xp.ones_like(u)
        last_x0, last_h, older_x0, older_h = (
            zero if v is None else v for v in (state.last_x0, state.last_h, state.older_x0, state.older_h)
        )
        # Where h = 0 (DC of heat dissipation) nothing moves; where h is infinite (sigma_s = 0) first order is exact.
        usable = (last_h > 0) & xp.isfinite(last_h) & xp.isfinite(h)
        step, before = xp.where(usable, h, zero), xp.where(usable, last_h, one)
        slope = step / before * (x0 - last_x0)  # D_1 of a line, per step
        bends = usable & (older_h > 0) & (h <= LONGEST * last_h) & (last_h <= LONGEST * older_h)
        long_ago = xp.where(bends, older_h, one)
        change = slope - step / long_ago * (last_x0 - older_x0)
        change = change / (before + long_ago)
        third = x_coef * x0 + linear * (slope + before * change) + square * (step * change)
        result = z_coef * u + xp.where(bends, third, second)
        return SamplerState(result, last_x0=x0, last_h=h, older_x0=last_x0, older_h=last_h)
