r"""Inverse heat dissipation (Rissanen et al. 2022): blur the predicted data a little less, and add a little noise (SPEC 7).

They train the network to give the mean of the next state, :math:`\mu_\theta(u_k) \approx A_{k-1} x`
(:class:`blurcore.HeatReversal`). With a network that predicts data that mean is the prediction, blurred to the time s:
:math:`\alpha_s \hat u_0`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self, final

from blurcore._arrays import quiet
from blurcore._checks import make_plain, require, require_finite
from blurcore._late import late
from blurcore._typing import Array, Time
from blurcore.processes import Process
from blurcore.samplers._base import NOTHING, Coefficients, Context, LinearStepper, Predicts, Scheduler

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

    delta: float | None = None
    predicts: Predicts = late("data")

    needs_noise: ClassVar[bool] = False
    takes: ClassVar[tuple[Predicts, ...]] = ("data", "mean")

    def build(self, process: Process, *, axes: tuple[int, ...], context: Context = NOTHING) -> Self:
        """Return the solver of a process; see :meth:`Solver.build`."""
        return replace(self, process=process, axes=axes, predicts=context.predicts)

    @property
    def scheduler(self) -> Scheduler:
        """That of inverse heat dissipation; see :attr:`Solver.scheduler`."""
        return Scheduler("HeatDissipationScheduler", {"delta": self.delta})

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

    def restricted(self, process: Process, to: tuple[int, ...], scale: float) -> Self:
        """Return the solver of smaller images, whose noise is smaller too; see :meth:`Stepper.restricted`."""
        del to
        return replace(self, process=process, delta=None if self.delta is None else scale * self.delta)

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
