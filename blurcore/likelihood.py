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

from blurcore._arrays import align, check_step, is_number, namespace, together
from blurcore._checks import require, require_finite
from blurcore._typing import Array, Time
from blurcore.diffusion import grid_shape, marginal_for
from blurcore.processes import Process

_NODES, _WEIGHTS = (v.tolist() for v in np.polynomial.legendre.leggauss(64))
_REACH = 90.0  # what lies further than sqrt(c^2 + 90) from 0 is e^-45 of what lies at c


def bits_per_dim(nats: Array | float, num_dims: int) -> Any:
    """Return nats as bits for each of `num_dims` dimensions."""
    require(num_dims >= 1, "num_dims", num_dims, "at least 1")
    return nats / (num_dims * math.log(2.0))


def prior_kl(process: Process, u0: Array, *, axes: tuple[int, ...] = (-2, -1)) -> Array:
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
    """
    (u0,) = together(u0=u0)
    m = marginal_for(process, 1.0, u0, axes=axes)
    return 0.5 * _sum((m.alpha / m.sigma * u0) ** 2)


def diffusion_step(
    process: Process, u0: Array, x0: Array, t: Time, s: Time, *, axes: tuple[int, ...] = (-2, -1)
) -> Array:
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

    References
    ----------
    SPEC 8; Kingma et al. (2021), equation 13.
    """
    xp = namespace(u0=u0, x0=x0)
    u0, x0 = together(u0=u0, x0=x0)
    check_step(t, s)
    shape = grid_shape(u0, axes)
    gap = process.difference(t, s, shape=shape, like=u0).log_snr
    weight = -xp.exp(process.log_snr(s, shape=shape, like=u0)) * xp.expm1(gap)
    return 0.5 * _sum(align(weight, ndim=u0.ndim, axes=axes) * (u0 - x0) ** 2)


def diffusion_rate(process: Process, u0: Array, x0: Array, t: Time, *, axes: tuple[int, ...] = (-2, -1)) -> Array:
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

    References
    ----------
    SPEC 6 (SNR' = -SNR g2 / sigma^2) and 8.
    """
    u0, x0 = together(u0=u0, x0=x0)
    shape = grid_shape(u0, axes)
    m = process.marginal(t, shape=shape, like=u0)
    weight = m.alpha**2 * process.sde(t, shape=shape, like=u0).diffusion / m.sigma**4
    return 0.5 * _sum(align(weight, ndim=u0.ndim, axes=axes) * (u0 - x0) ** 2)


def reconstruction(
    x: Array, mean: Array, std: float, *, low: float = -1.0, high: float = 1.0, levels: int = 256
) -> Array:
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
        (batch,), finite however far `mean` is from `x`.

    Raises
    ------
    ArgumentError
        `std` is not positive, or there are fewer than 2 levels.
    """
    xp = namespace(x=x, mean=mean)
    require(is_number(std) and std > 0, "std", std, "a number above 0")
    require(levels >= 2, "levels", levels, "at least 2")
    data, centre = together(x=x, mean=mean)
    half = (high - low) / (levels - 1) / 2
    inf = xp.full_like(data, math.inf)
    left = xp.where(data < low + half, -inf, (data - half - centre) / std)
    right = xp.where(data > high - half, inf, (data + half - centre) / std)
    return -_sum(_log_normal_mass(xp, left, right))


def _log_normal_mass(xp: Any, left: Array, right: Array) -> Array:
    """Return the log of the standard normal probability of [left, right], by Gauss-Legendre quadrature of its density.

    The Array API has no error function. The density is divided by its largest value in the interval, and the interval is
    cut where nothing is left of it: 64 nodes then give all digits of float64, in the tails as well.
    """
    nearest = xp.clip(xp.zeros_like(left), left, right)
    reach = xp.sqrt(nearest**2 + _REACH)
    left, right = xp.maximum(left, -reach), xp.minimum(right, reach)
    middle, half = (left + right) / 2, (right - left) / 2
    total = xp.zeros_like(left)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        y = middle + half * node
        total = total + weight * xp.exp((nearest - y) * (nearest + y) / 2)
    return xp.log(total * half) - nearest**2 / 2 - 0.5 * math.log(2 * math.pi)


def heat_step(before: Array, mean: Array, *, sigma: float, delta: float) -> Array:
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


def mixture_kl(u: Array, mean: Array, centres: Array, *, sigma: float) -> Array:
    r"""Return :math:`\log q(u) - \log p(u)` for :math:`q = N(m, \sigma^2)` and p, the even mixture of :math:`N(c_j, \sigma^2)`.

    Its expectation over u from q is the divergence of the two: the prior's term for inverse heat dissipation, whose
    sampling starts from a blurred training image c_j and noise.

    Parameters
    ----------
    u, mean
        (batch, dims).
    centres
        (components, dims).
    sigma
        Standard deviation, > 0.

    Returns
    -------
    Array
        (batch,); at most log(components) where `mean` is one of the centres.
    """
    xp = namespace(u=u, mean=mean, centres=centres)
    u, mean, centres = together(u=u, mean=mean, centres=centres)
    require(sigma > 0, "sigma", sigma, "above 0")
    own = -xp.sum((u - mean) ** 2, axis=1) / (2 * sigma**2)
    squares = xp.sum(u**2, axis=1)[:, None] + xp.sum(centres**2, axis=1)[None, :] - 2 * (u @ centres.T)
    logits = -squares / (2 * sigma**2)
    top = xp.max(logits, axis=1, keepdims=True)
    mixture = top[:, 0] + xp.log(xp.mean(xp.exp(logits - top), axis=1))
    return own - mixture


def _sum(x: Array) -> Array:
    return namespace(x=x).sum(x, axis=tuple(range(1, x.ndim)))
