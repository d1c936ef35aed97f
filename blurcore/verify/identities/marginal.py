"""The marginal, its special cases and limits, and data drawn from it (SPEC 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from blurcore._typing import Time
from blurcore.losses import training_pair
from blurcore.prediction import Kind
from blurcore.processes import BlurringDiffusion, Marginal
from blurcore.schedules import ConstantSigma, SinSquared
from blurcore.verify import reference
from blurcore.verify.cases import Case
from blurcore.verify.identities.basis import dense_forward, dense_inverse
from blurcore.verify.identity import Comparison, absolute, identity, relative
from blurcore.verify.rounding import ROUNDINGS, alpha_condition, gain_condition, ratio_condition, transform_error

Values = np.ndarray[Any, Any]
TIMES = (0.0, 0.001, 0.25, 0.5, 0.875, 1.0)
"""Multiples of 1 / 1000: at DDPM's steps its schedule is a product of betas."""
NOISY = ("blurring", "gaussian", "heat")


def with_noise(process_name: str) -> bool:
    """Choose the processes that have a posterior."""
    return process_name.startswith(NOISY)


@identity("marginal", "alpha_t = a_t ((1 - d_min) exp(-lambda tau_t) + d_min), sigma_t", "SPEC 2; paper eq. 15-17")
def definition(case: Case) -> Iterator[Comparison]:
    """The coefficients are those of the definition (for DDPM: the product of its betas).

    Bound: the condition of alpha (`rounding.alpha_condition`) in both texts. The text of the definition takes the cosine
    schedule through tan(m t + b), whose angle, rounded at pi / 2, is a distance of about a_t from the pole: 2 eps64 / a_t more.
    """
    for t in TIMES:
        alpha, sigma = case.marginal(t)
        a, expected_sigma = reference.noise(case.process, t)
        own = 2.0**-52 * (alpha_condition(case.process, t, case.shape) + 8 / a)
        yield relative(
            alpha,
            reference.alpha(case.process, t, case.shape),
            alpha_condition(case.process, t, case.shape) * case.eps + own,
        )
        yield relative(sigma, np.full(case.shape, expected_sigma), ROUNDINGS * case.eps + own)


@identity("log-SNR", "l_t = 2 log alpha_t - 2 log sigma_t", "SPEC 2", wants=with_noise)
def log_snr(case: Case) -> Iterator[Comparison]:
    """The log-SNR is that of the marginal, where alpha has not underflowed.

    Bound: the logarithm turns relative errors of alpha and sigma into absolute ones, twice; l itself is rounded.
    """
    for t in TIMES:
        alpha, sigma = case.marginal(t)
        l_t = case.log_snr(t)
        seen = (alpha > 1e-30) & (sigma > 0)
        if not seen.any():
            yield absolute(l_t, np.full(case.shape, np.inf), 0.0)
            continue
        expected = 2 * np.log(alpha[seen] / sigma[seen])
        condition = 2 * alpha_condition(case.process, t, case.shape)[seen] + 2 * ROUNDINGS + 4 * np.abs(expected)
        yield absolute(l_t[seen], expected, condition * case.eps)


@identity(
    "no blur is Gaussian diffusion",
    "sigma_B,max = 0  =>  blurring diffusion = standard diffusion",
    "paper section 4, table 4",
    half=True,
    wants=lambda name: name.startswith("gaussian"),
)
def no_blur(case: Case) -> Iterator[Comparison]:
    """Without blur every coefficient, and the noisy data, are those of standard diffusion.

    Bound: d = 1 to the last bit, so coefficients differ by their own rounding; data by one pair of transforms.
    """
    blurring = BlurringDiffusion(noise=cast(Any, case.process).noise, blur=SinSquared(sigma_blur_max=0.0))
    if case.cast_eps == 0:
        for t in TIMES:
            for actual, expected in zip(case.marginal(t, blurring), case.marginal(t), strict=True):
                yield relative(actual, expected, alpha_condition(case.process, t, case.shape) * case.eps)
        for t, s in ((1.0, 0.0), (0.5, 0.25), (0.501, 0.5)):
            condition = ratio_condition(case.process, t, s, case.shape) + gain_condition(case.process, t, s, case.shape)
            for actual, expected in zip(case.transition(t, s, blurring), case.transition(t, s), strict=True):
                yield relative(actual, expected, condition * case.eps)
            for actual, expected in zip(case.posterior(t, s, blurring), case.posterior(t, s), strict=True):
                yield relative(actual, expected, condition * case.eps)
    rng = case.rng("no blur")
    axes = tuple(range(1, 1 + len(case.shape)))
    x, eps = (case.rounded(rng.standard_normal((1, *case.shape))) for _ in range(2))
    for t in (0.25, 1.0):
        actual, expected = (
            case.numpy(case.ops.diffuse(p, case.array(x), t, case.array(eps), axes=axes))
            for p in (blurring, case.process)
        )
        scale = np.linalg.norm(x) + np.linalg.norm(eps)
        rounding = 2 * transform_error(case.shape, case.eps, case.cast_eps) + ROUNDINGS * case.eps
        yield absolute(actual, expected, rounding * scale)


@identity(
    "heat dissipation is a limit",
    "alpha(a = 1, sigma, d_min) - alpha_IHDM = d_min (1 - exp(-lambda tau)) -> 0",
    "paper section 4; Rissanen et al. 2022",
    wants=lambda name: name == "heat",
)
def heat_limit(case: Case) -> Iterator[Comparison]:
    """Blurring diffusion with constant noise and no decay of the signal becomes IHDM as d_min -> 0, with an error <= d_min.

    The distance is d_min (1 - exp(-lambda tau)) exactly: checked at d_min = 1e-1 .. 1e-5, and at 0, where the two agree.
    Bound: the two alphas' own rounding, absolute, since they are subtracted.
    """
    heat: Any = case.process
    for floor in (1e-1, 1e-3, 1e-5, 0.0):
        blurring = BlurringDiffusion(
            noise=ConstantSigma(sigma=heat.sigma), blur=heat.blur, min_scale=floor, basis=heat.basis
        )
        for t in TIMES:
            (alpha, sigma), (limit, limit_sigma) = case.marginal(t, blurring), case.marginal(t)
            distance = -floor * np.expm1(-reference.exponent(heat, t, case.shape))
            condition = alpha_condition(heat, t, case.shape) * limit + alpha_condition(blurring, t, case.shape) * alpha
            yield absolute(alpha - limit, distance, condition * case.eps)
            yield relative(sigma, limit_sigma, ROUNDINGS * case.eps)


@identity("noisy data", "z_t = V diag(alpha_t) V^T x + sigma_t eps", "SPEC 2; paper eq. 9", half=True)
def diffuse(case: Case) -> Iterator[Comparison]:
    """Noisy data is the dense formula's, with one time for all and one for each item of the batch, in every layout.

    Bound: two transforms and the coefficients' condition (alpha at most 1, so absolute), relative to the norms of data and noise.
    """
    rng = case.rng("noisy data")
    for shape, axes in case.layouts():
        x, eps = (case.rounded(rng.standard_normal(shape)) for _ in range(2))
        for t in (0.25, np.array([0.125, 1.0])):
            z = case.numpy(case.ops.diffuse(case.process, case.array(x), _time(case, t), case.array(eps), axes=axes))
            expected, bound = np.empty_like(x), np.empty_like(x)
            for i, time in enumerate(np.broadcast_to(t, x.shape[:1])):
                item = slice(i, i + 1)
                alpha, condition = (
                    _lay_out(c, x.ndim, axes, case)
                    for c in (
                        reference.alpha(case.process, time, case.shape),
                        alpha_condition(case.process, time, case.shape),
                    )
                )
                sigma = reference.noise(case.process, time)[1]
                expected[item] = (
                    dense_inverse(case, alpha * dense_forward(case, x[item], axes), axes) + sigma * eps[item]
                )
                rounding = 2 * transform_error(case.shape, case.eps, 0.0) + np.max(condition * alpha) * case.eps
                signal, noise = np.linalg.norm(x[item]), np.abs(eps[item])
                bound[item] = (
                    rounding * signal + ROUNDINGS * case.eps * sigma * noise + case.cast_eps * np.abs(expected[item])
                )
            yield absolute(z, expected, bound)


def _time(case: Case, t: float | Values) -> Time:
    """Return a number as it is, and a batch of times as an array of the backend, in which 1 / 8 and 1 are exact."""
    return t if isinstance(t, float) else case.array(np.asarray(t))


def _lay_out(coefficient: Values, ndim: int, axes: tuple[int, ...], case: Case) -> Values:
    """Return a coefficient on the grid laid out over data: axis axes[i] of the data is axis i of the grid."""
    sizes = [1] * ndim
    grid = [a % ndim for a in axes]
    for axis, n in zip(grid, case.shape, strict=True):
        sizes[axis] = n
    return np.transpose(coefficient, np.argsort(grid)).reshape(sizes)


@identity(
    "training targets",
    "eps, x0, v = V(alpha V^T eps) - sigma x, score = -eps / sigma",
    "SPEC 5; paper section 4.2",
    half=True,
    wants=with_noise,
)
def targets(case: Case) -> Iterator[Comparison]:
    """What the network is asked for is what the definitions say.

    Bound: as for noisy data; the score divides by sigma, in frequency space where a backend tells it for each frequency.
    """
    rng = case.rng("targets")
    axes = tuple(range(1, 1 + len(case.shape)))
    x, eps = (case.rounded(rng.standard_normal((1, *case.shape))) for _ in range(2))
    t = 0.25
    alpha = reference.alpha(case.process, t, case.shape)
    sigma = reference.noise(case.process, t)[1]
    v = dense_inverse(case, alpha * dense_forward(case, eps, axes), axes) - sigma * x
    transforms = 2 * transform_error(case.shape, case.eps, 0.0)
    rounding = transforms + 2 * ROUNDINGS * case.eps
    rounding += float(np.max(alpha * alpha_condition(case.process, t, case.shape))) * case.eps
    scale = rounding * (np.linalg.norm(eps) + sigma * np.linalg.norm(x))
    expected: dict[Kind, tuple[Values, Any]] = {
        "eps": (eps, 0.0),
        "x0": (x, 0.0),
        "v": (v, scale),
        "score": (-eps / sigma, (ROUNDINGS * case.eps * np.abs(eps) + transforms * np.linalg.norm(eps)) / sigma),
    }
    for kind, (target, bound) in expected.items():
        pair = training_pair(case.asking, case.array(x), t, case.array(eps), prediction=kind, axes=axes)
        yield absolute(case.numpy(pair.target), target, bound + case.cast_eps * np.abs(target))
    yield from _through_data(case, x, eps, t)


def _through_data(case: Case, x: Values, eps: Values, t: float) -> Iterator[Comparison]:
    """Yield v as the backend diffuses and converts: that of the true data, at the noisy data.

    Bound: v = (x (alpha^2 + sigma^2) - alpha z) / sigma, so what transforms and rounding cost x and z counts at most 2 / sigma.
    """
    axes = tuple(range(1, 1 + len(case.shape)))
    u, e = (dense_forward(case, values, axes) for values in (x, eps))
    alpha, sigma = (c[None] for c in case.marginal(t))
    z = case.ops.diffuse(case.process, case.array(x), t, case.array(eps), axes=axes)
    z = case.ops.forward(case.process.basis, z, axes=axes)
    m = Marginal(alpha=case.array(alpha), sigma=case.array(sigma))
    v = case.numpy(case.ops.convert(case.array(u), "x0", "v", z=z, marginal=m))
    condition = np.max(alpha_condition(case.process, t, case.shape) * alpha) + 2 * ROUNDINGS
    rounding = 3 * transform_error(case.shape, case.eps, case.cast_eps) + condition * case.eps + 3 * case.cast_eps
    size = np.linalg.norm(x) + np.linalg.norm(eps)
    yield absolute(v, alpha * e - sigma * u, (1 + 2 / sigma) * rounding * size)


IDENTITIES = (definition, log_snr, no_blur, heat_limit, diffuse, targets)
