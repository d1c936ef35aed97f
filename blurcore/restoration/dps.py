r"""Diffusion posterior sampling (Chung et al. 2023, algorithm 1), the baseline.

.. math:: u_s = u_s' - \zeta \, \nabla_{u_t} \| y - H \hat u_0(u_t) \|

after an ancestral step to :math:`u_s'`: their step size is inversely proportional to the distance, which makes the gradient of its
square that of the distance itself.
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
class DPS:
    """Ancestral sampling, and a step along the gradient of the distance to what was observed.

    Parameters
    ----------
    scale
        zeta > 0 (the paper: 0.3 to 1, by the task).
    """

    scale: float = 0.5

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("scale", self.scale)
        require(self.scale > 0, "scale", self.scale, "positive")

    @property
    def covariance(self) -> Covariance:
        """It takes none."""
        return "unit"

    def check_operator(self, observation: Observation) -> None:
        """Take any operator; see :meth:`Method.check_operator`."""
        del observation

    @quiet
    def step(
        self, stage: Stage[Array], problem: Problem[Array], u: Array, guess: Guess[Array], noise: Noise[Array]
    ) -> Array:
        """Return u_s; see :meth:`Method.step`."""
        xp, q = namespace(u=u), stage.posterior
        residual = problem.residual(guess.x0)
        distance = xp.sqrt(xp.sum(residual**2, axis=tuple(range(1, residual.ndim)), keepdims=True))
        toward = guess.pull(problem.observation.adjoint(residual / xp.where(distance == 0, 1.0, distance)))
        return q.z_coef * u + q.x_coef * guess.x0 + xp.sqrt(q.variance) * noise.state + self.scale * toward
