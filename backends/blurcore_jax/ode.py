"""The probability-flow ODE (SPEC 6) by diffrax's adaptive Dormand-Prince pair, for AdaptiveODE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from blurcore import Prediction, Process, align
from blurcore.errors import ConfigError
from blurcore.samplers.euler import slope_of

_MAX_STEPS = 100_000


def integrate(
    process: Process,
    predict: Callable[[jax.Array, jax.Array], Prediction[jax.Array]],
    u: jax.Array,
    *,
    axes: tuple[int, ...],
    tolerance: float,
    first: float = 1.0,
) -> jax.Array:
    """Return the state at t = 0 from that at t = `first`; may be compiled.

    Parameters
    ----------
    process
        A process with noise.
    predict
        What the network says of (u, t), for a solver.
    u
        The state at t = `first` in frequency space.
    axes
        The axes of the grid in `u`.
    tolerance
        Relative and absolute error of a step, as the root mean square over the batch.
    first
        Where the state is, in (0, 1].

    Raises
    ------
    ConfigError
        diffrax is missing.
    """
    try:
        import diffrax
    except ImportError as error:
        raise ConfigError("sample.solver AdaptiveODE needs diffrax; try: pip install 'blurcore[jax]'") from error
    shape = tuple(u.shape[a] for a in axes)

    def slope(time: Any, state: jax.Array, args: None) -> jax.Array:
        del args
        t = jnp.clip(time, 0.0, 1.0)
        rate = slope_of(process, "AdaptiveODE", t, t, shape=shape, like=state)
        linear, weight = (align(c, ndim=u.ndim, axes=axes) for c in (rate.z, rate.eps))
        return linear * state + weight * predict(state, t).eps

    solved = diffrax.diffeqsolve(
        diffrax.ODETerm(slope),
        diffrax.Dopri5(),
        t0=first,
        t1=0.0,
        dt0=None,
        y0=u,
        max_steps=_MAX_STEPS,
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        adjoint=diffrax.ForwardMode(),
    )
    return solved.ys[-1]
