r"""Bounds of the negative log-likelihood, term by term, in nats for each example (SPEC 8; Kingma et al. 2021).

For data on a grid of levels and a chain :math:`1 = t_T > .. > t_0 = 0`,

.. math::

    -\log P(x) \le \underbrace{KL(q(u_1|x) \,\|\, N(0, \sigma_1^2))}_{\text{prior}}
    + \sum_i \underbrace{\tfrac12 \sum_k (\mathrm{SNR}_s - \mathrm{SNR}_t)_k (u_0 - \hat u_0)_k^2}_{\text{step } t \to s}
    + \underbrace{E[-\log P(x | u_{t=0})]}_{\text{reconstruction}} ,

which for infinitely many steps has the integral of :func:`diffusion_rate` in the place of the sum. At t = 0 nothing is
blurred, so that the reconstruction is independent in each pixel: the normal distribution around :math:`z_0 / \alpha_0`, cut
into bins, of which the outer two reach to infinity. Inverse heat dissipation has steps of another kind, with
:func:`heat_step` for each (Rissanen et al. 2022, equation 8).

Every function takes arrays (batch, ...) and sums over all axes but the first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from blurcore._arrays import align, check_step, is_checkable, is_number, namespace, quiet, together
from blurcore._checks import require, require_finite
from blurcore._typing import A, Array, Time
from blurcore.diffusion import grid_shape, marginal_for, require_noise
from blurcore.processes import Process

_NODES, _WEIGHTS = (v.tolist() for v in np.polynomial.legendre.leggauss(64))
_REACH = 90.0  # the density at sqrt(n^2 + 90) is e^-45 of that at n
_MOST_PAIRS = 2**22  # numbers that differences from the components of a mixture may take at once


def bits_per_dim(nats: Array | float, num_dims: int) -> Any:
    """Return nats as bits for each of `num_dims` dimensions."""
    require(num_dims >= 1, "num_dims", num_dims, "at least 1")
    return nats / (num_dims * math.log(2.0))


@quiet
def prior_kl(process: Process, u0: A, *, axes: tuple[int, ...] = (-2, -1)) -> A:
    r"""Return :math:`KL(q(u_1 | u_0) \| N(0, \sigma_1^2)) = \frac12 \sum \alpha_1^2 u_0^2 / \sigma_1^2`.

    Parameters
    ----------
    process
        A process with noise at t = 1, from which its samplers start.
    u0
        Data in frequency space, (batch, ...).
    axes
        The axes of the grid.

    Returns
    -------
    Array
        (batch,), of the library of `u0`, in float32 or better.

    Raises
    ------
    DegenerateError
        The process has no noise at t = 1.
    """
    (u0,) = together(u0=u0)
    require_noise("the prior", process, 1.0, shape=grid_shape(u0, axes))
    m = marginal_for(process, 1.0, u0, axes=axes)
    return 0.5 * _sum((m.alpha / m.sigma * u0) ** 2)


@quiet
def diffusion_step(process: Process, u0: A, x0: Array, t: Time, s: Time, *, axes: tuple[int, ...] = (-2, -1)) -> A:
    r"""Return :math:`\frac12 \sum (\mathrm{SNR}_s - \mathrm{SNR}_t) (u_0 - \hat u_0)^2`, the divergence of a step from t to s < t.

    Parameters
    ----------
    process
        A process with noise.
    u0, x0
        The data, and what the network makes of u_t, both in frequency space, (batch, ...).
    t, s
        Times, s < t.
    axes
        The axes of the grid.

    Returns
    -------
    Array
        (batch,). The difference of the SNR is taken without cancellation: -SNR_s expm1(l_t - l_s).

    Raises
    ------
    ArgumentError
        s > t, or a time outside [0, 1] (seen for numbers and NumPy arrays).
    DegenerateError
        There is no noise at s, where the SNR is infinite (seen likewise).

    References
    ----------
    SPEC 8; Kingma et al. (2021), equation 13.
    """
    xp = namespace(u0=u0, x0=x0)
    u0, x0 = together(u0=u0, x0=x0)
    check_step(t, s)
    shape = grid_shape(u0, axes)
    _require_noise("the divergence of a step", process, s, shape=shape)
    gap = process.difference(t, s, shape=shape, like=u0).log_snr
    weight = -xp.exp(process.log_snr(s, shape=shape, like=u0)) * xp.expm1(gap)
    return 0.5 * _sum(align(weight, ndim=u0.ndim, axes=axes) * (u0 - x0) ** 2)


@quiet
def diffusion_rate(process: Process, u0: A, x0: Array, t: Time, *, axes: tuple[int, ...] = (-2, -1)) -> A:
    r"""Return :math:`-\frac12 \sum \mathrm{SNR}_t' (u_0 - \hat u_0)^2`, what the continuous bound integrates over t.

    Parameters
    ----------
    process, u0, x0, axes
        As for :func:`diffusion_step`.
    t
        A time, or one for each example.

    Returns
    -------
    Array
        (batch,), per unit of t.

    Raises
    ------
    ArgumentError
        A time outside [0, 1] (seen for numbers and NumPy arrays).
    DegenerateError
        There is no noise at t, where the SNR is infinite (seen likewise).

    References
    ----------
    SPEC 6 (SNR' = -SNR g2 / sigma^2) and 8.
    """
    u0, x0 = together(u0=u0, x0=x0)
    shape = grid_shape(u0, axes)
    m = process.marginal(t, shape=shape, like=u0)
    _require_noise("the rate of the bound", process, t, shape=shape)
    # By parts: sigma^4 may be less than the least number of float32 where the rate is not.
    weight = (m.alpha / m.sigma) ** 2 * (process.sde(t, shape=shape, like=u0).diffusion / m.sigma / m.sigma)
    return 0.5 * _sum(align(weight, ndim=u0.ndim, axes=axes) * (u0 - x0) ** 2)


@quiet
def reconstruction(x: A, mean: Array, std: float, *, low: float = -1.0, high: float = 1.0, levels: int = 256) -> A:
    r"""Return :math:`-\log P(x)` of the normal distribution around `mean`, cut into `levels` bins.

    Parameters
    ----------
    x
        Data on the levels, (batch, ...).
    mean
        Of the shape of `x`: z_0 / alpha_0 for a diffusion process.
    std
        Standard deviation, > 0: sigma_0 / alpha_0.
    low, high, levels
        The levels: evenly spaced, both ends among them. The outer bins reach to infinity, so that the bins have probability 1.

    Returns
    -------
    Array
        (batch,), finite however far `mean` is from `x`, as long as the dtype holds its value.

    Raises
    ------
    ArgumentError
        `std` is not positive and finite, there are fewer than 2 levels, or `low` is not below `high`.
    """
    xp = namespace(x=x, mean=mean)
    require(is_number(std) and 0 < std < math.inf, "std", std, "a number above 0")
    require(levels >= 2, "levels", levels, "at least 2")
    require(low < high, "low", low, f"below high = {high}")
    data, centre = together(x=x, mean=mean)
    half = (high - low) / (levels - 1) / 2
    # Mirrored where that brings a bin to the right of the mean: it reaches from `near` on, 2 half / std or to infinity.
    off, width = (data - centre) / std, xp.full_like(data, 2 * half / std)
    near = xp.abs(off) - half / std
    for outer, mirrored in ((data < low + half, -off), (data > high - half, off)):
        near = xp.where(outer, mirrored - half / std, near)
        width = xp.where(outer, xp.full_like(width, math.inf), width)
    return -_sum(_log_normal_mass(xp, near, width))


def _log_normal_mass(xp: Any, near: Array, width: Array) -> Array:
    r"""Return the log of the standard normal probability of [near, near + width], by Gauss-Legendre quadrature of its density.

    The Array API has no error function. The density is divided by its largest value in the interval, at n, and taken at
    n + d with :math:`|d| \le c / (\sqrt{n^2 + c} + n) = \sqrt{n^2 + c} - n`, beyond which nothing is left of it: 64 nodes then
    give all digits of float64. In the tails d is less than the last place of n, so that it never becomes part of a sum.
    """
    # An n beyond the dtype is its largest number, whose square is infinite, and no NaN comes of infinity times 0.
    n = xp.clip(near, 0.0, float(xp.finfo(near.dtype).max))
    first = xp.clip(near, -math.sqrt(_REACH), 0.0)
    last = xp.minimum(xp.clip(near, None, 0.0) + width, _REACH / (xp.sqrt(n**2 + _REACH) + n))
    middle, half = (first + last) / 2, (last - first) / 2
    total = xp.zeros_like(near)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        d = middle + half * node
        total = total + weight * xp.exp(-d * (n + d / 2))
    return xp.log(total * half) - n**2 / 2 - 0.5 * math.log(2 * math.pi)


@quiet
def heat_step(before: A, mean: Array, *, sigma: float, delta: float) -> A:
    r"""Return the divergence of a step of inverse heat dissipation, :math:`KL(N(A_{k-1} x, \sigma^2) \| N(\mu, \delta^2))`.

    .. math:: \tfrac{D}{2} \Big( \frac{\sigma^2}{\delta^2} - 1 + 2 \log \frac{\delta}{\sigma} \Big)
              + \frac{\| A_{k-1} x - \mu \|^2}{2 \delta^2}

    Parameters
    ----------
    before
        A_{k-1} x, (batch, ...), in data or frequency space.
    mean
        What the network makes of it from u_k.
    sigma, delta
        Standard deviations of training and of sampling, > 0.

    Returns
    -------
    Array
        (batch,).

    Raises
    ------
    ArgumentError
        A standard deviation is not positive.

    References
    ----------
    SPEC 8; Rissanen et al. (2022), equation 8 and appendix A.
    """
    before, mean = together(before=before, mean=mean)
    for name, value in (("sigma", sigma), ("delta", delta)):
        require_finite(name, value)
        require(value > 0, name, value, "above 0")
    dims = math.prod(before.shape[1:])
    constant = dims / 2 * (sigma**2 / delta**2 - 1 + 2 * math.log(delta / sigma))
    return constant + _sum((before - mean) ** 2) / (2 * delta**2)


@quiet
def mixture_kl(u: A, mean: Array, centres: Array, *, sigma: float) -> A:
    r"""Return :math:`\log q(u) - \log p(u)` for :math:`q = N(m, \sigma^2)` and p, the even mixture of :math:`N(c_j, \sigma^2)`.

    Its expectation over u from q is the divergence of the two: the prior's term for inverse heat dissipation, whose
    sampling starts from a blurred training image c_j and noise.

    Parameters
    ----------
    u, mean
        (batch, dims).
    centres
        (components, dims), one or more.
    sigma
        Standard deviation, > 0.

    Returns
    -------
    Array
        (batch,); at most log(components) where `mean` is one of the centres.

    Raises
    ------
    ArgumentError
        `sigma` is not positive and finite, or the shapes do not fit.

    Notes
    -----
    With :math:`\delta_j = m - c_j` the logarithms of the densities differ by
    :math:`(\|u - c_j\|^2 - \|u - m\|^2) / 2 \sigma^2 = \sum_k \delta_{jk} (2 (u - m) + \delta_j)_k / 2 \sigma^2`, which is 0 to the
    last bit where c_j = m. Products of matrices (:math:`\|u\|^2 + \|c\|^2 - 2 u \cdot c`) are faster, and round to
    :math:`\|u\|^2 / \sigma^2` units in the last place.
    """
    xp = namespace(u=u, mean=mean, centres=centres)
    u, mean, centres = together(u=u, mean=mean, centres=centres)
    require(is_number(sigma) and 0 < sigma < math.inf, "sigma", sigma, "a number above 0")
    require(u.ndim == 2, "u", tuple(u.shape), "of shape (batch, dims)")
    require(mean.shape == u.shape, "mean", tuple(mean.shape), f"of the shape of u, {tuple(u.shape)}")
    require(
        centres.ndim == 2 and centres.shape[0] >= 1 and centres.shape[1] == u.shape[1],
        "centres",
        tuple(centres.shape),
        f"of shape (components, {u.shape[1]})",
    )
    # Each factor over sigma, whose square may be less than the least number of the dtype.
    twice = 2 * (u - mean) / sigma
    chunk = max(1, _MOST_PAIRS // max(1, math.prod(u.shape)))
    logits = []
    for first in range(0, centres.shape[0], chunk):
        some = centres[first : min(first + chunk, centres.shape[0]), :]
        delta = (mean[:, None, :] - some[None, :, :]) / sigma
        logits.append(xp.sum(delta * (twice[:, None, :] + delta), axis=2) / -2)
    joined = xp.concat(logits, axis=1)
    top = xp.max(joined, axis=1, keepdims=True)
    return -top[:, 0] - xp.log(xp.mean(xp.exp(joined - top), axis=1))


def _require_noise(what: str, process: Process, t: Time, *, shape: tuple[int, ...]) -> None:
    """Refuse a time without noise where it can be seen: a number, or an array whose values may be looked at."""
    if is_number(t) or is_checkable(namespace(t=t)):
        require_noise(what, process, t, shape=shape)


def _sum(x: A) -> A:
    return namespace(x=x).sum(x, axis=tuple(range(1, x.ndim)))
