r"""From noise to restored data, step by step, in frequency space.

The chain starts from :math:`p(u_1 | y)` of Gaussian data, whose spectrum is given: noise, and as much of the data as t = 1 leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from blurcore._arrays import align, quiet
from blurcore._checks import require
from blurcore._typing import Array
from blurcore.diffusion import grid_shape, marginal_for, posterior
from blurcore.processes import Process
from blurcore.restoration.method import Guess, Method, Noise, Problem, Stage, draw_data
from blurcore.restoration.operator import beside
from blurcore.samplers import check_times

Host = np.ndarray[Any, Any]


class Spectrum(NamedTuple):
    """Mean and variance of data in each frequency, ``(*grid,)``, float64 on the host."""

    mean: Host
    variance: Host


@quiet
def restore(
    process: Process,
    method: Method,
    problem: Problem[Array],
    ask: Callable[[Array, float], Guess[Array]],
    noise: Callable[[int], Noise[Array]],
    *,
    times: Sequence[float],
    covariance: Callable[[float], Host],
    prior: Spectrum,
    axes: tuple[int, ...],
    last_noise: bool = True,
    step_done: Callable[[int], None] = lambda calls: None,
) -> Array:
    r"""Return draws of u_0 given y, as far as the method goes; exactly so for Gaussian data and :class:`Calibrated`.

    Parameters
    ----------
    process
        A process with noise.
    method
        How the observation steers.
    problem
        What was observed, (batch, ...) in the compute dtype of the states.
    ask
        Returns what the network says at a state u_t, (batch, *grid, ...) in frequency space, and a time.
    noise
        noise(k) is that of step k = 1, 2, ...; noise(0) that of the first state. Called once for each k, in order.
    times
        From where sampling starts down to 0, as :func:`blurcore.check_times` wants them.
    covariance
        Returns Var[u_0 | u_t] for a time, ``(*grid,)``, on the host.
    prior
        The data's: it matters where t = 1 leaves something of them.
    axes
        The axes of the grid in a state.
    last_noise
        Draw noise in the last step as well: it is part of the data, without which the highest frequencies lack what the last step
        leaves undecided (SPEC 9). Off, the last step gives its mean.
    step_done
        Called after each network call.

    Returns
    -------
    Array
        u_0 in frequency space.

    Raises
    ------
    ArgumentError
        The method does not take the operator, the times are none, or the variance of the noise is not positive.
    DegenerateError
        The process has no noise.
    """
    times = check_times(times)
    require(problem.variance > 0, "variance", problem.variance, "positive, as the noise of what was observed")
    method.check_operator(problem.observation)
    first = noise(0)
    grid = grid_shape(first.state, axes, "noise")

    def laid(values: Host) -> Array:
        whole = np.broadcast_to(np.asarray(values, np.float64), grid)
        return beside(align(whole, ndim=first.state.ndim, axes=axes), first.state)

    start = marginal_for(process, times[0], first.state, axes=axes)
    u = start.alpha * draw_data(problem, laid(prior.mean), laid(prior.variance), first) + start.sigma * first.state
    for k, (t, s) in enumerate(pairwise(times), start=1):
        q = posterior(process, t, s, shape=grid, like=u)
        stage = Stage(
            now=marginal_for(process, t, u, axes=axes),
            after=marginal_for(process, s, u, axes=axes),
            posterior=type(q)(*(align(c, ndim=u.ndim, axes=axes) for c in q)),
            covariance=laid(covariance(t)),
        )
        drawn = noise(k) if last_noise or s > 0 else Noise(*(0 * values for values in first))
        u = method.step(stage, problem, u, ask(u, t), drawn)
        step_done(1)
    return u
