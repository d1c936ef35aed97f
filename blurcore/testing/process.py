"""Check that a process is consistent with itself: the identities of SPEC 2, 3 and 6 that need no reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from blurcore._checks import require
from blurcore._typing import Array
from blurcore.diffusion import transition
from blurcore.processes import Process
from blurcore.protocols import Backend
from blurcore.testing.assertions import assert_close, tolerance

_TOLERANCE = 1e-9  # of algebra in float64, with room for conditions
_SLOPE = 1e-4  # of a central difference over 2e-5
_STEP = 1e-5
_SMALLEST = 1e-290
_ROUNDINGS = 100  # of formulas in the dtype of the times


def check_process(
    process: Process, *, shapes: Sequence[tuple[int, ...]] = ((7,), (5, 8), (3, 4, 2)), backend: Backend | None = None
) -> None:
    r"""Check a process, at random times, against the identities that every process of this package satisfies.

    - alpha and sigma are numbers, alpha > 0, :math:`l_t = 2 \log (\alpha_t / \sigma_t)`, and nothing is left to say at arrays
      of times that was not said at numbers;
    - :math:`l_t \le l_s` for s < t, and differences are those of marginals and add up over a third time;
    - a step from s to t brings the marginal at s to that at t: :math:`\sigma_t^2 = \alpha_{t|s}^2 \sigma_s^2 + \sigma_{t|s}^2`;
    - drift and diffusion are :math:`d \log \alpha / dt` and :math:`-\sigma^2 dl / dt`;
    - times that are arrays of a backend's library give arrays of that library, with NumPy's numbers.

    Parameters
    ----------
    process
        A process with noise at t > 0.
    shapes
        Grids to look at.
    backend
        Whose arrays to try as well.

    Raises
    ------
    AssertionError
        An identity does not hold; the message says which, where, and by how much.
    ArgumentError
        There is no shape.
    """
    require(len(shapes) > 0, "shapes", shapes, "at least one grid")
    rng = np.random.default_rng(0)
    for shape in shapes:
        times = np.sort(rng.uniform(0.01, 0.99, (20, 3)), axis=1)
        for s, middle, t in times:
            _check_marginal(process, float(t), shape)
            _check_steps(process, float(s), float(middle), float(t), shape)
            _check_rates(process, float(t), shape)
        _check_arrays(process, times[:, 0], shape)
        if backend is not None:
            _check_library(process, shape, backend)


def _check_marginal(process: Process, t: float, shape: tuple[int, ...]) -> None:
    m = process.marginal(t, shape=shape)
    _positive("alpha", m.alpha, t, shape)
    _positive("sigma", m.sigma, t, shape)
    with np.errstate(divide="ignore"):
        expected = 2 * (np.log(np.asarray(m.alpha)) - np.log(np.asarray(m.sigma)))
    # An alpha that has left the range of float64 says nothing of its logarithm, which is finite still.
    got = np.where(m.alpha < _SMALLEST, expected, np.asarray(process.log_snr(t, shape=shape)))
    _same("log_snr is 2 log(alpha / sigma)", got, expected, t, shape, size=1 + abs(expected))


def _check_steps(process: Process, r: float, s: float, t: float, shape: tuple[int, ...]) -> None:
    whole, late, early = (process.difference(*pair, shape=shape) for pair in ((t, r), (t, s), (s, r)))
    assert np.all(whole.log_snr <= 0), f"the log-SNR rises between {r} and {t} on the grid {shape}: not Markov"
    size = 1 + abs(process.log_snr(t, shape=shape)) + abs(process.log_snr(r, shape=shape))
    levels = process.log_snr(t, shape=shape) - process.log_snr(r, shape=shape)
    _same("difference is that of log_snr", whole.log_snr, levels, t, shape, size=size)
    _same("differences add up", late.log_snr + early.log_snr, whole.log_snr, t, shape, size=size)
    _same("ratios of alpha multiply", late.alpha * early.alpha, whole.alpha, t, shape)
    before, after = process.marginal(r, shape=shape), process.marginal(t, shape=shape)
    _same("difference has alpha_t / alpha_s", whole.alpha * before.alpha, after.alpha, t, shape)
    step = transition(process, t, r, shape=shape)
    variance = step.alpha**2 * before.sigma**2 + step.variance
    _same("a step brings one marginal to the other", variance, after.sigma**2, t, shape)


def _check_rates(process: Process, t: float, shape: tuple[int, ...]) -> None:
    rates = process.sde(t, shape=shape)
    d = process.difference(t + _STEP / 2, t - _STEP / 2, shape=shape)
    drift, slope = np.log(np.asarray(d.alpha)) / _STEP, d.log_snr / _STEP
    variance = process.marginal(t, shape=shape).sigma ** 2
    _same("drift is d log alpha / dt", rates.drift, drift, t, shape, size=1 + abs(drift), tolerance=_SLOPE)
    _same(
        "diffusion is -sigma^2 d log_snr / dt",
        rates.diffusion,
        -variance * slope,
        t,
        shape,
        size=variance * (1 + abs(slope)),
        tolerance=_SLOPE,
    )


def _check_arrays(process: Process, times: np.ndarray[Any, Any], shape: tuple[int, ...]) -> None:
    m = process.marginal(times, shape=shape)
    for name in ("alpha", "sigma"):
        rows = np.stack([np.broadcast_to(getattr(process.marginal(float(t), shape=shape), name), shape) for t in times])
        _same(f"{name} at an array of times is that at each", getattr(m, name), rows, times, shape)


def _check_library(process: Process, shape: tuple[int, ...], backend: Backend) -> None:
    times = np.arange(1, 16) / 16  # which every dtype holds
    device = backend.devices()[0]
    dtype = backend.dtypes(device)[0]
    like = backend.asarray(times, dtype=dtype, device=device)
    m, levels = process.marginal(times, shape=shape), process.log_snr(times, shape=shape)
    condition = 1 + abs(levels) + abs(np.log(np.asarray(m.alpha)))
    for name, got, expected in zip(("alpha", "sigma"), process.marginal(like, shape=shape, like=like), m, strict=True):
        what = f"{name} of {type(process).__name__} on the grid {shape}, times on {backend.name}"
        alike = tuple(axis for axis, size in enumerate(expected.shape) if size == 1)
        bound = tolerance(dtype, roundings=_ROUNDINGS, condition=condition.max(axis=alike, keepdims=True))
        assert_close(got, expected, rtol=bound, atol=tolerance(dtype), like=like, what=what)


def _positive(name: str, value: Array, t: float, shape: tuple[int, ...]) -> None:
    found = np.asarray(value)
    sound = np.all(np.isfinite(found) & (found >= 0))
    assert sound, (
        f"{name} at t = {t:.6g} on the grid {shape} must be finite and >= 0; got {np.min(found):.6g} .. {np.max(found):.6g}"
    )


def _same(
    statement: str,
    got: Array,
    expected: Array,
    t: Any,
    shape: tuple[int, ...],
    *,
    size: Any = None,
    tolerance: float = _TOLERANCE,
) -> None:
    """Compare relative to `size`, that of the expected value where not given."""
    with np.errstate(invalid="ignore"):
        error = abs(got - expected) / (abs(expected) + _SMALLEST if size is None else size)
    worst = float(np.max(np.where(got == expected, 0.0, error)))
    assert worst <= tolerance, (
        f"{statement}: off by {worst:.3g} where {tolerance:.3g} is allowed, at t = {t} on the grid {shape}"
    )
