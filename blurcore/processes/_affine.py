r"""The one kernel that all processes of the paper share: affine and diagonal in frequency (SPEC 2, 4, 6).

.. math::

    \alpha_t = a_t d_t, \qquad d_t = (1 - d_{min}) e^{-\lambda \tau_t} + d_{min}, \qquad l_t = g_t + 2 \log d_t .

Differences are taken in the exact form, relative to their own size whatever the distance of t and s:

.. math::

    \log d_t - \log d_s = -\mathrm{log1p}\big( -(1 - d_{min}) e^{-\lambda \tau_s}
        \mathrm{expm1}(-\lambda (\tau_t - \tau_s)) / d_t \big), \qquad D = (g_t - g_s) + 2 (\log d_t - \log d_s) .

The argument of log1p is :math:`d_s / d_t - 1 \ge 0`. The other way round, :math:`d_t / d_s - 1`, it comes close to -1
where the blur is strong, and the logarithm loses :math:`d_s / d_t` units in the last place.

On a grid :math:`\lambda` is a sum over axes, so that :math:`e^{-\lambda \tau}` is a product of one factor for each, and so,
without cancellation, is its complement: :math:`1 - e^{-(x + y)} = p + q (1 - p)` with :math:`p = 1 - e^{-x}` and
:math:`q = 1 - e^{-y}`. H + W exponentials then serve H x W frequencies.
"""

from __future__ import annotations

from functools import reduce
from operator import add, mul
from typing import Any, Generic, NamedTuple

import numpy as np

from blurcore._arrays import Times, prepare_times, quiet
from blurcore._typing import A_co, Array, Namespace, Time
from blurcore.errors import NotMarkovError
from blurcore.schedules import BlurSchedule, NoiseSchedule
from blurcore.transforms import Basis, Identity, check_shape, eigenvalues_by_axis


class Marginal(NamedTuple, Generic[A_co]):
    """q(u_t | u_0) = N(alpha u_0, sigma^2); shapes ``(*time, *grid)``, or 1 for each grid axis where nothing depends on it."""

    alpha: A_co
    sigma: A_co


class Difference(NamedTuple, Generic[A_co]):
    """What lies between s and t: alpha_t / alpha_s, and D = l_t - l_s <= 0."""

    alpha: A_co
    log_snr: A_co


class Velocity(NamedTuple, Generic[A_co]):
    """d alpha / dt and d sigma / dt, along which u_t moves between its data and its noise; shapes as :class:`Marginal`'s."""

    alpha: A_co
    sigma: A_co


class SDE(NamedTuple, Generic[A_co]):
    """du = drift u dt + sqrt(diffusion) dw: SPEC 6's f and g2."""

    drift: A_co
    diffusion: A_co


class Parts(NamedTuple):
    """What an affine process is made of."""

    noise: NoiseSchedule
    blur: BlurSchedule
    min_scale: float
    basis: Basis


class _Spectrum(NamedTuple):
    """Eigenvalues as terms that add up to them, each laid out to broadcast over times and grid."""

    xp: Namespace
    terms: tuple[Array, ...]

    def total(self) -> Array:
        """Return lambda."""
        return reduce(add, self.terms)

    def left(self, tau: Any) -> Array:
        """Return e^(-lambda tau)."""
        return reduce(mul, (self.xp.exp(-(term * tau)) for term in self.terms))

    def lost(self, tau: Any) -> Array:
        """Return 1 - e^(-lambda tau), relative to its own size."""
        return reduce(lambda p, q: p + q * (1 - p), (-self.xp.expm1(-(term * tau)) for term in self.terms))


def _decay(left: Array, min_scale: float) -> Array:
    """Return d = e^-x + d_min (1 - e^-x) from e^-x: a sum of what is not negative, and 1 at x = 0 to the last bit."""
    return left if min_scale == 0 else left + min_scale * (1 - left)


def _log_decay_difference(xp: Any, left: Array, lost: Array, decay: Array, min_scale: float) -> Array:
    """Return log d_t - log d_s from e^(-lambda tau_s), 1 - e^(-lambda (tau_t - tau_s)) and d_t; d_min > 0."""
    return -xp.log1p((1 - min_scale) * left * lost / decay)


class AffineProcess:
    """Coefficients of a process that is made of a noise schedule, a blur schedule and a floor of the blur."""

    __slots__ = ()

    def _parts(self) -> Parts:
        raise NotImplementedError

    def _setup(self, shape: tuple[int, ...], like: Array | None, **times: Time) -> tuple[Times, _Spectrum]:
        ready, basis = prepare_times(like, **times), self._parts().basis
        if isinstance(basis, Identity):
            shape = (1,) * len(shape)  # one value serves all frequencies: leave it to broadcasting
        f = ready.frame
        terms = eigenvalues_by_axis(basis, shape, f)
        if not ready.on_host:  # as (1, .., 1, *grid), so that no operation broadcasts between ranks
            before = (1,) * ready.values[0].ndim
            terms = tuple(f.xp.reshape(term, (*before, *term.shape)) for term in terms)
        return ready, _Spectrum(f.xp, terms)

    def surely_falls(self, t: Array, s: Array) -> bool:
        """Whether the schedules alone show that the log-SNR rises in no frequency between host times s <= t."""
        noise, blur, _, _ = self._parts()
        steps, heat = noise.log_snr_difference(t, s), blur.tau_difference(t, s)
        return bool(np.all(np.asarray(steps) <= 0) and np.all(np.asarray(heat) >= 0))

    @quiet
    def marginal(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Marginal[Array]:
        r"""Return alpha and sigma of :math:`q(u_t | u_0)` for each frequency (SPEC 2; the paper's eq. 15-17).

        Parameters
        ----------
        t
            Time in [0, 1]: a number, or an array whose axes are the leading axes of the data.
        shape
            Sizes of the grid, such as (H, W).
        like
            An array whose library, device and compute dtype (float32, or float64 for float64 data) the result gets.
            Not given: those of `t`, or NumPy float64 for a number.

        Returns
        -------
        Marginal
            `alpha`: ``(*t.shape, *shape)``; `sigma`: ``(*t.shape, 1, ..)``, the noise being isotropic. Without a blur alpha has
            size 1 along the grid as well.

        Raises
        ------
        ArgumentError
            `t` is outside [0, 1] or not real floating; `shape` is no grid.
        NamespaceError
            `t` and `like` belong to different libraries or devices.
        """
        shape = check_shape(shape)
        times, spectrum = self._setup(shape, like, t=t)
        noise, blur, min_scale, _ = self._parts()
        (t,) = times.values
        a, sigma = (times.scalar(v, len(shape)) for v in noise.scales(t))
        alpha = a * _decay(spectrum.left(times.scalar(blur.tau(t), len(shape))), min_scale)
        sigma = times.frame.xp.zeros_like(spectrum.terms[0][(..., *(slice(0, 1),) * len(shape))]) + sigma
        return Marginal(alpha=times.frame.finish(alpha), sigma=times.frame.finish(sigma))

    @quiet
    def log_snr(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Array:
        r"""Return :math:`l_t = 2 \log \alpha_t - 2 \log \sigma_t` from logarithms, finite where alpha underflows.

        Arguments, shape and errors as in :meth:`marginal`; infinite where sigma_t = 0.
        """
        shape = check_shape(shape)
        times, spectrum = self._setup(shape, like, t=t)
        noise, blur, min_scale, _ = self._parts()
        (t,) = times.values
        tau = times.scalar(blur.tau(t), len(shape))
        log_d = -tau * spectrum.total() if min_scale == 0 else spectrum.xp.log(_decay(spectrum.left(tau), min_scale))
        return times.frame.finish(times.scalar(noise.log_snr(t), len(shape)) + 2 * log_d)

    @quiet
    def difference(self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Difference[Array]:
        r"""Return :math:`\alpha_t / \alpha_s` and :math:`D = l_t - l_s` in the difference form (SPEC 4), s <= t.

        Arguments as in :meth:`marginal`. The order of s and t is not checked here; see
        :func:`blurcore.transition` and :func:`blurcore.posterior`.
        """
        shape = check_shape(shape)
        times, spectrum = self._setup(shape, like, t=t, s=s)
        noise, blur, min_scale, _ = self._parts()
        t, s = times.values
        ratio = times.scalar(noise.scales(t).a / noise.scales(s).a, len(shape))
        step = times.scalar(noise.log_snr_difference(t, s), len(shape))
        heat = times.scalar(blur.tau_difference(t, s), len(shape))
        if min_scale == 0:
            alpha = ratio * spectrum.left(heat)  # the quotient of two decays that underflow
            log_d = -heat * spectrum.total()
        else:
            before = times.scalar(blur.tau(s), len(shape))
            left = spectrum.left(before)
            decay = _decay(spectrum.left(before + heat), min_scale)
            alpha = ratio * decay / _decay(left, min_scale)
            log_d = _log_decay_difference(spectrum.xp, left, spectrum.lost(heat), decay, min_scale)
        log_snr = step + 2 * log_d
        return Difference(alpha=times.frame.finish(alpha), log_snr=times.frame.finish(log_snr))

    @quiet
    def sde(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> SDE[Array]:
        r"""Return f = d log alpha / dt and g2 = -sigma^2 dl/dt for each frequency (SPEC 6).

        Arguments and errors as in :meth:`marginal`; both have shape ``(*t.shape, *shape)``.
        """
        shape = check_shape(shape)
        times, spectrum = self._setup(shape, like, t=t)
        noise, blur, min_scale, _ = self._parts()
        (t,) = times.values
        rates = noise.rates(t)
        log_d_rate = -times.scalar(blur.tau_rate(t), len(shape)) * spectrum.total()
        if min_scale != 0:
            left = spectrum.left(times.scalar(blur.tau(t), len(shape)))
            log_d_rate = log_d_rate * ((1 - min_scale) * left / _decay(left, min_scale))
        variance = times.scalar(noise.scales(t).sigma ** 2, len(shape))
        drift = times.scalar(rates.log_a, len(shape)) + log_d_rate
        diffusion = times.scalar(rates.noise, len(shape)) - 2 * variance * log_d_rate
        return SDE(drift=times.frame.finish(drift), diffusion=times.frame.finish(diffusion))

    @quiet
    def velocity(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Velocity[Array]:
        r"""Return :math:`\alpha_t' = a_t' d_t + a_t d_t'` and :math:`\sigma_t'` (SPEC 5), finite where f = alpha' / alpha is not.

        Arguments and errors as in :meth:`marginal`; alpha has shape ``(*t.shape, *shape)``, sigma ``(*t.shape, 1, ..)``.
        """
        shape = check_shape(shape)
        times, spectrum = self._setup(shape, like, t=t)
        noise, blur, min_scale, _ = self._parts()
        (t,) = times.values
        rates, a = noise.rates(t), times.scalar(noise.scales(t).a, len(shape))
        left = spectrum.left(times.scalar(blur.tau(t), len(shape)))
        blurred = -times.scalar(blur.tau_rate(t), len(shape)) * spectrum.total() * (1 - min_scale) * left
        alpha = a * (times.scalar(rates.log_a, len(shape)) * _decay(left, min_scale) + blurred)
        sigma = times.frame.xp.zeros_like(spectrum.terms[0][(..., *(slice(0, 1),) * len(shape))])
        sigma = sigma + times.scalar(rates.sigma, len(shape))
        return Velocity(alpha=times.frame.finish(alpha), sigma=times.frame.finish(sigma))

    @quiet
    def _require_markov(self) -> None:
        """Refuse schedules whose log-SNR rises somewhere, seen on a grid of times and eigenvalues, before any use.

        The built-in schedules are monotone; this is for those that a user brings.
        """
        noise, blur, min_scale, _ = self._parts()
        edges = np.linspace(0.0, 1.0, 257)
        s, t = edges[:-1], edges[1:]
        lam = np.concatenate([[0.0], np.geomspace(1e-4, 3 * np.pi**2, 24)])[:, None]
        before, heat = lam * np.asarray(blur.tau(s)), lam * np.asarray(blur.tau_difference(t, s))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if min_scale == 0:
                log_d = -heat
            else:
                decay = _decay(np.exp(-(before + heat)), min_scale)
                log_d = _log_decay_difference(np, np.exp(-before), -np.expm1(-heat), decay, min_scale)
            rise = np.asarray(noise.log_snr_difference(t, s)) + 2 * log_d
        if np.isnan(rise).any() or (rise > 0).any():
            row, column = np.unravel_index(int(np.argmax(np.where(np.isnan(rise), np.inf, rise))), rise.shape)
            raise NotMarkovError(
                f"the log-SNR of the frequency with eigenvalue lambda = {lam[row, 0]:.4g} changes by {rise[row, column]:+.3g} between"
                f" s = {s[column]:.6g} and t = {t[column]:.6g}; it must not increase with time, so check noise and blur"
            )
