"""Every solver with the exact denoiser of Gaussian data: its output's variance is a number, and its order a slope (SPEC 9).

A solver's step is linear in state, prediction and noise, and here the prediction is linear in the state. One run on the
unit state gives the factor of each frequency, one on the unit noise its share of new variance: no random number is drawn.
"""

from __future__ import annotations

import numpy as np
import pytest
from blurcore_reference import oracle as reference

import blurcore as bc
from blurcore import oracle
from blurcore.samplers import SOLVERS
from blurcore.testing.assertions import assert_close

BLURRING = bc.BlurringDiffusion()


def spectrum(shape):
    """The data of SPEC 9: 1 / (lambda + 0.01), scaled to 1 at DC."""
    return 0.01 / (reference.eigenvalues("DCT", shape) + 0.01)


def predict(process, u, t, c):
    m = bc.marginal_for(process, t, u)
    x0 = oracle.gaussian_denoiser(u, mean=0.0, variance=c, marginal=m)
    return oracle.exact_prediction(x0, u, m)


def output_variance(solver, times, c, like, *, last_noise=False, initial=None):
    """Variance of each frequency of the solver's output, by its real steps; the start is N(0, sigma_1^2), or as given."""
    process = solver.process
    zero, one = 0 * like, 0 * like + 1
    variance = process.marginal(times[0], shape=tuple(like.shape), like=like).sigma ** 2 + zero
    variance = variance if initial is None else initial
    state, gain = solver.start(one), one
    for t, s in solver.stages(times):
        if solver.uses_noise:
            assert solver.start(one).last_x0 is None, "what is remembered goes with the state's share of the noise"
            moved = solver.step(bc.SamplerState(one), predict(process, one, t, c), t, s).u
            added = zero
            if s > 0 or last_noise:
                added = solver.step(bc.SamplerState(zero), predict(process, zero, t, c), t, s, one).u
            variance = moved**2 * variance + added**2
        else:
            state = solver.step(state, predict(process, state.u, t, c), t, s)
            gain = state.u
    return variance if solver.uses_noise else gain**2 * variance


SOLVED = {
    "ancestral": (lambda p: bc.Ancestral(process=p), {"kind": "ancestral"}),
    "ancestral, upper": (lambda p: bc.Ancestral(process=p, variance="upper"), {"kind": "ancestral_upper"}),
    "ddim": (lambda p: bc.DDIM(process=p), {"kind": "ddim"}),
    "ddim, eta 0.5": (lambda p: bc.DDIM(process=p, eta=0.5), {"kind": "ddim", "eta": 0.5}),
    "ddim, eta 1": (lambda p: bc.DDIM(process=p, eta=1.0), {"kind": "ddim", "eta": 1.0}),
    "dpm_solver_pp, 1": (lambda p: bc.DPMSolverPP(process=p, order=1), {"kind": "dpmpp_1"}),
    "dpm_solver_pp, 2": (lambda p: bc.DPMSolverPP(process=p, order=2), {"kind": "dpmpp_2m"}),
    "inverse_heat": (lambda p: bc.InverseHeat(process=p), {"kind": "ihdm"}),
    "inverse_heat, delta 0.2": (lambda p: bc.InverseHeat(process=p, delta=0.2), {"kind": "ihdm", "delta": 0.2}),
    "euler": (lambda p: bc.Euler(process=p), {"kind": "euler"}),
    "heun": (lambda p: bc.Heun(process=p), {"kind": "heun"}),
    "cold_naive": (lambda p: bc.ColdNaive(process=p), {"kind": "cold_naive"}),
    "cold_improved": (lambda p: bc.ColdImproved(process=p), {"kind": "cold_improved"}),
}


def calibrated(process, times, c):
    """Return calibrated ancestral sampling with the exact denoiser's own error, known at the grid's times."""
    described, knots = bc.to_dict(process), times[::-1]
    errors = [reference.posterior_data_variance(described, t, c) for t in knots]
    return bc.CalibratedAncestral(process=process, x0_error=bc.X0Error(times=knots, values=np.array(errors)))


PROCESSES = {
    "blurring": BLURRING,
    "gaussian": bc.GaussianDiffusion(),
    "heat": bc.HeatDissipation(sigma=0.1, blur=bc.SinSquared(sigma_blur_max=2.0)),
}


def test_every_solver_is_held_to_the_closed_form():
    elsewhere = {
        bc.CalibratedAncestral,
        bc.DPMSolverSDE,
    }  # one wants a table, the other remembers random numbers; see below
    held = {type(make(BLURRING)) for make, _ in SOLVED.values()}
    assert held | elsewhere | {bc.AdaptiveODE} == set(SOLVERS.values())  # whose steps are a library's


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("name", SOLVED)
def test_solver_has_the_output_variance_of_the_closed_form(xp, name, process):
    make, arguments = SOLVED[name]
    shape, times = (4, 5), bc.uniform_times(12)
    c = spectrum(shape)
    like = xp.asarray(np.zeros(shape), "float64")
    actual = output_variance(make(process), times, xp.asarray(c, "float64"), like)
    expected = reference.sampler_variance(bc.to_dict(process), list(times), c, **arguments)
    # Twelve steps of condition up to alpha_s / alpha_t = 1e3 in one frequency, whose product over the run is about 1 / SNR
    # of the first step; the reference's own coefficients are differences, off by 1e-16 / |D|.
    assert_close(actual, expected, rtol=1e-9, atol=1e-15, like=like)


def worst_error(solver, times, shape=(32, 32), *, last_noise=False, initial=None):
    c = spectrum(shape)
    variance = output_variance(solver, times, c, np.zeros(shape), last_noise=last_noise, initial=initial)
    target = reference.target_variance(bc.to_dict(solver.process), 0.0, c)
    return float(np.max(np.abs(variance / target - 1)))


TABLE = {
    10: (9.6e-1, 9.3e-1, 4.2e-1),
    50: (6.7e-1, 5.0e-1, 3.6e-2),
    100: (4.8e-1, 3.0e-1, 9.4e-3),
    250: (2.7e-1, 1.3e-1, 1.5e-3),
}


@pytest.mark.parametrize("steps", TABLE)
def test_errors_are_those_of_the_table_in_the_specification(steps):
    uniform = bc.uniform_times(steps)
    ancestral = worst_error(bc.Ancestral(process=BLURRING), uniform, last_noise=True)  # as there
    ddim = worst_error(bc.DDIM(process=BLURRING), uniform)
    # two digits are printed there
    assert (ancestral, ddim) == pytest.approx(TABLE[steps][:2], rel=0.02)


def order_of(make, times, counts):
    """Slope of log error over log steps, started from the exact distribution: what is left is the steps' own error."""
    start = reference.target_variance(bc.to_dict(make.process), 1.0, spectrum((8, 8)))
    errors = [worst_error(make, times(n), shape=(8, 8), initial=start) for n in counts]
    assert all(b < a for a, b in zip(errors[:-1], errors[1:], strict=True))
    return -float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


COUNTS = (100, 200, 400, 800)
"""Fine enough for the asymptotic regime, and far from rounding: second-order errors are about 1e-4 there."""


def noise_grid(steps):
    return bc.log_snr_times(steps, BLURRING.noise)


FIRST = {
    "ddim": bc.DDIM(process=BLURRING),
    "ddim, eta 0.5": bc.DDIM(process=BLURRING, eta=0.5),
    "ancestral": bc.Ancestral(process=BLURRING),
    "dpm_solver_pp, 1": bc.DPMSolverPP(process=BLURRING, order=1),
}


@pytest.mark.parametrize("solver", FIRST.values(), ids=FIRST)
def test_first_order_solver_has_order_one(solver):
    assert order_of(solver, noise_grid, COUNTS) == pytest.approx(1.0, abs=0.1)


UNIFORM = {  # SPEC 7's solvers on the ODE in t; a first-order one is 4e-2 off at 800 steps
    "blurring": BLURRING,
    "gaussian": bc.GaussianDiffusion(),
    "heat": bc.HeatDissipation(sigma=0.1, blur=bc.SinSquared(sigma_blur_max=2.0)),
}


@pytest.mark.parametrize("process", UNIFORM.values(), ids=UNIFORM)
@pytest.mark.parametrize(("make", "order"), [(bc.Euler, 1.0), (bc.Heun, 2.0)])
def test_solver_of_the_ode_has_its_order(make, order, process):
    assert order_of(make(process=process), bc.uniform_times, COUNTS) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_calibrated_ancestral_has_the_output_variance_of_the_closed_form(xp, process):
    shape, times = (4, 5), bc.uniform_times(12)
    c = spectrum(shape)
    like = xp.asarray(np.zeros(shape), "float64")
    actual = output_variance(calibrated(process, times, c), times, xp.asarray(c, "float64"), like)
    expected = reference.sampler_variance(bc.to_dict(process), list(times), c, "calibrated")
    assert_close(actual, expected, rtol=1e-9, atol=1e-15, like=like)  # as for the others


@pytest.mark.parametrize("steps", [1, 2, 10, 50, 100])
@pytest.mark.parametrize("grid", [bc.uniform_times, bc.quadratic_times], ids=["uniform", "quadratic"])
def test_spectrum_of_calibrated_ancestral_is_exact_at_any_number_of_steps(grid, steps):
    """SPEC 9's last column: 2e-9, the start's share (its variance lacks alpha_1^2 c, and little of that comes through)."""
    times = grid(steps)
    assert worst_error(calibrated(BLURRING, times, spectrum((32, 32))), times, last_noise=True) < 2.5e-9


def test_a_few_dozen_times_are_enough_of_a_table():
    """Between 33 times even in the log-SNR the output is off by what the table is, and by a tenth of plain ancestral's error.

    The output's variance is a sum of positive terms, to each of which the table contributes: none is off by more.
    """
    c, times = spectrum((32, 32)), bc.uniform_times(100)
    solver = calibrated(BLURRING, noise_grid(32), c)
    exact = [reference.posterior_data_variance(bc.to_dict(BLURRING), t, c) for t in times]
    table = [solver.x0_error.at(t, shape=c.shape) for t in times]
    error = worst_error(solver, times, last_noise=True)
    assert error <= np.max(np.abs(np.array(table) / np.array(exact) - 1)) + 2.5e-9
    assert error < TABLE[100][0] / 10


def stochastic_2m_variance(process, times, c):
    """Variance of u by the recursion of the covariance of (u, last prediction), which are jointly normal.

    Lu et al. 2022, eq. 18, with the reference's posterior for its coefficients; no noise in the last step.
    """
    described = bc.to_dict(process)
    shape = c.shape
    uu = reference.sigma(described, times[0], shape) ** 2
    ux = xx = np.zeros(shape)
    before = None
    for t, s in zip(times[:-1], times[1:], strict=True):
        gain = reference.gaussian_gain(c, reference.alpha(described, t, shape), reference.sigma(described, t, shape))
        z_coef, x_coef, variance = reference.posterior(described, t, s, shape)
        step = reference.log_snr(described, s, shape) - reference.log_snr(described, t, shape)
        if before is None:
            share = np.zeros(shape)
        else:
            share = np.divide(step, 2 * before, out=np.zeros(shape), where=before > 0)
        # u_s = own u + past x_last, x = gain u
        own, past = z_coef + x_coef * (1 + share) * gain, -x_coef * share
        added = variance if s != times[-1] else 0.0
        new_uu = own**2 * uu + 2 * own * past * ux + past**2 * xx + added
        ux = own * gain * uu + past * gain * ux
        uu, xx, before = new_uu, gain**2 * uu, step
    return uu


def covariance_output_variance(solver, times, c, *, last_noise=False, initial=None):
    """Variance of the output by the solver's real steps: one run for the start and for each step's noise, alone."""
    count, process = len(times), solver.process
    spread = process.marginal(times[0], shape=c.shape).sigma if initial is None else np.sqrt(initial)
    unit = np.eye(count)[:, :, None, None] * np.ones(c.shape)
    state = solver.start(spread * unit[:, 0])
    for i, (t, s) in enumerate(solver.stages(times), start=1):
        noise = unit[:, i] if s > 0 or last_noise else None
        state = solver.step(state, predict(process, state.u, t, c), t, s, noise)
    return np.sum(state.u**2, axis=0)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_stochastic_dpm_solver_2m_has_the_variance_of_the_recursion(process):
    c, times = spectrum((4, 5)), bc.uniform_times(12)
    actual = covariance_output_variance(bc.DPMSolverSDE(process=process), times, c)
    assert_close(actual, stochastic_2m_variance(process, times, c), rtol=1e-9)


@pytest.mark.parametrize("process", [BLURRING, bc.GaussianDiffusion()], ids=["blurring", "gaussian"])
def test_stochastic_dpm_solver_2m_has_order_two(process):
    """With the noise of the last step, too: what is missing without it is of the order of a step's length."""
    c, counts, errors = spectrum((8, 8)), (50, 100, 200, 400), []
    start, target = (reference.target_variance(bc.to_dict(process), t, c) for t in (1.0, 0.0))
    for n in counts:
        times = bc.log_snr_times(n, process.noise)
        solver = bc.DPMSolverSDE(process=process)
        variance = covariance_output_variance(solver, times, c, last_noise=True, initial=start)
        errors.append(float(np.max(np.abs(variance / target - 1))))
    assert -float(np.polyfit(np.log(counts), np.log(errors), 1)[0]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("process", [BLURRING, bc.GaussianDiffusion()], ids=["blurring", "gaussian"])
def test_dpm_solver_3m_has_order_three(process):
    """It takes the square term's weight for this: with half of it, as in the published code, the slope is 2.1 to 2.4."""
    solver = bc.DPMSolverPP(process=process, order=3)
    assert order_of(solver, lambda n: bc.log_snr_times(n, process.noise), COUNTS) == pytest.approx(3.0, abs=0.15)


def mean_error_of_an_erring_network(order, steps):
    """Mean of |variance / target - 1| if each word about x0 is off by independent noise of 0.02, in each frequency."""
    c, solver, times = spectrum((32, 32)), bc.DPMSolverPP(process=BLURRING, order=order), noise_grid(steps)
    unit = np.eye(steps + 1)[:, :, None, None] * np.ones(c.shape)  # the start, and each call's error, alone
    state = solver.start(BLURRING.marginal(1.0, shape=c.shape).sigma * unit[:, 0])
    for i, (t, s) in enumerate(solver.stages(times), start=1):
        m = bc.marginal_for(BLURRING, t, state.u)
        x0 = oracle.gaussian_denoiser(state.u, mean=0.0, variance=c, marginal=m) + 0.02 * unit[:, i]
        state = solver.step(state, oracle.exact_prediction(x0, state.u, m), t, s)
    target = reference.target_variance(bc.to_dict(BLURRING), 0.0, c)
    return float(np.mean(np.abs(np.sum(state.u**2, axis=0) / target - 1)))


@pytest.mark.parametrize("steps", [10, 20, 50])
def test_third_order_amplifies_what_a_network_gets_wrong_hardly_more_than_second(steps):
    """On the log-SNR grid, where a step may be 11 times as long as the one before it: of third order all through, 2.4 at 20 steps."""
    second, third = (mean_error_of_an_erring_network(order, steps) for order in (2, 3))
    assert third < 1.6 * second  # at 10 steps, which are few; 1.3 and 1.1 beyond


@pytest.mark.parametrize("steps", [10, 20, 50, 100])
def test_third_order_is_not_behind_second_with_an_exact_network(steps):
    second, third = (worst_error(bc.DPMSolverPP(process=BLURRING, order=n), noise_grid(steps)) for n in (2, 3))
    assert third < second


def test_dpm_solver_2m_has_order_two():
    assert order_of(bc.DPMSolverPP(process=BLURRING, order=2), noise_grid, COUNTS) == pytest.approx(2.0, abs=0.1)


def test_dpm_solver_2m_of_standard_diffusion_has_order_two():
    process = bc.GaussianDiffusion()
    solver = bc.DPMSolverPP(process=process, order=2)
    assert order_of(solver, lambda n: bc.log_snr_times(n, process.noise), COUNTS) == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpm_solver_pp, 2"])
def test_solver_with_the_data_set_denoiser_ends_on_the_data(name):
    solver = SOLVED[name][0](BLURRING)
    rng = np.random.default_rng(5)
    data = rng.standard_normal((4, 3, 4))
    times = noise_grid(100)
    state = bc.SamplerState(BLURRING.marginal(1.0, shape=(3, 4)).sigma * rng.standard_normal((16, 3, 4)))
    for t, s in zip(times[:-1], times[1:], strict=True):
        m = bc.marginal_for(BLURRING, t, state.u)
        prediction = oracle.exact_prediction(oracle.dataset_denoiser(state.u, data=data, marginal=m), state.u, m)
        noise = rng.standard_normal(state.u.shape) if solver.uses_noise and s > 0 else None
        state = solver.step(state, prediction, t, s, noise)
    distance = np.abs(state.u[:, None] - data).max(axis=(2, 3))
    # alpha_0 is 1 - 2e-5 and sigma_0 is 0.0067; deterministic solvers keep a sigma_0-sized rest of the noise
    assert distance.min(axis=1).max() < 6 * 0.0067
    assert len(set(distance.argmin(axis=1).tolist())) > 1  # not all on the same point


@pytest.mark.parametrize("name", ["ancestral", "ddim"])
def test_solver_with_the_mixture_denoiser_keeps_the_weights_of_the_components(name):
    solver = SOLVED[name][0](BLURRING)
    rng = np.random.default_rng(6)
    count, weight = 2000, 0.25
    means = np.zeros((2, 1, 3))
    means[:, 0, 0] = -2.0, 2.0
    variances = np.full(means.shape, 0.05)
    times = noise_grid(60)
    state = bc.SamplerState(BLURRING.marginal(1.0, shape=(1, 3)).sigma * rng.standard_normal((count, 1, 3)))
    for t, s in zip(times[:-1], times[1:], strict=True):
        m = bc.marginal_for(BLURRING, t, state.u)
        x0 = oracle.mixture_denoiser(
            state.u, weights=np.array([weight, 1 - weight]), means=means, variances=variances, marginal=m
        )
        noise = rng.standard_normal(state.u.shape) if solver.uses_noise and s > 0 else None
        state = solver.step(state, oracle.exact_prediction(x0, state.u, m), t, s, noise)
    share = float(np.mean(state.u[:, 0, 0] < 0))
    # five standard deviations of a binomial share (one false alarm in 1.7 million seeds), and 0.01 for the steps' length
    assert abs(share - weight) < 5 * (weight * (1 - weight) / count) ** 0.5 + 0.01


LOOPED = {name: make for name, (make, _) in SOLVED.items()} | {
    "dpm_solver_pp, 3": lambda p: bc.DPMSolverPP(process=p, order=3),
    "dpm_solver_sde": lambda p: bc.DPMSolverSDE(process=p),
    "calibrated": lambda p: calibrated(p, bc.uniform_times(6), spectrum((3, 4))),
}


@pytest.mark.parametrize("name", LOOPED)
def test_one_compiled_loop_serves_every_solver(jax, name):
    """Coefficients of all stages stacked, the state carried through `lax.scan`: where the loop of steps ends."""
    solver, shape = LOOPED[name](BLURRING), (3, 4)
    c, rng = spectrum(shape), np.random.default_rng(7)
    stages = solver.stages(bc.uniform_times(6))
    noise = rng.standard_normal((len(stages), *shape))
    start = rng.standard_normal(shape)
    state = solver.start(start)
    for (t, s), n in zip(stages, noise, strict=True):
        state = solver.step(state, predict(BLURRING, state.u, t, c), t, s, n if solver.uses_noise else None)
    t, s = np.array(stages).T
    with jax.enable_x64(True):
        rows = (solver.coefficients(t, s, shape=shape), BLURRING.marginal(t, shape=shape), noise)

        def stage(state, row):
            coefficients, m, n = row
            x0 = oracle.gaussian_denoiser(state.u, mean=0.0, variance=jax.numpy.asarray(c), marginal=m)
            view = oracle.exact_prediction(x0, state.u, m)
            return solver.apply(coefficients, state, view, n if solver.uses_noise else None), None

        rows = jax.tree.map(jax.numpy.asarray, rows)
        last = jax.jit(lambda u: jax.lax.scan(stage, solver.start(u), rows)[0].u)(jax.numpy.asarray(start))
    # the same operations in the same precision, in another order: 6 steps whose factors are at most about 1e3
    np.testing.assert_allclose(np.asarray(last), state.u, rtol=1e-9, atol=1e-12 * np.abs(state.u).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpm_solver_pp, 2"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_thousand_steps_in_float32_end_where_those_in_float64_do(name, library, request):
    shape, process = (5, 4), BLURRING
    make = np.asarray if library == "numpy" else request.getfixturevalue("torch").asarray
    solver, times = SOLVED[name][0](process), bc.uniform_times(1000)

    def final(dtype):
        rng, c = np.random.default_rng(0), make(spectrum(shape).astype(dtype))
        state = solver.start(make(rng.standard_normal((3, *shape)).astype(dtype)))
        for t, s in solver.stages(times):
            noise = make(rng.standard_normal((3, *shape)).astype(dtype)) if solver.uses_noise and s > 0 else None
            state = solver.step(state, predict(process, state.u, t, c), t, s, noise)
        return np.asarray(state.u, np.float64)

    single, double = final("float32"), final("float64")
    assert 0 < np.linalg.norm(single - double) < 1e-4 * np.linalg.norm(double)
