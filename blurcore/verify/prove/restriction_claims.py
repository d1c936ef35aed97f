"""Smaller images: processes and solver steps commute with the restriction (SPEC 11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sympy as sp

from blurcore.resolution.restriction import RestrictedProcess
from blurcore.samplers import DDIM, Ancestral, ColdNaive, DPMSolverPP, DPMSolverSDE, Euler, Heun, InverseHeat
from blurcore.verify.prove.abstract import ORDERED, SHAPE, AnyBasis, AnyMarginals, S, T, array, value, with_settings
from blurcore.verify.prove.claim import Claim, Pair, claim
from blurcore.verify.prove.process_claims import (
    ANY,
    FALLS,
    RANGE,
    difference,
    marginal,
    of_marginal,
    posterior,
    processes,
    transition,
)
from blurcore.verify.prove.solver_claims import AXES, ETA, coefficients
from blurcore.verify.prove.symbolic import assuming

SCALE = sp.Symbol("r", positive=True)
"""sqrt(M / N) over all axes."""


def restricted(process: Any) -> Any:
    """Return the shipped restriction of an abstract process, with an arbitrary scale."""
    return with_settings(RestrictedProcess, process=process, basis=AnyBasis(), scale=SCALE, _inner=process)


@claim(
    "restricted process",
    "alpha_t, r sigma_t, l_t - 2 log r, the drift and r^2 times the diffusion",
    "SPEC 11",
    for_all=ANY + ", r > 0",
    assumptions=RANGE,
)
def restricted_marginals() -> Iterator[Pair]:
    """The restricted process is consistent, and equals the larger one in smaller units."""
    for label, process in processes():
        small = restricted(process)
        (alpha, sigma), (less, noise) = marginal(process, T), marginal(small, T)
        yield Pair(f"{label} alpha", less, alpha)
        yield Pair(f"{label} sigma", noise, SCALE * sigma)
        yield from of_marginal(small, label)
        for name, a, b in zip(("alpha", "D"), difference(small, T, S), difference(process, T, S), strict=True):
            yield Pair(f"{label} difference, {name}", a, b)
        rates, whole = (p.sde(array(T), shape=SHAPE) for p in (small, process))
        yield Pair(f"{label} f", value(rates.drift), value(whole.drift))
        yield Pair(f"{label} g^2", value(rates.diffusion), SCALE**2 * value(whole.diffusion))


@claim(
    "restriction commutes with steps",
    "transition and posterior: the same weights, r^2 times the variance",
    "SPEC 11",
    for_all=ANY + ", r > 0",
    assumptions=RANGE,
)
def restricted_steps() -> Iterator[Pair]:
    """Shrink and step, or step and shrink."""
    for label, process in processes():
        small = restricted(process)
        for what, of in (("transition", transition), ("posterior", posterior)):
            *weights, variance = of(small, T, S)
            *expected, whole = of(process, T, S)
            for i, (a, b) in enumerate(zip(weights, expected, strict=True)):
                yield Pair(f"{label} {what}, weight {i}", a, b)
            yield Pair(f"{label} {what}, variance", variance, SCALE**2 * whole)


_MADE: dict[str, Callable[[Any], Any]] = {
    "ancestral": lambda p: Ancestral(process=p, axes=AXES),
    "ancestral, upper": lambda p: Ancestral(process=p, axes=AXES, variance="upper"),
    "DDIM": lambda p: with_settings(DDIM, process=p, axes=AXES, eta=ETA),
    "DPM-Solver++": lambda p: DPMSolverPP(process=p, axes=AXES),
    "SDE-DPM-Solver++": lambda p: DPMSolverSDE(process=p, axes=AXES),
    "inverse heat": lambda p: InverseHeat(process=p, axes=AXES),
    "cold": lambda p: ColdNaive(process=p, axes=AXES),
}


def solvers() -> Iterator[tuple[str, Any, Any]]:
    """Return solvers of a restricted process and of its larger one: of any marginals, those of the ODE of any schedules."""
    with assuming(*ORDERED, 1 - ETA):
        anything = AnyMarginals()
        with assuming(1 - sp.exp(difference(anything, T, S)[1])):
            for name, make in _MADE.items():
                yield name, make(restricted(anything)), make(anything)
    for label, process in processes():
        small = restricted(process)
        yield f"{label} Euler", Euler(process=small, axes=AXES), Euler(process=process, axes=AXES)
        yield f"{label} Heun", Heun(process=small, axes=AXES), Heun(process=process, axes=AXES)


@claim(
    "restriction commutes with solvers",
    "weights of u_t and x0 and the lengths are the same, those of eps and noise r times",
    "SPEC 11",
    for_all="all alpha, sigma (functions of time), and for the ODE " + ANY + "; r > 0, eta",
    assumptions=FALLS + ", 0 < eta < 1",
)
def restricted_solvers() -> Iterator[Pair]:
    """A state of smaller images is r times the first frequencies of the larger; eps and noise are standard normal in both."""
    for name, small, large in solvers():
        less = coefficients(small)
        for weight, expected in coefficients(large).items():
            size = SCALE if weight in ("eps", "noise") else 1
            yield Pair(f"{name}, {weight}", less[weight], size * expected)


CLAIMS: tuple[Claim, ...] = (restricted_marginals, restricted_steps, restricted_solvers)
