"""Smaller images: the first frequencies are theirs, and everything that a process does restricts to them (SPEC 11)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from blurcore.resolution import restrict, scale_of, shrink
from blurcore.samplers import DDIM, DPMSolverPP, Prediction, SamplerState
from blurcore.verify import reference
from blurcore.verify.cases import Case
from blurcore.verify.identities.marginal import with_noise
from blurcore.verify.identities.pixel_kernel import step_condition
from blurcore.verify.identity import Comparison, absolute, identity, relative
from blurcore.verify.rounding import alpha_condition, transform_error

Values = np.ndarray[Any, Any]
NESTED = ("blurring", "blurring, periodic", "heat")
STEPS = ((1.0, 0.875), (0.5, 0.25), (0.25, 0.125))


def nests(process_name: str) -> bool:
    """Choose the processes whose basis has smaller images, and whose steps have a posterior."""
    return process_name in NESTED and with_noise(process_name)


def smaller(case: Case) -> tuple[int, ...]:
    """Return a grid of about half the points on each axis, odd for whole pairs of cosine and sine."""
    return tuple(min(n, n // 2 + 1 - (n // 2) % 2) for n in case.shape)


def _cut(values: Values, to: tuple[int, ...]) -> Values:
    cut: Any = (..., *(slice(0, m) for m in to))
    return np.asarray(values[cut])


def _places(case: Case, to: tuple[int, ...]) -> Values:
    """Return the waves of the larger grid, as far as the smaller has them, at the places of its points."""
    name = type(case.process.basis).__name__
    result: Values = np.ones((1, 1))
    for n, m in zip(case.shape, to, strict=True):
        k = np.arange(m)
        if name == "DCT":
            waves = np.cos(np.pi * np.outer((np.arange(m) + 0.5) * n / m, k) / n)
        else:
            angles = 2 * np.pi * np.outer(np.arange(m) * n / m, (k + 1) // 2) / n
            waves = np.where((k > 0) & (k % 2 == 0), np.sin(angles), np.cos(angles))
        heights = np.where((k == 0) | ((name != "DCT") & (2 * ((k + 1) // 2) == n)), 1.0, math.sqrt(2)) / math.sqrt(n)
        result = np.kron(result, waves * heights @ reference.basis_matrix(name, n)[:, :m].T)
    return result


@identity(
    "smaller image",
    "w = sqrt(M / N) u_{1..M}: the image without its higher frequencies, at M points",
    "SPEC 11",
    half=True,
    wants=lambda name: name in ("blurring", "blurring, periodic"),
)
def smaller_image(case: Case) -> Iterator[Comparison]:
    """The first coefficients, scaled, are those of the picture that waves between the pixels give.

    Bound: one transform each, relative to the norm of the image; the scaling rounds once more, half-precision data to their own dtype.
    """
    to, axes = smaller(case), tuple(range(1, 1 + len(case.shape)))
    x = case.rounded(case.rng("smaller").standard_normal((2, *case.shape)))
    small = (x.reshape(2, -1) @ _places(case, to).T).reshape(2, *to)
    coded = case.numpy(shrink(case.ops.forward(case.process.basis, case.array(x), axes=axes), to, axes=axes))
    v = reference.dense_basis(type(case.process.basis).__name__, to)
    expected = (small.reshape(2, -1) @ v).reshape(2, *to)
    size = np.sqrt(np.sum(x**2, axis=axes, keepdims=True))
    error = 2 * transform_error(case.shape, case.eps, case.cast_eps) + 2 * case.data_eps
    yield absolute(coded, expected, error * size)


@identity(
    "restriction and steps",
    "alpha_{t|s}, z_coef, x_coef are those of the larger images, variances r^2 theirs, r = sqrt(M / N)",
    "SPEC 11",
    wants=nests,
    every_grid=False,
)
def restricted_steps(case: Case) -> Iterator[Comparison]:
    """Shrink and step, or step and shrink: transitions and posteriors of the restricted process are the restriction of the larger one's.

    Bound: the conditions of both, and two roundings of the scale.
    """
    to = smaller(case)
    small, scale = restrict(case.process, case.shape, to), scale_of(to, case.shape)
    for t, s in STEPS:
        bound = 4 * _cut(step_condition(case, t, s) + alpha_condition(case.process, s, case.shape), to) * case.eps
        for name, powers in (("transition", (0, 2)), ("posterior", (0, 0, 2))):
            found = getattr(case.ops, name)(small, t, s, shape=to, like=case.like)
            for value, whole, power in zip(found, getattr(case, name)(t, s), powers, strict=True):
                yield relative(np.broadcast_to(case.numpy(value), to), scale**power * _cut(whole, to), bound)


@identity(
    "restriction and solvers",
    "restrict(step(u)) = step(restrict(u)), DDIM(1/2) and DPM-Solver++",
    "SPEC 11",
    wants=nests,
    every_grid=False,
    quick=False,
)
def restricted_solvers(case: Case) -> Iterator[Comparison]:
    """A step of a solver on smaller images is the larger images' step, restricted.

    Both start from one state and one prediction, shrunk exactly: what is rounded is the scale's product, relative to each input.
    Bound: the conditions of the step's coefficients, on the moduli of all terms, in the smaller image's units.
    """
    to, axes = smaller(case), tuple(range(1, 1 + len(case.shape)))
    small, scale = restrict(case.process, case.shape, to), scale_of(to, case.shape)
    rng = case.rng("restricted solvers")
    for t, s in STEPS:
        (alpha_t, sigma_t), (alpha_s, sigma_s) = case.marginal(t), case.marginal(s)
        x0, eps, noise = (case.rounded(rng.standard_normal((1, *case.shape))) for _ in range(3))
        u = case.rounded(alpha_t * x0 + sigma_t * eps)
        little = [case.array(scale * _cut(v, to)) for v in (u, x0)] + [case.array(_cut(v, to)) for v in (eps, noise)]
        large = [case.array(v) for v in (u, x0, eps, noise)]
        z_coef, x_coef, variance = case.posterior(t, s)
        terms = (z_coef + sigma_s / sigma_t) * np.abs(u) + (x_coef + 2 * alpha_s) * np.abs(x0)
        terms = terms + sigma_s * np.abs(eps) + np.sqrt(variance) * np.abs(noise)
        condition = 2 * step_condition(case, t, s) + sum(
            alpha_condition(case.process, time, case.shape) for time in (t, s)
        )
        bound = 2 * scale * _cut(condition * terms, to) * case.eps
        for make in (DDIM(eta=0.5), DPMSolverPP(order=1)):
            results = []
            for process, (state, data, other, fresh) in ((case.process, large), (small, little)):
                solver = make.build(process, axes=axes)
                given = fresh if solver.uses_noise else None
                results.append(case.numpy(solver.step(SamplerState(state), Prediction(data, other), t, s, given).u))
            yield absolute(results[1], scale * _cut(results[0], to), bound)


IDENTITIES = (smaller_image, restricted_steps, restricted_solvers)
