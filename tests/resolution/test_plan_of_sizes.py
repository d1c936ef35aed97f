"""A plan of sampling over sizes: its weights are the core's steps on restricted processes, and its output that of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.engine import ALONE, Batch, SamplingPlan, plan, walk
from blurcore.engine.steps import LinearStep
from blurcore.resolution import Resolutions, grow, input_scale, resolutions_for, restrict, rungs, shrink

GRID, AXES = (12, 16), (1, 2)
PROCESS = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=8.0))
POWER = 0.3 / (np.asarray(bc.DCT().eigenvalues(GRID)) + 0.01)
SIZES = resolutions_for(PROCESS, POWER)
SOLVERS: dict[str, tuple[bc.Solver, bc.Times]] = {
    "ancestral": (bc.Ancestral(), bc.Uniform(num_steps=9)),
    "ddim": (bc.DDIM(eta=0.5), bc.Uniform(num_steps=9)),
    "second order": (bc.DPMSolverPP(), bc.Uniform(num_steps=9)),
    "third order": (bc.DPMSolverPP(order=3), bc.LogSNR(num_steps=12)),
    "sde": (bc.DPMSolverSDE(), bc.Uniform(num_steps=9)),
    "heun": (bc.Heun(), bc.Uniform(num_steps=9)),
    "calibrated": (bc.CalibratedAncestral(), bc.Uniform(num_steps=9)),
}
ERRORS = bc.X0Error(times=(0.0, 0.4, 1.0), values=np.random.default_rng(3).uniform(0.01, 0.5, (3, *GRID)))


def network(z: np.ndarray) -> np.ndarray:
    return np.tanh(z[:, ::-1]) + 0.2 * z


def make(solver: bc.Solver, times: bc.Times, *, prediction: Any = "v", sizes: Any = SIZES, **more: Any) -> SamplingPlan:
    config = bc.RunConfig(
        process=PROCESS,
        train=bc.TrainConfig(objective=bc.Denoising(prediction=prediction)),
        resolution=bc.Full() if sizes is None else bc.Nested(found=sizes),
    )
    chosen = bc.SampleConfig(solver=solver, times=times, **more)
    error = ERRORS if solver.needs_calibration else None
    return SamplingPlan(config, chosen, (*GRID, 2), axes=AXES, x0_error=error)


def numbers(made: SamplingPlan, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((made.calls + 1, batch, *GRID, 2))


def walked(
    made: SamplingPlan, noise: np.ndarray, ask: Any = lambda z, t: network(z), batch: Batch = ALONE
) -> np.ndarray:
    u = made.first_state(noise[0], np.asarray)
    return walk(made, u, ask, lambda k: noise[k], batch, move=np.asarray, show=np.asarray)


def stepped(made: SamplingPlan, noise: np.ndarray) -> np.ndarray:
    """Return the same by the solvers' own steps, one after the other."""
    u, state, k = made.first_state(noise[0], np.asarray), None, 0
    for stretch, rung in zip((*made.smaller, made), rungs(made.solver, made.times, SIZES), strict=True):
        process, solver, size = stretch.process, stretch.solver, stretch.grid
        cut = (slice(None), *(slice(0, m) for m in size))
        if state is None:
            state = solver.start(shrink(u, size, axes=AXES))
        else:
            new, t = noise[0][cut], rung.times[0]
            state = grow(state, new, process=process, t=t, axes=AXES, deviation=rung.deviation)
        for t, s in stretch.stages:
            k += 1
            t, s = float(t), float(s)
            c = float(input_scale(process, t))
            output = network(process.basis.inverse(state.u, axes=AXES) / c)
            marginal = bc.Marginal(*(v / c for v in bc.marginal_for(process, t, state.u, axes=AXES)))
            seen = made.objective.predict(marginal, output, state.u / c, axes=AXES, clip=made.clip)
            state = solver.step(state, seen, t, s, noise[k][cut] if solver.uses_noise and s > 0 else None)
    return made.process.basis.inverse(state.u, axes=AXES)


@pytest.mark.parametrize("clip", ["off", "static"])
@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "heun"])
def test_weights_are_those_of_the_core(monkeypatch: pytest.MonkeyPatch, name: str, clip: Any) -> None:
    """New frequencies take their first step by the first order, old ones go on with what they remember; blocks of 4 steps."""
    monkeypatch.setattr(plan, "_LONGEST", 4)
    made = make(*SOLVERS[name], clip=clip)
    assert [stretch.grid for stretch in made.smaller] == ([(3, 4)] if name == "third order" else [(3, 4), (6, 8)])
    assert all(isinstance(b.step, LinearStep) for stretch in (*made.smaller, made) for b in stretch.blocks())
    noise = numbers(made)
    np.testing.assert_allclose(walked(made, noise), stepped(made, noise), rtol=0, atol=5e-6)


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_network_sees_states_of_one_size(prediction: str) -> None:
    """What it is shown and what it says have the variance that they have on whole images, whatever it predicts."""
    made = make(bc.DDIM(), bc.Uniform(num_steps=9), prediction=prediction)
    noise, seen = numbers(made, batch=64), []

    def exact(z: np.ndarray, cond: np.ndarray) -> np.ndarray:
        seen.append((z.shape[1:3], np.sqrt(np.mean(z**2))))
        return 0 * z

    walked(made, noise, exact)
    assert [shape for shape, _ in seen[:: len(seen) - 1]] == [(3, 4), GRID]
    first = [size for shape, size in seen if shape == (3, 4)]
    assert first[0] == pytest.approx(1.0, abs=0.05)  # as at t = 1 on whole images


@pytest.mark.parametrize("name", SOLVERS)
def test_samples_hardly_depend_on_the_sizes(name: str) -> None:
    """With an exact denoiser and the same noise: what is dropped is dead, and where no noise is added it goes on as it was."""
    one = Resolutions(sizes=(GRID,), since=(0.0,))
    solver, times = SOLVERS[name]
    nested, full = (make(solver, times, prediction="x0", sizes=sizes) for sizes in (SIZES, one))
    noise = numbers(full)

    def draw(made: SamplingPlan) -> np.ndarray:
        moments = iter([(stretch, t) for stretch in (*made.smaller, made) for t in stretch.stages[:, 0]])

        def exact(z: np.ndarray, cond: np.ndarray) -> np.ndarray:
            stretch, t = next(moments)
            process, size = stretch.process, stretch.grid
            c = POWER[tuple(slice(0, m) for m in size)] * np.prod(size) / np.prod(GRID)
            m = process.marginal(t, shape=size)
            gain = m.alpha * c / (m.alpha**2 * c + m.sigma**2) * input_scale(process, t)
            return process.basis.inverse(gain[..., None] * process.basis.forward(z, axes=AXES), axes=AXES)

        return walked(made, noise, exact)

    a, b = (bc.DCT().forward(draw(made), axes=AXES) for made in (nested, full))
    if full.solver.uses_noise:  # which draws dead frequencies anew
        a, b = (u[:, :3, :4] for u in (a, b))
    assert np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)) < 0.01


def test_callbacks_get_every_step_and_states_of_one_shape() -> None:
    made, seen, told = make(bc.Heun(), bc.Uniform(num_steps=5)), [], []
    batch = Batch(watch=lambda k, x: seen.append((k, x)), step_done=told.append)
    walked(made, numbers(made), batch=batch)
    assert made.calls == make(bc.Heun(), bc.Uniform(num_steps=5), sizes=None).calls
    assert [k for k, _ in seen] == list(range(made.calls + 1))
    assert sum(told) == made.calls
    assert {x.shape for _, x in seen} == {(2, *GRID, 2)}
    high = bc.DCT().forward(seen[0][1], axes=AXES)
    assert np.abs(high[:, 3:]).max() < 1e-12  # the small picture, enlarged


def test_first_states_are_shrunk_with_their_noise() -> None:
    """Processes that start from images: small ones see the image's first frequencies."""
    made = make(bc.DDIM(), bc.Uniform(num_steps=4))
    u = np.random.default_rng(1).standard_normal((1, *GRID, 2))
    stretch, state = made.enter(0, None, u, np.asarray)
    np.testing.assert_allclose(state.u, 0.25 * u[:, :3, :4])
    assert stretch.grid == (3, 4)


def test_one_size_is_the_plan_of_today() -> None:
    noise = numbers(make(*SOLVERS["sde"], sizes=None))
    one = Resolutions(sizes=(GRID,), since=(0.0,))
    np.testing.assert_array_equal(*(walked(make(*SOLVERS["sde"], sizes=sizes), noise) for sizes in (None, one)))


def test_input_scale_is_one_on_whole_images_and_keeps_the_variance_on_smaller_ones() -> None:
    small = restrict(PROCESS, GRID, (3, 4))
    t = np.linspace(0, 1, 7)
    np.testing.assert_array_equal(input_scale(PROCESS, t), np.ones(7))
    m, c = small.marginal(t, shape=(1, 1)), input_scale(small, t)
    np.testing.assert_allclose((m.alpha.ravel() / c) ** 2 + (m.sigma.ravel() / c) ** 2, 1, rtol=1e-12)


def test_steps_longer_than_the_overlap_of_training_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    make(bc.Ancestral(), bc.Uniform(num_steps=40))
    assert not caplog.records
    make(bc.Ancestral(), bc.Uniform(num_steps=4))
    assert (
        "the network is asked about images of 6 x 8 at t = " in caplog.text
        or "images of 12 x 16 at t = " in caplog.text
    )
    assert "take more steps, or train with a larger resolution.overlap" in caplog.text
