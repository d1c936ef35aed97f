r"""DDIM (Song et al. 2021), per frequency: from deterministic (eta = 0) to ancestral (eta = 1) (SPEC 7).

.. math::

    \sigma_s^2 - \eta^2 \sigma_{t \to s}^2 = \sigma_s^2 \big( (1 - \eta^2) + \eta^2 e^{D} \big), \qquad D = l_t - l_s,

is a sum of positive terms. The difference would lose all digits where eta is 1 and a step destroys most of what is known:
in float32 the square root then keeps an error of up to sqrt(6e-8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from blurcore._arrays import namespace, quiet, root
from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import Array, Time
from blurcore.diffusion import posterior
from blurcore.samplers._base import Coefficients, LinearStepper


@final
@dataclass(frozen=True, kw_only=True)
class DDIM(LinearStepper):
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

    eta: float = 0.0

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("eta", self.eta)
        require(0.0 <= self.eta <= 1.0, "eta", self.eta, "in [0, 1]")

    @property
    def uses_noise(self) -> bool:
        """Whether eta > 0."""
        return self.eta > 0

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> Coefficients[Array]:
        """Return the weights of the prediction's two forms and of the noise; see :meth:`Solver.coefficients`."""
        m = self.process.marginal(s, shape=shape, like=like)
        if self.eta == 0:
            return Coefficients(x0=m.alpha, eps=m.sigma)
        d = self.process.difference(t, s, shape=shape, like=like).log_snr
        kept = (1 - self.eta**2) + self.eta**2 * namespace(d=d).exp(d)
        added = posterior(self.process, t, s, shape=shape, like=like).variance
        return Coefficients(x0=m.alpha, eps=m.sigma * root(kept), noise=self.eta * root(added))
