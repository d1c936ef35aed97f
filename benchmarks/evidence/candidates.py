r"""What question 4 tries: a calibrated solver of second order, and a grid from the measured error of the network.

**The solver.** Along the probability flow a frequency of Gaussian data, mean m and variance c, moves as
:math:`u_t = \alpha_t m + \sqrt{v_t} w` with :math:`v_t = \alpha_t^2 c + \sigma_t^2` and w constant, and its denoiser says
:math:`\hat x = m + (\alpha_t c / v_t) (u_t - \alpha_t m)`. DDIM is this flow with c = 0. Solved for m, with the variance that a measured
error :math:`e_t = c \sigma_t^2 / v_t` implies, the exact step is

.. math::

    u_s = \frac{\sqrt{v_s} \sqrt{v_t} - \alpha_s \alpha_t c}{\sigma_t^2} \, u_t
        + \frac{\alpha_s v_t - \alpha_t \sqrt{v_s} \sqrt{v_t}}{\sigma_t^2} \, \hat x .

Written with e, :math:`\rho = \alpha_t^2 e / \sigma_t^2 \le 1`, :math:`q = \alpha_s^2 e + \sigma_s^2 (1 - \rho)` and
:math:`E = 1 - e^D`, all terms are positive and nothing cancels (:meth:`CalibratedMultistep.coefficients`). With a share
:math:`\eta^2` of the exact reverse step's variance as noise, :math:`g = 1 - \eta^2 (1 - \rho) E` stands beside q under the root; at
:math:`\eta = 1` this is calibrated ancestral sampling, at :math:`e = 0` it is DDIM.

Second order: what is constant on Gaussian data, :math:`\hat m = (v_t \hat x - \alpha_t c u_t) / \sigma_t^2`, is what is extrapolated:

.. math::

    \hat x + \frac{h}{2 h_{prev}} \big[ (1 - \rho) (\hat x - \hat x_{prev}) - e (f - f_{prev}) \big], \qquad
    f = \frac{\alpha}{\sigma} \hat\epsilon .

The bracket is 0 on Gaussian data, so that the output's variance is exact at any number of steps, and with e = 0 this is
DPM-Solver++ 2M. The mean of the *random* reverse step needs no second order at all: the exact denoiser is a martingale
along it, :math:`E[\hat x_s | u_t] = \hat x_t`, and extrapolation there only imitates the variance that calibration knows.
The last step is of first order, and no step counts as more than twice as long as the one before it.

**The grid.** By the same property :math:`E (\hat x_s - \hat x_t)^2 = e_t - e_s`: the table of errors tells how far predictions move
between any two times. A first-order step that holds :math:`\hat x_t` misses u_s by at most its weight times that; relative to the
variance of u_s

.. math:: \mathrm{cost}(t, s) = \sum_k \frac{\alpha_s^2 (1 - e^{-h})^2 (e_t - e_s)}{\alpha_s^2 c + \sigma_s^2},

and the grid of K steps with the least sum is found by dynamic programming.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final

import numpy as np

import blurcore as bc
from blurcore._arrays import align, namespace, quiet, root, together
from blurcore.samplers import Prediction, SamplerState
from blurcore.samplers._base import Stepper, require_eps

Array = np.ndarray[Any, Any]
LONGEST = 2.0
"""How many times as long as the step before it a step counts at most, in what is extrapolated."""


class MultistepCoefficients(NamedTuple):
    """u_s = z u_t + x0 X + noise n, and what X is made of; shapes ``(*time, *grid)``."""

    z: Any
    x0: Any
    noise: Any
    h: Any
    reach: Any
    """1, but 0 in the last step."""
    known: Any
    """1 - rho."""
    error: Any
    """e."""
    slope: Any
    """alpha_t / sigma_t."""


@final
@dataclass(frozen=True, kw_only=True)
class CalibratedMultistep(Stepper):
    """The exact step of Gaussian data with the measured error; see above.

    Parameters
    ----------
    process
        The process to reverse; it must have noise.
    x0_error
        Mean squared error of the predicted u_0, per time and frequency.
    axes
        The axes of the grid in the state.
    order
        1 or 2.
    eta
        In [0, 1]: 0 deterministic, 1 as random as calibrated ancestral sampling.
    """

    process: Any
    x0_error: bc.X0Error
    axes: tuple[int, ...] = (-2, -1)
    order: Literal[1, 2] = 2
    eta: float = 0.0

    @property
    def uses_noise(self) -> bool:
        """Unless eta is 0."""
        return self.eta > 0

    def start(self, u: Any) -> SamplerState[Any]:
        """Return the first state: with h = 0 there is no step to remember."""
        (u,) = together(u=u)
        if self.order == 1:
            return SamplerState(u)
        zero = namespace(u=u).zeros_like(u)
        return SamplerState(u, last_x0=zero, last_h=zero, last_slope=zero)

    @quiet
    def coefficients(self, t: Any, s: Any, *, shape: tuple[int, ...], like: Any = None) -> MultistepCoefficients:
        """Return the weights; see :meth:`blurcore.Solver.coefficients`."""
        log_snr = self.process.difference(t, s, shape=shape, like=like).log_snr
        now, then = (self.process.marginal(time, shape=shape, like=like) for time in (t, s))
        xp = namespace(log_snr=log_snr)
        gained, h = -xp.expm1(log_snr), log_snr / -2
        slope, eta2 = now.alpha / now.sigma, self.eta**2
        rho = slope**2 * self.x0_error.at(t, shape=shape, like=like)
        rho = xp.minimum(rho, xp.ones_like(rho))  # a network may be worse than u_t / alpha_t
        error = rho / slope**2
        new = then.alpha**2 * error
        q = new + then.sigma**2 * (1 - rho)
        size = root(q * (1 - eta2 * (1 - rho) * gained))
        total = size + then.alpha * slope * error
        z = (q * (1 - eta2 * gained) + rho * then.sigma**2) / (now.sigma * total)
        pulled = then.alpha * (then.sigma**2 + new - eta2 * q * (1 - rho)) / (size + then.sigma * xp.exp(-h))
        noise = self.eta * root(gained * (then.sigma**2 + new * gained))
        last = xp.zeros_like(h) + (
            1.0 - np.asarray(np.asarray(s) == 0.0, np.float64).reshape(np.shape(s) + (1,) * len(shape))
        )
        return MultistepCoefficients(
            z=z,
            x0=gained * (pulled + eta2 * q * slope) / total,
            noise=noise,
            h=h,
            reach=last,
            known=1 - rho,
            error=error,
            slope=slope,
        )

    @quiet
    def apply(
        self,
        coefficients: MultistepCoefficients,
        state: SamplerState[Any],
        prediction: Prediction[Any],
        noise: Any = None,
    ) -> SamplerState[Any]:
        """Take the step; see :meth:`blurcore.Solver.apply`."""
        eps = require_eps("CalibratedMultistep", prediction)
        u, x0, eps, noise = together(u=state.u, x0=prediction.x0, eps=eps, noise=noise)
        xp = namespace(u=u)
        c = MultistepCoefficients(*(align(value, ndim=u.ndim, axes=self.axes) for value in coefficients))
        slope, ahead = c.slope * eps, x0
        if state.last_x0 is not None and state.last_h is not None:
            started = state.last_h > 0
            ratio = c.h / xp.where(started, state.last_h, xp.ones_like(u))
            ratio = xp.where(
                started, xp.where(ratio > LONGEST, LONGEST * xp.ones_like(ratio), ratio), xp.zeros_like(ratio)
            )
            moved = c.known * (x0 - state.last_x0) - c.error * (slope - state.last_slope)
            ahead = x0 + c.reach * ratio / 2 * moved
        result = c.z * u + c.x0 * ahead
        if noise is not None and self.eta > 0:
            result = result + c.noise * noise
        if self.order == 1:
            return SamplerState(result)
        return SamplerState(result, last_x0=x0, last_h=xp.broadcast_to(c.h, u.shape), last_slope=slope)


PLACES = 64
"""Half the number of times among which the grid's are chosen."""
MANY = 50
"""Steps beyond which the grid is that of the limit of many steps."""


def measured_times(num_steps: int, process: Any, x0_error: bc.X0Error) -> tuple[float, ...]:
    """Return the grid from 1 to 0 that the measured error makes cheapest; see above.

    Parameters
    ----------
    num_steps
        At least 1. Beyond 50 steps, costs of short steps being cubes of their lengths, steps have equal cube roots of costs.
    process
        The process, whose noise has a finite log-SNR.
    x0_error
        Mean squared error of the predicted u_0, per time and frequency, from time 0 to 1.
    """
    count = PLACES if num_steps <= MANY else 4 * PLACES
    places = sorted({*bc.log_snr_times(count, process.noise), *bc.uniform_times(count)}, reverse=True)
    cost = _costs(places, process, x0_error, longest=len(places) if num_steps <= MANY else 1)
    if num_steps <= MANY:
        return tuple(places[i] for i in _cheapest(cost, num_steps))
    passed = np.concatenate([[0.0], np.cumsum(np.cbrt(np.diagonal(cost, offset=1)))])
    inner = np.interp(np.linspace(0.0, passed[-1], num_steps + 1)[1:-1], passed, places)
    return (1.0, *inner.tolist(), 0.0)


def _costs(places: list[float], process: Any, x0_error: bc.X0Error, *, longest: int) -> Array:
    """Return the cost of each step over up to `longest` places, (from, to); infinite where it is none."""
    shape, times = x0_error.values.shape[1:], np.array(places)
    errors = x0_error.at(times, shape=shape)
    errors = np.maximum.accumulate(errors[::-1])[
        ::-1
    ]  # what is measured on few images need not rise with time, as it should
    alpha, sigma = (np.broadcast_to(c, errors.shape) for c in process.marginal(times, shape=shape))
    rho = (alpha[0] / sigma[0]) ** 2 * errors[0]
    data = errors[0] / np.maximum(1 - rho, 1e-6)  # of the data, of which nothing is known at t = 1
    variance = alpha**2 * data + sigma**2
    found = np.full((len(places), len(places)), np.inf)
    for i in range(len(places) - 1):
        to = slice(i + 1, min(i + 1 + longest, len(places)))
        weight = alpha[to] - alpha[i] * sigma[to] / sigma[i]
        moved = np.maximum(errors[i] - errors[to], 0.0)
        found[i, to] = (weight**2 * moved / variance[to]).reshape(len(moved), -1).sum(axis=1)
    return found


def _cheapest(cost: Array, num_steps: int) -> list[int]:
    """Return the places of the path of that many steps from the first to the last place with the least sum."""
    best = np.full(len(cost), np.inf)
    best[0] = 0.0
    back = []
    for _ in range(num_steps):
        total = best[:, None] + cost
        back.append(total.argmin(axis=0))
        best = total.min(axis=0)
    path = [len(cost) - 1]
    for row in reversed(back):
        path.append(int(row[path[-1]]))
    return path[::-1]
