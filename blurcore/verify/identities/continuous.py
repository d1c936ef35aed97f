"""Continuous time: drift and diffusion against derivatives, finite steps and the probability-flow equation (SPEC 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from blurcore._typing import Array
from blurcore.verify import reference
from blurcore.verify.cases import Case
from blurcore.verify.identity import Comparison, absolute, identity, relative
from blurcore.verify.rounding import EXPONENT, ROUNDINGS, alpha_condition, gain_condition, live_share, ratio_condition

Values = np.ndarray[Any, Any]


def rate_condition(case: Case, t: float) -> Values:
    """Return the condition of drift and diffusion: sums of terms of one sign, in which e^-x / d stands once."""
    x, share = reference.exponent(case.process, t, case.shape), live_share(case.process, t, case.shape)
    return np.asarray(2 * alpha_condition(case.process, t, case.shape) + EXPONENT * x * (1 - share))


@identity(
    "SDE by automatic differentiation",
    "f = d log alpha / dt, g2 = d sigma^2 / dt - 2 f sigma^2",
    "SPEC 6; Song et al. 2021",
    needs=("derivative",),
    every_grid=False,
    quick=False,
)
def autodiff(case: Case) -> Iterator[Comparison]:
    """Drift and diffusion are the derivatives that the library itself takes of the marginal.

    Bound: derivative and rates are sums of terms of one sign; the derivative of exp(-x) has the condition x beside that of
    alpha, and both texts are off by theirs. Frequencies whose alpha is below 1e-30 are left to the other two checks.
    """
    derivative: Callable[[Callable[[Array], Array], Array], Array] = case.backend.derivative  # type: ignore[attr-defined]
    for t in (0.25, 0.625):
        time = case.array(np.asarray(t))
        alpha = case.on_grid(case.ops.marginal(case.process, time, shape=case.shape, like=case.like).alpha)
        sigma = case.on_grid(case.ops.marginal(case.process, time, shape=case.shape, like=case.like).sigma)
        slope = case.on_grid(
            derivative(lambda r: case.ops.marginal(case.process, r, shape=case.shape, like=case.like).alpha, time)
        )
        growth = case.on_grid(
            derivative(lambda r: case.ops.marginal(case.process, r, shape=case.shape, like=case.like).sigma, time)
        )
        c = case.ops.sde(case.process, time, shape=case.shape, like=case.like)
        drift, diffusion = case.on_grid(c.drift), case.on_grid(c.diffusion)
        seen = alpha > 1e-30
        condition = 4 * rate_condition(case, t)[seen]
        expected = slope[seen] / alpha[seen]
        yield relative(drift[seen], expected, condition * case.eps)
        g2 = 2 * sigma[seen] * growth[seen] - 2 * expected * sigma[seen] ** 2
        yield relative(diffusion[seen], g2, 2 * condition * case.eps)


class _Rules:
    """Gauss' rules with 14 and 20 nodes on [low, high], at nodes that the dtype holds.

    The finer rule is the result; its distance to the coarser one bounds its error, as both converge geometrically for a
    smooth integrand. The rounding of the nodes, r eps, moves the integral by that of |integrand'| r eps.
    """

    def __init__(self, case: Case, low: float, high: float) -> None:
        rules = [np.polynomial.legendre.leggauss(n) for n in (14, 20)]
        points = np.concatenate([nodes for nodes, _ in rules])
        self.times = case.rounded((low + high) / 2 + (high - low) / 2 * points)
        self._weights = [weights * (high - low) / 2 for _, weights in rules]
        self._eps = case.eps

    def integrate(self, values: Values) -> tuple[Values, Values]:
        """Return the integral of values at the nodes, (34, ...), and the bound of its error but for the values' own."""
        coarse, fine = (
            np.tensordot(w, v, axes=1) for w, v in zip(self._weights, (values[:14], values[14:]), strict=True)
        )
        slopes = np.abs(np.gradient(values[14:], self.times[14:], axis=0, edge_order=2))
        shifts = (self.times[14:] * self._eps).reshape([-1, *[1] * (values.ndim - 1)])
        return np.asarray(fine), np.asarray(
            np.abs(fine - coarse) + np.tensordot(self._weights[1], slopes * shifts, axes=1)
        )


@identity(
    "SDE and finite transitions",
    "log alpha_{t|s} = int f dr, sigma_{t|s}^2 = int alpha_{t|r}^2 g2(r) dr over short steps",
    "SPEC 3, 6",
    every_grid=False,
)
def finite_steps(case: Case) -> Iterator[Comparison]:
    """The transition over a short step is the SDE's own, integrated.

    Bound: the quadrature's (the rates are smooth, and the step is 1 / 64), and the rates' conditions. A logarithm of
    alpha_{t|s} near 1 costs its condition, absolutely.
    """
    t, s = 0.5, 0.484375
    ratio, variance = case.transition(t, s)
    rules = _Rules(case, s, t)
    drift, diffusion = case.at_times("sde", rules.times)
    onward = case.at_times("difference", np.full(rules.times.shape, t), rules.times)[0]
    f, f_error = rules.integrate(drift)
    g, g_error = rules.integrate(onward**2 * diffusion)
    condition = ratio_condition(case.process, t, s, case.shape)
    rounding = (rate_condition(case, t) * np.abs(f) + condition) * case.eps
    yield absolute(np.log(ratio), f, f_error + rounding)
    condition = 2 * condition + gain_condition(case.process, t, s, case.shape) + rate_condition(case, t)
    yield absolute(variance, g, g_error + 2 * condition * case.eps * g)


@identity(
    "probability flow",
    "du/dt = f u - g2/2 score carries N(0, v_t), v = alpha^2 c + sigma^2, into itself",
    "SPEC 6, 9; Song et al. 2021",
    every_grid=False,
)
def probability_flow(case: Case) -> Iterator[Comparison]:
    """With the exact score -u / v of Gaussian data, the flow scales u by sqrt(v_t / v_s): int f + g2 / (2 v) dt = log(v_t / v_s) / 2.

    Bound: the quadrature's, and the conditions of rates and marginals, times the integral of the moduli.
    """
    s, t = 0.3, 0.7
    lam = reference.eigenvalues(type(case.process.basis).__name__, case.shape)
    c = 0.01 / (lam + 0.01)

    def variance(alpha: Values, sigma: Values) -> Values:
        return np.asarray(alpha**2 * c + sigma**2)

    last = variance(*case.marginal(t))
    positive = last > 1e-30
    if not positive.any():
        return
    rules = _Rules(case, s, t)
    drift, diffusion = case.at_times("sde", rules.times)
    spread = diffusion / np.where(positive, 2 * variance(*case.at_times("marginal", rules.times)), 1.0)
    flow, error = rules.integrate(drift + spread)
    moduli, _ = rules.integrate(np.abs(drift) + spread)
    expected = np.log(last[positive] / variance(*case.marginal(s))[positive]) / 2
    condition = rate_condition(case, t) + 4 * alpha_condition(case.process, t, case.shape)
    bound = error + (condition * (1 + moduli) + ROUNDINGS) * case.eps
    yield absolute(flow[positive], expected, bound[positive])


IDENTITIES = (autodiff, finite_steps, probability_flow)
