r"""Heun's method on the probability-flow ODE, in u, per frequency: second order, two network calls a step (SPEC 7).

.. math::

    \tilde u = u_t + (s - t) F(u_t, t), \qquad u_s = u_t + \frac{s - t}{2} \big( F(u_t, t) + F(\tilde u, s) \big), \qquad
    F(u, t) = f u + \frac{g^2}{2 \sigma} \hat\epsilon(u, t) .

Karras et al. 2022 (EDM) take it for diffusion models. A step is two stages, each with its own network call, (t, s) and then (s, s):
:meth:`Heun.stages` lists them, and one loop serves this solver and those with a single call. Where sigma_s = 0 there is
no score at s, and the step is Euler's: its second stage is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np

from blurcore._arrays import align, namespace, quiet, together
from blurcore._typing import Array, Time
from blurcore.samplers._base import Prediction, SamplerState, Stepper, require_eps
from blurcore.samplers.euler import Slope, slope_of


@final
@dataclass(frozen=True, kw_only=True)
class Heun(Stepper):
    """Deterministic; a stage from t to s < t predicts, one from s to s corrects.

    Parameters
    ----------
    process
        The process to reverse; it must have noise.
    axes
        The axes of the grid in the state.
    """

    @property
    def uses_noise(self) -> bool:
        """Never: it solves an ordinary differential equation."""
        return False

    def stages(self, times: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
        """Return (t, s) and (s, s) for each step; the latter not where sigma_s = 0. See :meth:`Solver.stages`."""
        found = []
        for t, s in pairwise(times):
            found.append((t, s))
            if bool(np.all(self.process.marginal(s, shape=(1,) * len(self.axes)).sigma > 0)):
                found.append((s, s))
        return tuple(found)

    def start(self, u: Array) -> SamplerState[Array]:
        """Return the first state, with room for that before a step, its slope and the step's length."""
        (u,) = together(u=u)
        zero = namespace(u=u).zeros_like(u)
        return SamplerState(u, last_u=zero, last_slope=zero, last_h=zero)

    @quiet
    def coefficients(self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Slope:
        """Return the slope at t, and s - t, whose being 0 is the sign of a second stage; see :meth:`Solver.coefficients`.

        Raises
        ------
        DegenerateError
            sigma is 0 at t.
        """
        return slope_of(self.process, "a step of Heun", t, s, shape=shape, like=like)

    @quiet
    def apply(
        self,
        coefficients: Slope,
        state: SamplerState[Array],
        prediction: Prediction[Array],
        noise: Array | None = None,
    ) -> SamplerState[Array]:
        """Take the stage; see :meth:`Solver.apply`. `noise` is not used.

        Raises
        ------
        DegenerateError
            The prediction has no eps.
        """
        del noise
        u, eps = together(u=state.u, eps=require_eps("Heun", prediction))
        xp = namespace(u=u)
        z_coef, eps_coef, length = (align(c, ndim=u.ndim, axes=self.axes) for c in coefficients)
        slope = z_coef * u + eps_coef * eps
        predicted = u + length * slope
        length = xp.broadcast_to(length, u.shape)
        if state.last_u is None or state.last_slope is None or state.last_h is None:
            return SamplerState(predicted, last_u=u, last_slope=slope, last_h=length)
        corrected = state.last_u + state.last_h / 2 * (state.last_slope + slope)
        return SamplerState(xp.where(length == 0, corrected, predicted), last_u=u, last_slope=slope, last_h=length)
