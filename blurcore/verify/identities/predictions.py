"""Parametrisations: each from each other, and back (SPEC 5)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from blurcore.prediction import KINDS, Kind, PathScales
from blurcore.verify.cases import Case
from blurcore.verify.identities.marginal import with_noise
from blurcore.verify.identity import Comparison, absolute, identity

Values = np.ndarray[Any, Any]
STEPS = 16.0
"""Rounded operations on the longest path of a conversion, from F to the velocity, its inputs included."""
MIXTURES: tuple[Kind, ...] = ("v", "velocity", "F")
"""What is made of data and noise."""


def truth(x: Values, eps: Values, at: PathScales[Any]) -> dict[Kind, Values]:
    """Return every parametrisation by its definition."""
    values: dict[Kind, Values] = {"x0": x, "eps": eps, "score": -eps / at.sigma}
    for kind in MIXTURES:
        own, noise = weights(kind, at)
        values[kind] = own * x + noise * eps
    return values


def weights(kind: Kind, at: PathScales[Any]) -> tuple[Values, Values]:
    """Return the weights of x0 and eps in a mixture, by its definition."""
    if kind == "v":
        return -at.sigma, at.alpha
    if kind == "velocity":
        assert at.alpha_rate is not None
        assert at.sigma_rate is not None
        return at.alpha_rate, at.sigma_rate
    assert at.sigma_data is not None
    scale = np.sqrt((at.alpha * at.sigma_data) ** 2 + at.sigma**2)
    return at.sigma / at.sigma_data / scale, -at.alpha * at.sigma_data / scale


def terms(source: Kind, target: Kind, at: PathScales[Any]) -> tuple[Values, Values]:
    """Return the moduli of the weights of the value and of u_t in the formula of a conversion (SPEC 5)."""
    one, none = np.ones_like(at.alpha), np.zeros_like(at.alpha)
    if source == "score":
        j, k = terms("eps", target, at) if target != "eps" else (one, none)
        return j * at.sigma, k
    if target == "score":
        j, k = terms(source, "eps", at) if source != "eps" else (one, none)
        return j / at.sigma, k / at.sigma
    if source in MIXTURES:
        p, q = weights(source, at)
        norm = np.abs(at.alpha * q - at.sigma * p)
        parts: dict[Kind, tuple[Values, Values]] = {
            "x0": (at.sigma / norm, np.abs(q) / norm),
            "eps": (at.alpha / norm, np.abs(p) / norm),
        }
        if target in parts:
            return parts[target]
        own, noise = weights(target, at)
        (j, k), (m, n) = parts["x0"], parts["eps"]
        return np.abs(own) * j + np.abs(noise) * m, np.abs(own) * k + np.abs(noise) * n
    divisor, other = (at.alpha, at.sigma) if source == "eps" else (at.sigma, at.alpha)
    if target not in MIXTURES:
        return other / divisor, 1 / divisor
    p, q = weights(target, at)
    return np.abs(at.alpha * q - at.sigma * p) / divisor, np.abs(p if source == "eps" else q) / divisor


TIMES = (0.001, 0.25, 0.5)


def _setting(case: Case) -> tuple[dict[Kind, Values], Values, PathScales[Any], PathScales[Any]]:
    """Return true values, u_t, the path on the backend and in NumPy, one row for each of the times; its rates are any."""
    rng = case.rng("conversions")
    alpha, sigma = (np.stack(values) for values in zip(*(case.marginal(t) for t in TIMES), strict=True))
    x, eps = rng.standard_normal(alpha.shape), rng.standard_normal(alpha.shape)
    falls, rises, data = (rng.uniform(0.5, 2.0, alpha.shape) for _ in range(3))
    at = PathScales(alpha, sigma, -falls, rises, data)
    on_backend = PathScales(*(case.array(values) for values in (alpha, sigma, -falls, rises, data)))
    return truth(x, eps, at), alpha * x + sigma * eps, on_backend, at


@identity(
    "parametrisations",
    "x0 = (u - sigma eps) / alpha, score = -eps / sigma, and v, velocity and F by their weights of x0 and eps",
    "SPEC 5; Salimans & Ho 2022; Liu et al. 2022; Karras et al. 2022",
    wants=with_noise,
)
def definitions_of_kinds(case: Case) -> Iterator[Comparison]:
    """Each of the thirty conversions gives what the definitions say of the same data and noise.

    Bound: a conversion is j value + k u; rounding and the rounding of its inputs cost 16 eps of |j value| + |k u|, which is
    where a division by a small alpha shows (the condition 1 / SNR of x0 from eps).
    """
    values, z, on_backend, at = _setting(case)
    u = case.array(z)
    for source, target in permutations(KINDS, 2):
        j, k = terms(source, target, at)
        result = case.ops.convert(case.array(values[source]), source, target, z=u, marginal=on_backend)
        bound = STEPS * case.eps * (j * np.abs(values[source]) + k * np.abs(z) + np.abs(values[target]))
        yield absolute(case.numpy(result), values[target], bound)


@identity("round trips", "convert(convert(a, A, B), B, A) = a for all pairs", "SPEC 5", wants=with_noise)
def round_trips(case: Case) -> Iterator[Comparison]:
    """Every pair of parametrisations, there and back.

    Bound: the way back's own rounding, plus that of the way there times the weight of the value on the way back.
    """
    values, z, on_backend, at = _setting(case)
    u = case.array(z)
    for source, target in permutations(KINDS, 2):
        value = case.rounded(values[source])
        there = case.ops.convert(case.array(value), source, target, z=u, marginal=on_backend)
        back = case.numpy(case.ops.convert(there, target, source, z=u, marginal=on_backend))
        middle = np.abs(case.numpy(there))
        j, k = terms(source, target, at)
        j_back, k_back = terms(target, source, at)
        outward = j * np.abs(value) + k * np.abs(z)
        homeward = j_back * middle + k_back * np.abs(z)
        yield absolute(back, value, STEPS * case.eps * (homeward + j_back * outward))


IDENTITIES = (definitions_of_kinds, round_trips)
