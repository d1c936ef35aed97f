"""Samplers that grow: with exact denoisers the spectrum of their output is a number, and so is what growing costs (SPEC 9, 11).

States are factors of a covariance: each row of the batch is the share of one independent unit of noise, and after each step the rows
are brought back to as few as the state has fields. The solvers' own steps do the rest, with the states that `grow` returns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from blurcore_reference import oracle as reference

import blurcore as bc
from blurcore import oracle
from blurcore.errors import ArgumentError
from blurcore.resolution import (
    Resolutions,
    dead_deviation,
    grow,
    memory_of,
    resolutions_for,
    rungs,
    scale_of,
)
from blurcore.testing.assertions import assert_close

TOLERANCE = 0.01
BLURRING = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=6.0))
HEAT = bc.HeatDissipation(sigma=0.1, blur=bc.SinSquared(sigma_blur_max=4.0))
LENGTHS = ("last_h", "older_h")


def spectrum(shape, basis="DCT"):
    return 0.3 / (reference.eigenvalues(basis, shape) + 0.01)


def calibrated(process, c):
    knots = (0.0, *np.linspace(0.02, 1, 40))
    errors = [reference.posterior_data_variance(bc.to_dict(process), t, c) for t in knots]
    return bc.CalibratedAncestral(process=process, x0_error=bc.X0Error(times=knots, values=np.array(errors)))


SOLVERS = {
    "ancestral": lambda p, c: bc.Ancestral(process=p),
    "ancestral, upper": lambda p, c: bc.Ancestral(process=p, variance="upper"),
    "calibrated": calibrated,
    "ddim": lambda p, c: bc.DDIM(process=p),
    "ddim, eta 0.5": lambda p, c: bc.DDIM(process=p, eta=0.5),
    "dpm_solver_pp, 1": lambda p, c: bc.DPMSolverPP(process=p, order=1),
    "dpm_solver_pp, 2": lambda p, c: bc.DPMSolverPP(process=p, order=2),
    "dpm_solver_pp, 3": lambda p, c: bc.DPMSolverPP(process=p, order=3),
    "dpm_solver_sde": lambda p, c: bc.DPMSolverSDE(process=p),
    "euler": lambda p, c: bc.Euler(process=p),
    "heun": lambda p, c: bc.Heun(process=p),
    "inverse_heat": lambda p, c: bc.InverseHeat(process=p),
    "inverse_heat, delta 0.2": lambda p, c: bc.InverseHeat(process=p, delta=0.2),
    "cold_naive": lambda p, c: bc.ColdNaive(process=p),
    "cold_improved": lambda p, c: bc.ColdImproved(process=p),
}


def compressed(state):
    """Return a state of the same covariance with one row for each field."""
    names = [name for name, value in state._asdict().items() if value is not None and name not in LENGTHS]
    rows = np.stack([np.moveaxis(getattr(state, name), 0, -1) for name in names], axis=-1)
    if len(names) == 1:
        factor = np.sqrt(np.sum(rows**2, axis=-2, keepdims=True))
    else:
        factor = np.linalg.qr(rows, mode="r")
    lengths = {name: getattr(state, name)[:1] for name in LENGTHS if getattr(state, name) is not None}
    fields = {name: np.moveaxis(factor[..., i], -1, 0) for i, name in enumerate(names)}
    return state._replace(**fields, **{name: np.repeat(v, factor.shape[-2], axis=0) for name, v in lengths.items()})


def with_row(state):
    """Return a state with one more row, of zeros, for the noise of a step."""

    def longer(name, value):
        return value if value is None else np.concatenate([value, value[:1] * (name in LENGTHS)])

    return bc.SamplerState(*(longer(name, value) for name, value in state._asdict().items()))


def first_row(count, size):
    return np.concatenate([np.ones((1, *size)), np.zeros((count - 1, *size))])


def output_variance(solver, times, c, resolutions):
    """Variance of each frequency of the output; the noise of the last step is drawn, too."""
    whole, state = resolutions.whole, None
    for rung in rungs(solver, times, resolutions):
        size, axes = rung.size, tuple(range(1, 1 + len(whole)))
        here = replace(rung.solver, axes=axes)
        if state is None:
            state = here.start(rung.deviation * np.ones((1, *size)))
        else:
            unit = first_row(len(state.u), size)
            state = grow(state, unit, process=here.process, t=rung.times[0], axes=axes, deviation=rung.deviation)
        data = c[tuple(slice(0, m) for m in size)] * scale_of(size, whole) ** 2
        stages = here.stages(rung.times)
        t, s = np.array(stages).T
        marginal, rows = here.process.marginal(t, shape=size), here.coefficients(t, s, shape=size)
        for i in range(len(stages)):
            m = bc.Marginal(*(v[i] for v in marginal))
            row = type(rows)(*(None if v is None else v[i] for v in rows))
            noise = None
            if here.uses_noise:
                state = with_row(state)
                noise = first_row(len(state.u), size)[::-1]
            x0 = oracle.gaussian_denoiser(state.u, mean=0.0, variance=data, marginal=m)
            view = bc.Prediction(x0=x0, eps=(state.u - m.alpha * x0) / m.sigma if np.all(m.sigma > 0) else None)
            state = here.apply(row, state, view, noise)
            if here.uses_noise:
                state = compressed(state)
    return np.sum(state.u**2, axis=0)


def of_one_size(shape):
    return Resolutions(sizes=(shape,), since=(0.0,))


CASES = {
    "one axis": (BLURRING, (27,)),
    "two, odd and unequal": (BLURRING, (9, 14)),
    "three": (BLURRING, (6, 5, 8)),
    "heat": (HEAT, (9, 10)),
    "periodic": (bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=6.0), basis=bc.RealFourier()), (13, 9)),
}
SMALLER = {"periodic": ((7, 5), (3, 3))}


@pytest.mark.parametrize(
    "name", [name for name in SOLVERS if "cold" not in name]
)  # they leave nothing of a dead frequency
@pytest.mark.parametrize("case", CASES)
def test_growing_costs_at_most_twice_the_tolerance(case, name):
    """KL = 1/2 sum SNR c, so that no frequency's SNR c exceeds 2 KL; that is what its variance lacks where it is drawn."""
    process, shape = CASES[case]
    c = spectrum(shape, type(process.basis).__name__)
    resolutions = resolutions_for(process, c, sizes=SMALLER.get(case), tolerance=TOLERANCE)
    assert len(resolutions.sizes) == 3
    solver = SOLVERS[name](process, c)
    for steps in {"two, odd and unequal": (10, 50, 250), "three": (10, 50)}.get(case, (10,)):
        times = bc.uniform_times(steps)
        nested, full = (output_variance(solver, times, c, r) for r in (resolutions, of_one_size(shape)))
        assert np.max(np.abs(nested / full - 1)) <= 2 * TOLERANCE, steps


@pytest.mark.parametrize("name", ["ddim", "dpm_solver_pp, 2", "dpm_solver_pp, 3", "heun", "dpm_solver_sde"])
def test_growing_costs_no_more_on_grids_of_the_log_snr(name):
    c = spectrum((9, 14))
    resolutions, solver = resolutions_for(BLURRING, c, tolerance=TOLERANCE), SOLVERS[name](BLURRING, c)
    for steps in (10, 50):
        times = bc.log_snr_times(steps, BLURRING.noise)
        nested, full = (output_variance(solver, times, c, r) for r in (resolutions, of_one_size((9, 14))))
        assert 1e-12 < np.max(np.abs(nested / full - 1)) <= 2 * TOLERANCE, steps


REFERENCE = {
    "ancestral": {"kind": "ancestral", "last_noise": True},
    "ddim": {"kind": "ddim"},
    "ddim, eta 0.5": {"kind": "ddim", "eta": 0.5, "last_noise": True},
    "dpm_solver_pp, 2": {"kind": "dpmpp_2m"},
}


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("case", ["two, odd and unequal", "three", "periodic"])
def test_output_has_the_variance_of_the_closed_form(case, name):
    """Of solvers that keep the noise's variance: a frequency starts from N(0, sigma^2) where it joins."""
    process, shape = CASES[case]
    c = spectrum(shape, type(process.basis).__name__)
    resolutions = resolutions_for(process, c, sizes=SMALLER.get(case), tolerance=1.0)
    solver, times = SOLVERS[name](process, c), bc.uniform_times(12)
    sizes = resolutions.of_steps(times, ahead=memory_of(solver))
    expected = reference.nested_variance(bc.to_dict(process), list(times), c, sizes, **REFERENCE[name])
    assert_close(output_variance(solver, times, c, resolutions), expected, rtol=1e-9, atol=1e-15)


def test_solver_of_third_order_has_to_grow_before_frequencies_wake():
    """What two steps of lower order cost where they do: the reason for `ahead`."""
    process, shape, times = (
        bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=10.0)),
        (16, 16),
        bc.uniform_times(10),
    )
    c, solver = spectrum(shape), bc.DPMSolverPP(process=process, order=3)
    resolutions = resolutions_for(process, c, tolerance=TOLERANCE)
    full = output_variance(solver, times, c, of_one_size(shape))
    in_time = output_variance(solver, times, c, resolutions)
    assert memory_of(solver) == 2
    assert np.max(np.abs(in_time / full - 1)) <= 2 * TOLERANCE
    sizes = resolutions.of_steps(times)
    late = [times[sizes.index(size) + 2] for size in (shape, (8, 8))]
    just = Resolutions(sizes=(shape, (8, 8), (4, 4)), since=(0.0, *late))
    assert just.of_steps(times, ahead=2) == sizes
    assert np.max(np.abs(output_variance(solver, times, c, just) / full - 1)) > 0.1


@pytest.mark.parametrize("name", SOLVERS)
def test_dead_frequencies_have_the_deviation_that_the_full_sampler_leaves(name):
    """Of data without any power, by the full sampler; for steps that keep the marginal it is sigma."""
    shape, times = (3, 4), bc.uniform_times(7)
    solver = SOLVERS[name](BLURRING, 1e-9 + np.zeros(shape))
    part = times[:5]
    found = dead_deviation(solver, part, shape=shape)
    variance = output_variance(solver, part, np.zeros(shape), of_one_size(shape))
    np.testing.assert_allclose(found**2, variance, rtol=1e-6, atol=1e-12)
    sigma = {t: float(BLURRING.marginal(t, shape=(1,)).sigma[0]) for t in (part[-1], 0.4)}
    if name in ("ancestral", "ddim", "ddim, eta 0.5", "dpm_solver_pp, 3", "dpm_solver_sde"):
        np.testing.assert_allclose(found, sigma[part[-1]], rtol=1e-12)
    np.testing.assert_array_equal(dead_deviation(solver, (0.4,), shape=shape), np.full(shape, sigma[0.4]))


def test_rungs_cover_the_steps_and_carry_restricted_solvers():
    resolutions = Resolutions(sizes=((8, 8), (4, 4), (2, 2)), since=(0.0, 0.3, 0.6))
    times = bc.uniform_times(10)
    found = rungs(bc.DDIM(process=BLURRING), times, resolutions)
    assert [rung.size for rung in found] == [(2, 2), (4, 4), (8, 8)]
    assert [rung.times for rung in found] == [times[:5], times[4:8], times[7:]]
    assert found[-1].solver.process is BLURRING
    sigma = [float(BLURRING.marginal(rung.times[0], shape=(1,)).sigma[0]) for rung in found]
    np.testing.assert_allclose([rung.deviation[0, 0] for rung in found], np.array([0.25, 0.5, 1]) * sigma)
    with_memory = rungs(bc.DPMSolverPP(process=BLURRING, order=3), times, resolutions)
    assert [len(rung.times) - 1 for rung in with_memory] == [2, 3, 5]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_grown_state_is_the_old_one_with_noise_above_it(xp, order):
    solver, size, rng = bc.DPMSolverPP(process=BLURRING, order=order), (4, 6), np.random.default_rng(1)
    u, noise = rng.standard_normal((2, 3, 2, 3)), rng.standard_normal((2, 3, *size))
    state = solver.start(xp.asarray(u))
    memory = {
        n: xp.asarray(rng.uniform(1, 2, u.shape)) for n, v in state._asdict().items() if v is not None and n != "u"
    }
    state = state._replace(**memory)
    grown = grow(state, xp.asarray(noise), process=BLURRING, t=0.5)
    expected = float(BLURRING.marginal(0.5, shape=(1, 1)).sigma[0, 0]) * noise
    expected[..., :2, :3] = 2 * u
    assert_close(grown.u, expected, rtol=1e-6, like=state.u)
    for name, value in memory.items():
        right = np.zeros_like(noise)
        right[..., :2, :3] = xp.to_numpy(value) * (1 if name.endswith("_h") else 2)
        assert_close(getattr(grown, name), right, rtol=1e-6, like=state.u)
    assert [v is None for v in grown] == [v is None for v in state]


def test_step_after_growing_is_of_first_order_in_new_frequencies():
    rng = np.random.default_rng(2)
    for order in (2, 3):
        solver, first = bc.DPMSolverPP(process=BLURRING, order=order), bc.DPMSolverPP(process=BLURRING, order=1)
        state = solver.start(rng.standard_normal((1, 2, 3)))._replace(
            last_x0=np.ones((1, 2, 3)), last_h=np.ones((1, 2, 3))
        )
        grown = grow(state, rng.standard_normal((1, 4, 6)), process=BLURRING, t=0.5)
        view = bc.Prediction(x0=rng.standard_normal((1, 4, 6)))
        some, other = solver.step(grown, view, 0.5, 0.4).u, first.step(bc.SamplerState(grown.u), view, 0.5, 0.4).u
        new = np.ones((4, 6), bool)
        new[:2, :3] = False
        np.testing.assert_allclose(some[:, new], other[:, new], rtol=1e-12)
        assert np.all(some[:, ~new] != other[:, ~new])


def test_mistakes_are_one_sentence():
    state = bc.SamplerState(np.zeros((1, 4, 4)))
    for shape in ((1, 4, 3), (2, 8, 8), (8, 8)):
        with pytest.raises(ArgumentError, match=r"new must have the shape of u, \(1, 4, 4\), on a larger grid; got"):
            grow(state, np.zeros(shape), process=BLURRING, t=0.5)
