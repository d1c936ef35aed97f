r"""Calibrated ancestral sampling: the variance of the exact reverse step, one for each frequency (SPEC 9).

The posterior's variance is what is left if u_0 is known. It is not: the network's guess has an error, and the reverse
step :math:`q(u_s | u_t)` is wider by it,

.. math:: \mathrm{Var}[u_s | u_t] = \sigma_{t \to s}^2 + \mathrm{x\_coef}^2 \, \mathrm{Var}[u_0 | u_t],

the law of total variance. In the place of Var[u_0 | u_t] stands the mean squared error of the network's prediction of
u_0 at that time, in that frequency, measured once. It is the idea of Analytic-DPM (Bao et al. 2022), whose variance is one
number for each time, with one for each frequency. For Gaussian data and an exact network the output has the right
spectrum, whatever the number of steps, if the last step draws its noise as well. That noise is part of the data here:
without it the highest frequencies lack what the last step leaves undecided, in SPEC 9's example 44 % after 100 steps
even in t.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Self, final

import numpy as np

from blurcore._arrays import is_number, prepare_times, quiet, root
from blurcore._checks import make_plain, require
from blurcore._late import Unknown, late
from blurcore._typing import Array, Time
from blurcore.diffusion import posterior
from blurcore.errors import ArgumentError
from blurcore.processes import Process
from blurcore.samplers._base import NOTHING, Coefficients, Context, LinearStepper
from blurcore.transforms import check_shape


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class X0Error:
    """A table of the mean squared error of the predicted u_0, over times and frequencies: a value, like the solvers.

    Parameters
    ----------
    times
        Two or more times in [0, 1], increasing strictly. Errors are smooth in the log-SNR of the noise: a few dozen
        times even in that (:func:`blurcore.log_snr_times`, reversed) leave less than 1 % in SPEC 9's example, where
        as many times even in t leave 30 %, because the error falls steeply near t = 0.
    values
        The errors, >= 0, ``(number of times, *grid)``; a grid axis on which they do not depend may have size 1. They are copied.

    Raises
    ------
    ArgumentError
        The times do not increase, or `values` do not fit them, or are negative or not finite.
    """

    times: tuple[float, ...]
    values: np.ndarray[Any, np.dtype[np.float64]]

    def __post_init__(self) -> None:
        own = tuple(float(t) for t in self.times)
        require(
            len(own) >= 2 and all(a < b for a, b in pairwise(own)) and own[0] >= 0 and own[-1] <= 1,
            "times",
            own,
            "two or more that increase strictly, in [0, 1]",
        )
        table = np.array(self.values, dtype=np.float64)
        require(
            table.ndim >= 2 and table.shape[0] == len(own),
            "values",
            table.shape,
            f"of the shape (times, *grid), with {len(own)} times",
        )
        require(
            bool(np.all((table >= 0) & (table < np.inf))),
            "values",
            float(table.ravel()[np.argmin(table)]),
            "finite, and 0 or more, everywhere",
        )
        table.setflags(write=False)
        object.__setattr__(self, "times", own)
        object.__setattr__(self, "values", table)

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and unpickle through the constructor, so that copies are read-only too."""
        return partial(X0Error, times=self.times, values=self.values), ()

    def _key(self) -> tuple[object, ...]:
        return self.times, self.values.shape, self.values.tobytes()

    def __eq__(self, other: object) -> bool:
        """Whether times and values are the same."""
        return isinstance(other, X0Error) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash of times and values."""
        return hash(self._key())

    def __repr__(self) -> str:
        """What it covers, without the numbers."""
        return f"X0Error({len(self.times)} times from {self.times[0]!r} to {self.times[-1]!r}, grid {self.values.shape[1:]})"

    @quiet
    def at(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Array:
        r"""Return the errors at t: those of the table at its times, and :math:`e_i^{1-w} e_{i+1}^w` between them.

        Parameters
        ----------
        t
            A number, or an array of times; within the table's times (arrays that may be traced are clipped to them).
        shape
            Sizes of the grid.
        like
            An array whose library, device and compute dtype the result gets; see :meth:`Process.marginal`.

        Returns
        -------
        Array
            ``(*t.shape, *grid)``. For a number it is worked out on the host and moved: a loop on a device that minds
            asks for the coefficients of all its steps beforehand.

        Raises
        ------
        ArgumentError
            The table is for another grid, or t is a number outside its times.
        """
        grid, shape = self.values.shape[1:], check_shape(shape)
        require(
            len(grid) == len(shape) and all(n in (1, m) for n, m in zip(grid, shape, strict=True)),
            "x0_error",
            grid,
            f"a table for the grid {shape}",
        )
        ready = prepare_times(like, t=t)
        frame, (time,) = ready.frame, ready.values
        if ready.on_host:
            if not self.times[0] <= float(time) <= self.times[-1]:
                raise ArgumentError(
                    f"t must lie between the first and last time of x0_error, {self.times[0]!r} and {self.times[-1]!r};"
                    f" got {float(time)!r}"
                )
            found = _interpolate(np, time, np.asarray(self.times), self.values)
            return frame.out_xp.asarray(found, dtype=frame.out, device=frame.out_device)
        knots, table = (  # copies, because torch wants to be able to write
            frame.xp.asarray(np.array(v), dtype=frame.work, device=frame.device) for v in (self.times, self.values)
        )
        return frame.finish(_interpolate(frame.xp, time, knots, table))


def _interpolate(xp: Any, t: Array, knots: Array, table: Array) -> Array:
    """Return geometric means of neighbouring rows, ``(*t.shape, *row)``."""
    flat = xp.reshape(t, (-1,))
    passed = xp.astype(xp.reshape(flat, (-1, 1)) >= xp.reshape(knots[1:-1], (1, -1)), knots.dtype)
    below = xp.astype(xp.sum(passed, axis=1), xp.int32)
    low, high = xp.take(knots, below, axis=0), xp.take(knots, below + 1, axis=0)
    share = (flat - low) / (high - low)
    share = xp.where(share < 0, xp.zeros_like(share), share)  # of a clip JAX takes half of the slope at its ends
    share = xp.where(share > 1, xp.ones_like(share), share)
    share = xp.reshape(share, (-1, *([1] * (table.ndim - 1))))
    rows = xp.take(table, below, axis=0) ** (1 - share) * xp.take(table, below + 1, axis=0) ** share
    return xp.reshape(rows, (*t.shape, *table.shape[1:]))


@final
@dataclass(frozen=True, kw_only=True)
class CalibratedAncestral(LinearStepper):
    r"""Ancestral sampling with the variance :math:`\sigma_{t \to s}^2 + \mathrm{x\_coef}^2 e_t`.

    Parameters
    ----------
    process
        The process to reverse; it must have noise.
    x0_error
        Mean squared error e of the predicted u_0, per time and frequency.
    axes
        The axes of the grid in the state.
    """

    x0_error: X0Error = late()

    needs_calibration: ClassVar[bool] = True

    def build(self, process: Process, *, axes: tuple[int, ...], context: Context = NOTHING) -> Self:
        """Return the solver of a process and a network's error; see :meth:`Solver.build`.

        Raises
        ------
        ArgumentError
            The error has not been measured.
        """
        if context.x0_error is None:
            raise ArgumentError(
                "sample.solver CalibratedAncestral needs the network's error, measured once: blurcore calibrate RUN"
            )
        return replace(self, process=process, axes=axes, x0_error=context.x0_error)

    def __post_init__(self) -> None:
        make_plain(self)
        known = isinstance(self.x0_error, (X0Error, Unknown))
        require(known, "x0_error", self.x0_error, "an X0Error")

    @property
    def uses_noise(self) -> bool:
        """Ancestral sampling is random."""
        return True

    def restricted(self, process: Process, to: tuple[int, ...], scale: float) -> Self:
        """Return the solver of smaller images, with the first rows of the table; see :meth:`Stepper.restricted`."""
        rows = self.x0_error.values[(slice(None), *(slice(0, m) for m in to))]
        return replace(self, process=process, x0_error=X0Error(times=self.x0_error.times, values=scale**2 * rows))

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> Coefficients[Array]:
        """Return the posterior's mean and the standard deviation of the reverse step; see :meth:`Solver.coefficients`.

        Raises
        ------
        ArgumentError
            `x0_error` is for another grid, or t is outside its times.
        """
        q = posterior(self.process, t, s, shape=shape, like=like)
        if like is None and is_number(t) and not is_number(s):
            like = s
        error = self.x0_error.at(t, shape=shape, like=like)
        return Coefficients(z=q.z_coef, x0=q.x_coef, noise=root(q.variance + q.x_coef**2 * error))
