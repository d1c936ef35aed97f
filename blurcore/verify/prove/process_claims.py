"""The processes: marginals, transitions, posteriors, continuous time, parametrisations and likelihood (SPEC 2-6, 8)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import sympy as sp

from blurcore import diffusion, likelihood, prediction
from blurcore.prediction import PathScales
from blurcore.schedules import NoBlur
from blurcore.verify.prove.abstract import (
    FLOOR,
    LAMBDA,
    ORDERED,
    SHAPE,
    SIGMA,
    TAU,
    A,
    AnyProcess,
    Constant,
    R,
    S,
    T,
    array,
    value,
)
from blurcore.verify.prove.claim import Claim, Pair, claim
from blurcore.verify.prove.symbolic import Symbols, assuming

ANY = "all a, sigma, tau (functions of time), lambda > 0, d_min"
RANGE = "a, sigma, tau > 0, 0 < d_min < 1, and d_min = 0; 0 < r < s < t < 1"
FALLS = RANGE + "; l_t < l_s"
"""What a claim about a standard deviation states: the log-SNR falls, as it does in a Markov process."""
SIGMA_0 = sp.Symbol("sigma_0", positive=True)


def processes() -> Iterator[tuple[str, Any]]:
    """Return the abstract process with and without a floor, and assume the ranges of times and floor."""
    with assuming(*ORDERED, 1 - FLOOR):
        yield "d_min > 0", AnyProcess()
        yield "d_min = 0", AnyProcess(min_scale=0)


def falling() -> Iterator[tuple[str, Any]]:
    """Return the same, and assume that the log-SNR falls from s to t."""
    for label, process in processes():
        with assuming(1 - sp.exp(difference(process, T, S)[1])):
            yield label, process


def marginal(process: Any, time: Any) -> tuple[Any, Any]:
    """Return alpha and sigma as expressions."""
    m = process.marginal(array(time), shape=SHAPE)
    return value(m.alpha), value(m.sigma)


def log_snr(process: Any, time: Any) -> Any:
    """Return l_t as an expression."""
    return value(process.log_snr(array(time), shape=SHAPE))


def difference(process: Any, t: Any, s: Any) -> tuple[Any, Any]:
    """Return alpha_t / alpha_s and D as expressions."""
    d = process.difference(array(t), array(s), shape=SHAPE)
    return value(d.alpha), value(d.log_snr)


def transition(process: Any, t: Any, s: Any) -> tuple[Any, Any]:
    """Return alpha_{t|s} and its variance as expressions."""
    step = diffusion.transition(process, array(t), array(s), shape=SHAPE)
    return value(step.alpha), value(step.variance)


def posterior(process: Any, t: Any, s: Any) -> tuple[Any, Any, Any]:
    """Return the coefficients and the variance of the step back as expressions."""
    q = diffusion.posterior(process, array(t), array(s), shape=SHAPE)
    return value(q.z_coef), value(q.x_coef), value(q.variance)


def decay(process: Any, time: Any) -> Any:
    """Return d_t as the specification has it."""
    floor = process.min_scale
    return (1 - floor) * sp.exp(-LAMBDA * TAU(time)) + floor


def of_marginal(process: Any, label: str = "") -> Iterator[Pair]:
    """Yield: the log-SNR is that of alpha and sigma."""
    alpha, sigma = marginal(process, T)
    yield Pair(f"{label} log-SNR", sp.exp(log_snr(process, T)), alpha**2 / sigma**2)


def of_difference(process: Any, label: str = "") -> Iterator[Pair]:
    """Yield: differences are those of marginals."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = marginal(process, T), marginal(process, S)
    ratio, fall = difference(process, T, S)
    yield Pair(f"{label} alpha_t / alpha_s", ratio * alpha_s, alpha_t)
    yield Pair(f"{label} D", sp.exp(fall), (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2)


def of_transition(process: Any, label: str = "") -> Iterator[Pair]:
    """Yield: the step leads from marginal to marginal."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = marginal(process, T), marginal(process, S)
    alpha, variance = transition(process, T, S)
    yield Pair(f"{label} mean", alpha * alpha_s, alpha_t)
    yield Pair(f"{label} variance", variance + alpha**2 * sigma_s**2, sigma_t**2)


def of_semigroup(process: Any, label: str = "") -> Iterator[Pair]:
    """Yield: two steps are one (Chapman-Kolmogorov)."""
    (late, var_late), (whole, var_whole), (early, var_early) = (
        transition(process, *pair) for pair in ((T, S), (T, R), (S, R))
    )
    yield Pair(f"{label} mean", late * early, whole)
    yield Pair(f"{label} variance", var_late + late**2 * var_early, var_whole)


def of_posterior(process: Any, label: str = "") -> Iterator[Pair]:
    """Yield: the step back is Bayes' rule, by precisions."""
    alpha_s, sigma_s = marginal(process, S)
    alpha, variance = transition(process, T, S)
    z_coef, x_coef, posterior_variance = posterior(process, T, S)
    yield Pair(f"{label} variance", posterior_variance * (1 / sigma_s**2 + alpha**2 / variance), 1)
    yield Pair(f"{label} u_t", z_coef * variance, posterior_variance * alpha)
    yield Pair(f"{label} u_0", x_coef * sigma_s**2, posterior_variance * alpha_s)


def of_sde(process: Any, label: str = "") -> Iterator[Pair]:
    """Yield: drift and diffusion are derivatives of the marginal."""
    alpha, sigma = marginal(process, T)
    sde = process.sde(array(T), shape=SHAPE)
    slope = sp.diff(sp.log(alpha), T)
    yield Pair(f"{label} f", value(sde.drift), slope)
    yield Pair(f"{label} g^2", value(sde.diffusion), sp.diff(sigma**2, T) - 2 * slope * sigma**2)


@claim(
    "marginal",
    "alpha_t = a_t ((1 - d_min) e^(-lambda tau_t) + d_min), e^(l_t) = alpha_t^2 / sigma_t^2",
    "SPEC 2",
    for_all=ANY,
    assumptions=RANGE,
)
def marginals() -> Iterator[Pair]:
    """The marginal is what the specification writes."""
    for label, process in processes():
        alpha, sigma = marginal(process, T)
        yield Pair(f"{label} alpha", alpha, A(T) * decay(process, T))
        yield Pair(f"{label} sigma", sigma, SIGMA(T))
        yield from of_marginal(process, label)


@claim("differences", "e^D = (SNR_t / SNR_s), alpha_t / alpha_s", "SPEC 4", for_all=ANY, assumptions=RANGE)
def differences() -> Iterator[Pair]:
    """The difference form is the difference."""
    for label, process in processes():
        yield from of_difference(process, label)


@claim(
    "transition",
    "alpha_{t|s} alpha_s = alpha_t, sigma_{t|s}^2 + alpha_{t|s}^2 sigma_s^2 = sigma_t^2",
    "SPEC 3",
    for_all=ANY,
    assumptions=RANGE,
)
def transitions() -> Iterator[Pair]:
    """A step leads from marginal to marginal."""
    for label, process in processes():
        yield from of_transition(process, label)


@claim(
    "Chapman-Kolmogorov",
    "the step from r to t is that from r to s and then that from s to t",
    "SPEC 3",
    for_all=ANY,
    assumptions=RANGE,
)
def semigroup() -> Iterator[Pair]:
    """Two steps are one."""
    for label, process in processes():
        yield from of_semigroup(process, label)


@claim(
    "posterior is Bayes'",
    "1 / var = 1 / sigma_s^2 + alpha_{t|s}^2 / sigma_{t|s}^2, and both coefficients of the mean",
    "SPEC 4",
    for_all=ANY,
    assumptions=RANGE,
)
def posteriors() -> Iterator[Pair]:
    """The step back by precisions."""
    for label, process in processes():
        yield from of_posterior(process, label)


@claim(
    "SDE is the derivative",
    "f = d log alpha / dt, g^2 = d sigma^2 / dt - 2 f sigma^2",
    "SPEC 6",
    for_all=ANY,
    assumptions="differentiable " + RANGE,
)
def sdes() -> Iterator[Pair]:
    """Drift and diffusion are derivatives."""
    for label, process in processes():
        yield from of_sde(process, label)


@claim(
    "velocity is the derivative",
    "alpha_t' = a' d + a d', sigma_t', and alpha' x0 + sigma' eps = f u_t - g^2 / 2 score",
    "SPEC 5, 6",
    for_all=ANY + ", x0, eps",
    assumptions="differentiable " + RANGE,
)
def velocities() -> Iterator[Pair]:
    """The slope of the path between data and noise, which is that of the probability-flow ODE."""
    x0, eps = (sp.Symbol(name, real=True) for name in ("x0", "eps"))
    for label, process in processes():
        alpha, sigma = marginal(process, T)
        along, sde = process.velocity(array(T), shape=SHAPE), process.sde(array(T), shape=SHAPE)
        yield Pair(f"{label} alpha'", value(along.alpha), sp.diff(alpha, T))
        yield Pair(f"{label} sigma'", value(along.sigma), sp.diff(sigma, T))
        path = value(along.alpha) * x0 + value(along.sigma) * eps
        flow = value(sde.drift) * (alpha * x0 + sigma * eps) + value(sde.diffusion) / 2 * eps / sigma
        yield Pair(f"{label} ODE", path, flow)


@claim(
    "parametrisations",
    "x0, eps, v, score, velocity and F of one u_t = alpha x0 + sigma eps, each from each",
    "SPEC 5",
    for_all="all alpha, sigma, sigma_data > 0, alpha', sigma', x0, eps",
    assumptions="alpha' < 0 < sigma'",
)
def parametrisations() -> Iterator[Pair]:
    """All pairs of conversions."""
    alpha, sigma = (sp.Symbol(name, positive=True) for name in ("alpha", "sigma"))
    x0, eps = (sp.Symbol(name, real=True) for name in ("x0", "eps"))
    falls, rises, data = (sp.Symbol(name, positive=True) for name in ("fall", "rise", "sigma_data"))
    z, m = array(alpha * x0 + sigma * eps), PathScales(*(array(v) for v in (alpha, sigma, -falls, rises, data)))
    skip = alpha * data**2 / (alpha**2 * data**2 + sigma**2)
    out = data * sigma / sp.sqrt(alpha**2 * data**2 + sigma**2)
    forms = {
        "x0": x0,
        "eps": eps,
        "v": alpha * eps - sigma * x0,
        "score": -eps / sigma,
        "velocity": -falls * x0 + rises * eps,
        "F": (x0 - skip * (alpha * x0 + sigma * eps)) / out,
    }
    for source, target in permutations(forms, 2):
        got = prediction.convert(array(forms[source]), source, target, z=z, marginal=m)  # type: ignore[arg-type]
        yield Pair(f"{source} to {target}", value(got), forms[target])


@claim("noisy data", "z_t = alpha_t u_0 + sigma_t eps, and its step", "SPEC 2", for_all=ANY, assumptions=RANGE)
def noisy_data() -> Iterator[Pair]:
    """Diffusing data is the marginal."""
    x, eps = (sp.Symbol(name, real=True) for name in ("x", "eps"))
    for label, process in processes():
        alpha, sigma = marginal(process, T)
        z = diffusion.diffuse(process, Symbols([[x]]), array(T), Symbols([[eps]]), axes=(1,))
        yield Pair(label, value(z), alpha * x + sigma * eps)


def step_divergence(process: Any, t: Any, s: Any, x: Any, guess: Any) -> Any:
    """Return the divergence of a step, computed by the likelihood's code."""
    return value(likelihood.diffusion_step(process, Symbols([[x]]), Symbols([[guess]]), array(t), array(s), axes=(1,)))


@claim(
    "step KL is the SNR formula",
    "KL(q(u_s | u_t, u_0) || q(u_s | u_t, x)) = (SNR_s - SNR_t) (u_0 - x)^2 / 2, and steps add up",
    "SPEC 8",
    for_all=ANY + ", u_0, x",
    assumptions=RANGE,
)
def step_kl() -> Iterator[Pair]:
    """The divergence of two normal distributions of one variance, the SNR formula, and its telescoping."""
    x, guess = (sp.Symbol(name, real=True) for name in ("u_0", "x"))
    for label, process in processes():
        snr = {time: alpha**2 / sigma**2 for time in (S, T) for alpha, sigma in [marginal(process, time)]}
        _, x_coef, variance = posterior(process, T, S)
        got = step_divergence(process, T, S, x, guess)
        yield Pair(f"{label} SNR", got, (snr[S] - snr[T]) * (x - guess) ** 2 / 2)
        yield Pair(f"{label} KL", got, (x_coef * (x - guess)) ** 2 / (2 * variance))
        early, whole = (step_divergence(process, *pair, x, guess) for pair in ((S, R), (T, R)))
        yield Pair(f"{label} telescoping", got + early, whole)


@claim(
    "heat dissipation is a limit",
    "a = 1, sigma constant, d_min -> 0: alpha_t = e^(-lambda tau_t), and its steps",
    "SPEC 2",
    for_all="all tau, lambda > 0, sigma > 0",
    assumptions="0 < s < t < 1",
)
def heat_limit() -> Iterator[Pair]:
    """The formulas with a floor have the formulas without one as their limit."""
    with assuming(*ORDERED, 1 - FLOOR):
        floored, heat = (AnyProcess(noise=Constant(SIGMA_0), min_scale=floor) for floor in (FLOOR, 0))
        yield Pair("alpha", marginal(heat, T)[0], sp.exp(-LAMBDA * TAU(T)))
        yield Pair("sigma", marginal(heat, T)[1], SIGMA_0)
        both = [
            (*marginal(p, T), sp.exp(difference(p, T, S)[1]), *transition(p, T, S), *posterior(p, T, S))
            for p in (floored, heat)
        ]
        names = ("alpha", "sigma", "D", "step's alpha", "step's variance", "z_coef", "x_coef", "variance")
        for name, with_floor, without in zip(names, *both, strict=True):
            yield Pair(f"{name} as d_min -> 0", with_floor.subs(FLOOR, 0), without)


@claim(
    "no blur is Gaussian diffusion",
    "sigma_B -> 0: alpha_t = a_t, sigma_{t|s}^2 = sigma_t^2 - (a_t / a_s)^2 sigma_s^2",
    "SPEC 2",
    for_all="all a, sigma, lambda > 0, d_min",
    assumptions="a, sigma > 0, 0 < d_min < 1, and d_min = 0",
)
def gaussian_limit() -> Iterator[Pair]:
    """Without a blur nothing depends on the frequency."""
    with assuming(*ORDERED, 1 - FLOOR):
        for floor in (FLOOR, 0):
            process = AnyProcess(blur=NoBlur(), min_scale=floor)
            yield Pair("alpha", marginal(process, T)[0], A(T))
            alpha, variance = transition(process, T, S)
            yield Pair("step's alpha", alpha, A(T) / A(S))
            yield Pair("step's variance", variance, SIGMA(T) ** 2 - (A(T) / A(S)) ** 2 * SIGMA(S) ** 2)


CLAIMS: tuple[Claim, ...] = (
    marginals,
    noisy_data,
    heat_limit,
    gaussian_limit,
    transitions,
    semigroup,
    differences,
    posteriors,
    parametrisations,
    sdes,
    velocities,
    step_kl,
)
