"""Calibrated sampling of a trained run, and the adaptive solver, on every backend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.integrate

import blurcore as bc
from blurcore.cli import main
from blurcore.data import ArrayDataset
from blurcore.errors import ArgumentError, CheckpointError, ConfigError, NotFiniteError
from blurcore.measure import measure_spectral_loss, measure_x0_error, read_calibration
from blurcore.protocols import RunNetwork


def test_error_that_is_measured_is_the_exact_denoisers_on_gaussian_data() -> None:
    """Independent pixels of variance c: Var[u_0 | u_t] = c sigma^2 / (alpha^2 c + sigma^2), to 5 standard errors."""
    rng, count = np.random.default_rng(0), 3000
    pixels = np.clip(np.rint(127.5 + 30 * rng.standard_normal((count, 4, 6, 1))), 0, 255).astype(np.uint8)
    c = (pixels / 127.5 - 1).var()
    process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=2.0))
    config = bc.RunConfig(process=process, train=bc.TrainConfig(objective=bc.Denoising(prediction="x0")))

    def call(z: np.ndarray, t: np.ndarray) -> np.ndarray:
        m = bc.marginal_for(process, float(t[0]), z, axes=(1, 2))
        u = process.basis.forward(z, axes=(1, 2))
        return process.basis.inverse(m.alpha * c / (m.alpha**2 * c + m.sigma**2) * u, axes=(1, 2))

    data = ArrayDataset(pixels, name="array", source="test", image_size=None, channels=None)
    found = measure_x0_error(RunNetwork(config, (4, 6, 1), 0, call), data, num_images=count, num_times=5)
    for t, values in zip(found.times, found.values, strict=True):
        m = process.marginal(t, shape=(4, 6))
        exact = c * m.sigma**2 / (m.alpha**2 * c + m.sigma**2)
        # 120 numbers at 5 standard errors of a mean of squares: a false alarm in 10,000 seeds, and the seed is fixed.
        # The mean of the pixels, not quite 0, and the sample variance of each frequency are part of the deviation.
        np.testing.assert_allclose(values, exact, rtol=5 * np.sqrt(2 / count) + 0.01)


def test_calibrated_run_samples_as_the_core_does_with_the_stored_table(
    machine: Any, config: bc.RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.train(config, tmp_path / "run")
    settings = replace(config.sample, solver=bc.CalibratedAncestral(), times=bc.Uniform(num_steps=5))
    with pytest.raises(ConfigError, match="blurcore calibrate"):
        machine.sample(tmp_path / "run", settings)
    words = ["calibrate", str(tmp_path / "run"), "--num-images", "32", "--num-times", "4", "--backend", machine.name]
    assert main(words) == 0
    assert "calibration.safetensors" in capsys.readouterr().out
    error = read_calibration(tmp_path / "run")
    assert error.values.shape == (4, 8, 8)
    assert machine.sample(tmp_path / "run", settings).shape == (4, 8, 8, 1)

    noise = np.random.default_rng(0).standard_normal((6, 2, 8, 8, 1))
    network, axes, process = machine.network(tmp_path / "run"), (1, 2), config.process
    solver = bc.CalibratedAncestral(process=process, x0_error=error, axes=axes)
    state = bc.SamplerState(bc.align(process.marginal(1.0, shape=(8, 8)).sigma, ndim=4, axes=axes) * noise[0])
    for k, (t, s) in enumerate(solver.stages(bc.uniform_times(5)), start=1):
        v = network(process.basis.inverse(state.u, axes=axes), np.full(2, t)).astype(np.float64)
        prediction = bc.predict(process, v, "v", state.u, t, axes=axes)
        state = solver.step(state, prediction, t, s, noise[k] if s > 0 else None)
    got = machine.sample_from(tmp_path / "run", settings, noise, x0_error=error)
    np.testing.assert_allclose(got, process.basis.inverse(state.u, axes=axes), rtol=5e-5, atol=5e-5)


def test_calibration_of_an_older_checkpoint_or_a_damaged_one_is_refused(
    machine: Any, config: bc.RunConfig, tmp_path: Path
) -> None:
    machine.train(replace(config, train=replace(config.train, steps=2)), tmp_path / "run")
    assert main(["calibrate", str(tmp_path / "run"), "--num-images", "8", "--num-times", "2"]) == 0
    machine.train(replace(config, train=replace(config.train, steps=3)), tmp_path / "run", resume=True)
    with pytest.raises(ConfigError, match="was measured at step 2, the run is at step 3"):
        read_calibration(tmp_path / "run")
    path = tmp_path / "run" / "calibration.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_calibration(tmp_path / "run")
    assert main(["calibrate", str(tmp_path / "run"), "--num-times", "1"]) == 2


def test_adaptive_solver_reaches_what_scipy_reaches(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    """The probability-flow ODE from the same start with the same network: SPEC 6 written out, by scipy's Radau in float64."""
    process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=1.0))
    machine.train(replace(config, process=process), tmp_path / "run")
    settings, shape = replace(config.sample, solver=bc.AdaptiveODE(tolerance=1e-5)), (1, 8, 8, 1)
    noise = np.random.default_rng(0).standard_normal((1, *shape))
    network = machine.network(tmp_path / "run")

    def slope(t: float, flat: np.ndarray) -> np.ndarray:
        u, sde, m = flat.reshape(8, 8), bc.sde(process, t, shape=(8, 8)), process.marginal(t, shape=(8, 8))
        z = process.basis.inverse(u)[None, ..., None]
        v = process.basis.forward(network(z, np.full(1, t))[0, ..., 0].astype(np.float64))
        eps = (m.sigma * u + m.alpha * v) / (m.alpha**2 + m.sigma**2)
        return (sde.drift * u + sde.diffusion / (2 * m.sigma) * eps).ravel()

    start = (process.marginal(1.0, shape=(8, 8)).sigma * noise[0, 0, ..., 0]).ravel()
    solved = scipy.integrate.solve_ivp(slope, (1.0, 0.0), start, method="RK45", rtol=1e-6, atol=1e-6)
    expected = process.basis.inverse(solved.y[:, -1].reshape(8, 8))
    got = machine.sample_from(tmp_path / "run", settings, noise)[0, ..., 0]
    # steps may be off by 1e-5 each, in float32; there are some hundred of them
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-3)
    loose = machine.sample_from(tmp_path / "run", replace(settings, solver=bc.AdaptiveODE(tolerance=1e-2)), noise)[
        0, ..., 0
    ]
    assert np.abs(loose - expected).max() > np.abs(got - expected).max()
    assert machine.sample(tmp_path / "run", replace(settings, num_samples=2)).shape == (2, 8, 8, 1)


def test_grids_and_tolerances_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"times\[1\] must be less than the time before it"):
        bc.SampleConfig(times=bc.Given(values=(1.0, 1.0, 0.0)))
    with pytest.raises(ArgumentError, match=r"times\[0\] must be 1, where sampling starts"):
        bc.SampleConfig(times=bc.Given(values=(0.5, 0.0)))
    with pytest.raises(ArgumentError, match="tolerance must be positive"):
        bc.SampleConfig(solver=bc.AdaptiveODE(tolerance=0.0))


@pytest.mark.parametrize("measure", [measure_x0_error, measure_spectral_loss])
def test_network_without_finite_output_is_not_measured(measure: Any) -> None:
    config = bc.RunConfig(process=bc.BlurringDiffusion(), train=bc.TrainConfig(objective=bc.Denoising(prediction="x0")))
    data = ArrayDataset(np.zeros((5, 4, 6, 1), np.uint8))
    network = RunNetwork(config, (4, 6, 1), 0, lambda z, t: np.where(t[:, None, None, None] > 0.4, np.inf, z))
    with pytest.raises(
        NotFiniteError, match=r"what the network says of images 0 to 4 at t = 0\.[5-9]\d* is not finite"
    ):
        measure(network, data, num_images=5, num_times=3)
