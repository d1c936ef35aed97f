r"""Bounds on the rounding error of each identity of `blurcore verify`.

Let :math:`\epsilon` be the spacing of the dtype at 1 (twice the unit roundoff, so every count below has a factor 2 in
hand). A formula of n rounded operations whose intermediate results have condition numbers :math:`\kappa_i` is off by at
most :math:`\sum_i \kappa_i \epsilon`, relative, to first order (Higham, *Accuracy and Stability*, chapter 3). Two counts
serve everything here:

* ``ROUNDINGS = 32``: the longest path through a coefficient's formula, schedules and eigenvalues included, in
  operations of condition about 1.
* ``EXPONENT = 16``: the longest path through :math:`\lambda \tau` (or through the integral of DDPM's betas). An
  exponential turns a relative error of its exponent x into x times as much, so exponents count ``EXPONENT * x``.

The conditions below are worked out in NumPy float64 from the definitions, per frequency. They are upper bounds derived
from the formulas: nothing in them was fitted to what the code happens to do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore.verify import reference

Values = np.ndarray[Any, Any]

EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Spacing of the numbers at 1."""
ROUNDINGS = 32.0
EXPONENT = 16.0


def live_share(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    """Return (1 - d_min) exp(-lambda tau_t) / d_t, the share of d_t that still depends on the blur; 1 without a floor."""
    floor = reference.min_scale(process)
    if floor == 0:
        return np.ones(shape)
    return np.asarray((1 - floor) * np.exp(-reference.exponent(process, t, shape)) / reference.decay(process, t, shape))


def alpha_condition(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    r"""Return the condition of :math:`\alpha_t = a_t d_t`.

    The exponent x = lambda tau enters with weight :math:`x \, \partial \log d / \partial x = x (1 - d_{min}) e^{-x} / d`,
    and the exponent of DDPM's product with log a.
    """
    x = reference.exponent(process, t, shape)
    share = live_share(process, t, shape)
    return np.asarray(ROUNDINGS + EXPONENT * (x * share + abs(np.log(reference.noise(process, t)[0]))))


def ratio_condition(process: Any, t: float, s: float, shape: tuple[int, ...]) -> Values:
    r"""Return the condition of :math:`\alpha_{t|s}`: a quotient of decays, or without a floor one exponential."""
    if reference.min_scale(process) == 0:
        heat = reference.exponent(process, t, shape) - reference.exponent(process, s, shape)
        return np.asarray(ROUNDINGS + EXPONENT * (heat + abs(np.log(reference.noise(process, t)[0]))))
    return alpha_condition(process, t, shape) + alpha_condition(process, s, shape)


def gain_condition(process: Any, t: float, s: float, shape: tuple[int, ...]) -> Values:
    r"""Return the condition of :math:`-\mathrm{expm1}(D)`, which the variances and the posterior's weight of u_0 have.

    D is a sum of two terms of one sign, so no digits cancel. With y = d_t / d_s - 1, an error of y moves expm1(D) by
    :math:`2 e^D \, \delta y / (1 + y) \le 2 \delta y`, and y carries the exponent lambda tau_s through
    :math:`e^{-x_s}`. Where the blur adds little (|y| far below 1 - e^D) that error weighs as little.
    """
    d_t, d_s = (reference.decay(process, time, shape) for time in (t, s))
    drop = np.abs(d_t - d_s) / np.where(d_s == 0, 1.0, d_s)
    snr = [reference.noise_log_snr(process, time) for time in (t, s)]
    loss = -np.expm1(min(snr[0] - snr[1], 0.0)) if np.isfinite(snr[1]) else 1.0
    total = np.maximum(drop, loss)
    weight = np.divide(drop, total, out=np.zeros_like(drop), where=total > 0)
    dead = 1 - live_share(process, s, shape)  # condition of e^-x / d(x) is x times this
    return np.asarray(ROUNDINGS * 2 + 2 * EXPONENT * weight * reference.exponent(process, s, shape) * dead)


def transform_error(shape: tuple[int, ...], eps: float, data_eps: float) -> float:
    """Return the relative error, in the 2-norm, of one transform.

    A product with an orthonormal N x N matrix is off by at most N eps, relative to the norm of the vector (inner
    products of length N); the matrix's own entries by a few eps each, hence N + 8; the axes add up. Half-precision
    data is accumulated in float32 and rounded once, at the end: data_eps.
    """
    return sum((n + 8) * eps for n in shape) + data_eps
