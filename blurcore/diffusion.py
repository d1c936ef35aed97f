r"""The process as free functions: noise data, step forwards, step back; the same text for every process (SPEC 2-4, 6).

Heat dissipation *is* Gaussian diffusion with non-isotropic noise: in the basis of the process both are

.. math::

    q(u_t | u_s) = N(\alpha_{t|s} u_s, \sigma_{t|s}^2), \qquad \alpha_{t|s} = \alpha_t / \alpha_s, \qquad
    \sigma_{t|s}^2 = -\sigma_t^2 \, \mathrm{expm1}(D), \qquad D = l_t - l_s \le 0 .

Bayes' rule gives the posterior in the same exact form:

.. math::

    q(u_s | u_t, u_0) = N\big( \tfrac{\alpha_s}{\alpha_t} e^{D} u_t - \alpha_s \mathrm{expm1}(D) \, u_0, \;
    -\sigma_s^2 \, \mathrm{expm1}(D) \big) .
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, NamedTuple

import numpy as np

from blurcore._arrays import (
    align,
    as_result,
    is_checkable,
    is_number,
    namespace,
    normalize_axes,
    quiet,
    to_host,
    together,
)
from blurcore._typing import A, A_co, Array, Time
from blurcore.errors import ArgumentError, DegenerateError, NotMarkovError
from blurcore.processes import SDE, Difference, Marginal, Process
from blurcore.transforms import Basis, check_shape


class Transition(NamedTuple, Generic[A_co]):
    """q(u_t | u_s) = N(alpha u_s, variance); shapes ``(*time, *grid)`` or 1 along the grid."""

    alpha: A_co
    variance: A_co


class Posterior(NamedTuple, Generic[A_co]):
    """q(u_s | u_t, u_0) = N(z_coef u_t + x_coef u_0, variance); shapes ``(*time, *grid)`` or 1 along the grid."""

    z_coef: A_co
    x_coef: A_co
    variance: A_co


def grid_shape(x: Array, axes: tuple[int, ...] | int, name: str = "x") -> tuple[int, ...]:
    """Return the sizes of `x` along `axes`; errors call it by `name`."""
    if not hasattr(x, "shape"):
        namespace(**{name: x})  # says what it should be
    return tuple(x.shape[a] for a in normalize_axes(axes, x.ndim))


def marginal_for(process: Process, t: Time, x: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Marginal[Array]:
    """Return the marginal's coefficients laid out to broadcast over data `x`; see :meth:`Process.marginal`."""
    shape = grid_shape(x, axes)
    check_batch(t, x)
    m = process.marginal(t, shape=shape, like=x)
    return Marginal(*(align(c, ndim=x.ndim, axes=axes) for c in m))


@quiet
def diffuse(process: Process, x: A, t: Time, eps: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
    r"""Draw from the marginal, in data space: :math:`z_t = V (\alpha_t V^T x) + \sigma_t \epsilon` (SPEC 2; the paper's eq. 9).

    Parameters
    ----------
    process
        Any process.
    x
        Data, real floating, any shape; images in [-1, 1].
    t
        Time in [0, 1]: a number, or an array whose axes are the leading axes of `x` (one value per batch item).
    eps
        Standard normal noise in data space, of the shape and dtype of `x`.
    axes
        The axes of the grid in `x`: (-2, -1) for channels first, (1, 2) for channels last, (-1,) for audio.

    Returns
    -------
    Array
        z_t, of the shape, library, dtype and device of `x`.

    Raises
    ------
    ArgumentError
        `x` or `eps` is not real floating, their shapes differ, `t` is no time in [0, 1] or does not fit the batch.
    NamespaceError
        The arrays belong to different libraries or devices.
    """
    signal, noise, m = signal_and_noise(process, x, t, eps, axes=axes)
    return as_result(mix(process.basis, m, signal, noise, axes=axes), x)


def signal_and_noise(
    process: Process, x: A, t: Time, eps: Array, *, axes: tuple[int, ...] | int
) -> tuple[A, Array, Marginal[Array]]:
    """Return data and noise in their compute dtype, and the marginal laid out over them; errors as :func:`diffuse`."""
    namespace(x=x, eps=eps, t=t)
    signal, noise = together(x=x, eps=eps)
    if eps.shape != x.shape:
        raise ArgumentError(f"eps must have the shape of x, {tuple(x.shape)}; got {tuple(eps.shape)}")
    return signal, noise, marginal_for(process, t, x, axes=axes)


def mix(basis: Basis, weights: Marginal[Array], first: A, second: Array, *, axes: tuple[int, ...] | int) -> A:
    r"""Return :math:`V (\alpha V^T a + \sigma V^T b)`; two transforms where sigma is the same in every frequency."""
    u = weights.alpha * basis.forward(first, axes=axes)
    if is_isotropic(weights.sigma, axes, first.ndim):
        return basis.inverse(u, axes=axes) + weights.sigma * second  # white noise is white in both spaces
    return basis.inverse(u + weights.sigma * basis.forward(second, axes=axes), axes=axes)


def is_isotropic(sigma: Array, axes: tuple[int, ...] | int, ndim: int) -> bool:
    """Whether noise of these standard deviations is the same in every frequency, which its shape tells."""
    return all(sigma.shape[a] == 1 for a in normalize_axes(axes, ndim))


def check_batch(t: Time, x: Array) -> None:
    """Refuse times that are not those of the leading axes of `x`."""
    times: Any = t
    if getattr(times, "ndim", 0) > 0:
        leading = tuple(x.shape[: times.ndim])
        if any(n not in (1, m) for n, m in zip(times.shape, leading, strict=False)) or times.ndim > x.ndim:
            raise ArgumentError(
                f"t must have the leading axes of x, whose shape is {tuple(x.shape)}; got {tuple(times.shape)}"
            )


@quiet
def transition(
    process: Process, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
) -> Transition[Array]:
    r"""Return :math:`\alpha_{t|s}` and :math:`\sigma_{t|s}^2` of the forward step from s to t (SPEC 3; the paper's eq. 18).

    In data space the step is :math:`z_t = V \mathrm{diag}(\alpha_{t|s}) V^T z_s` plus noise of covariance
    :math:`V \mathrm{diag}(\sigma_{t|s}^2) V^T`, which is not isotropic.

    Parameters
    ----------
    process
        Any process.
    t, s
        Times with 0 <= s <= t <= 1, numbers or arrays of leading axes.
    shape
        Sizes of the grid.
    like
        An array whose library, device and compute dtype the result gets; see :meth:`Process.marginal`.

    Raises
    ------
    ArgumentError
        s > t, or a time outside [0, 1] (seen for numbers and NumPy arrays).
    NotMarkovError
        The log-SNR increases from s to t in some frequency (seen likewise).
    """
    d = _checked_difference(process, t, s, shape=shape, like=like)
    sigma_t = _marginal_beside(d, process, t, shape=shape, like=_like(like, t, s)).sigma
    xp = namespace(alpha=d.alpha)
    return Transition(alpha=d.alpha, variance=-(sigma_t**2) * xp.expm1(d.log_snr))


@quiet
def posterior(
    process: Process, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
) -> Posterior[Array]:
    r"""Return the coefficients of :math:`q(u_s | u_t, u_0)`, one step back (SPEC 4, exact forms; the paper's eq. 20-21).

    Parameters
    ----------
    process
        Any process with noise.
    t, s
        Times with 0 <= s <= t <= 1, numbers or arrays of leading axes.
    shape
        Sizes of the grid.
    like
        An array whose library, device and compute dtype the result gets; see :meth:`Process.marginal`.

    Returns
    -------
    Posterior
        mean = z_coef u_t + x_coef u_0, and the variance.

    Raises
    ------
    ArgumentError
        s > t, or a time outside [0, 1] (seen for numbers and NumPy arrays).
    NotMarkovError
        The log-SNR increases from s to t in some frequency (seen likewise).
    DegenerateError
        The process has no noise (cold diffusion), or t is a time without noise: Bayes' rule has nothing to say.
    """
    d = _checked_difference(process, t, s, shape=shape, like=like)
    like = _like(like, t, s)
    m_t, m_s = (_marginal_beside(d, process, time, shape=shape, like=like) for time in (t, s))
    xp = namespace(alpha=d.alpha)
    if bool(np.any(to_host(m_t.sigma) == 0)) if is_checkable(xp) else is_number(t) and is_number(s):
        require_noise("the posterior", process, t, shape=shape)
    gain = -xp.expm1(d.log_snr)
    # (alpha_s / alpha_t) e^D = (alpha_t / alpha_s) (sigma_s / sigma_t)^2: no exponential, and no division by alpha_t.
    return Posterior(
        z_coef=d.alpha * (m_s.sigma / m_t.sigma) ** 2, x_coef=m_s.alpha * gain, variance=m_s.sigma**2 * gain
    )


def require_noise(what: str, process: Process, t: Time, *, shape: tuple[int, ...]) -> None:
    """Refuse a time without noise, where `what` divides by sigma; on the host, so that no device is waited for.

    Raises
    ------
    DegenerateError
        sigma is 0 at t.
    """
    time = float(t) if is_number(t) else to_host(t)
    sigma = process.marginal(time, shape=shape).sigma
    if bool(np.any(sigma == 0)):
        raise DegenerateError(
            f"{what} of {type(process).__name__} is undefined at t = {t!r}, where sigma is 0;"
            " a process without noise has its own step (cold diffusion)"
        )


def _like(like: Array | None, t: Time, s: Time) -> Array | None:
    """Return the array whose frame the coefficients of one call share."""
    if like is not None:
        return like
    return next((time for time in (t, s) if not is_number(time)), None)


def _marginal_beside(
    d: Difference[Array], process: Process, time: Time, *, shape: tuple[int, ...], like: Array | None
) -> Marginal[Array]:
    """Return the marginal at one of the times of a difference, with as many axes, should the other time have more."""
    m, ndim = process.marginal(time, shape=shape, like=like), d.alpha.ndim
    return Marginal(*[c if c.ndim == ndim else c[(*(None,) * (ndim - c.ndim), ...)] for c in m])


def _checked_difference(
    process: Process, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None
) -> Difference[Array]:
    """Return the difference, having refused a wrong order and a rise of the log-SNR where they can be seen."""
    on_host = is_number(t) and is_number(s)
    d = process.difference(t, s, shape=shape, like=like)
    xp = namespace(alpha=d.alpha)
    if on_host and float(s) > float(t):
        raise ArgumentError(f"s must be at most t = {float(t)!r}; got {float(s)!r}")
    if on_host and not is_checkable(xp):
        check_markov(process, (float(s), float(t)), shape=shape)
    elif is_checkable(xp):
        late, early = (float(time) if is_number(time) else time for time in (t, s))
        if not on_host and bool(xp.any(early > late)):
            raise ArgumentError(f"s must be at most t; got s = {s!r}, t = {t!r}")
        _require_fall(to_host(d.log_snr), s, t, shape)
    return d


def _require_fall(log_snr: Any, s: Time, t: Time, shape: tuple[int, ...]) -> None:
    if bool(np.all(log_snr <= 0)):
        return
    worst = np.unravel_index(int(np.argmax(np.where(np.isnan(log_snr), np.inf, log_snr))), log_snr.shape)
    shape = check_shape(shape)
    frequency = tuple(int(i) for i in worst[-len(shape) :])
    raise NotMarkovError(
        f"the log-SNR of frequency {frequency} on the grid {shape} changes by {float(log_snr[worst]):+.3g} between s = {s!r} and t = {t!r};"
        " it must not increase with time"
    )


def surely_falls(process: Process, t: Array, s: Array) -> bool:
    """Whether the schedules alone show that the log-SNR rises in no frequency between host times s <= t."""
    told: Callable[[Array, Array], bool] | None = getattr(process, "surely_falls", None)
    return told is not None and told(t, s)


@quiet
def check_markov(process: Process, times: tuple[float, ...], *, shape: tuple[int, ...]) -> None:
    """Refuse a process whose log-SNR increases in some frequency between two neighbouring times (SPEC 2).

    Parameters
    ----------
    process
        Any process.
    times
        Increasing times in [0, 1].
    shape
        Sizes of the grid.

    Raises
    ------
    NotMarkovError
        Names the frequency, the interval and the rise.
    """
    shape, grid = check_shape(shape), np.asarray(times, dtype=np.float64)
    if surely_falls(process, grid[1:], grid[:-1]):
        return
    block = max(1, 2**17 // math.prod(shape))
    for first in range(0, len(grid) - 1, block):
        s, t = grid[first : first + block + 1][:-1], grid[first + 1 : first + block + 1]
        steps = np.asarray(process.difference(t, s, shape=shape).log_snr)
        if not bool(np.all(steps <= 0)):
            i = int(np.argmin(np.all(steps <= 0, axis=tuple(range(1, steps.ndim)))))
            _require_fall(steps[i], float(s[i]), float(t[i]), shape)


def log_snr(process: Process, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Array:
    """Return l_t = 2 log alpha_t - 2 log sigma_t for each frequency; see :meth:`Process.log_snr`."""
    return process.log_snr(t, shape=shape, like=like)


def sde(process: Process, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> SDE[Array]:
    """Return drift and diffusion in continuous time for each frequency; see :meth:`Process.sde`."""
    return process.sde(t, shape=shape, like=like)
