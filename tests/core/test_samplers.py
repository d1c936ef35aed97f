"""Each solver's step is the reference's affine map, and with an exact network its path ends where the theory says."""

import copy
import dataclasses
import pickle
from functools import partial
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from blurcore_reference import oracle

import blurcore as bc
from blurcore.errors import ArgumentError, DegenerateError
from blurcore.samplers import SOLVERS
from blurcore.samplers.dpm_solver_pp import parabola_weights
from blurcore.testing.assertions import EPSILON, assert_close, tolerance

RNG = np.random.default_rng(4)
SHAPE = (3, 4)
TABLE_TIMES = (0.0, 0.3, 0.6, 1.0)
ERRORS = np.exp(RNG.standard_normal((len(TABLE_TIMES), *SHAPE)))
X0_ERROR = bc.X0Error(times=TABLE_TIMES, values=ERRORS)
MAKERS = SOLVERS | {"CalibratedAncestral": partial(bc.CalibratedAncestral, x0_error=X0_ERROR)}
PAIRS = [(1.0, 0.9), (0.6, 0.55), (0.3, 0.02)]


def state_and_view(xp, process, t, dtype="float64"):
    """Return a state, and a network's view of it that is consistent: eps = (u - alpha x0) / sigma."""
    u, x0 = RNG.standard_normal((2, 2, *SHAPE))
    m = process.marginal(t, shape=SHAPE)
    eps = (u - m.alpha * x0) / m.sigma
    arrays = [xp.asarray(v, dtype) for v in (u, x0, eps)]
    return u, x0, bc.SamplerState(arrays[0]), bc.Prediction(*arrays[1:])


SOLVER_CASES = [
    ("ancestral", {}, bc.Ancestral, {}),
    ("ancestral_upper", {}, bc.Ancestral, {"variance": "upper"}),
    ("ddim", {"eta": 0.0}, bc.DDIM, {"eta": 0.0}),
    ("ddim", {"eta": 0.5}, bc.DDIM, {"eta": 0.5}),
    ("ddim", {"eta": 1.0}, bc.DDIM, {"eta": 1.0}),
    ("dpmpp_1", {}, bc.DPMSolverPP, {"order": 1}),
    ("dpmpp_1", {}, bc.DPMSolverPP, {"order": 3}),  # of which nothing is remembered yet
    ("ancestral", {}, bc.DPMSolverSDE, {"order": 1}),
    ("ancestral", {}, bc.DPMSolverSDE, {"order": 2}),
    ("ihdm", {}, bc.InverseHeat, {}),
    ("ihdm", {"delta": 0.3}, bc.InverseHeat, {"delta": 0.3}),
    ("ihdm", {"delta": 0.0}, bc.InverseHeat, {"delta": 0.0}),
    ("cold_naive", {}, bc.ColdNaive, {}),
    ("cold_improved", {}, bc.ColdImproved, {}),
]


@pytest.mark.parametrize(("kind", "options", "solver", "settings"), SOLVER_CASES)
@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_step_is_the_affine_map_of_the_reference(xp, noisy_process, kind, options, solver, settings, t, s):
    u, x0, state, view = state_and_view(xp, noisy_process, t)
    n = RNG.standard_normal(u.shape)
    z_coef, x_coef, variance = oracle.sampler_step(bc.to_dict(noisy_process), t, s, SHAPE, kind, **options)
    solver = solver(process=noisy_process, **settings)
    noise = xp.asarray(n, "float64")
    # Three terms, each off by the coefficients' 128 roundings (tests/properties/test_coefficients.py) and, in the
    # reference, by the cancellation of its definitions, eps / |l_t - l_s|, at most 1e4 eps on these intervals; eps
    # divides by sigma.
    eps = np.abs(xp.to_numpy(view.eps)).max()
    size = np.abs(u).max() + np.abs(x0).max() + np.abs(n).max() + eps
    atol = tolerance("float64", roundings=1e4, condition=size)
    if options.get("eta"):
        # the reference takes sigma_s^2 - eta^2 sigma_{t->s}^2, which cancels at eta = 1, and then the root of it
        atol = atol + np.sqrt(8 * EPSILON["float64"]) * noisy_process.marginal(s, shape=SHAPE).sigma.max() * eps
    mean = z_coef * u + x_coef * x0
    assert_close(solver.step(state, view, t, s).u, mean, like=noise, rtol=0.0, atol=atol, what="without noise")
    # the square root of a variance that is off by 1e4 eps absolutely, next to 0, is off by its root
    spread = np.sqrt(variance) * n
    slack = np.minimum(
        np.sqrt(1e4 * EPSILON["float64"]), 1e4 * EPSILON["float64"] / np.maximum(np.sqrt(variance), 1e-12)
    )
    step = solver.step(state, view, t, s, noise).u
    expected = mean + (spread if solver.uses_noise else 0.0)
    assert_close(step, expected, like=noise, rtol=0.0, atol=atol + slack * np.abs(n), what="with noise")


def test_solvers_tell_whether_they_use_noise():
    process = bc.BlurringDiffusion()
    assert bc.Ancestral(process=process).uses_noise
    assert bc.DDIM(process=process, eta=0.1).uses_noise
    assert not bc.DDIM(process=process).uses_noise
    assert not bc.DPMSolverPP(process=process).uses_noise
    assert bc.InverseHeat(process=process).uses_noise
    assert not bc.InverseHeat(process=process, delta=0.0).uses_noise
    assert bc.DPMSolverSDE(process=process).uses_noise
    assert MAKERS["CalibratedAncestral"](process=process).uses_noise
    assert not bc.Euler(process=process).uses_noise
    assert not bc.Heun(process=process).uses_noise
    assert not bc.ColdNaive(process=process).uses_noise
    assert not bc.ColdImproved(process=process).uses_noise


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_step_at_the_grid_anywhere_in_the_data_is_the_same(xp, make):
    process = bc.BlurringDiffusion()
    _, _, state, view = state_and_view(xp, process, 0.6)
    first = make(process=process).step(state, view, 0.6, 0.5).u

    def swap(v):
        return xp.xp.permute_dims(v, (0, 2, 1))

    moved = make(process=process, axes=(2, 1)).step(
        bc.SamplerState(swap(state.u)), bc.Prediction(*(swap(v) for v in view)), 0.6, 0.5
    )
    # the same numbers in the same operations; only the eigenvalues are summed the other way round
    assert_close(
        swap(moved.u), first, rtol=0.0, atol=tolerance("float64", condition=np.abs(xp.to_numpy(state.u)).max())
    )


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_float32_state_stays_float32_and_near_the_float64_one(xp, noisy_process, make):
    solver, t, s = make(process=noisy_process), 0.6, 0.55
    _, _, state, view = state_and_view(xp, noisy_process, t, "float32")
    wide = [v.astype(np.float64) for v in (xp.to_numpy(state.u), *(xp.to_numpy(v) for v in view))]
    exact = solver.step(bc.SamplerState(wide[0]), bc.Prediction(*wide[1:]), t, s).u
    size = sum(np.abs(v).max() for v in wide)
    got = solver.step(state, view, t, s).u
    assert_close(got, exact, like=state.u, rtol=0.0, atol=tolerance("float32", roundings=8, condition=size))


@pytest.mark.parametrize("steps", [10, 50])
@pytest.mark.parametrize(
    ("kind", "make", "settings"),
    [
        ("ancestral", bc.Ancestral, {}),
        ("ddim", bc.DDIM, {}),
        ("dpmpp_1", bc.DPMSolverPP, {"order": 1}),
        ("dpmpp_2m", bc.DPMSolverPP, {"order": 2}),
    ],
)
def test_variance_of_the_output_on_gaussian_data_is_the_closed_form(kind, make, settings, steps):
    """The steps are linear on Gaussian data, so that sums of squares over unit inputs are the variance, exactly."""
    process, shape = bc.BlurringDiffusion(), (4, 5)
    lam = process.basis.eigenvalues(shape)
    spectrum = 0.01 / (lam + 0.01)
    grid = bc.log_snr_times(steps, process.noise) if "dpm" in kind else bc.uniform_times(steps)
    solver = make(process=process, **settings)
    # one state for the start and one for the noise of each step: the responses to unit inputs
    count = steps + 1
    state = bc.SamplerState(np.zeros((count, *shape)))
    state = state._replace(
        u=state.u + process.marginal(1.0, shape=shape).sigma * (np.arange(count) == 0)[:, None, None]
    )
    for i, (t, s) in enumerate(zip(grid[:-1], grid[1:], strict=True)):
        m = bc.marginal_for(process, t, state.u)
        x0 = m.alpha * spectrum / (m.alpha**2 * spectrum + m.sigma**2) * state.u
        view = bc.Prediction(x0=x0, eps=(state.u - m.alpha * x0) / m.sigma)
        noise = np.zeros_like(state.u) + (np.arange(count) == i + 1)[:, None, None]
        state = solver.step(state, view, t, s, noise if s > 0 else None)
    variance = np.sum(state.u**2, axis=0)
    desired = oracle.sampler_variance(bc.to_dict(process), grid, spectrum, kind)
    # each step multiplies by a factor that is off by the reference's cancellation, see above
    assert_close(variance, desired, rtol=steps * tolerance("float64", roundings=1e4))


def test_first_order_solver_is_ddim(xp, noisy_process):
    for t, s in PAIRS:
        u, _, state, view = state_and_view(xp, noisy_process, t)
        one, other = (
            solver.step(state, view, t, s).u
            for solver in (bc.DPMSolverPP(process=noisy_process, order=1), bc.DDIM(process=noisy_process))
        )
        size = np.abs(u).max() + np.abs(xp.to_numpy(view.eps)).max()
        assert_close(one, other, rtol=0.0, atol=tolerance("float64", roundings=128, condition=size))


def test_second_order_solver_starts_with_first_order_and_remembers(xp):
    process = bc.BlurringDiffusion()
    _, _, state, view = state_and_view(xp, process, 0.8)
    first, second = (bc.DPMSolverPP(process=process, order=n).step(state, view, 0.8, 0.7) for n in (1, 2))
    assert_close(first.u, second.u, rtol=0.0)
    assert_close(second.last_x0, view.x0, rtol=0.0)
    x0 = xp.asarray(RNG.standard_normal((2, *SHAPE)), "float64")
    view = bc.Prediction(x0=x0, eps=view.eps)
    again = bc.DPMSolverPP(process=process).step(second, view, 0.7, 0.65)
    h_now, h_last = (process.difference(t, s, shape=SHAPE).log_snr / -2 for t, s in ((0.7, 0.65), (0.8, 0.7)))
    guess = xp.to_numpy(x0) + h_now / (2 * h_last) * (xp.to_numpy(x0) - xp.to_numpy(second.last_x0))
    m_t, m_s = (process.marginal(v, shape=SHAPE) for v in (0.7, 0.65))
    desired = m_s.sigma / m_t.sigma * xp.to_numpy(second.u) - m_s.alpha * np.expm1(-h_now) * guess
    assert_close(again.u, desired, like=x0, rtol=0.0, atol=tolerance("float64", roundings=128, condition=10.0))


def polynomial_step(process, t, s, u, known):
    """Integrate the polynomial through known predictions (log-SNR / 2, x0), the last one first, by quadrature.

    u_s = sigma_s (u_t / sigma_t + integral of e^l x(l) dl) from l_t to l_s (Lu et al. 2022, eq. 8), x by Lagrange.
    """
    m_t, m_s = (process.marginal(v, shape=SHAPE) for v in (t, s))
    first, last = (process.log_snr(v, shape=SHAPE) / 2 + np.zeros(SHAPE) for v in (t, s))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = np.zeros_like(u)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        place = first + node * (last - first)
        value = 0.0
        for i, (mine, x0) in enumerate(known):
            others = [other for j, (other, _) in enumerate(known) if j != i]
            value = value + x0 * np.prod([(place - other) / (mine - other) for other in others], axis=0)
        total = total + weight * (last - first) * np.exp(place - last) * value
    return m_s.sigma / m_t.sigma * u + m_s.alpha * total


def test_third_order_solver_integrates_the_parabola_through_three_predictions_where_steps_do_not_grow(xp):
    """No step is more than half as long again as the one before it; else, and where there is no third, it is of second order."""
    process = bc.BlurringDiffusion()
    solver, times = bc.DPMSolverPP(process=process, order=3), (0.8, 0.77, 0.735, 0.71, 0.64, 0.61, 0.59, 0.56)
    lower, memory = bc.DPMSolverPP(process=process, order=2), None
    kinds = set()
    u, _, state, _ = state_and_view(xp, process, times[0])
    state, known = solver.start(state.u), []
    for t, s in solver.stages(times):
        x0 = RNG.standard_normal(u.shape)
        known = [(process.log_snr(t, shape=SHAPE) / 2, x0), *known][:3]
        h = [a - b for a, b in pairwise([process.log_snr(s, shape=SHAPE) / 2, *(place for place, _ in known)])]
        bends = len(known) == 3 and (h[0] <= 1.5 * h[1]) & (h[1] <= 1.5 * h[2])
        kinds.add((len(known), bool(np.any(bends)), bool(np.all(bends))))
        view = xp.asarray(x0, "float64")
        memory = bc.SamplerState(state.u, None, None) if memory is None else memory._replace(u=state.u)
        memory = lower.step(memory, bc.Prediction(x0=view), t, s)
        parabola = polynomial_step(process, t, s, xp.to_numpy(state.u), known)
        desired = np.where(bends, parabola, xp.to_numpy(memory.u))
        state = solver.step(state, bc.Prediction(x0=view), t, s)
        # the reference divides by distances of log-SNRs of up to 12, which are at least 0.02 apart: to the square
        assert_close(state.u, desired, like=view, rtol=0.0, atol=tolerance("float64", condition=10 * (12 / 0.02) ** 2))
    assert {(1, False, False), (2, False, False), (3, False, False), (3, True, True)} <= kinds


def test_weights_of_the_parabola_are_the_integrals_to_every_digit():
    h = np.array([1e-12, 1e-5, 0.01, 0.3, 0.999, 1.0, 1.5, 4.0, 50.0, 1e4])
    first, second = parabola_weights(h)
    with mpmath.workdps(60):
        exact = [1 - (1 - mpmath.exp(-mpmath.mpf(v))) / mpmath.mpf(v) for v in h]
        square = [1 - 2 * w / mpmath.mpf(v) for v, w in zip(h, exact, strict=True)]
    assert_close(first, np.array(exact, dtype=float))
    assert_close(second, np.array(square, dtype=float))
    ends = parabola_weights(np.array([0.0, np.inf]))
    assert np.array_equal(ends, [[0.0, 1.0], [0.0, 1.0]])


def test_stochastic_solver_of_second_order_is_ancestral_with_a_prediction_half_a_step_ahead(xp):
    process = bc.BlurringDiffusion()
    u, x0, state, view = state_and_view(xp, process, 0.8)
    solver, ancestral = bc.DPMSolverSDE(process=process), bc.Ancestral(process=process)
    state = solver.step(solver.start(state.u), view, 0.8, 0.7)
    now, n = RNG.standard_normal((2, *u.shape))
    noise = xp.asarray(n, "float64")
    step = solver.step(state, bc.Prediction(x0=xp.asarray(now, "float64")), 0.7, 0.65, noise)
    l_8, l_7, l_65 = (process.log_snr(t, shape=SHAPE) for t in (0.8, 0.7, 0.65))
    ahead = now + (l_65 - l_7) / (l_7 - l_8) / 2 * (now - x0)
    ahead = xp.asarray(ahead, "float64")
    desired = ancestral.step(bc.SamplerState(state.u), bc.Prediction(x0=ahead, eps=ahead), 0.7, 0.65, noise).u
    assert_close(step.u, desired, rtol=0.0, atol=tolerance("float64", roundings=128, condition=10.0))
    assert_close(step.last_x0, xp.asarray(now, "float64"), rtol=0.0)


@pytest.mark.parametrize(
    ("make", "settings"), [(bc.DPMSolverPP, {"order": 2}), (bc.DPMSolverPP, {"order": 3}), (bc.DPMSolverSDE, {})]
)
def test_solver_with_a_memory_leaves_alone_what_does_not_move(xp, make, settings):
    heat = bc.HeatDissipation(blur=bc.SinSquared(sigma_blur_max=2.0))
    solver, state = make(process=heat, **settings), None
    for t, s in ((1.0, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.0)):
        if state is None:
            u, _, state, _ = state_and_view(xp, heat, t)
        x0 = xp.asarray(RNG.standard_normal((2, *SHAPE)), "float64")
        state = solver.step(state, bc.Prediction(x0=x0, eps=x0), t, s)
    values = xp.to_numpy(state.u)
    assert np.all(np.isfinite(values))
    # DC: h = 0 exactly, and sigma_s / sigma_t = 1
    assert np.array_equal(values[:, 0, 0], u[:, 0, 0])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_last_step_to_a_time_without_noise_is_the_predicted_data(xp, order):
    process = bc.GaussianDiffusion(noise=bc.LinearBeta())
    solver = bc.DPMSolverPP(process=process, order=order)
    _, _, state, view = state_and_view(xp, process, 0.5)
    state = solver.step(state, view, 0.5, 0.4)
    state = solver.step(state, view, 0.4, 0.25)
    last = solver.step(state, bc.Prediction(x0=3 * view.x0), 0.25, 0.0)
    assert_close(last.u, 3 * view.x0, rtol=0.0)
    if order < 3:
        stochastic = bc.DPMSolverSDE(process=process, order=order)
        before = stochastic.step(bc.SamplerState(view.x0), view, 0.5, 0.25)
        last = stochastic.step(before, bc.Prediction(x0=3 * view.x0), 0.25, 0.0, view.x0)
        assert_close(last.u, 3 * view.x0, rtol=0.0)
    assert_close(bc.DDIM(process=process).step(state, view, 0.25, 0.0).u, view.x0, rtol=0.0)
    noise = xp.asarray(np.ones((2, *SHAPE)), "float64")
    assert_close(bc.Ancestral(process=process).step(state, view, 0.25, 0.0, noise).u, view.x0, rtol=0.0)


@pytest.mark.parametrize("solver", [bc.Ancestral, bc.DPMSolverPP, bc.DPMSolverSDE, bc.Euler, bc.Heun])
def test_solvers_that_need_noise_refuse_a_process_without(xp, solver):
    state = bc.SamplerState(xp.asarray(np.ones((2, *SHAPE))))
    view = bc.Prediction(x0=state.u, eps=state.u)
    with pytest.raises(DegenerateError, match="ColdDiffusion"):
        solver(process=bc.ColdDiffusion()).step(state, view, 0.5, 0.25)


@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_calibrated_step_is_wider_than_the_references_by_the_error_of_the_prediction(xp, noisy_process, t, s):
    """At times of the table; without noise it is the ancestral step."""
    u, x0, state, view = state_and_view(xp, noisy_process, t)
    solver = MAKERS["CalibratedAncestral"](process=noisy_process)
    n = xp.asarray(np.ones(u.shape), "float64")
    mean, drawn = solver.step(state, view, t, s).u, solver.step(state, view, t, s, n).u
    assert_close(mean, bc.Ancestral(process=noisy_process).step(state, view, t, s).u, rtol=0.0)
    _, x_coef, variance = oracle.sampler_step(bc.to_dict(noisy_process), t, s, SHAPE, "ancestral")
    wider = variance + x_coef**2 * ERRORS[TABLE_TIMES.index(t)]
    # the reference's variance and x_coef cancel, see above; the mean is subtracted again
    size = np.abs(u) + np.abs(x0)
    atol = tolerance("float64", roundings=1e4, condition=1.0 + size)
    spread = xp.to_numpy(drawn) - xp.to_numpy(mean)
    assert_close(spread**2, wider * np.ones_like(u), rtol=0.0, atol=atol * (1 + np.sqrt(wider)) ** 2)


def test_errors_between_the_times_of_a_table_are_geometric_means(xp):
    like = xp.asarray(np.zeros(SHAPE), "float64")
    for t, expected in (
        (0.0, ERRORS[0]),
        (0.3, ERRORS[1]),
        (1.0, ERRORS[3]),
        (0.45, np.sqrt(ERRORS[1] * ERRORS[2])),
        (0.7, np.exp((3 * np.log(ERRORS[2]) + np.log(ERRORS[3])) / 4)),
    ):
        assert_close(X0_ERROR.at(t, shape=SHAPE, like=like), expected, like=like)
    times = xp.asarray([0.45, 1.0, 0.0], "float64")
    rows = np.stack([np.sqrt(ERRORS[1] * ERRORS[2]), ERRORS[3], ERRORS[0]])
    assert_close(X0_ERROR.at(times, shape=SHAPE), rows, like=times)


def test_table_without_error_is_plain_ancestral_and_one_number_serves_all_frequencies(xp):
    process = bc.BlurringDiffusion()
    _, _, state, view = state_and_view(xp, process, 0.6)
    n = xp.asarray(RNG.standard_normal((2, *SHAPE)), "float64")
    none = bc.X0Error(times=(0.0, 1.0), values=np.zeros((2, 1, 1)))
    steps = [
        solver.step(state, view, 0.6, 0.5, n).u
        for solver in (bc.CalibratedAncestral(process=process, x0_error=none), bc.Ancestral(process=process))
    ]
    assert_close(steps[0], steps[1])


def test_tables_of_errors_are_values_that_nothing_changes():
    values = ERRORS.copy()
    table = bc.X0Error(times=TABLE_TIMES, values=values)
    values[:] = 0
    assert table == X0_ERROR
    assert hash(table) == hash(X0_ERROR)
    assert table != bc.X0Error(times=TABLE_TIMES, values=values)
    assert repr(table) == "X0Error(4 times from 0.0 to 1.0, grid (3, 4))"
    with pytest.raises(ValueError, match="read-only"):
        table.values[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.values = values
    for copied in (pickle.loads(pickle.dumps(table)), copy.copy(table), copy.deepcopy(table)):
        assert copied == table
        assert hash(copied) == hash(table)
        assert not copied.values.flags.writeable


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [
        ((0.5,), np.ones((1, 3, 4)), r"times must be two or more that increase strictly, in \[0, 1\]; got \(0.5,\)"),
        ((1.0, 0.0), np.ones((2, 3, 4)), "times must be two or more that increase strictly"),
        ((0.0, 1.5), np.ones((2, 3, 4)), "times must be two or more that increase strictly"),
        (
            (0.0, 1.0),
            np.ones((3, 3, 4)),
            r"values must be of the shape \(times, \*grid\), with 2 times; got \(3, 3, 4\)",
        ),
        ((0.0, 1.0), np.ones(2), "values must be of the shape"),
        ((0.0, 1.0), -np.ones((2, 3, 4)), "values must be finite, and 0 or more, everywhere; got -1.0"),
        ((0.0, 1.0), np.full((2, 3, 4), np.nan), "values must be finite, and 0 or more, everywhere; got nan"),
    ],
)
def test_invalid_table_of_errors_is_refused(times, values, message):
    with pytest.raises(ArgumentError, match=message):
        bc.X0Error(times=times, values=values)


def test_table_of_errors_is_not_used_for_another_grid_or_beyond_its_times():
    with pytest.raises(ArgumentError, match=r"x0_error must be a table for the grid \(4, 4\); got \(3, 4\)"):
        X0_ERROR.at(0.5, shape=(4, 4))
    short = bc.X0Error(times=(0.1, 0.9), values=np.ones((2, 1, 1)))
    with pytest.raises(ArgumentError, match=r"first and last time of x0_error, 0\.1 and 0\.9; got 1\.0"):
        short.at(1.0, shape=SHAPE)
    with pytest.raises(ArgumentError, match="x0_error must be an X0Error; got None"):
        bc.CalibratedAncestral(process=bc.BlurringDiffusion(), x0_error=None)


def slope_of_the_reference(process, u, eps, t):
    """Return du/dt on the probability-flow ODE (SPEC 6), and a bound of its rounding: that of its terms' moduli."""
    f, g2 = oracle.sde(bc.to_dict(process), t, SHAPE)
    terms = f * u, g2 / (2 * oracle.sigma(bc.to_dict(process), t, SHAPE)) * eps
    return sum(terms), tolerance("float64", roundings=128, condition=sum(np.abs(term) for term in terms))


@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_euler_follows_the_slope_of_the_reference(xp, noisy_process, t, s):
    u, _, state, view = state_and_view(xp, noisy_process, t)
    slope, error = slope_of_the_reference(noisy_process, u, xp.to_numpy(view.eps), t)
    step = bc.Euler(process=noisy_process).step(state, view, t, s).u
    atol = (t - s) * error + tolerance("float64", condition=np.abs(u))
    assert_close(step, u + (s - t) * slope, like=state.u, rtol=0.0, atol=atol)


@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_heun_steps_by_the_mean_of_two_slopes(xp, noisy_process, t, s):
    u, _, state, view = state_and_view(xp, noisy_process, t)
    solver = bc.Heun(process=noisy_process)
    predicted = solver.step(solver.start(state.u), view, t, s)
    _, _, _, second = state_and_view(xp, noisy_process, s)
    corrected = solver.step(predicted, second, s, s).u
    slope, error = slope_of_the_reference(noisy_process, u, xp.to_numpy(view.eps), t)
    guess = u + (s - t) * slope
    assert_close(predicted.u, guess, like=state.u, rtol=0.0, atol=(t - s) * error + tolerance("float64", condition=5.0))
    other, other_error = slope_of_the_reference(noisy_process, guess, xp.to_numpy(second.eps), s)
    f, _ = oracle.sde(bc.to_dict(noisy_process), s, SHAPE)
    atol = (t - s) * (error + other_error + np.abs(f) * (t - s) * error) + tolerance("float64", condition=5.0)
    assert_close(corrected, u + (s - t) / 2 * (slope + other), like=state.u, rtol=0.0, atol=atol)


def test_heun_calls_the_network_twice_a_step_and_once_where_there_is_no_score():
    times = (1.0, 0.4, 0.0)
    assert bc.Heun(process=bc.BlurringDiffusion()).stages(times) == ((1.0, 0.4), (0.4, 0.4), (0.4, 0.0), (0.0, 0.0))
    silent = bc.GaussianDiffusion(noise=bc.LinearBeta())
    assert bc.Heun(process=silent).stages(times) == ((1.0, 0.4), (0.4, 0.4), (0.4, 0.0))
    for name, make in MAKERS.items():
        if name != "Heun":
            assert make(process=silent).stages(times) == ((1.0, 0.4), (0.4, 0.0))


@pytest.mark.parametrize("make", [bc.Euler, bc.Heun])
def test_solvers_of_the_ode_leave_alone_what_does_not_move(xp, make):
    heat = bc.HeatDissipation(blur=bc.SinSquared(sigma_blur_max=2.0))
    solver = make(process=heat)
    u = RNG.standard_normal((2, *SHAPE))
    state = solver.start(xp.asarray(u, "float64"))
    for t, s in solver.stages((1.0, 0.75, 0.5, 0.25, 0.0)):
        view = xp.asarray(RNG.standard_normal((2, *SHAPE)), "float64")
        state = solver.step(state, bc.Prediction(x0=view, eps=view), t, s)
    values = xp.to_numpy(state.u)
    assert np.all(np.isfinite(values))
    assert np.array_equal(values[:, 0, 0], u[:, 0, 0])


def test_heun_refuses_a_prediction_without_eps(xp):
    u = xp.asarray(np.ones((2, *SHAPE)), "float64")
    with pytest.raises(DegenerateError, match="a step of Heun takes eps"):
        bc.Heun(process=bc.BlurringDiffusion()).step(bc.SamplerState(u), bc.Prediction(x0=u), 0.5, 0.25)


COLD = bc.ColdDiffusion(blur=bc.SinSquared(sigma_blur_max=2.0))


@pytest.mark.parametrize("make", [bc.ColdNaive, bc.ColdImproved])
def test_cold_solvers_with_a_network_that_is_right_keep_to_the_degraded_data(xp, make):
    """Restored exactly, x_s = D(x, s) for both algorithms; and a prediction without noise has no eps."""
    x = xp.asarray(RNG.standard_normal((2, *SHAPE)), "float64")
    solver, times = make(process=COLD), bc.uniform_times(5)
    state = solver.start(bc.marginal_for(COLD, 1.0, x).alpha * COLD.basis.forward(x))
    for t, s in zip(times[:-1], times[1:], strict=True):
        view = bc.predict(COLD, x, "x0", state.u, t)
        assert view.eps is None
        state = solver.step(state, view, t, s)
        degraded = bc.diffuse(COLD, x, s, 0 * x)
        # two transforms of 12 values and a few operations each step
        assert_close(COLD.basis.inverse(state.u), degraded, rtol=0.0, atol=tolerance("float64", roundings=256))


def test_naive_cold_diffusion_forgets_its_state_and_the_improved_one_keeps_it(xp):
    """With a network that always says 0, algorithm 1 gives 0 and algorithm 2 leaves the state alone."""
    u = xp.asarray(RNG.standard_normal((2, *SHAPE)), "float64")
    view = bc.Prediction(x0=0 * u)
    assert_close(bc.ColdNaive(process=COLD).step(bc.SamplerState(u), view, 0.6, 0.5).u, 0 * u, rtol=0.0)
    assert_close(bc.ColdImproved(process=COLD).step(bc.SamplerState(u), view, 0.6, 0.5).u, u, rtol=0.0)


def test_clipped_prediction_without_noise_has_no_eps_either(xp):
    u = xp.asarray(3 * RNG.standard_normal((2, *SHAPE)), "float64")
    view = bc.predict(COLD, u, "x0", u, 0.5, clip=bc.Clip())
    assert view.eps is None
    clipped = np.clip(xp.to_numpy(u), -1, 1)
    assert_close(COLD.basis.inverse(view.x0), clipped, like=u, rtol=0.0, atol=tolerance("float64", roundings=32))


def test_solver_that_takes_eps_refuses_a_prediction_without(xp):
    u = xp.asarray(np.ones((2, *SHAPE)), "float64")
    with pytest.raises(DegenerateError, match="a step of DDIM takes eps, which is undefined where sigma is 0"):
        bc.DDIM(process=COLD).step(bc.SamplerState(u), bc.predict(COLD, u, "x0", u, 0.5), 0.5, 0.25)


def test_inverse_heat_adds_noise_of_a_quarter_more_than_the_process_has(xp):
    """Rissanen et al. sample CIFAR-10 with delta = 0.0125, where sigma = 0.01."""
    heat = bc.HeatDissipation()
    u = xp.asarray(np.zeros((2, *SHAPE)), "float64")
    n = xp.asarray(RNG.standard_normal((2, *SHAPE)), "float64")
    step = bc.InverseHeat(process=heat).step(bc.SamplerState(u), bc.Prediction(x0=u), 0.5, 0.45, n)
    assert_close(step.u, 0.0125 * n)


@pytest.mark.parametrize("kind", ["x0", "eps", "v", "score"])
def test_predict_returns_x0_and_eps_of_the_network_output(xp, noisy_process, kind):
    if isinstance(noisy_process, bc.HeatDissipation):
        noisy_process = bc.HeatDissipation(blur=bc.SinSquared(sigma_blur_max=1.0))  # frequencies that are still there
    t, dtype = 0.4, "float64"
    x, eps = (xp.asarray(RNG.standard_normal((2, *SHAPE)), dtype) for _ in range(2))
    pair = bc.training_pair(noisy_process, x, t, eps, prediction=kind)
    basis = noisy_process.basis
    u = basis.forward(pair.z)
    view = bc.predict(noisy_process, pair.target, kind, u, t)
    m = noisy_process.marginal(t, shape=SHAPE)
    size = max(np.abs(xp.to_numpy(v)).max() for v in (x, eps, pair.target)) * np.sqrt(12)
    atol = tolerance("float64", roundings=64, condition=size / min(m.alpha.min(), m.sigma.min()) ** 2)
    assert_close(view.x0, basis.forward(x), rtol=0.0, atol=atol)
    assert_close(view.eps, basis.forward(eps), rtol=0.0, atol=atol)


def test_predict_clips_in_data_space_and_keeps_eps_consistent(xp):
    process, t = bc.BlurringDiffusion(), 0.3
    u = xp.asarray(3 * RNG.standard_normal((2, *SHAPE)), "float64")
    said = xp.asarray(3 * RNG.standard_normal((2, *SHAPE)), "float64")
    view = bc.predict(process, said, "x0", u, t, clip=bc.Clip())
    clipped = np.clip(xp.to_numpy(said), -1, 1)
    atol = tolerance("float64", roundings=32, condition=30.0)
    assert_close(process.basis.inverse(view.x0), clipped, like=u, rtol=0.0, atol=atol)
    m = bc.marginal_for(process, t, u)
    back = m.alpha * view.x0 + m.sigma * view.eps
    assert_close(back, u, rtol=0.0, atol=atol)


def test_predict_refuses_an_unknown_kind(xp):
    u = xp.asarray(np.zeros((2, *SHAPE)))
    with pytest.raises(ArgumentError, match="kind must be one of"):
        bc.predict(bc.BlurringDiffusion(), u, "noise", u, 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: bc.DDIM(process=p, eta=-0.1), r"eta must be in \[0, 1\]; got -0.1"),
        (lambda p: bc.DDIM(process=p, eta=float("nan")), r"eta must be a finite number; got nan"),
        (lambda p: bc.InverseHeat(process=p, delta=-0.1), "delta must be 0 or more; got -0.1"),
        (lambda p: bc.InverseHeat(process=p, delta=float("inf")), "delta must be a finite number; got inf"),
        (lambda p: bc.Ancestral(process=p, variance="large"), "variance must be 'posterior' or 'upper'; got 'large'"),
        (lambda p: bc.DPMSolverPP(process=p, order=4), "order must be 1, 2 or 3; got 4"),
        (lambda p: bc.DPMSolverSDE(process=p, order=3), "order must be 1 or 2; got 3"),
    ],
)
def test_solvers_refuse_settings_that_make_no_sense(make, message):
    with pytest.raises(ArgumentError, match=message):
        make(bc.BlurringDiffusion())


def test_solvers_are_values_and_registered_once():
    for make in MAKERS.values():
        assert make(process=bc.BlurringDiffusion()) == make(process=bc.BlurringDiffusion())
        assert hash(make(process=bc.BlurringDiffusion())) == hash(make(process=bc.BlurringDiffusion()))
    assert len(set(SOLVERS.values())) == len(SOLVERS)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 1000])
def test_uniform_times_end_at_exactly_zero_and_fall(steps):
    times = bc.uniform_times(steps)
    assert len(times) == steps + 1
    assert times[0] == 1.0
    assert times[-1] == 0.0
    assert np.all(np.diff(times) < 0)
    assert_close(-np.diff(times), np.full(steps, 1 / steps), rtol=0.0, atol=2 * EPSILON["float64"])


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 1000])
def test_quadratic_times_are_even_in_the_square_root(steps):
    times = bc.quadratic_times(steps)
    assert bc.check_times(times) == times
    assert times[0] == 1.0
    roots = np.linspace(1, 0, steps + 1)
    assert_close(np.sqrt(times), roots, rtol=0.0, atol=4 * EPSILON["float64"])


@pytest.mark.no_type_checks
def test_a_grid_of_your_own_comes_back_as_floats():
    times = bc.check_times([1, np.float32(0.5), 0])
    assert times == (1.0, 0.5, 0.0)
    assert all(type(t) is float for t in times)
    assert bc.check_times(np.array([0.7, 0.2, 0.0])) == (0.7, 0.2, 0.0)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (0.5, "times must be a sequence of numbers; got 0.5"),
        ((1.0,), r"times must be two numbers or more, from 1 or less to 0; got \(1.0,\)"),
        ((), r"times must be two numbers or more, from 1 or less to 0; got \(\)"),
        ((1.0, "0.5", 0.0), r"times\[1\] must be a number in \[0, 1\]; got '0.5'"),
        ((1.5, 0.5, 0.0), r"times\[0\] must be a number in \[0, 1\]; got 1.5"),
        ((1.0, float("nan"), 0.0), r"times\[1\] must be a number in \[0, 1\]; got nan"),
        ((1.0, 0.5, -1e-9), r"times\[2\] must be a number in \[0, 1\]; got -1e-09"),
        ((1.0, 0.5, 0.5, 0.0), r"times\[2\] must be less than the time before it, 0.5; got 0.5"),
        ((0.0, 0.5, 1.0), r"times\[1\] must be less than the time before it, 0.0; got 0.5"),
        ((1.0, 0.5, 0.1), r"times\[2\] must be exactly 0, being the last; got 0.1"),
    ],
)
def test_invalid_grid_is_refused_with_its_position(times, message):
    with pytest.raises(ArgumentError, match=message):
        bc.check_times(times)


@pytest.mark.parametrize("noise", [bc.CosineLogSNR(), bc.CosineLogSNR(log_snr_min=-3.0, log_snr_max=14.0)])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_log_snr_times_are_even_in_the_log_snr(noise, steps):
    times = bc.log_snr_times(steps, noise)
    assert len(times) == steps + 1
    assert (times[0], times[-1]) == (1.0, 0.0)
    g = np.array([float(noise.log_snr(t)) for t in times])
    # dg/dt is at most 2 m / (a sigma), with m < pi/2 and a sigma >= exp(-7) at these bounds: that of one ulp of t <= 1
    atol = np.pi * np.exp(7) * EPSILON["float64"] + 64 * EPSILON["float64"]
    assert_close(g, np.linspace(g[0], g[-1], steps + 1), rtol=0.0, atol=atol)


def test_log_snr_times_that_float64_cannot_tell_apart_are_refused():
    assert len(set(bc.log_snr_times(5, bc.CosineLogSNR(log_snr_min=-60.0)))) == 6
    with pytest.raises(ArgumentError, match="num_steps must be such that neighbouring steps have times of their own"):
        bc.log_snr_times(5, bc.CosineLogSNR(log_snr_min=-100.0))


@pytest.mark.parametrize("steps", [0, -1, 2.5, "3", None])
def test_grids_of_no_steps_are_refused(steps):
    for make in (bc.uniform_times, bc.quadratic_times, lambda n: bc.log_snr_times(n, bc.CosineLogSNR())):
        with pytest.raises(ArgumentError, match="num_steps must be a whole number >= 1; got"):
            make(steps)


@pytest.mark.parametrize("noise", [bc.LinearBeta(), bc.ConstantSigma(), bc.ConstantSigma(sigma=0.0)])
def test_log_snr_times_refuse_schedules_without_a_finite_falling_log_snr(noise):
    with pytest.raises(ArgumentError, match="noise must be a schedule with a finite, strictly decreasing log-SNR; got"):
        bc.log_snr_times(10, noise)


def test_adaptive_solver_alone_takes_the_steps_of_euler(noisy_process):
    shape = (3, 4)
    solver = bc.AdaptiveODE(tolerance=1e-4).build(noisy_process, axes=(-2, -1))
    found = solver.coefficients(0.6, 0.5, shape=shape)
    expected = bc.Euler(process=noisy_process).coefficients(0.6, 0.5, shape=shape)
    np.testing.assert_array_equal(found.z, expected.z)
    np.testing.assert_array_equal(found.eps, expected.eps)
