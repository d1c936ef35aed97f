r"""Inverse heat dissipation (Rissanen et al. 2022): blur the predicted data a little less, and add a little noise (SPEC 7).

They train the network to give the mean of the next state, :math:`\mu_\theta(u_k) \approx A_{k-1} x`
(:class:`blurcore.HeatReversal`). With a network that predicts data that mean is the prediction, blurred to the time s:
:math:`\alpha_s \hat u_0`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from blurcore._arrays import quiet
from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import Array, Time
from blurcore.processes import Process
from blurcore.samplers._base import Coefficients, LinearStepper

RATIO = 1.25
"""Sampling noise over training noise in their evaluation, where none is asked for."""


@final
@dataclass(frozen=True, kw_only=True)
class InverseHeat(LinearStepper):
    r""":math:`u_s = \alpha_s \hat u_0 + \delta n`.

    Parameters
    ----------
    process
        The process to reverse.
    axes
        The axes of the grid in the state.
    delta
        Standard deviation of the noise of a step, >= 0; 1.25 sigma_t where not given. The last step wants none: hand it
        no noise.
    predicts
        What the x0 of a prediction is: "data", or "mean", which is the next state's mean itself.
    """

    process: Process
    axes: tuple[int, ...] = (-2, -1)
    delta: float | None = None
    predicts: Literal["data", "mean"] = "data"

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.predicts in ("data", "mean"), "predicts", self.predicts, "data or mean")
        if self.delta is not None:
            require_finite("delta", self.delta)
            require(self.delta >= 0, "delta", self.delta, "0 or more")

    @property
    def uses_noise(self) -> bool:
        """Unless delta is 0."""
        return self.delta != 0

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> Coefficients[Array]:
        """Return what is left of the data at s, and delta; see :meth:`Solver.coefficients`."""
        alpha = self.process.marginal(s, shape=shape, like=like).alpha
        if self.predicts == "mean":
            alpha = 0 * alpha + 1
        if self.delta == 0:
            return Coefficients(x0=alpha)
        sigma = self.process.marginal(t, shape=shape, like=like).sigma
        return Coefficients(x0=alpha, noise=RATIO * sigma if self.delta is None else 0 * sigma + self.delta)
