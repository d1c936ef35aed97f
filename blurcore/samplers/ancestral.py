r"""Ancestral sampling, the paper's sampler: draw from the posterior with the predicted data in the place of u_0 (SPEC 4, 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from blurcore._arrays import quiet, root
from blurcore._checks import make_plain, require
from blurcore._typing import Array, Time
from blurcore.diffusion import posterior, transition
from blurcore.samplers._base import Coefficients, LinearStepper, Scheduler

_THEIR_VARIANCES = {"posterior": "fixed_small", "upper": "fixed_large"}
"""What diffusers calls them."""


@final
@dataclass(frozen=True, kw_only=True)
class Ancestral(LinearStepper):
    r""":math:`u_s = \mathrm{z\_coef}\, u_t + \mathrm{x\_coef}\, \hat u_0 + \mathrm{std} \; n`.

    Parameters
    ----------
    process
        The process to reverse; it must have noise.
    axes
        The axes of the grid in the state.
    variance
        "posterior": that of q(u_s | u_t, u_0), DDPM's "fixed small"; "upper": that of the forward step, "fixed large".
    """

    variance: Literal["posterior", "upper"] = "posterior"

    @property
    def scheduler(self) -> Scheduler:
        """DDPM's; see :attr:`Solver.scheduler`."""
        return Scheduler("BlurringScheduler", {"variance_type": _THEIR_VARIANCES[self.variance]})

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.variance in ("posterior", "upper"), "variance", self.variance, "'posterior' or 'upper'")

    @property
    def uses_noise(self) -> bool:
        """Ancestral sampling is random."""
        return True

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> Coefficients[Array]:
        """Return the posterior's mean and standard deviation; see :meth:`Solver.coefficients`."""
        q = posterior(self.process, t, s, shape=shape, like=like)
        variance = (
            q.variance
            if self.variance == "posterior"
            else transition(self.process, t, s, shape=shape, like=like).variance
        )
        return Coefficients(z=q.z_coef, x0=q.x_coef, noise=root(variance))
