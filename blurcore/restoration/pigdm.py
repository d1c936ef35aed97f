r"""Pseudo-inverse guidance (Song et al. 2023), with a covariance for each frequency.

.. math::

    g = \Big(\frac{\partial \hat u_0}{\partial u_t}\Big)^T H^T (H C H^T + r)^{-1} (y - H \hat u_0)
      \approx \nabla_{u_t} \log p(y | u_t)

is added to the score, and a step of DDIM(eta) follows. Their C is one number for each time, :math:`\sigma_t^2 / (\alpha_t^2 + \sigma_t^2)`,
the one of data of variance 1 ("unit"); that of Rozet et al. (2024) is the Jacobian itself. "measured" and "gaussian" have one
value for each frequency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from blurcore._arrays import namespace, quiet
from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import Array
from blurcore.restoration.method import Covariance, Guess, Noise, Problem, Stage
from blurcore.restoration.operator import Observation


@final
@dataclass(frozen=True, kw_only=True)
class PiGDM:
    """DDIM with the gradient of log p(y | u_t).

    Parameters
    ----------
    covariance
        What the network leaves undecided: "measured" (`blurcore calibrate`), "gaussian" or "unit".
    eta
        DDIM's noise, in [0, 1]: 0 none, 1 as much as ancestral sampling.
    """

    covariance: Covariance = "measured"
    eta: float = 1.0

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("eta", self.eta)
        require(0 <= self.eta <= 1, "eta", self.eta, "in [0, 1]")

    def check_operator(self, observation: Observation) -> None:
        """Take any operator; see :meth:`Method.check_operator`."""
        del observation

    @quiet
    def step(
        self, stage: Stage[Array], problem: Problem[Array], u: Array, guess: Guess[Array], noise: Noise[Array]
    ) -> Array:
        """Return u_s; see :meth:`Method.step`."""
        xp, variance = namespace(u=u), self.eta**2 * stage.posterior.variance
        (alpha_t, sigma_t), (alpha, sigma) = stage.now, stage.after
        inner = problem.observation.solve(problem.residual(guess.x0), stage.covariance, problem.variance)
        gradient = guess.pull(problem.observation.adjoint(inner))
        eps = (u - alpha_t * guess.x0) / sigma_t
        left = xp.sqrt(xp.clip(sigma**2 - variance, 0.0, None))
        # x0 + sigma_t^2 / alpha_t g and eps - sigma_t g in DDIM's step, their weights of g together
        weight = sigma_t * (alpha * sigma_t / alpha_t - left)
        guided = xp.where(alpha_t == 0, xp.zeros_like(u), weight * gradient)
        return alpha * guess.x0 + left * eps + guided + xp.sqrt(variance) * noise.state
