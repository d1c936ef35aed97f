"""The plan of sampling: its weights are the core's steps, its memory is bounded, and what is not linear is not taken for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest
from blurcore_reference import precise
from blurcore_reference.backend import settings

import blurcore as bc
from blurcore.engine import Batch, SamplingPlan, plan, walk
from blurcore.engine.steps import LinearStep, OpenStep
from blurcore.objectives import path_for
from blurcore.samplers import LinearStepper

SHAPE = (6, 5, 2)
AXES = (1, 2)
SOLVERS: dict[str, tuple[bc.Solver, bc.Times]] = {
    "ancestral": (bc.Ancestral(), bc.Uniform(num_steps=11)),
    "ddim": (bc.DDIM(eta=0.5), bc.Uniform(num_steps=11)),
    "third order": (bc.DPMSolverPP(order=3), bc.LogSNR(num_steps=11)),
    "sde": (bc.DPMSolverSDE(), bc.Uniform(num_steps=11)),
    "heun": (bc.Heun(), bc.Uniform(num_steps=11)),
    "calibrated": (bc.CalibratedAncestral(), bc.Uniform(num_steps=11)),
}
ERRORS = bc.X0Error(times=(0.0, 0.4, 1.0), values=np.random.default_rng(3).uniform(0.01, 0.5, (3, 6, 5)))


def network(z: np.ndarray) -> np.ndarray:
    return np.tanh(z[:, ::-1]) + 0.2 * z


def make(
    solver: bc.Solver, times: bc.Times, *, prediction: Any = "v", process: Any = None, **more: Any
) -> SamplingPlan:
    spectrum = (3.0, 1.0, 0.5, 0.2) if prediction == "F" else ()
    objective = bc.Denoising(prediction=prediction, sigma_data=spectrum)
    config = bc.RunConfig(process=process or bc.BlurringDiffusion(), train=bc.TrainConfig(objective=objective))
    chosen = bc.SampleConfig(solver=solver, times=times, **more)
    return SamplingPlan(config, chosen, SHAPE, axes=AXES, x0_error=ERRORS if solver.needs_calibration else None)


def walked(made: SamplingPlan, noise: np.ndarray) -> np.ndarray:
    u = made.first_state(noise[0], np.asarray)
    return walk(made, u, lambda z, t: network(z), lambda k: noise[k], Batch(), move=np.asarray, show=np.asarray)


def stepped(made: SamplingPlan, noise: np.ndarray) -> np.ndarray:
    """Return the same by the solver's own steps."""
    process, solver = made.process, made.solver
    state = solver.start(bc.marginal_for(process, 1.0, noise[0], axes=AXES).sigma * noise[0])
    for k, (t, s) in enumerate(made.stages, start=1):
        t, s = float(t), float(s)
        output = network(process.basis.inverse(state.u, axes=AXES))
        path = path_for(made.objective, t, state.u, axes=AXES)
        prediction = made.objective.predict(path, output, state.u, axes=AXES, clip=made.clip)
        state = solver.step(state, prediction, t, s, noise[k] if solver.uses_noise and s > 0 else None)
    return process.basis.inverse(state.u, axes=AXES)


@pytest.mark.parametrize("clip", ["off", "static"])
@pytest.mark.parametrize("name", SOLVERS)
def test_weights_are_those_of_the_core_to_float32(monkeypatch: pytest.MonkeyPatch, name: str, clip: Any) -> None:
    monkeypatch.setattr(plan, "_LONGEST", 4)  # steps remember others beyond their block
    made = make(*SOLVERS[name], clip=clip)
    noise = np.random.default_rng(0).standard_normal((made.calls + 1, 2, *SHAPE))
    assert all(isinstance(block.step, LinearStep) for block in made.blocks())
    np.testing.assert_allclose(walked(made, noise), stepped(made, noise), rtol=0, atol=3e-6)


@pytest.mark.parametrize("prediction", ["velocity", "F"])
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_takes_the_velocity_and_the_F_of_a_straight_path(name: str, prediction: str) -> None:
    straight = bc.BlurringDiffusion(noise=bc.Rectified(), blur=bc.SinSquared(sigma_blur_max=2.0))
    made = make(*SOLVERS[name], prediction=prediction, process=straight)
    noise = np.random.default_rng(0).standard_normal((made.calls + 1, 2, *SHAPE))
    assert all(isinstance(block.step, LinearStep) for block in made.blocks())
    found, expected = walked(made, noise), stepped(made, noise)
    assert np.isfinite(expected).all()
    # weights reach 1 / alpha_1 = 1e3, of which float32 keeps 6e-8, and later steps take most of it back
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_weights_of_a_million_steps_are_right_to_seven_digits(prediction: str) -> None:
    """DDIM, whose weights are differences of nearly equal numbers, against 50 digits."""
    made = make(bc.DDIM(), bc.Uniform(num_steps=10**6), prediction=prediction)
    process = settings(made.process)
    with mpmath.workdps(50):
        for first in (0, 500_032, 999_936):
            block = made._make(first)
            (_, terms), *_ = block.step.update
            rows = block.step.expand(block.values, made.index, SHAPE[:2], 4)
            weights = {name: rows[place][0, 0, ..., 0] for name, place in terms}
            t, s = (float(time) for time in made.stages[first])
            for place in ((0, 0), (0, 1), (3, 2), (5, 4)):
                lam = precise.eigenvalue("DCT", place, SHAPE[:2])
                (alpha_t, sigma_t), (alpha_s, sigma_s) = (precise.marginal(process, time, lam) for time in (t, s))
                for name, expected in ddim(prediction, alpha_t, sigma_t, alpha_s, sigma_s).items():
                    assert abs(mpmath.mpf(float(weights[name][place])) / expected - 1) < 2e-7


def ddim(prediction: str, alpha_t: Any, sigma_t: Any, alpha_s: Any, sigma_s: Any) -> dict[str, Any]:
    """Return DDIM's weights of the state and of the output."""
    of_state = {
        "eps": alpha_s / alpha_t,
        "x0": sigma_s / sigma_t,
        "v": (alpha_s * alpha_t + sigma_s * sigma_t) / (alpha_t**2 + sigma_t**2),
    }[prediction]
    of_output = {
        "eps": sigma_s - alpha_s * sigma_t / alpha_t,
        "x0": alpha_s - sigma_s * alpha_t / sigma_t,
        "v": (sigma_s * alpha_t - alpha_s * sigma_t) / (alpha_t**2 + sigma_t**2),
    }[prediction]
    return {"u": of_state, "output": of_output}


def test_only_coefficients_of_eigenvalues_alone_are_kept_once_for_each() -> None:
    assert make(*SOLVERS["calibrated"]).index is None
    square = SamplingPlan(bc.RunConfig(), bc.SampleConfig(), (16, 16, 1), axes=AXES)
    assert square.index is not None
    assert square.index.max() + 1 == len(np.unique(np.add.outer(np.arange(16) ** 2, np.arange(16) ** 2)))


@dataclass(frozen=True, kw_only=True)
class Own(LinearStepper):
    """Ancestral sampling by another class."""

    process: bc.Process
    axes: tuple[int, ...] = AXES

    @property
    def uses_noise(self) -> bool:
        return True

    def coefficients(self, t: Any, s: Any, *, shape: tuple[int, ...], like: Any = None) -> Any:
        return bc.Ancestral(process=self.process, axes=self.axes).coefficients(t, s, shape=shape, like=like)


class Sloped(Own):
    """Its noise grows from place to place, whatever the eigenvalue there."""

    def coefficients(self, t: Any, s: Any, *, shape: tuple[int, ...], like: Any = None) -> Any:
        found = super().coefficients(t, s, shape=shape, like=like)
        return found._replace(noise=found.noise * np.linspace(1.0, 2.0, math.prod(shape)).reshape(shape))


def test_coefficients_by_place_are_worked_out_for_the_whole_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "solver_of", lambda config, settings, *, axes, x0_error: Sloped(process=config.process))
    made = make(*SOLVERS["ancestral"])
    noise = np.random.default_rng(0).standard_normal((12, 2, *SHAPE))
    assert made.index is None
    np.testing.assert_allclose(walked(made, noise), stepped(made, noise), rtol=0, atol=3e-6)


class Bounded(Own):
    """The predicted coefficients have a bound."""

    def apply(self, coefficients: Any, state: Any, prediction: Any, noise: Any = None) -> Any:
        bound = prediction._replace(x0=np.tanh(prediction.x0))
        return super().apply(coefficients, state, bound, noise)


def test_step_that_is_not_linear_uses_the_solvers_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "solver_of", lambda config, settings, *, axes, x0_error: Bounded(process=config.process))
    made = make(*SOLVERS["ancestral"])
    noise = np.random.default_rng(0).standard_normal((12, 2, *SHAPE))
    assert all(isinstance(block.step, OpenStep) for block in made.blocks())
    np.testing.assert_allclose(walked(made, noise), stepped(made, noise), rtol=0, atol=3e-6)


def test_blocks_beyond_what_is_kept_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_LONGEST", 4)
    made = make(bc.DPMSolverPP(), bc.Uniform(num_steps=11))
    noise = np.random.default_rng(0).standard_normal((12, 2, *SHAPE))
    expected = walked(made, noise)
    assert len(made._kept) == 3
    monkeypatch.setattr(plan, "_KEPT", 1000)
    small = make(bc.DPMSolverPP(), bc.Uniform(num_steps=11))
    np.testing.assert_array_equal(walked(small, noise), expected)
    assert small.nbytes <= 1000
    assert len(small._kept) < 3
    np.testing.assert_array_equal(walked(small, noise), expected)
