r"""DDIM (Song et al. 2021), per frequency: from deterministic (eta = 0) to ancestral (eta = 1) (SPEC 7).

.. math::

    \sigma_s^2 - \eta^2 \sigma_{t \to s}^2 = \sigma_s^2 \big( (1 - \eta^2) + \eta^2 e^{D} \big), \qquad D = l_t - l_s,

is a sum of positive terms. The difference would lose all digits where eta is 1 and a step destroys most of what is known:
in float32 the square root then keeps an error of up to sqrt(6e-8).
"""

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
        shape = grid_shape(u, self.axes)
        d = self.process.difference(t, s, shape=shape, like=u).log_snr
        kept = (1 - self.eta**2) + self.eta**2 * align(namespace(u=u).exp(d), ndim=u.ndim, axes=self.axes)
        mean = m.alpha * prediction.x0 + m.sigma * kept**0.5 * prediction.eps
        if noise is None:
            return SamplerState(mean)
        added = align(posterior(self.process, t, s, shape=shape, like=u).variance, ndim=u.ndim, axes=self.axes)
        return SamplerState(mean + self.eta * added**0.5 * noise)
