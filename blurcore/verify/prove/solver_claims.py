"""The solvers: equalities at special settings, and their orders (SPEC 7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from blurcore.samplers import (
    DDIM,
    Ancestral,
    ColdImproved,
    DPMSolverPP,
    DPMSolverSDE,
    Euler,
    Heun,
    InverseHeat,
    Prediction,
    SamplerState,
)
from blurcore.samplers.dpm_solver_pp import DPMCoefficients, parabola_weights
from blurcore.samplers.dpm_solver_sde import SDECoefficients
from blurcore.samplers.euler import Slope
from blurcore.verify.prove.abstract import (
    FLOOR,
    ORDERED,
    SHAPE,
    SIGMA,
    AnyProcess,
    Constant,
    S,
    T,
    array,
    value,
    with_settings,
)
from blurcore.verify.prove.claim import Claim, Pair, claim
from blurcore.verify.prove.process_claims import (
    ANY,
    FALLS,
    RANGE,
    SIGMA_0,
    falling,
    marginal,
    posterior,
    processes,
    transition,
)
from blurcore.verify.prove.symbolic import assuming

AXES = (0,)
ETA = sp.Symbol("eta", positive=True)
H, RATIO, OLDER = (sp.Symbol(name, positive=True) for name in ("h", "q", "p"))
X = sp.symbols("x_0 x_1 x_2", real=True)
"""What the network says, as a parabola of half the log-SNR: x_0 + x_1 l + x_2 l^2 / 2, at the start of the step."""
U = sp.Symbol("u", real=True)
THETA = sp.Symbol("theta", positive=True)


def coefficients(solver: Any, s: Any = S) -> dict[str, Any]:
    """Return a solver's coefficients of a step from t to s as expressions."""
    found = solver.coefficients(array(T), array(s), shape=SHAPE)
    return {name: value(c) for name, c in found._asdict().items() if c is not None}


def without_eps(c: dict[str, Any], process: Any) -> tuple[Any, Any]:
    """Return the weights of u_t and x0 of a step in x0 and eps, as eps = (u_t - alpha_t x0) / sigma_t."""
    alpha, sigma = marginal(process, T)
    return c.get("z", 0) + c["eps"] / sigma, c["x0"] - c["eps"] * alpha / sigma


def predicted(gain: Any) -> Any:
    """Return the prediction at the point where half the log-SNR has grown by gain since the start of the step."""
    return X[0] + X[1] * gain + X[2] * gain**2 / 2


def integral(rate: int) -> Any:
    """Return the exact step's integral of the prediction, over theta from 0 to 1, against its weight in closed form."""
    weight = rate * H * sp.exp(-rate * H * (1 - THETA))
    return sp.integrate(sp.expand(predicted(H * THETA) * weight), (THETA, 0, 1))


def orders(label: str, left: Any, right: Any, last: int) -> Iterator[Pair]:
    """Yield the coefficients of h^0 .. h^last of two power series."""
    difference = [sp.series(side, H, 0, last + 1).removeO() for side in (left, right)]
    for power in range(last + 1):
        yield Pair(f"{label} h^{power}", *(sp.expand(side).coeff(H, power) for side in difference))


@claim("DDIM(1) is ancestral", "weights of u_t, x0 and the noise", "SPEC 7", for_all=ANY, assumptions=FALLS)
def ddim_ancestral() -> Iterator[Pair]:
    """At eta = 1 DDIM draws from the posterior."""
    for label, process in falling():
        c = coefficients(DDIM(process=process, axes=AXES, eta=1.0))
        ancestral = coefficients(Ancestral(process=process, axes=AXES))
        z, x0 = without_eps(c, process)
        yield Pair(f"{label} u_t", z, ancestral["z"])
        yield Pair(f"{label} x0", x0, ancestral["x0"])
        yield Pair(f"{label} noise", c["noise"], ancestral["noise"])


@claim(
    "DDIM keeps the marginal",
    "weights^2 of eps and noise add up to sigma_s^2, noise = eta sigma_{t->s}",
    "SPEC 7",
    for_all=ANY + ", eta",
    assumptions=FALLS + ", 0 < eta < 1",
)
def ddim_marginal() -> Iterator[Pair]:
    """For any eta the step leads to the marginal at s."""
    for label, process in falling():
        with assuming(1 - ETA):
            c = coefficients(with_settings(DDIM, process=process, axes=AXES, eta=ETA))
            alpha, sigma = marginal(process, S)
            yield Pair(f"{label} mean", c["x0"], alpha)
            yield Pair(f"{label} variance", c["eps"] ** 2 + c["noise"] ** 2, sigma**2)
            yield Pair(f"{label} noise", c["noise"] ** 2, ETA**2 * posterior(process, T, S)[2])


@claim(
    "ancestral", "z_coef, x_coef, std^2 of SPEC 4; 'upper': that of SPEC 3", "SPEC 7", for_all=ANY, assumptions=FALLS
)
def ancestral_steps() -> Iterator[Pair]:
    """Both of its variances."""
    for label, process in falling():
        q, step = posterior(process, T, S), transition(process, T, S)
        for variance, expected in (("posterior", q[2]), ("upper", step[1])):
            solver = Ancestral(process=process, axes=AXES, variance=variance)  # type: ignore[arg-type]
            c = coefficients(solver)
            yield Pair(f"{label} u_t", c["z"], q[0])
            yield Pair(f"{label} x0", c["x0"], q[1])
            yield Pair(f"{label} {variance} variance", c["noise"] ** 2, expected)
            yield Pair(f"{label} {variance} at s = t", coefficients(solver, T)["noise"], 0)


@claim("DPM-Solver++(1) is DDIM(0)", "weights of u_t and x0", "SPEC 7", for_all=ANY, assumptions=RANGE)
def dpm_ddim() -> Iterator[Pair]:
    """The first order is the deterministic DDIM, and h is half the log-SNR that is gained."""
    for label, process in processes():
        c = coefficients(DPMSolverPP(process=process, axes=AXES, order=1))
        z, x0 = without_eps(coefficients(DDIM(process=process, axes=AXES)), process)
        yield Pair(f"{label} u_t", c["z"], z)
        yield Pair(f"{label} x0", c["x0"], x0)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = marginal(process, T), marginal(process, S)
        yield Pair(f"{label} h", sp.exp(c["h"]), alpha_s * sigma_t / (alpha_t * sigma_s))


@claim("SDE-DPM-Solver++(1) is ancestral", "weights of u_t, x0 and the noise", "SPEC 7", for_all=ANY, assumptions=FALLS)
def dpm_sde_ancestral() -> Iterator[Pair]:
    """Its coefficients are the posterior's."""
    for label, process in falling():
        c = coefficients(DPMSolverSDE(process=process, axes=AXES, order=1))
        ancestral = coefficients(Ancestral(process=process, axes=AXES))
        for name in ("z", "x0", "noise"):
            yield Pair(f"{label} {name}", c[name], ancestral[name])
        decay = sp.exp(-c["h"])
        yield Pair(f"{label} h", c["x0"], marginal(process, S)[0] * (1 - decay**2))


def step(solver: Any, c: Any, **memory: Any) -> Any:
    """Return the state after a step from u = 0, given earlier predictions; alpha_s is 1."""
    state = SamplerState(array(sp.S(0)), **{name: array(v) for name, v in memory.items()})
    return value(solver.apply(c, state, Prediction(x0=array(X[0]))).u)


def dpm_step(order: int, last: Any = RATIO, older: Any = OLDER) -> Any:
    """Return the state of DPM-Solver++ with two remembered predictions, after steps of lengths p h and q h."""
    linear, square = (None, None)
    if order == 3:
        linear, square = parabola_weights(array(H))
    c = DPMCoefficients(z=array(sp.S(1)), x0=array(1 - sp.exp(-H)), h=array(H), linear=linear, square=square)
    memory = {"last_x0": predicted(-last * H), "last_h": last * H}
    if order == 3:
        memory |= {"older_x0": predicted(-(last + older) * H), "older_h": older * H}
    return step(DPMSolverPP(process=AnyProcess(), axes=AXES, order=order), c, **memory)  # type: ignore[arg-type]


EXACT = "u_s = (sigma_s / sigma_t) u_t + alpha_s int_0^1 h e^(-h (1 - theta)) x(theta) d theta"
PARABOLA = "all parabolas x of half the log-SNR, all ratios of step lengths"

LIMIT = sp.Rational(3, 2)
SHORT = "h <= 1.5 h_prev, h_prev <= 1.5 h_before"
BENDS = (LIMIT * RATIO - 1, LIMIT * OLDER - RATIO)
"""A step of third order is at most 1.5 times as long as the one before it, and so is that one."""


@claim(
    "DPM-Solver++(2) is of second order",
    EXACT + ", to h^2",
    "SPEC 7",
    for_all=PARABOLA,
    assumptions="h > 0, as a series",
)
def dpm_second_order() -> Iterator[Pair]:
    """The local error begins with h^3."""
    yield from orders("2M", dpm_step(2), integral(1), 2)


@claim(
    "DPM-Solver++(3) is of third order",
    EXACT + ", to h^3",
    "SPEC 7",
    for_all=PARABOLA,
    assumptions="0 < h < 1, as a series; " + SHORT,
)
def dpm_third_order() -> Iterator[Pair]:
    """The local error begins with h^4."""
    with assuming(1 - H, *BENDS):
        yield from orders("3M", dpm_step(3), integral(1), 3)


@claim("DPM-Solver++(3) integrates parabolas", EXACT, "SPEC 7", for_all=PARABOLA, assumptions="h > 1; " + SHORT)
def dpm_parabola() -> Iterator[Pair]:
    """Where the closed form is taken the step is exact; and so it is where a step is 1.5 times as long as the one before."""
    with assuming(H - 1):
        with assuming(*BENDS):
            yield Pair("3M", dpm_step(3), integral(1))
        yield Pair("3M, both 1.5 times as long", dpm_step(3, 1 / LIMIT, 1 / LIMIT**2), integral(1))


@claim(
    "DPM-Solver++(3) takes long steps at second order",
    "the step is that of DPM-Solver++(2)",
    "SPEC 7",
    for_all=PARABOLA,
    assumptions="h > 1, and 0 < h < 1; h > 1.5 h_prev, and h <= 1.5 h_prev with h_prev > 1.5 h_before",
)
def dpm_long_step() -> Iterator[Pair]:
    """A step much longer than the one before it, or after such a one."""
    short, before = BENDS
    cases = {"long": (-short, before), "after a long one": (short, -before), "both": (-short, -before)}
    for label, stated in cases.items():
        for size, side in (("h > 1", H - 1), ("h < 1", 1 - H)):
            with assuming(side, *stated):
                yield Pair(f"{label}, {size}", dpm_step(3), dpm_step(2))


@claim(
    "weights of the parabola",
    "int_0^1 h e^(-h (1 - theta)) theta^n d theta, n = 1, 2: closed form, and series to h^10",
    "SPEC 7",
    for_all="all h",
    assumptions="h > 1: closed form; 0 < h < 1: series",
)
def weights() -> Iterator[Pair]:
    """Both branches of the weights."""
    integrals = [sp.integrate(H * sp.exp(-H * (1 - THETA)) * THETA**n, (THETA, 0, 1)) for n in (1, 2)]
    with assuming(H - 1):
        for n, got, expected in zip((1, 2), parabola_weights(array(H)), integrals, strict=True):
            yield Pair(f"n = {n}", value(got), expected)
    with assuming(1 - H):
        for n, got, expected in zip((1, 2), parabola_weights(array(H)), integrals, strict=True):
            yield from orders(f"n = {n}", value(got), expected, 10)


@claim(
    "SDE-DPM-Solver++(2) is of second order",
    "its mean: int_0^1 2 h e^(-2 h (1 - theta)) x(theta) d theta, to h^2",
    "SPEC 7",
    for_all=PARABOLA,
    assumptions="h > 0, as a series",
)
def dpm_sde_second_order() -> Iterator[Pair]:
    """The local error of the mean begins with h^3."""
    one = array(sp.S(1))
    c = SDECoefficients(z=one, x0=array(1 - sp.exp(-2 * H)), h=array(H), noise=one)
    solver = DPMSolverSDE(process=AnyProcess(), axes=AXES, order=2)
    got = step(solver, c, last_x0=predicted(-RATIO * H), last_h=RATIO * H)
    yield from orders("2M", got, integral(2), 2)


@claim(
    "Euler follows the probability flow",
    "1 + (s - t) f and (s - t) g^2 / (2 sigma), the tangent of DDIM(0) at s = t",
    "SPEC 6, 7",
    for_all=ANY,
    assumptions="differentiable " + RANGE,
)
def euler() -> Iterator[Pair]:
    """Euler's step is the derivative of the deterministic step."""
    for label, process in processes():
        c = coefficients(Euler(process=process, axes=AXES))
        z, x0 = without_eps(coefficients(DDIM(process=process, axes=AXES)), process)
        alpha, sigma = marginal(process, T)
        at_t = [sp.diff(e, S).subs(S, T).doit() for e in (z, x0)]
        yield Pair(f"{label} u_t", c["z"] + c["eps"] / sigma, 1 + (S - T) * at_t[0])
        yield Pair(f"{label} x0", -c["eps"] * alpha / sigma, (S - T) * at_t[1])


@claim(
    "Heun is of second order",
    "u + (s - t) / 2 (F(u, t) + F(u + (s - t) F(u, t), s)); exact to h^2 for u' = (x_1 + x_2 t) u",
    "SPEC 7",
    for_all="all slopes",
    assumptions="h > 0, as a series",
)
def heun() -> Iterator[Pair]:
    """Both stages, and the order for an equation that is solved in closed form."""
    solver = Heun(process=AnyProcess(), axes=AXES)
    slopes = sp.symbols("f_t f_s k_t k_s e_t e_s", real=True)
    f_t, f_s, k_t, k_s, e_t, e_s = map(array, slopes)
    first = solver.apply(Slope(f_t, k_t, array(H)), SamplerState(array(U)), Prediction(f_t, e_t))
    second = solver.apply(Slope(f_s, k_s, array(sp.S(0))), first, Prediction(f_s, e_s))
    before = slopes[0] * U + slopes[2] * slopes[4]
    after = slopes[1] * (U + H * before) + slopes[3] * slopes[5]
    yield Pair("first stage", value(first.u), U + H * before)
    yield Pair("second stage", value(second.u), U + H / 2 * (before + after))
    numbers = {slopes[0]: X[1], slopes[1]: X[1] + X[2] * H, slopes[2]: 0, slopes[3]: 0}
    yield from orders("exact", value(second.u).subs(numbers), U * sp.exp(X[1] * H + X[2] * H**2 / 2), 2)


@claim(
    "cold's improved rule is DDIM(0)",
    "u_s = u_t + (alpha_s - alpha_t) x0 at constant sigma",
    "SPEC 7",
    for_all="all tau, lambda > 0, sigma > 0, d_min",
    assumptions="sigma constant, 0 < d_min < 1, and d_min = 0; 0 < s < t < 1",
)
def cold() -> Iterator[Pair]:
    """Both of its forms, and the deterministic DDIM."""
    with assuming(*ORDERED, 1 - FLOOR):
        for floor in (FLOOR, 0):
            process = AnyProcess(noise=Constant(SIGMA_0), min_scale=floor)
            c = coefficients(ColdImproved(process=process, axes=AXES))
            z, x0 = without_eps(coefficients(DDIM(process=process, axes=AXES)), process)
            yield Pair("u_t", c["z"], z)
            yield Pair("x0", c["x0"], x0)
    for label, process in processes():
        with assuming(SIGMA(T) - SIGMA(S)):
            c = coefficients(ColdImproved(process=process, axes=AXES))
            yield Pair(f"{label}, sigma grows", c["x0"], marginal(process, S)[0] - marginal(process, T)[0])


@claim("inverse heat", "u_s = alpha_s x0 + 1.25 sigma_t n", "SPEC 7", for_all=ANY, assumptions=RANGE)
def inverse_heat() -> Iterator[Pair]:
    """The rule of Rissanen et al."""
    for label, process in processes():
        c = coefficients(InverseHeat(process=process, axes=AXES))
        yield Pair(f"{label} x0", c["x0"], marginal(process, S)[0])
        yield Pair(f"{label} noise", c["noise"], sp.Rational(5, 4) * SIGMA(T))


CLAIMS: tuple[Claim, ...] = (
    ancestral_steps,
    ddim_ancestral,
    ddim_marginal,
    dpm_ddim,
    dpm_second_order,
    dpm_third_order,
    dpm_parabola,
    dpm_long_step,
    weights,
    dpm_sde_ancestral,
    dpm_sde_second_order,
    euler,
    heun,
    cold,
    inverse_heat,
)
