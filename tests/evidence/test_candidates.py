"""The candidate solver in closed form: exact on Gaussian data at any number of steps, and what it becomes at its ends."""

from __future__ import annotations

import numpy as np
import pytest

import blurcore as bc
from benchmarks.evidence.candidates import CalibratedMultistep, measured_times
from blurcore.verify.sampler_spectrum import exact_calibration, natural_spectrum, output_variance, spectral_error

PROCESSES = {"blurring": bc.BlurringDiffusion(), "standard": bc.GaussianDiffusion()}
SHAPE = (9, 6)


def known(process, times):
    spectrum = natural_spectrum(bc.BlurringDiffusion(), SHAPE)
    return spectrum, exact_calibration(process, times, spectrum)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("num_steps", [1, 3, 12, 60])
def test_variance_of_gaussian_data_is_exact_at_any_number_of_steps(process, order, eta, num_steps):
    times = bc.uniform_times(num_steps)
    spectrum, error = known(process, times)
    first = process.marginal(1.0, shape=SHAPE)
    solver = CalibratedMultistep(process=process, x0_error=error, order=order, eta=eta)
    start = first.alpha**2 * spectrum + first.sigma**2  # the marginal at t = 1, of which N(0, sigma^2) is off by 5e-5
    variance = output_variance(solver, times, spectrum, last_noise=True, initial=start)
    # 60 steps, each with a condition of up to v / sigma^2 = 2e4 in what is extrapolated
    assert spectral_error(variance, spectrum, process) < 60 * 2e4 * 2**-52 * 8


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize(("t", "s"), [(1.0, 0.7), (0.5, 0.45), (0.2, 0.0)])
def test_without_error_it_is_dpm_solver_and_with_all_noise_it_is_calibrated_ancestral(process, t, s):
    nothing = bc.X0Error(times=(0.0, 1.0), values=np.zeros((2, 1, 1)))
    own = CalibratedMultistep(process=process, x0_error=nothing).coefficients(t, s, shape=SHAPE)
    peer = bc.DPMSolverPP(process=process).coefficients(t, s, shape=SHAPE)
    np.testing.assert_allclose(np.broadcast_to(own.z, SHAPE), np.broadcast_to(peer.z, SHAPE), rtol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(own.x0, SHAPE), np.broadcast_to(peer.x0, SHAPE), rtol=1e-12)

    _, error = known(process, (1.0, t - 1e-9, s, 0.0) if t < 1 and s > 0 else (1.0, 0.5, 0.0))
    own = CalibratedMultistep(process=process, x0_error=error, eta=1.0).coefficients(t, s, shape=SHAPE)
    peer = bc.CalibratedAncestral(process=process, x0_error=error).coefficients(t, s, shape=SHAPE)
    # in dead frequencies what the last step draws is a difference of numbers that agree in their first 13 digits
    for ours, theirs in ((own.z, peer.z), (own.x0, peer.x0), (own.noise, peer.noise)):
        np.testing.assert_allclose(np.broadcast_to(ours, SHAPE), np.broadcast_to(theirs, SHAPE), rtol=1e-7, atol=1e-12)


def test_error_beyond_what_the_state_tells_is_taken_as_that():
    process = PROCESSES["standard"]
    worse = bc.X0Error(times=(0.0, 1.0), values=np.full((2, 1, 1), 1e6))
    c = CalibratedMultistep(process=process, x0_error=worse).coefficients(0.5, 0.2, shape=SHAPE)
    assert all(np.isfinite(np.asarray(value)).all() for value in c)
    assert np.all(np.asarray(c.known) == 0)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("num_steps", [1, 4, 17, 120])
def test_measured_grid_is_a_grid(process, num_steps):
    _, error = known(process, bc.log_snr_times(32, process.noise))
    times = measured_times(num_steps, process, error)
    assert bc.check_times(times) == times
    assert len(times) == num_steps + 1


def test_measured_grid_costs_least():
    from benchmarks.evidence.candidates import _cheapest

    rng = np.random.default_rng(0)
    cost = np.triu(rng.random((7, 7)), 1)
    cost[np.tril_indices(7)] = np.inf
    from itertools import combinations

    best = min(
        ((0, *inner, 6) for inner in combinations(range(1, 6), 3)),
        key=lambda path: sum(cost[a, b] for a, b in zip(path[:-1], path[1:], strict=True)),
    )
    assert tuple(_cheapest(cost, 4)) == best
