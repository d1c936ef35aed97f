"""Solvers whose steps are the same (SPEC 7), on the coefficients, transforms and conversions of a backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from blurcore.processes import Marginal
from blurcore.samplers import DDIM, Ancestral, DPMSolverPP, Prediction, SamplerState
from blurcore.verify.cases import Case
from blurcore.verify.identities.marginal import with_noise
from blurcore.verify.identities.pixel_kernel import step_condition
from blurcore.verify.identity import Comparison, absolute, identity
from blurcore.verify.rounding import ROUNDINGS, alpha_condition

Values = np.ndarray[Any, Any]
STEPS = ((1.0, 0.875), (0.5, 0.25), (0.5, 0.499))


def _setting(case: Case, t: float) -> tuple[Values, Values, Values, Values]:
    """Return u_t, a prediction of x0 and its eps, and noise, as the dtype holds them; eps as the backend converts it."""
    rng = case.rng("sampling")
    alpha, sigma = case.marginal(t)
    x0, eps, noise = (case.rounded(rng.standard_normal((1, *case.shape))) for _ in range(3))
    u = case.rounded(alpha * x0 + sigma * eps)
    m = Marginal(alpha=case.array(alpha[None]), sigma=case.array(sigma[None]))
    return u, x0, case.numpy(case.ops.convert(case.array(x0), "x0", "eps", z=case.array(u), marginal=m)), noise


def _axes(case: Case) -> tuple[int, ...]:
    return tuple(range(1, 1 + len(case.shape)))


@identity(
    "DDIM(1) is ancestral",
    "eta = 1: alpha_s x + sqrt(sigma_s^2 - sigma_{t->s}^2) eps + sigma_{t->s} n = ancestral step",
    "SPEC 7; Song et al. 2021",
    wants=with_noise,
)
def ddim_is_ancestral(case: Case) -> Iterator[Comparison]:
    """With all its noise, DDIM draws from the posterior.

    u_t itself is rounded, so the ancestral mean z_coef u_t + x_coef x is off by |z_coef u_t| eps.
    Bound: the conditions of the step's coefficients, on the moduli of all terms.
    """
    for t, s in STEPS:
        u, x0, eps, noise = _setting(case, t)
        args = (SamplerState(case.array(u)), Prediction(case.array(x0), case.array(eps)), t, s, case.array(noise))
        steps = [
            case.numpy(solver.step(*args).u)
            for solver in (
                DDIM(process=case.asking, axes=_axes(case), eta=1.0),
                Ancestral(process=case.asking, axes=_axes(case)),
            )
        ]
        z_coef, x_coef, variance = case.posterior(t, s)
        alpha_s, sigma_s = case.marginal(s)
        terms = (
            z_coef * np.abs(u)
            + (x_coef + alpha_s) * np.abs(x0)
            + sigma_s * np.abs(eps)
            + np.sqrt(variance) * np.abs(noise)
        )
        condition = (
            2 * step_condition(case, t, s)
            + alpha_condition(case.process, s, case.shape)
            + alpha_condition(case.process, t, case.shape)
        )
        yield absolute(steps[0], steps[1], condition * case.eps * terms)


@identity(
    "cold's improved rule is DDIM(0)",
    "constant sigma: x_s = x_t - D(x, t) + D(x, s)",
    "SPEC 7; Bansal et al. 2022",
    wants=lambda name: name == "heat",
)
def cold_is_ddim(case: Case) -> Iterator[Comparison]:
    """At constant sigma, DDIM without noise exchanges one degradation of the prediction for another.

    Bound: the conditions of both alphas on the moduli of the terms; u_t and eps are rounded.
    """
    solver = DDIM(process=case.asking, axes=_axes(case))
    for t, s in STEPS:
        u, x0, eps, _ = _setting(case, t)
        step = solver.step(SamplerState(case.array(u)), Prediction(case.array(x0), case.array(eps)), t, s)
        (alpha_t, sigma), (alpha_s, _) = case.marginal(t), case.marginal(s)
        condition = alpha_condition(case.process, t, case.shape) + alpha_condition(case.process, s, case.shape)
        terms = np.abs(u) + (alpha_t + alpha_s) * np.abs(x0) + sigma * np.abs(eps)
        yield absolute(case.numpy(step.u), u - alpha_t * x0 + alpha_s * x0, condition * case.eps * terms)


@identity(
    "DPM-Solver++(1) is DDIM(0)",
    "(sigma_s / sigma_t) u - alpha_s expm1(-h) x = alpha_s x + sigma_s eps",
    "SPEC 7; Lu et al. 2022",
    wants=with_noise,
)
def dpm_is_ddim(case: Case) -> Iterator[Comparison]:
    """The first-order solver is deterministic DDIM.

    Bound: alpha_s e^-h = alpha_t sigma_s / sigma_t, so no exponential grows; the conditions of the step on the moduli of the terms.
    """
    for t, s in STEPS:
        u, x0, eps, _ = _setting(case, t)
        args = (SamplerState(case.array(u)), Prediction(case.array(x0), case.array(eps)), t, s)
        first = case.numpy(DPMSolverPP(process=case.asking, axes=_axes(case), order=1).step(*args).u)
        ddim = case.numpy(DDIM(process=case.asking, axes=_axes(case)).step(*args).u)
        (_, sigma_t), (alpha_s, sigma_s) = case.marginal(t), case.marginal(s)
        terms = sigma_s / sigma_t * np.abs(u) + 2 * alpha_s * np.abs(x0) + sigma_s * np.abs(eps)
        condition = 2 * step_condition(case, t, s) + alpha_condition(case.process, s, case.shape)
        condition = condition + alpha_condition(case.process, t, case.shape) + ROUNDINGS
        yield absolute(first, ddim, condition * case.eps * terms)


IDENTITIES = (ddim_is_ancestral, cold_is_ddim, dpm_is_ddim)
