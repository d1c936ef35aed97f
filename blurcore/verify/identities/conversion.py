"""Parametrisations: each from each other, and back (SPEC 5)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from blurcore.prediction import KINDS, Kind
from blurcore.processes import Marginal
from blurcore.verify.cases import Case
from blurcore.verify.identities.marginal import with_noise
from blurcore.verify.identity import Comparison, absolute, identity

Values = np.ndarray[Any, Any]
STEPS = 8.0
"""Rounded operations on the longest path of a conversion, its three inputs included."""


def truth(x: Values, eps: Values, alpha: Values, sigma: Values) -> dict[Kind, Values]:
    """Return every parametrisation by its definition."""
    return {"x0": x, "eps": eps, "v": alpha * eps - sigma * x, "score": -eps / sigma}


def terms(source: Kind, target: Kind, alpha: Values, sigma: Values) -> tuple[Values, Values]:
    """Return the moduli of the weights of the value and of u_t in the formula of a conversion (SPEC 5)."""
    norm = alpha**2 + sigma**2
    if source == "score":
        j, k = terms("eps", target, alpha, sigma) if target != "eps" else (np.ones_like(alpha), np.zeros_like(alpha))
        return j * sigma, k
    if target == "score":
        j, k = terms(source, "eps", alpha, sigma) if source != "eps" else (np.ones_like(alpha), np.zeros_like(alpha))
        return j / sigma, k / sigma
    table: dict[tuple[Kind, Kind], tuple[Values, Values]] = {
        ("eps", "x0"): (sigma / alpha, 1 / alpha),
        ("eps", "v"): (norm / alpha, sigma / alpha),
        ("x0", "eps"): (alpha / sigma, 1 / sigma),
        ("x0", "v"): (norm / sigma, alpha / sigma),
        ("v", "x0"): (sigma / norm, alpha / norm),
        ("v", "eps"): (alpha / norm, sigma / norm),
    }
    return table[source, target]


TIMES = (0.001, 0.25, 0.5)


def _setting(case: Case) -> tuple[dict[Kind, Values], Values, Marginal[Any], Values, Values]:
    """Return true values, u_t, the marginal on the backend and in NumPy, one row for each of the times."""
    rng = case.rng("conversions")
    alpha, sigma = (np.stack(values) for values in zip(*(case.marginal(t) for t in TIMES), strict=True))
    x, eps = rng.standard_normal(alpha.shape), rng.standard_normal(alpha.shape)
    m = Marginal(alpha=case.array(alpha), sigma=case.array(sigma))
    return truth(x, eps, alpha, sigma), alpha * x + sigma * eps, m, alpha, sigma


@identity(
    "parametrisations",
    "x0 = (u - sigma eps) / alpha, v = alpha eps - sigma x0, score = -eps / sigma",
    "SPEC 5; Salimans & Ho 2022",
    wants=with_noise,
)
def definitions_of_kinds(case: Case) -> Iterator[Comparison]:
    """Each of the twelve conversions gives what the definitions say of the same data and noise.

    Bound: a conversion is j value + k u; rounding and the rounding of its inputs cost 8 eps of |j value| + |k u|, which is
    where a division by a small alpha shows (the condition 1 / SNR of x0 from eps).
    """
    values, z, m, alpha, sigma = _setting(case)
    u = case.array(z)
    for source, target in permutations(KINDS, 2):
        j, k = terms(source, target, alpha, sigma)
        result = case.ops.convert(case.array(values[source]), source, target, z=u, marginal=m)
        bound = STEPS * case.eps * (j * np.abs(values[source]) + k * np.abs(z) + np.abs(values[target]))
        yield absolute(case.numpy(result), values[target], bound)


@identity("round trips", "convert(convert(a, A, B), B, A) = a for all pairs", "SPEC 5", wants=with_noise)
def round_trips(case: Case) -> Iterator[Comparison]:
    """Every pair of parametrisations, there and back.

    Bound: the way back's own rounding, plus that of the way there times the weight of the value on the way back.
    """
    values, z, m, alpha, sigma = _setting(case)
    u = case.array(z)
    for source, target in permutations(KINDS, 2):
        value = case.rounded(values[source])
        there = case.ops.convert(case.array(value), source, target, z=u, marginal=m)
        back = case.numpy(case.ops.convert(there, target, source, z=u, marginal=m))
        middle = np.abs(case.numpy(there))
        j, k = terms(source, target, alpha, sigma)
        j_back, k_back = terms(target, source, alpha, sigma)
        outward = j * np.abs(value) + k * np.abs(z)
        homeward = j_back * middle + k_back * np.abs(z)
        yield absolute(back, value, STEPS * case.eps * (homeward + j_back * outward))


IDENTITIES = (definitions_of_kinds, round_trips)
