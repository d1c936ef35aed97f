r"""A user's process from the schedule of each frequency; everything else follows.

What is written is :math:`\log \alpha_t(\lambda)` and :math:`l_t(\lambda)`, and the drift and diffusion of the same in
continuous time. The marginal, transitions, posteriors, losses and every sampler need nothing more (SPEC 2-4, 6, 7), so that

.. math:: \sigma_t = e^{\log \alpha_t - l_t / 2}, \qquad D = l_t - l_s,

may differ from frequency to frequency, unlike in the paper's processes, whose noise is white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from blurcore._arrays import Frame, prepare_times, quiet
from blurcore._checks import make_plain
from blurcore._typing import Array, Time
from blurcore.errors import NotMarkovError
from blurcore.processes._affine import SDE, Difference, Marginal, Velocity
from blurcore.transforms import DCT, DST, RealFourier, check_shape


class Logs(NamedTuple):
    """log alpha_t, and l_t = 2 log(alpha_t / sigma_t)."""

    alpha: Array
    snr: Array


@dataclass(frozen=True, kw_only=True)
class SpectralProcess:
    """Base of processes that are given by a schedule for each frequency; a subclass writes :meth:`logs` and :meth:`rates`.

    A subclass is a frozen dataclass with keyword-only fields, whose own ``__post_init__``, if it has one, calls this one's.
    :func:`blurcore.register_kind` makes it known to configuration files, checkpoints and the command line;
    :func:`blurcore.testing.check_process` tests it.

    Parameters
    ----------
    basis
        Where the process is diagonal.

    Raises
    ------
    NotMarkovError
        The log-SNR of a frequency increases with time.
    """

    basis: DCT | DST | RealFourier = DCT()

    @quiet
    def __post_init__(self) -> None:
        make_plain(self)
        lam = np.concatenate([[0.0], np.geomspace(1e-4, 3 * np.pi**2, 24)])[:, None]
        times = np.linspace(0.0, 1.0, 257)
        snr = np.broadcast_to(np.asarray(self.logs(times[None, :], lam).snr), (25, 257))
        with np.errstate(invalid="ignore"):
            rise = np.diff(snr, axis=1)
        # Two infinities at the start have no difference, and are no rise.
        bad = np.isnan(snr).any(axis=1, keepdims=True) | (rise > 1e-12 * (1 + np.abs(snr[:, 1:])))
        if bad.any():
            row, column = np.unravel_index(int(np.argmax(bad)), rise.shape)
            raise NotMarkovError(
                f"the log-SNR of the frequency with eigenvalue lambda = {lam[row, 0]:.4g} goes from {snr[row, column]:.6g} at"
                f" s = {times[column]:.6g} to {snr[row, column + 1]:.6g} at t = {times[column + 1]:.6g}; it must be a number"
                f" that does not increase with time, so check {type(self).__name__}.logs"
            )

    def logs(self, t: Array, lam: Array) -> Logs:
        """Return log alpha_t and l_t; to be written.

        Parameters
        ----------
        t, lam
            Times in [0, 1] and eigenvalues >= 0, arrays of one Array API library that broadcast with one another.

        Returns
        -------
        Logs
            Finite, but for l_0 = inf where there is no noise; each broadcasts with `t` and `lam`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define logs(t, lam)")

    def rates(self, t: Array, lam: Array) -> SDE[Array]:
        """Return d log alpha / dt and g2 = -sigma^2 dl/dt (SPEC 6), for the same arguments; to be written."""
        raise NotImplementedError(f"{type(self).__name__} must define rates(t, lam)")

    def _setup(self, shape: tuple[int, ...], like: Array | None, **times: Time) -> tuple[Frame, Array, list[Array]]:
        """Return the frame, and eigenvalues and times as arrays of rank time + grid."""
        shape = check_shape(shape)
        ready = prepare_times(like, **times)
        f = ready.frame
        rank = 0 if ready.on_host else ready.values[0].ndim
        lam = f.xp.reshape(self.basis.eigenvalues_in(shape, f), (*([1] * rank), *shape))
        ones = f.xp.ones_like(lam[(..., *(slice(0, 1),) * len(shape))])
        return f, lam, [ones * ready.scalar(value, len(shape)) for value in ready.values]

    @quiet
    def marginal(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Marginal[Array]:
        """Return alpha and sigma for each frequency; see :meth:`blurcore.Process.marginal`."""
        f, lam, (t,) = self._setup(shape, like, t=t)
        logs = self.logs(t, lam)
        return Marginal(
            alpha=f.finish(f.xp.exp(logs.alpha) + 0 * t), sigma=f.finish(f.xp.exp(logs.alpha - logs.snr / 2) + 0 * t)
        )

    @quiet
    def log_snr(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Array:
        """Return l_t; see :meth:`blurcore.Process.log_snr`."""
        f, lam, (t,) = self._setup(shape, like, t=t)
        return f.finish(self.logs(t, lam).snr + 0 * t)

    @quiet
    def difference(self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Difference[Array]:
        """Return alpha_t / alpha_s and l_t - l_s; see :meth:`blurcore.Process.difference`.

        Taken as differences of logarithms in the working precision: in float64 a thousandth of the way keeps 12 digits.
        """
        f, lam, (t, s) = self._setup(shape, like, t=t, s=s)
        after, before = self.logs(t, lam), self.logs(s, lam)
        zero = f.xp.zeros_like(t)  # two infinities, at t = s = 0, have no difference
        later, earlier = (f.xp.where(t == s, zero, logs.snr) for logs in (after, before))
        return Difference(
            alpha=f.finish(f.xp.exp(after.alpha - before.alpha) + 0 * t), log_snr=f.finish(later - earlier)
        )

    @quiet
    def sde(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> SDE[Array]:
        """Return drift and diffusion; see :meth:`blurcore.Process.sde`."""
        f, lam, (t,) = self._setup(shape, like, t=t)
        rates: Any = self.rates(t, lam)
        return SDE(drift=f.finish(rates.drift + 0 * t), diffusion=f.finish(rates.diffusion + 0 * t))

    @quiet
    def velocity(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Velocity[Array]:
        """Return alpha f and f sigma + g2 / (2 sigma), infinite where sigma is 0; see :meth:`blurcore.Process.velocity`."""
        f, lam, (t,) = self._setup(shape, like, t=t)
        logs, rates = self.logs(t, lam), cast(Any, self.rates(t, lam))
        alpha, sigma = f.xp.exp(logs.alpha), f.xp.exp(logs.alpha - logs.snr / 2)
        rises = rates.drift * sigma + rates.diffusion / (2 * sigma)
        return Velocity(alpha=f.finish(alpha * rates.drift + 0 * t), sigma=f.finish(rises + 0 * t))
