"""The schedules: their values, the identities by which they take differences, and their derivatives (SPEC 2, 4, 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from blurcore.schedules import (
    ConstantSigma,
    CosineLogSNR,
    LinearBeta,
    LogLinear,
    LogSigma,
    Rectified,
    Sin,
    SinSquared,
)
from blurcore.verify.prove.abstract import S, T, array, value, with_settings
from blurcore.verify.prove.claim import Claim, Pair, claim
from blurcore.verify.prove.symbolic import Symbols, apply, assuming, log1p

TIMES = (T - S, 1 - T)
WIDTH, NARROW = (sp.Symbol(name, positive=True) for name in ("sigma_max", "sigma_min"))
LEVELS = sp.Symbol("K", positive=True)
HIGH, LOW = (sp.Symbol(name, real=True) for name in ("g_max", "g_min"))
BETAS = sp.symbols("beta_start delta N beta_t beta_s", positive=True)
DECAY = sp.Function("S", positive=True)


def of_levels(schedule: Any, label: str = "") -> Iterator[Pair]:
    """Yield: values and difference of a noise schedule agree."""
    a, sigma = (value(v) for v in schedule.scales(array(T)))
    before = schedule.scales(array(S))
    yield Pair(f"{label} g", sp.exp(value(schedule.log_snr(array(T)))), a**2 / sigma**2)
    fall = value(schedule.log_snr_difference(array(T), array(S)))
    yield Pair(f"{label} g_t - g_s", sp.exp(fall), (a * value(before.sigma) / (sigma * value(before.a))) ** 2)


def of_noise(schedule: Any, label: str = "") -> Iterator[Pair]:
    """Yield: values, difference and derivatives of a noise schedule agree."""
    yield from of_levels(schedule, label)
    a, sigma = (value(v) for v in schedule.scales(array(T)))
    rates = schedule.rates(array(T))
    yield Pair(f"{label} d log a / dt", value(rates.log_a), sp.diff(a, T) / a)
    yield Pair(
        f"{label} -sigma^2 dg/dt", value(rates.noise), -2 * sigma**2 * (sp.diff(a, T) / a - sp.diff(sigma, T) / sigma)
    )
    yield Pair(f"{label} d sigma / dt", value(rates.sigma), sp.diff(sigma, T))


def of_blur(schedule: Any, label: str = "") -> Iterator[Pair]:
    """Yield: values, difference and derivative of a blur schedule agree."""
    tau, before = (value(schedule.tau(array(time))) for time in (T, S))
    yield Pair(f"{label} tau_t - tau_s", value(schedule.tau_difference(array(T), array(S))), tau - before)
    yield Pair(f"{label} d tau / dt", value(schedule.tau_rate(array(T))), sp.diff(tau, T))


@claim(
    "cosine",
    "a^2 + sigma^2 = 1, g = log(a^2 / sigma^2) from g_max to g_min, its difference and derivatives",
    "SPEC 2, 4, 6",
    for_all="all g_min < g_max, t, s",
    assumptions="0 < s < t < 1",
)
def cosine() -> Iterator[Pair]:
    """The clipped cosine with bounds that are symbols."""
    schedule = with_settings(CosineLogSNR, log_snr_min=LOW, log_snr_max=HIGH)
    with assuming(*TIMES, HIGH - LOW):
        a, sigma = (value(v) for v in schedule.scales(array(T)))
        yield Pair("a^2 + sigma^2", a**2 + sigma**2, 1)
        yield from of_noise(schedule)
        for time, g in ((0, HIGH), (1, LOW)):
            yield Pair(f"g at {time}", sp.exp(value(schedule.log_snr(array(sp.S(time))))), sp.exp(g))


def _halves() -> Iterator[tuple[str, tuple[Any, ...]]]:
    yield "t + s < 1", (1 - T - S,)
    yield "t + s > 1", (T + S - 1,)


@claim(
    "sin^2",
    "tau = sigma_max^2 / 2 sin^4(pi t / 2), its difference and derivative",
    "SPEC 2, 4, 6",
    for_all="all sigma_max, t, s",
    assumptions="0 < s < t < 1; t + s < 1, and t + s > 1",
)
def sin_squared() -> Iterator[Pair]:
    """The paper's blur."""
    schedule = with_settings(SinSquared, sigma_blur_max=WIDTH)
    for label, facts in _halves():
        with assuming(*TIMES, *facts):
            yield Pair(f"{label} tau", value(schedule.tau(array(T))), (WIDTH * sp.sin(sp.pi * T / 2) ** 2) ** 2 / 2)
            yield from of_blur(schedule, label)


@claim(
    "sin",
    "tau = sigma_max^2 / 2 sin^2(pi t / 2), its difference and derivative",
    "SPEC 2, 4, 6",
    for_all="all sigma_max, t, s",
    assumptions="0 < s < t < 1; t + s < 1, and t + s > 1",
)
def sin() -> Iterator[Pair]:
    """The paper's other blur."""
    schedule = with_settings(Sin, sigma_blur_max=WIDTH)
    for label, facts in _halves():
        with assuming(*TIMES, *facts):
            yield Pair(f"{label} tau", value(schedule.tau(array(T))), (WIDTH * sp.sin(sp.pi * T / 2)) ** 2 / 2)
            yield from of_blur(schedule, label)


@claim(
    "log-linear",
    "sigma_B = 0 at t = 0, sigma_min at 1 / K, sigma_max at 1, log sigma_B linear between; difference, derivative",
    "SPEC 2, 4, 6",
    for_all="all sigma_min < sigma_max, K, t, s",
    assumptions="K > 1; t < 1 / K, s < 1 / K < t, and 1 / K < s",
)
def log_linear() -> Iterator[Pair]:
    """Inverse heat dissipation's blur, on both of its stretches."""
    schedule = with_settings(LogLinear, sigma_blur_min=NARROW, sigma_blur_max=WIDTH, num_levels=LEVELS)
    knee = 1 / LEVELS
    with assuming(*TIMES, WIDTH - NARROW, LEVELS - 1):
        with assuming(knee - T, knee - S):
            yield Pair("below, tau", value(schedule.tau(array(T))), (NARROW * LEVELS * T) ** 2 / 2)
            yield from of_blur(schedule, "below")
        with assuming(T - knee, knee - S):
            yield from of_blur(schedule, "across")
        with assuming(T - knee, S - knee):
            width = NARROW * sp.exp(sp.log(WIDTH / NARROW) * (LEVELS * T - 1) / (LEVELS - 1))
            yield Pair("above, tau", value(schedule.tau(array(T))), width**2 / 2)
            yield from of_blur(schedule, "above")


@claim(
    "linear beta",
    "a^2 = e^-S, sigma^2 = 1 - e^-S, g, its difference; S' is that of the integral of -log(1 - beta) and its correction",
    "SPEC 2, 4, 6",
    for_all="all decays S (functions of time), betas, t, s",
    assumptions="0 < S_s < S_t, S_0 = 0; S itself is an interpolant",
)
def linear_beta() -> Iterator[Pair]:
    """DDPM's schedule around its decay, which is an interpolant of the product over the steps."""

    def decay(xp: Any, t: Symbols, s: Any) -> Symbols:
        del xp
        return apply(DECAY, t) - apply(lambda v: DECAY(v) if v != 0 else sp.S(0), s)

    first, gap, steps, high, low = BETAS
    schedule = with_settings(LinearBeta, beta_start=first, beta_end=first + gap * (steps - 1), num_steps=steps)
    yield Pair("slope of beta", sp.diff(value(schedule._beta(array(T))), T), gap * steps)
    object.__setattr__(schedule, "_beta", lambda t: apply(lambda _: high, t))
    object.__setattr__(schedule, "_decay", decay)
    with assuming(1 - high, 1 - low):
        correction = schedule._correction_difference(array(high), array(low), array(high - low))
        rates = schedule.rates(array(T))
        slope = value(-log1p(-array(high))) + gap * sp.diff(value(correction), high)
        yield Pair("S'", value(rates.noise), steps * slope)
        yield Pair("d log a / dt", value(rates.log_a), -value(rates.noise) / 2)
        twice = 2 * value(schedule.scales(array(T)).sigma) * value(rates.sigma)
        yield Pair("d sigma^2 / dt", twice, sp.exp(-DECAY(T)) * value(rates.noise))
    with assuming(*TIMES, DECAY(T) - DECAY(S)):
        a, sigma = (value(v) for v in schedule.scales(array(T)))
        yield Pair("a^2", a**2, sp.exp(-DECAY(T)))
        yield Pair("sigma^2", sigma**2, 1 - sp.exp(-DECAY(T)))
        yield from of_levels(schedule)


@claim("constant", "a = 1, sigma, g and its difference, no derivatives", "SPEC 2, 4, 6", for_all="all sigma > 0, t, s")
def constant() -> Iterator[Pair]:
    """Heat dissipation's noise."""
    schedule = with_settings(ConstantSigma, sigma=WIDTH)
    yield Pair("a", value(schedule.scales(array(T)).a), 1)
    yield Pair("sigma", value(schedule.scales(array(T)).sigma), WIDTH)
    yield from of_noise(schedule)


@claim(
    "rectified",
    "a = 1 - t + alpha_min t, sigma = t + sigma_min (1 - t), g, its difference and derivatives",
    "SPEC 2, 4, 6",
    for_all="all alpha_min, sigma_min, t, s",
    assumptions="0 < s < t < 1; 0 < alpha_min, sigma_min < 1",
)
def rectified() -> Iterator[Pair]:
    """The straight line."""
    schedule = with_settings(Rectified, alpha_min=NARROW, sigma_min=WIDTH)
    with assuming(*TIMES, 1 - NARROW, 1 - WIDTH):
        a, sigma = (value(v) for v in schedule.scales(array(T)))
        yield Pair("a", a, 1 - (1 - NARROW) * T)
        yield Pair("sigma", sigma, WIDTH + (1 - WIDTH) * T)
        yield from of_noise(schedule)


@claim(
    "log sigma",
    "a = 1, log sigma linear from sigma_min to sigma_max, g, its difference and derivatives",
    "SPEC 2, 4, 6",
    for_all="all sigma_min < sigma_max, t, s",
    assumptions="0 < s < t < 1",
)
def log_sigma() -> Iterator[Pair]:
    """The geometric growth."""
    schedule = with_settings(LogSigma, sigma_min=NARROW, sigma_max=WIDTH)
    with assuming(*TIMES, WIDTH - NARROW):
        yield Pair("sigma", value(schedule.scales(array(T)).sigma), NARROW * sp.exp(sp.log(WIDTH / NARROW) * T))
        yield from of_noise(schedule)


CLAIMS: tuple[Claim, ...] = (cosine, linear_beta, rectified, log_sigma, constant, sin_squared, sin, log_linear)
