r"""Sample paths of the chain, simulated step by step, have the mean and the covariance that the algebra says (SPEC 2, 3).

n paths start from the marginal at t = 0 of one image and walk over random times by :func:`blurcore.transition`. A sample
that is N(mean, C) has, along any direction d, exactly

.. math:: \sqrt n \, d^T(\bar z - \mathrm{mean}) / \sqrt{d^T C d} \sim N(0, 1), \qquad
          \sum_i (d^T (z_i - \mathrm{mean}))^2 / (d^T C d) \sim \chi^2_n .

The directions are the unit vectors e_i and, for what lies beside the diagonal, all e_i + e_j and e_i - e_j. Of p numbers
that is m = p + p (p - 1) directions with two tests each. Every test is two-sided at LEVEL / (2 m) (Bonferroni, over
frequencies or pixels and pairs of them), so that a correct chain fails one comparison with a probability of at most
LEVEL = 1e-6, and with it this whole file (112 comparisons on four libraries, were the seeds drawn anew) at most once in
8,900 runs. The seeds are fixed: what passes once passes always. A test of level 1e-6 / 288 rejects from 5.9 standard
deviations on, so with n = 20,000 an error of 4% in a standard deviation (8 of 1 / sqrt(2 n)), or of 6% of it in a mean
(8 of 1 / sqrt(n)), is noticed in 98 cases out of a hundred; the last tests show that it bites.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from blurcore_reference import oracle as reference
from scipy import stats

import blurcore as bc

pytestmark = pytest.mark.nightly
GRID = (3, 4)
SIZE = 12
PATHS = 20_000
STEPS = 6
LEVEL = 1e-6
IMAGE = np.random.default_rng(3).uniform(-1.0, 1.0, GRID)


def directions(size):
    """Return e_i, e_i + e_j and e_i - e_j as rows."""
    units = np.eye(size)
    first, second = np.triu_indices(size, 1)
    return np.concatenate([units, units[first] + units[second], units[first] - units[second]])


def p_values(samples, mean, covariance):
    """Return the two-sided p-values of the means and of the variances along all directions."""
    d = directions(samples.shape[1])
    variance = np.einsum("mi,ij,mj->m", d, covariance, d)
    along = (samples - mean) @ d.T
    n = len(samples)
    means = 2 * stats.norm.sf(np.abs(along.mean(axis=0)) * np.sqrt(n / variance))
    squares = np.sum(along**2, axis=0) / variance
    spread = 2 * np.minimum(stats.chi2.cdf(squares, n), stats.chi2.sf(squares, n))
    return means, spread


def is_gaussian(samples, mean, covariance):
    """Whether all tests pass at LEVEL, Bonferroni over all of them."""
    means, spread = p_values(samples, mean, covariance)
    return min(means.min(), spread.min()) >= LEVEL / (means.size + spread.size)


def generator(name):
    return np.random.default_rng([11, zlib.crc32(name.encode())])


def stops(rng, start, end):
    """Return random times from start to end, both among them; the middle one is looked at, too."""
    return [start, *np.sort(rng.uniform(start, end, STEPS - 1)).tolist(), end]


def walk(xp, process, u, times, rng, step=bc.transition):
    """Return the states of all paths at all times but the first, each (paths, *grid) in the library's float64."""
    states = []
    for s, t in zip(times[:-1], times[1:], strict=True):
        q = step(process, t, s, shape=GRID, like=u)
        alpha, variance = (bc.align(c, ndim=3, axes=(1, 2)) for c in q)
        u = alpha * u + variance**0.5 * xp.asarray(rng.standard_normal((PATHS, *GRID)), "float64")
        states.append(u)
    return states


def flat(xp, array):
    return xp.to_numpy(array).reshape(PATHS, SIZE)


def start(xp, process, rng):
    """Draw u_0 of the chain: the marginal of the image at t = 0, in frequency space."""
    m = process.marginal(0.0, shape=GRID)
    u = process.basis.forward(IMAGE)
    return xp.asarray(m.alpha * u + m.sigma * rng.standard_normal((PATHS, *GRID)), "float64")


def name_of(request):
    return request.node.callspec.params["noisy_process"]


def test_paths_have_the_marginals_mean_and_covariance_in_frequency_space(xp, noisy_process, request):
    rng = generator(name_of(request))
    times = stops(rng, 0.0, 1.0)
    states = walk(xp, noisy_process, start(xp, noisy_process, rng), times, rng)
    settings = bc.to_dict(noisy_process)
    u = reference.forward(IMAGE, (0, 1), reference.basis_kind(settings))
    for k in (STEPS // 2, STEPS):
        alpha = reference.alpha(settings, times[k], GRID)
        sigma = reference.noise_levels(settings, times[k])[1]
        assert is_gaussian(flat(xp, states[k - 1]), (alpha * u).ravel(), sigma**2 * np.eye(SIZE))


def test_paths_have_white_noise_round_the_blurred_image_in_pixel_space(xp, noisy_process, request):
    rng = generator(name_of(request) + "pixels")
    times = stops(rng, 0.0, 0.75)
    last = walk(xp, noisy_process, start(xp, noisy_process, rng), times, rng)[-1]
    z = noisy_process.basis.inverse(last, axes=(1, 2))
    matrix, covariance = reference.marginal_dense(bc.to_dict(noisy_process), times[-1], GRID)
    assert is_gaussian(flat(xp, z), matrix @ IMAGE.ravel(), covariance)


def test_paths_from_one_image_have_the_transitions_correlated_noise_in_pixel_space(xp, noisy_process, request):
    rng = generator(name_of(request) + "transition")
    times = stops(rng, 0.25, 0.5)
    fixed = xp.asarray(np.broadcast_to(noisy_process.basis.forward(IMAGE), (PATHS, *GRID)), "float64")
    z = noisy_process.basis.inverse(walk(xp, noisy_process, fixed, times, rng)[-1], axes=(1, 2))
    matrix, covariance = reference.transition_dense(bc.to_dict(noisy_process), times[-1], times[0], GRID)
    if reference.basis_kind(bc.to_dict(noisy_process)) != "Identity":
        assert np.abs(covariance - np.diag(np.diag(covariance))).max() > 0.01 * np.diag(covariance).max()
    assert is_gaussian(flat(xp, z), matrix @ IMAGE.ravel(), covariance)


# It bites

VISIBLE = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=2.0))
"""A blur that is neither all nor nothing on this grid, so that the frequencies differ."""


class NumPy:
    """The fixture xp without its parameters, for what needs no library."""

    asarray = staticmethod(lambda values, dtype: np.asarray(values, dtype=dtype))
    to_numpy = staticmethod(np.asarray)


def sigma_for_its_square(process, t, s, **options):
    q = bc.transition(process, t, s, **options)
    return q._replace(variance=q.variance**0.5)


def marginal_noise_at_every_step(process, t, s, **options):
    """White noise of the marginal's size, as if nothing of it were there yet."""
    q = bc.transition(process, t, s, **options)
    return q._replace(variance=0 * q.variance + process.marginal(t, **options).sigma ** 2)


def isotropic(process, t, s, **options):
    """As much noise in all, the same in every frequency: what heat dissipation is not."""
    q = bc.transition(process, t, s, **options)
    return q._replace(variance=0 * q.variance + q.variance.mean())


def marginal_alpha(process, t, s, **options):
    """alpha_t for alpha_t / alpha_s."""
    return bc.transition(process, t, s, **options)._replace(alpha=process.marginal(t, **options).alpha)


def times_exchanged(process, t, s, **options):
    """The noise that s has already, not that of t."""
    q = bc.transition(process, t, s, **options)
    ratio = (process.marginal(s, **options).sigma / process.marginal(t, **options).sigma) ** 2
    return q._replace(variance=q.variance * ratio)


def neighbouring_frequency(process, t, s, **options):
    q = bc.transition(process, t, s, **options)
    return q._replace(variance=np.roll(q.variance, 1, axis=-1))


def noisier_by_a_twentieth(process, t, s, **options):
    q = bc.transition(process, t, s, **options)
    return q._replace(variance=1.05**2 * q.variance)


WRONG = [
    sigma_for_its_square,
    marginal_noise_at_every_step,
    isotropic,
    marginal_alpha,
    times_exchanged,
    neighbouring_frequency,
    noisier_by_a_twentieth,
]


@pytest.mark.parametrize("step", WRONG, ids=lambda step: step.__name__)
def test_a_wrong_step_is_rejected(step):
    process = VISIBLE
    rng = generator("wrong")
    times = stops(rng, 0.0, 0.75)
    last = walk(NumPy, process, start(NumPy, process, rng), times, rng, step)[-1]
    matrix, covariance = reference.marginal_dense(bc.to_dict(process), times[-1], GRID)
    z = process.basis.inverse(last, axes=(1, 2))
    assert not is_gaussian(flat(NumPy, z), matrix @ IMAGE.ravel(), covariance)


def test_noise_without_its_correlation_is_rejected():
    """Every pixel has its variance, and none has a neighbour: only what lies beside the diagonal can tell.

    Heat dissipation adds no noise to the mean of an image, so that its noise has the correlation -1 / 11 at the least.
    """
    _, covariance = reference.transition_dense(bc.to_dict(bc.HeatDissipation()), 0.5, 0.25, GRID)
    noise = generator("white").standard_normal((PATHS, SIZE)) * np.sqrt(np.diag(covariance))
    means, spread = p_values(noise, np.zeros(SIZE), covariance)
    level = LEVEL / (means.size + spread.size)
    assert spread[:SIZE].min() >= level
    assert spread[SIZE:].min() < level


def test_p_values_of_true_samples_are_uniform():
    """The level is what it says: of 200 x 288 p-values of exact samples, a share of q lies below q (binomially)."""
    rng = generator("uniform")
    root = rng.standard_normal((SIZE, SIZE))
    covariance = root @ root.T
    values = np.concatenate(
        [
            np.concatenate(p_values(rng.standard_normal((50, SIZE)) @ root.T, np.zeros(SIZE), covariance))
            for _ in range(200)
        ]
    )
    for q in (0.01, 0.1, 0.5):
        # The 288 p-values of one sample depend on each other: the variance is at most that of 200 independent groups
        # all alike, q (1 - q) / 200; six of its standard deviations are a false alarm in 5e8.
        assert abs(np.mean(values < q) - q) < 6 * np.sqrt(q * (1 - q) / 200)
