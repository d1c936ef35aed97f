"""Derivatives in time of what solvers take from the schedule: those of finite differences, in PyTorch and JAX, in float64."""

from __future__ import annotations

import array_api_compat as compat
import numpy as np
import pytest
from equal_snr import EqualSNR

import blurcore as bc
from blurcore.samplers import SOLVERS

GRID = (3, 4)
RNG = np.random.default_rng(0)
ERROR = RNG.uniform(0, 1, (3, *GRID)) * np.array([0.0, 1.0, 1.0])[:, None]  # a band without any error
TABLE = bc.X0Error(times=(0.0, 0.45, 1.0), values=ERROR)
PROCESSES = {
    "blurring": bc.BlurringDiffusion(),
    "Gaussian": bc.GaussianDiffusion(),
    "heat": bc.HeatDissipation(),
    "LinearBeta, no floor": bc.BlurringDiffusion(noise=bc.LinearBeta(), blur=bc.Sin(sigma_blur_max=9.0), min_scale=0.0),
    "of one's own": EqualSNR(spectrum=(2.0, 0.5, 0.1)),
}
WEIGHTS = RNG.standard_normal((40, *GRID))


def solvers_of(process):
    yield from (cls(process=process) for cls in SOLVERS.values() if not cls.needs_calibration)
    yield bc.CalibratedAncestral(process=process, x0_error=TABLE)
    yield from (bc.DDIM(process=process, eta=eta) for eta in (0.5, 1.0))
    yield from (bc.Ancestral(process=process, variance="upper"), bc.DPMSolverPP(process=process, order=3))


def coefficients(process, t, s):
    """Return a weighted sum of each coefficient of each solver."""
    xp = compat.array_namespace(t)
    found = []
    for solver in solvers_of(process):
        for c in solver.coefficients(t, s, shape=GRID, like=None):
            if c is not None:
                weights = xp.asarray(WEIGHTS[len(found) % 40], dtype=xp.float64)
                found.append(xp.sum(weights * xp.where(xp.isfinite(c), c, xp.zeros_like(c))))
    return xp.stack(found)


def slopes_in_torch(torch, process, t, s):
    """Return d / dt and d / ds of the coefficients, (2, coefficients)."""
    times = [torch.tensor(time, dtype=torch.float64) for time in (t, s)]
    return np.stack([slope.numpy() for slope in torch.func.jacrev(coefficients, argnums=(1, 2))(process, *times)])


def finite_differences(process, t, s):
    """Return the same by differences of second order, central, or forwards and backwards at the ends of time."""
    h, found = 1e-5, []
    for place, time in enumerate((t, s)):
        steps = {0.0: (0, h, 2 * h), 1.0: (0, -h, -2 * h)}.get(time, (-h, 0, h))
        weights = {0.0: (-1.5, 2, -0.5), 1.0: (1.5, -2, 0.5)}.get(time, (-0.5, 0, 0.5))
        values = [
            coefficients(process, *(np.asarray(v + d * (i == place)) for i, v in enumerate((t, s)))) for d in steps
        ]
        found.append(sum(w * v for w, v in zip(weights, values, strict=True)) / h)
    return np.stack(found)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(("t", "s"), [(0.6, 0.3), (1.0, 0.301), (0.6, 0.0), (0.2, 0.19)])
def test_slopes_in_time_are_those_of_finite_differences(torch, name, t, s):
    process = PROCESSES[name]
    got = slopes_in_torch(torch, process, t, s)
    assert np.isfinite(got).all()
    if s == 0.0 and "LinearBeta" in name:
        got, want = got[:1], finite_differences(process, t, s)[:1]  # where sigma begins, its slope is infinite
    else:
        want = finite_differences(process, t, s)
    scale = np.abs(want).max(axis=0) + 1
    # h^2 / 3 times a third derivative, which goes with the cube of the slope's own scale, and 1e-16 / h of rounding
    np.testing.assert_array_less(np.abs(got - want) / scale, 1e-4)


@pytest.mark.parametrize("name", PROCESSES)
def test_slopes_are_finite_where_a_step_has_no_length(torch, name):
    """The standard deviation of its noise begins like a square root; its slope is given as 0."""
    assert np.isfinite(slopes_in_torch(torch, PROCESSES[name], 0.6, 0.6)).all()


def test_slopes_in_jax_are_those_in_torch(jax, torch):
    heat = PROCESSES["heat"]
    with jax.enable_x64(True):
        found = jax.jit(jax.jacrev(lambda *times: coefficients(heat, *times), argnums=(0, 1)))
        for t, s in ((0.6, 0.3), (0.6, 0.0), (1.0, 0.3), (0.6, 0.6)):
            got = np.stack([np.asarray(slope) for slope in found(*(jax.numpy.asarray(time) for time in (t, s)))])
            want = slopes_in_torch(torch, heat, t, s)
            np.testing.assert_array_less(np.abs(got - want), 1e-9 * (1 + np.abs(want)))
