r"""Calibrated restoration: each step draws the data given the state *and* the observation, then goes back from there (SPEC 9, 12).

The network says :math:`\hat u_0 = E[u_0 | u_t]` and its measured error in each frequency is :math:`C = \mathrm{Var}[u_0 | u_t]`.
If what is undecided were Gaussian, an observation would change both by Kalman's rule,

.. math::

    \hat u_0^y = \hat u_0 + K (y - H \hat u_0), \qquad C^y = C - K H C, \qquad K = C H^T (H C H^T + r)^{-1} ,

and the reverse step :math:`q(u_s | u_t, y)` is the posterior of SPEC 4 at a u_0 drawn from :math:`N(\hat u_0^y, C^y)`: exact
for Gaussian data, at any number of steps. Rozet et al. (2024) take C from the Jacobian of the network, and Song et al.
(2023) one number; here it is measured, one value for each frequency, and no gradient is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from blurcore._arrays import namespace, quiet
from blurcore._checks import make_plain
from blurcore._typing import Array
from blurcore.restoration.method import Covariance, Guess, Noise, Problem, Stage, draw_data
from blurcore.restoration.operator import Observation


@final
@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Draw u_0 given u_t and y, then u_s given u_t and u_0.

    Parameters
    ----------
    covariance
        What the network leaves undecided: "measured" (`blurcore calibrate`), "gaussian" or "unit".
    """

    covariance: Covariance = "measured"

    def __post_init__(self) -> None:
        make_plain(self)

    def check_operator(self, observation: Observation) -> None:
        """Take any operator; see :meth:`Method.check_operator`."""
        del observation

    @quiet
    def step(
        self, stage: Stage[Array], problem: Problem[Array], u: Array, guess: Guess[Array], noise: Noise[Array]
    ) -> Array:
        """Return u_s; see :meth:`Method.step`."""
        xp, q = namespace(u=u), stage.posterior
        x0 = draw_data(problem, guess.x0, stage.covariance, noise)
        return q.z_coef * u + q.x_coef * x0 + xp.sqrt(q.variance) * noise.state
