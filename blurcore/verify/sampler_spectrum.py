r"""The spectral error of samplers with the exact denoiser of Gaussian data, in closed form (SPEC 9).

A solver's step is linear in state, prediction and noise, and the exact prediction is linear in the state. The output is
then Gaussian, and its variance in each frequency follows from the solver's own steps on unit states: no random number
is drawn. The error of a frequency is :math:`|\mathrm{variance} / \mathrm{target} - 1|`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import blurcore.oracle as oracle
from blurcore.diffusion import marginal_for
from blurcore.processes import BlurringDiffusion, Process
from blurcore.samplers import (
    DDIM,
    Ancestral,
    CalibratedAncestral,
    DPMSolverPP,
    DPMSolverSDE,
    Euler,
    Heun,
    Prediction,
    SamplerState,
    Solver,
    X0Error,
    log_snr_times,
    uniform_times,
)

Array = np.ndarray[Any, Any]


def natural_spectrum(process: Process, shape: tuple[int, ...]) -> Array:
    """Return 1 / (lambda + 0.01), scaled to 1 at DC: the variance of natural images' frequencies, roughly."""
    spectrum: Array = 0.01 / (np.asarray(process.basis.eigenvalues(shape)) + 0.01)
    return spectrum


def _predict(process: Process, u: Array, t: float, spectrum: Array) -> Prediction[Array]:
    axes = tuple(range(-spectrum.ndim, 0))
    marginal = marginal_for(process, t, u, axes=axes)
    x0 = oracle.gaussian_denoiser(u, mean=0.0, variance=spectrum, marginal=marginal)
    return oracle.exact_prediction(x0, u, marginal)


def output_variance(
    solver: Solver, times: Sequence[float], spectrum: Array, *, last_noise: bool = False, initial: Array | None = None
) -> Array:
    """Return the variance of each frequency of a solver's output on Gaussian data.

    Parameters
    ----------
    solver
        Any solver whose axes are the last ones.
    times
        Its grid.
    spectrum
        Variance of the data in each frequency, float64, of the grid's shape.
    last_noise
        Whether the last step draws noise.
    initial
        Variance of the start; sigma^2 at the first time where not given.

    Returns
    -------
    ndarray
        float64, of the grid's shape.

    References
    ----------
    SPEC 9.
    """
    process, shape = solver.process, spectrum.shape
    sigma = np.asarray(process.marginal(times[0], shape=shape).sigma)
    start = np.broadcast_to(sigma, shape) ** 2 if initial is None else initial
    stages = [(t, s, solver.uses_noise and (s > 0 or last_noise)) for t, s in solver.stages(tuple(times))]
    if all(part is None for part in solver.start(start)[1:]):
        return _without_memory(solver, stages, start, spectrum)
    # Row 0 follows the start, row k the noise of step k: what remembers past predictions mixes them, but stays linear.
    u = np.zeros((1 + sum(draws for *_, draws in stages), *shape))
    u[0] = 1.0
    state: SamplerState[Any] = solver.start(u)
    row = 1
    for t, s, draws in stages:
        noise = np.zeros_like(u) if draws else None
        if noise is not None:
            noise[row] = 1.0
            row += 1
        state = solver.step(state, _predict(process, state.u, t, spectrum), t, s, noise)
    gains = np.asarray(state.u**2)
    result: Array = gains[0] * start + gains[1:].sum(axis=0)
    return result


def _without_memory(
    solver: Solver, stages: Sequence[tuple[float, float, bool]], variance: Array, spectrum: Array
) -> Array:
    """Return the variance step by step: that of the state, times its factor squared, and that of the noise."""
    one = np.ones_like(spectrum)
    for t, s, draws in stages:
        state = solver.step(SamplerState(one), _predict(solver.process, one, t, spectrum), t, s).u
        drawn = (
            solver.step(SamplerState(0 * one), _predict(solver.process, 0 * one, t, spectrum), t, s, one).u
            if draws
            else 0.0
        )
        variance = state**2 * variance + drawn**2
    return variance


def spectral_error(variance: Array, spectrum: Array, process: Process) -> float:
    """Return the worst frequency's |variance / target - 1|; the target is what the process has at t = 0."""
    m = process.marginal(0.0, shape=spectrum.shape)
    return float(np.max(np.abs(variance / (m.alpha**2 * spectrum + m.sigma**2) - 1)))


class Entry(NamedTuple):
    """A sampler with its grid, as a row of the table."""

    name: str
    grid: str
    solver: Solver
    last_noise: bool = False


def exact_calibration(process: Process, times: Sequence[float], spectrum: Array) -> X0Error:
    """Return the exact denoiser's mean squared error at the times of a grid, as calibrated sampling takes it."""
    knots = tuple(times)[::-1]
    values = [
        oracle.gaussian_variance(variance=spectrum, marginal=process.marginal(t, shape=spectrum.shape)) for t in knots
    ]
    return X0Error(times=knots, values=np.stack([np.asarray(value) for value in values]))


def entries(process: BlurringDiffusion, num_steps: int, spectrum: Array) -> list[Entry]:
    """Return the samplers of the table, in its order."""
    uniform = uniform_times(num_steps)
    axes = tuple(range(-spectrum.ndim, 0))
    kept: dict[str, Any] = {"process": process, "axes": axes}
    return [
        Entry("ancestral", "uniform", Ancestral(**kept)),
        Entry("ancestral, noise in the last step", "uniform", Ancestral(**kept), last_noise=True),
        Entry("ancestral, upper variance", "uniform", Ancestral(variance="upper", **kept)),
        Entry("DDIM", "uniform", DDIM(**kept)),
        Entry("DDIM", "log-SNR", DDIM(**kept)),
        Entry("Euler", "log-SNR", Euler(**kept)),
        Entry("Heun (two calls a step)", "log-SNR", Heun(**kept)),
        Entry("DPM-Solver++ 2M", "log-SNR", DPMSolverPP(order=2, **kept)),
        Entry("DPM-Solver++ 3M", "log-SNR", DPMSolverPP(order=3, **kept)),
        Entry("SDE-DPM-Solver++ 2M, noise in the last step", "log-SNR", DPMSolverSDE(order=2, **kept), last_noise=True),
        Entry(
            "calibrated ancestral, noise in the last step",
            "uniform",
            CalibratedAncestral(x0_error=exact_calibration(process, uniform, spectrum), **kept),
            last_noise=True,
        ),
    ]


def times_of_entry(entry: Entry, process: BlurringDiffusion, num_steps: int) -> tuple[float, ...]:
    """Return the grid that an entry names."""
    return uniform_times(num_steps) if entry.grid == "uniform" else log_snr_times(num_steps, process.noise)


def error_table(
    process: BlurringDiffusion, steps: Sequence[int], *, shape: tuple[int, ...] = (32, 32)
) -> dict[tuple[str, str], list[float]]:
    """Return the worst error of each sampler, {(sampler, grid): one number for each number of steps}."""
    spectrum = natural_spectrum(process, shape)
    rows: dict[tuple[str, str], list[float]] = {}
    for num_steps in steps:
        for entry in entries(process, num_steps, spectrum):
            times = times_of_entry(entry, process, num_steps)
            variance = output_variance(entry.solver, times, spectrum, last_noise=entry.last_noise)
            rows.setdefault((entry.name, entry.grid), []).append(spectral_error(variance, spectrum, process))
    return rows
