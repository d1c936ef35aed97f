"""Continuous time: drift and diffusion against derivatives, finite steps and the probability-flow equation (SPEC 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from blurcore._typing import Array
from blurcore.verify import definitions
from blurcore.verify.cases import Case
from blurcore.verify.identity import Comparison, absolute, identity, relative
from blurcore.verify.rounding import EXPONENT, ROUNDINGS, alpha_condition, gain_condition, ratio_condition

Values = np.ndarray[Any, Any]


def rate_condition(case: Case, t: float) -> Values:
    """Return the condition of drift and diffusion: sums of terms of one sign, in which e^-x / d stands once."""
    return 2 * alpha_condition(case.process, t, case.shape) + EXPONENT * (
        definitions.exponent(case.process, t, case.shape) * (1 - definitions.live_share(case.process, t, case.shape))
    )


@identity(
    "SDE by automatic differentiation", "f = d log alpha / dt, g2 = d sigma^2 / dt - 2 f sigma^2", "SPEC 6; Song et al. 2021",
    needs=("derivative",),
)  # fmt: skip
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


class _Rule:
    """Gauss' rule on [low, high] at nodes that the dtype holds, and what rounding those nodes may cost."""

    def __init__(self, case: Case, low: float, high: float, nodes: int) -> None:
        points, weights = np.polynomial.legendre.leggauss(nodes)
        self.times = case.rounded((low + high) / 2 + (high - low) / 2 * points)
        self._weights, self._eps = weights * (high - low) / 2, case.eps

    def integral(self, values: Values) -> Values:
        """Return the integral of values at the nodes, (nodes, ...)."""
        return np.asarray(np.tensordot(self._weights, values, axes=1))

    def moved(self, values: Values) -> Values:
        """Return how far the rounding of the nodes, r eps, moves the integral: that of |values'| r eps."""
        slopes = np.abs(np.gradient(values, self.times, axis=0, edge_order=2))
        return self.integral(slopes * (self.times * self._eps).reshape([-1, *[1] * (values.ndim - 1)]))


@identity(
    "SDE and finite transitions",
    "log alpha_{t|s} = int f dr, sigma_{t|s}^2 = int alpha_{t|r}^2 g2(r) dr over short steps",
    "SPEC 3, 6",
)
def finite_steps(case: Case) -> Iterator[Comparison]:
    """The transition over a short step is the SDE's own, integrated.

    Bound: that of Gauss' rule with 4 nodes, seen as its distance to the rule with 6, which converges to rounding for these
    smooth rates on a step of 1 / 64; what the rounding of the nodes costs; and the rates' conditions. A logarithm of
    alpha_{t|s} near 1 costs its condition, absolutely.
    """
    t, s = 0.5, 0.484375
    ratio, variance = case.transition(t, s)
    f, g, moved_f, moved_g = [], [], np.zeros(case.shape), np.zeros(case.shape)
    for nodes in (4, 6):
        rule = _Rule(case, s, t, nodes)
        drift, diffusion = case.at_times("sde", rule.times)
        onward = case.at_times("difference", np.full(nodes, t), rule.times)[0]
        f.append(rule.integral(drift))
        g.append(rule.integral(onward**2 * diffusion))
        moved_f, moved_g = rule.moved(drift), rule.moved(onward**2 * diffusion)
    condition = ratio_condition(case.process, t, s, case.shape)
    rounding = (rate_condition(case, t) * np.abs(f[1]) + condition) * case.eps
    yield absolute(np.log(ratio), f[1], np.abs(f[1] - f[0]) + moved_f + rounding)
    condition = 2 * condition + gain_condition(case.process, t, s, case.shape) + rate_condition(case, t)
    yield absolute(variance, g[1], np.abs(g[1] - g[0]) + moved_g + 2 * condition * case.eps * g[1])


@identity(
    "probability flow",
    "du/dt = f u - g2/2 score carries N(0, v_t), v = alpha^2 c + sigma^2, into itself",
    "SPEC 6, 9; Song et al. 2021",
)
def probability_flow(case: Case) -> Iterator[Comparison]:
    """With the exact score -u / v of Gaussian data, the flow scales u by sqrt(v_t / v_s): int f + g2 / (2 v) dt = log(v_t / v_s) / 2.

    Bound: that of Gauss' rule with 20 nodes, seen as its distance to 14; what the rounding of the nodes costs; the conditions
    of rates and marginals, times the integral of the moduli.
    """
    s, t = 0.3, 0.7
    lam = definitions.eigenvalues(type(case.process.basis).__name__, case.shape)
    c = 0.01 / (lam + 0.01)

    def variance(alpha: Values, sigma: Values) -> Values:
        return np.asarray(alpha**2 * c + sigma**2)

    last = variance(*case.marginal(t))
    positive = last > 1e-30
    if not positive.any():
        return
    integrals, moduli, moved = [], np.zeros(case.shape), np.zeros(case.shape)
    for nodes in (14, 20):
        rule = _Rule(case, s, t, nodes)
        drift, diffusion = case.at_times("sde", rule.times)
        spread = diffusion / np.where(positive, 2 * variance(*case.at_times("marginal", rule.times)), 1.0)
        integrals.append(rule.integral(drift + spread))
        moduli, moved = rule.integral(np.abs(drift) + spread), rule.moved(drift + spread)
    expected = np.log(last[positive] / variance(*case.marginal(s))[positive]) / 2
    condition = rate_condition(case, t) + 4 * alpha_condition(case.process, t, case.shape)
    bound = np.abs(integrals[1] - integrals[0]) + moved + (condition * (1 + moduli) + ROUNDINGS) * case.eps
    yield absolute(integrals[1][positive], expected, bound[positive])


IDENTITIES = (autodiff, finite_steps, probability_flow)
