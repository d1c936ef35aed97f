r"""Denoising diffusion restoration (Kawar et al. 2022, equations 7 and 8), with a noise level for each frequency.

With :math:`\rho_s = \sigma_s / \alpha_s` the noise of a frequency at time s in units of the data, and :math:`\sigma_y / H` that of
what was observed of it, :math:`u_s / \alpha_s` is drawn from

.. math::

    H = 0: &\quad N\big(\hat x + \sqrt{1 - \eta^2} \, \rho_s \, (u_t - \alpha_t \hat x) / \sigma_t, \; \eta^2 \rho_s^2\big) \\
    \rho_s < \sigma_y / H: &\quad N\big(\hat x + \sqrt{1 - \eta^2} \, \rho_s \, (y - H \hat x) / \sigma_y, \; \eta^2 \rho_s^2\big) \\
    \rho_s \ge \sigma_y / H: &\quad N\big((1 - \eta_b) \hat x + \eta_b \, y / H, \; \rho_s^2 - \eta_b^2 \sigma_y^2 / H^2\big) .

The paper has one noise level for all; there is one for each frequency here, because the process blurs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from blurcore._arrays import namespace, quiet
from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import Array
from blurcore.errors import ArgumentError
from blurcore.restoration.method import Covariance, Guess, Noise, Problem, Stage
from blurcore.restoration.operator import Observation


@final
@dataclass(frozen=True, kw_only=True)
class DDRM:
    """The observation takes the place of the prediction where it is the better of the two; for diagonal operators.

    Parameters
    ----------
    eta
        Share of new noise in what is not seen, or badly seen, in [0, 1] (the paper: 0.85).
    eta_b
        How far what is seen well takes the place of the prediction, in [0, 1] (the paper: 1).
    """

    eta: float = 0.85
    eta_b: float = 1.0

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("eta", "eta_b"):
            require_finite(name, getattr(self, name))
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")

    @property
    def covariance(self) -> Covariance:
        """It takes none."""
        return "unit"

    def check_operator(self, observation: Observation) -> None:
        """Take diagonal operators; see :meth:`Method.check_operator`."""
        if observation.gain is None:
            raise ArgumentError(
                "method must be another than DDRM for an operator that is not diagonal in the basis (Average, Mask),"
                " such as Calibrated; DDRM takes Identity, Blur, LowPass and Restrict"
            )

    @quiet
    def step(
        self, stage: Stage[Array], problem: Problem[Array], u: Array, guess: Guess[Array], noise: Noise[Array]
    ) -> Array:
        """Return u_s; see :meth:`Method.step`."""
        self.check_operator(problem.observation)
        xp, x0, y = namespace(u=u), guess.x0, problem.y
        gain = problem.observation.observe(xp.ones_like(u))  # which is H, the operator being diagonal
        (alpha_t, sigma_t), (alpha, sigma) = stage.now, stage.after
        noise_y, rest = math.sqrt(problem.variance), math.sqrt(1 - self.eta**2)
        unseen = alpha * x0 + rest * sigma * (u - alpha_t * x0) / sigma_t + self.eta * sigma * noise.state
        badly = alpha * x0 + rest * sigma * (y - gain * x0) / noise_y + self.eta * sigma * noise.state
        seen = gain > 0
        inverse = xp.where(seen, 1 / xp.where(seen, gain, xp.ones_like(gain)), xp.zeros_like(gain))
        shown = alpha * inverse * self.eta_b
        spread = xp.sqrt(xp.clip(sigma**2 - (shown * noise_y) ** 2, 0.0, None))
        well = (1 - self.eta_b) * alpha * x0 + shown * y + spread * noise.state
        return xp.where(~seen, unseen, xp.where(sigma * gain < alpha * noise_y, badly, well))
