r"""SDE-DPM-Solver++ 2M (Lu et al. 2022, section 5), per frequency: DPM-Solver++ on the reverse SDE (SPEC 7).

.. math::

    u_s = \frac{\sigma_s}{\sigma_t} e^{-h} u_t + \alpha_s (1 - e^{-2h}) X + \sigma_s \sqrt{1 - e^{-2h}} \, n, \qquad
    X = \hat x + \frac{h}{2 h_{prev}} (\hat x - \hat x_{prev}), \qquad h = (l_s - l_t) / 2 .

With :math:`D = -2h` the three coefficients are those of the posterior (SPEC 4): of first order, X = x, this is ancestral
sampling, and the second order is ancestral sampling with a better guess of what the network would say along the step.
It is of second order, in the variance of its output, if the last step draws its noise as well; else of first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, final

from blurcore._arrays import align, namespace, quiet, root, together
from blurcore._checks import make_plain, require
from blurcore._typing import A_co, Array, Time
from blurcore.diffusion import posterior
from blurcore.samplers._base import Prediction, SamplerState, Stepper
from blurcore.samplers.dpm_solver_pp import extrapolate


class SDECoefficients(NamedTuple, Generic[A_co]):
    """The step u_s = z u_t + x0 X + noise n, and half the log-SNR that it gains; shapes ``(*time, *grid)``."""

    z: A_co
    x0: A_co
    h: A_co
    noise: A_co


@final
@dataclass(frozen=True, kw_only=True)
class DPMSolverSDE(Stepper):
    """Random; order 1 is ancestral sampling, order 2 remembers the last prediction.

    Parameters
    ----------
    process
        The process to reverse; it must have noise.
    axes
        The axes of the grid in the state.
    order
        1 or 2.
    """

    order: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.order in (1, 2), "order", self.order, "1 or 2")

    @property
    def uses_noise(self) -> bool:
        """It solves a stochastic differential equation."""
        return True

    def start(self, u: Array) -> SamplerState[Array]:
        """Return the first state: with h = 0 there is no step to remember, and the first one is of first order."""
        (u,) = together(u=u)
        if self.order == 1:
            return SamplerState(u)
        zero = namespace(u=u).zeros_like(u)
        return SamplerState(u, last_x0=zero, last_h=zero)

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> SDECoefficients[Array]:
        """Return the posterior's mean and standard deviation, and h; see :meth:`Solver.coefficients`."""
        q = posterior(self.process, t, s, shape=shape, like=like)
        h = self.process.difference(t, s, shape=shape, like=like).log_snr / -2
        return SDECoefficients(z=q.z_coef, x0=q.x_coef, h=h, noise=root(q.variance))

    @quiet
    def apply(
        self,
        coefficients: SDECoefficients[Array],
        state: SamplerState[Array],
        prediction: Prediction[Array],
        noise: Array | None = None,
    ) -> SamplerState[Array]:
        """Take the step; see :meth:`Solver.apply`."""
        u, x0, noise = together(u=state.u, x0=prediction.x0, noise=noise)
        z_coef, x_coef, h, std = (align(c, ndim=u.ndim, axes=self.axes) for c in coefficients)
        ahead = extrapolate(x0, h, state) if self.order == 2 else x0
        result = z_coef * u + x_coef * ahead
        if noise is not None:
            result = result + std * noise
        if self.order == 1:
            return SamplerState(result)
        last_h = namespace(u=u).broadcast_to(h, u.shape)  # of one shape from step to step
        return SamplerState(result, last_x0=x0, last_h=last_h)
