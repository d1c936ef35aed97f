"""Steps forwards and back: heat dissipation is a Gaussian chain whose noise is not isotropic (SPEC 3, 4, 8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from blurcore.verify import reference
from blurcore.verify.cases import Case
from blurcore.verify.identities.marginal import with_noise
from blurcore.verify.identity import Comparison, absolute, identity, relative
from blurcore.verify.rounding import ROUNDINGS, alpha_condition, gain_condition, ratio_condition, transform_error

Values = np.ndarray[Any, Any]
PAIRS = ((1.0, 0.999), (1.0, 0.0), (0.5, 0.25), (0.501, 0.5), (0.001, 0.0))
"""Long steps and short ones, the first and the last; multiples of DDPM's step."""


def step_condition(case: Case, t: float, s: float) -> Values:
    """Return the condition of every coefficient of a step: that of the ratio and that of 1 - e^D."""
    return ratio_condition(case.process, t, s, case.shape) + gain_condition(case.process, t, s, case.shape)


@identity(
    "transition",
    "sigma_{t|s}^2 = sigma_t^2 - alpha_{t|s}^2 sigma_s^2, alpha_{t|s} alpha_s = alpha_t",
    "SPEC 3; paper eq. 18",
)
def transition(case: Case) -> Iterator[Comparison]:
    """The forward step is what leads from one marginal to the next.

    Bound: the conditions of the coefficients; the difference of variances is compared absolutely, as it cancels.
    """
    for t, s in PAIRS:
        ratio, variance = case.transition(t, s)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = case.marginal(t), case.marginal(s)
        condition = step_condition(case, t, s)
        both = condition + sum(alpha_condition(case.process, time, case.shape) for time in (t, s))
        yield relative(ratio * alpha_s, alpha_t, both * case.eps)
        yield absolute(variance, sigma_t**2 - ratio**2 * sigma_s**2, 4 * condition * case.eps * sigma_t**2)


def _partition(case: Case, t: float, steps: int, purpose: str) -> Values:
    inner = case.rng(purpose).uniform(0.0, t, steps - 1)
    return np.array([0.0, *sorted(inner), t])


@identity(
    "blur then noise is a non-isotropic chain",
    "q(u_t | u_0) = product of q(u_ti | u_ti-1) over any partition of [0, t]",
    "SPEC 3; paper section 3.1",
)
def chain(case: Case) -> Iterator[Comparison]:
    """Transitions over random partitions of [0, t] compose to the marginal.

    Bound: alpha is a product, so the conditions of the steps add up; the variance is a sum of positive terms, each of
    them off by twice the alphas that follow and by its own condition.
    """
    for t, steps in ((1.0, 5), (0.5, 3), (1.0, 1)):
        times = _partition(case, t, steps, f"partition {t}")
        alpha, sigma = case.marginal(0.0)
        variance, condition = sigma**2, alpha_condition(case.process, 0.0, case.shape)
        for s, r in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            ratio, added = case.transition(r, s)
            alpha, variance = ratio * alpha, ratio**2 * variance + added
            condition = condition + 2 * step_condition(case, r, s)
        expected_alpha, expected_sigma = case.marginal(t)
        condition = condition + alpha_condition(case.process, t, case.shape)
        yield relative(alpha, expected_alpha, condition * case.eps)
        yield relative(variance, expected_sigma**2, condition * case.eps)


@identity("differences add up", "D(t, r) = D(t, s) + D(s, r) <= 0", "SPEC 2, 4", wants=with_noise)
def differences(case: Case) -> Iterator[Comparison]:
    """The log-SNR falls in every frequency, and its differences are additive.

    Bound: D is a sum of terms of one sign: its relative error is that of log1p(y), which at y = d_t / d_s - 1 has the condition
    d_s / d_t beside that of the ratio. That part is held to float64 whatever the dtype: differences at times that are numbers
    are worked out in float64 or on the host (SPEC 4).
    """
    t, s, r = 0.75, 0.5, 0.25
    values, errors = [], np.zeros(case.shape)
    for late, early in ((t, r), (t, s), (s, r)):
        d = case.difference(late, early)[1]
        yield absolute(np.maximum(d, 0.0), np.zeros(case.shape), 0.0)
        values.append(d)
        weight = np.ones(case.shape)
        if reference.min_scale(case.process) > 0:
            weight = reference.decay(case.process, early, case.shape) / reference.decay(case.process, late, case.shape)
        inner = 2 * ratio_condition(case.process, late, early, case.shape) * weight * 2.0**-52
        errors += np.abs(d) * ROUNDINGS * case.eps + inner
    yield absolute(values[1] + values[2], values[0], errors)


@identity(
    "covariance in pixel space",
    "Cov[z_t | z_s] = V diag(sigma_{t|s}^2) V^T; A Cov[z_s] A^T + Cov[z_t | z_s] = sigma_t^2 1",
    "SPEC 3; paper section 3.1",
)
def covariance(case: Case) -> Iterator[Comparison]:
    """The transition's noise in data space has the dense covariance, correlated, and adds up to the marginal's white noise.

    The backend's own transforms shape white noise: B = V diag(sigma_{t|s}) V^T applied to unit vectors, and B B^T is compared
    with the dense matrix of the definition.
    Bound: each side of B B^T passes two transforms, relative to the largest sigma; the variances' conditions, times sigma_t^2.
    """
    axes = tuple(range(1, 1 + len(case.shape)))
    basis = case.process.basis
    v = reference.dense_basis(type(basis).__name__, case.shape)
    units = case.array(np.eye(case.size).reshape(case.size, *case.shape))
    for t, s in ((0.5, 0.25), (1.0, 0.5)):
        ratio, variance = case.transition(t, s)
        u = case.numpy(case.ops.forward(basis, units, axes=axes))
        shaped = case.array(u * np.sqrt(variance))
        b = case.numpy(case.ops.inverse(basis, shaped, axes=axes)).reshape(case.size, case.size)
        sigma_s, sigma_t = (reference.noise(case.process, time)[1] for time in (s, t))
        quotient = reference.decay(case.process, t, case.shape) / np.maximum(
            reference.decay(case.process, s, case.shape), 1e-300
        )
        quotient = quotient * reference.noise(case.process, t)[0] / reference.noise(case.process, s)[0]
        expected = v @ np.diag((sigma_t**2 - quotient**2 * sigma_s**2).ravel()) @ v.T
        largest = float(np.max(variance))
        bound = 5 * transform_error(case.shape, case.eps, 0.0) * largest
        bound += 4 * float(np.max(step_condition(case, t, s))) * case.eps * sigma_t**2
        yield absolute(b @ b.T, expected, bound)
        a = v @ np.diag(ratio.ravel()) @ v.T
        yield absolute(a @ a.T * sigma_s**2 + b @ b.T, sigma_t**2 * np.eye(case.size), 2 * bound)


@identity(
    "posterior by precisions",
    "1 / var = 1 / sigma_s^2 + alpha_{t|s}^2 / sigma_{t|s}^2",
    "SPEC 4; paper eq. 20-21",
    wants=with_noise,
)
def precisions(case: Case) -> Iterator[Comparison]:
    """The posterior is Bayes' rule, frequency by frequency.

    Bound: precisions are sums of positive terms, so the posterior has the conditions of the transition twice (alpha squared)
    and its own.
    """
    for t, s in PAIRS:
        z_coef, x_coef, variance = case.posterior(t, s)
        ratio, added = case.transition(t, s)
        alpha_s, sigma_s = case.marginal(s)
        bound = (4 * step_condition(case, t, s) + alpha_condition(case.process, s, case.shape)) * case.eps
        seen = (added > 0) & (sigma_s > 0)  # elsewhere one precision is infinite, and the identity below says it
        if not seen.any():
            yield relative(variance, np.zeros(case.shape), 0.0)
            continue
        expected = 1 / (1 / sigma_s[seen] ** 2 + ratio[seen] ** 2 / added[seen])
        yield relative(variance[seen], expected, bound[seen])
        yield relative(z_coef[seen], expected * ratio[seen] / added[seen], bound[seen])
        yield relative(x_coef[seen], expected * alpha_s[seen] / sigma_s[seen] ** 2, bound[seen])


@identity(
    "posterior and marginal",
    "z_coef alpha_t + x_coef = alpha_s, z_coef^2 sigma_t^2 + var = sigma_s^2",
    "SPEC 4",
    wants=with_noise,
)
def consistency(case: Case) -> Iterator[Comparison]:
    """A step back from the marginal at t lands on the marginal at s; this holds where Bayes' rule has an infinite precision, too.

    Bound: sums of positive terms with the conditions of the posterior and of the two marginals.
    """
    for t, s in PAIRS:
        z_coef, x_coef, variance = case.posterior(t, s)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = case.marginal(t), case.marginal(s)
        marginals = sum(alpha_condition(case.process, time, case.shape) for time in (t, s))
        bound = 4 * (step_condition(case, t, s) + marginals) * case.eps
        yield relative(z_coef * alpha_t + x_coef, alpha_s, bound)
        yield relative(z_coef**2 * sigma_t**2 + variance, sigma_s**2, bound)


@identity(
    "posterior in pixel space",
    "conditioning the dense joint Gaussian of (z_s, z_t) given x",
    "SPEC 4; Bayes' rule",
    wants=with_noise,
)
def dense_bayes(case: Case) -> Iterator[Comparison]:
    """The posterior, carried to pixel space, is linear algebra on full matrices, which knows no frequencies.

    K = C_s A^T (A C_s A^T + C)^-1, mean = K z_t + (1 - K A) A_s x, covariance = C_s - K A C_s.
    Bound: A C_s A^T + C = sigma_t^2 1 is perfectly conditioned; every product of P x P matrices of norm <= the largest
    coefficient is off by P eps64, and the backend's coefficients by their conditions, absolutely.
    """
    v = reference.dense_basis(type(case.process.basis).__name__, case.shape)

    def matrix(diagonal: Values) -> Values:
        return np.asarray(v @ np.diag(diagonal.ravel()) @ v.T)

    for t, s in ((0.5, 0.25), (1.0, 0.875)):
        ratio, added = case.transition(t, s)
        alpha_s, sigma_s = case.marginal(s)
        z_coef, x_coef, variance = case.posterior(t, s)
        a, c, a_s, c_s = matrix(ratio), matrix(added), matrix(alpha_s), matrix(sigma_s**2)
        gain = np.linalg.solve(a @ c_s @ a.T + c, a @ c_s).T
        rest = np.eye(case.size) - gain @ a
        condition = (
            8 * float(np.max(step_condition(case, t, s) + alpha_condition(case.process, s, case.shape))) * case.eps
        )
        dense = condition + 16 * case.size * 2.0**-52
        yield absolute(matrix(z_coef), gain, dense * max(1.0, float(np.max(z_coef))))
        yield absolute(matrix(x_coef), rest @ a_s, dense * max(1.0, float(np.max(z_coef))))
        yield absolute(
            matrix(variance), rest @ c_s, dense * float(np.max(sigma_s)) ** 2 * max(1.0, float(np.max(z_coef)))
        )


@identity(
    "step KL is the SNR formula",
    "x_coef^2 / (2 var) = (SNR_s - SNR_t) / 2, and sums telescope",
    "SPEC 8; Kingma et al. 2021",
    wants=with_noise,
)
def step_kl(case: Case) -> Iterator[Comparison]:
    """KL(q(u_s | u_t, x) || q(u_s | u_t, x_hat)) for each unit of (x - x_hat)^2 is half the fall of the SNR.

    Bound: x_coef^2 / var has thrice the posterior's condition. The difference of SNRs cancels: exp(l) turns the absolute error of l
    (conditions, and |l| eps) into a relative one of each SNR.
    """
    total = np.zeros(case.shape)
    allowed = np.zeros(case.shape)
    times = (0.125, 0.25, 0.5, 1.0)
    for s, t in zip(times[:-1], times[1:], strict=True):
        _, x_coef, variance = case.posterior(t, s)
        l_t, l_s = case.log_snr(t), case.log_snr(s)
        moved = variance > 0
        fall = np.divide(x_coef**2, variance, out=np.zeros(case.shape), where=moved)
        snr_t, snr_s = np.exp(l_t), np.exp(l_s)
        condition = 4 * (step_condition(case, t, s) + alpha_condition(case.process, s, case.shape)) + np.abs(l_s)
        condition = condition + 4 * alpha_condition(case.process, t, case.shape) + np.abs(np.where(snr_t > 0, l_t, 0.0))
        bound = condition * case.eps * (snr_s + snr_t)
        yield absolute(fall, snr_s - snr_t, bound)
        total, allowed = total + fall, allowed + bound
    yield absolute(total, np.exp(case.log_snr(times[0])) - np.exp(case.log_snr(times[-1])), 2 * allowed)


IDENTITIES = (transition, chain, differences, covariance, precisions, consistency, dense_bayes, step_kl)
