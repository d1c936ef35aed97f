r"""Euler's method on the probability-flow ODE, in u, per frequency (SPEC 6, 7; Song et al. 2021, eq. 13).

With the score written as :math:`-\epsilon / \sigma` the equation is linear in the state and the prediction,

.. math:: \frac{du}{dt} = f u + \frac{g^2}{2 \sigma} \hat\epsilon .

Where f = g2 = 0 (DC of heat dissipation) nothing moves, to the last bit. The equation is stiff where f is large: a step
that is long against 1 / |f| does not merely lose accuracy, it overshoots; DDIM solves that part exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, final

from blurcore._arrays import is_checkable, is_number, namespace, prepare_times, quiet
from blurcore._typing import Array, Time
from blurcore.diffusion import require_noise
from blurcore.processes import Process
from blurcore.samplers._base import Coefficients, LinearStepper
from blurcore.transforms import check_shape


class Slope(NamedTuple):
    """du/dt = z u + eps eps_hat at t, and the time s - t <= 0 for which a step follows it."""

    z: Any
    eps: Any
    length: Any


def slope_of(process: Process, what: str, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None) -> Slope:
    """Return the right-hand side of the probability-flow ODE at t, and s - t, in float64 where there is any.

    Raises
    ------
    DegenerateError
        sigma is 0 at t, so that there is no score; `what` is named.
    """
    shape = check_shape(shape)
    times = prepare_times(like, t=t, s=s)
    frame, (start, end) = times.frame, times.values
    sde = process.sde(t, shape=shape, like=like)
    if is_checkable(namespace(drift=sde.drift)) or is_number(t):
        require_noise(what, process, t, shape=shape)
    sigma = process.marginal(t, shape=shape, like=like).sigma
    length = times.scalar(end - start, len(shape))
    if times.on_host:
        length = frame.xp.full((1,) * len(shape), length, dtype=frame.work, device=frame.device)
    return Slope(z=sde.drift, eps=sde.diffusion / (2 * sigma), length=frame.finish(length))


@final
@dataclass(frozen=True, kw_only=True)
class Euler(LinearStepper):
    r""":math:`u_s = u_t + (s - t) \big( f u_t + \frac{g^2}{2 \sigma} \hat\epsilon \big)`: first order.

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

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> Coefficients[Array]:
        """Return 1 and the slope, times s - t; see :meth:`Solver.coefficients`.

        Raises
        ------
        DegenerateError
            sigma is 0 at t.
        """
        slope = slope_of(self.process, "a step of Euler", t, s, shape=shape, like=like)
        return Coefficients(z=1 + slope.length * slope.z, eps=slope.length * slope.eps)
