"""Real sample paths of both backends' samplers, with the exact denoiser in the network's place, against the closed form.

Gaussian data with the spectrum of natural images, 32 x 32 (SPEC 9). The variance of 64 frequencies at a time is estimated
from 512 samples, 32,768 numbers: a standard error of sqrt(2 / 32768) = 0.8 %. Sixteen groups and three samplers at 5
standard errors: a false alarm once in 30,000 seeds, and the seed is fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft

import blurcore as bc
from blurcore.engine import SamplingPlan
from blurcore.verify.sampler_spectrum import exact_calibration, natural_spectrum, output_variance

SHAPE, COUNT, GROUPS = (32, 32), 512, 16
PROCESS = bc.BlurringDiffusion()
SPECTRUM = natural_spectrum(PROCESS, SHAPE)
STANDARD_ERROR = np.sqrt(2 / (COUNT * SPECTRUM.size / GROUPS))

RUNS = {
    "ancestral, 1000 steps": (
        bc.SampleConfig(solver=bc.Ancestral(), times=bc.Uniform(num_steps=1000)),
        bc.Ancestral(process=PROCESS),
    ),
    "DPM-Solver++ 2M, 50 steps": (
        bc.SampleConfig(solver=bc.DPMSolverPP(), times=bc.LogSNR(num_steps=50)),
        bc.DPMSolverPP(process=PROCESS),
    ),
    "calibrated, 10 steps": (
        bc.SampleConfig(solver=bc.CalibratedAncestral(), times=bc.Uniform(num_steps=10), last_noise=True),
        bc.CalibratedAncestral(process=PROCESS, x0_error=exact_calibration(PROCESS, bc.uniform_times(10), SPECTRUM)),
    ),
}


def _grouped(variance: np.ndarray) -> np.ndarray:
    """Return |variance / target - 1| of groups of 64 neighbouring frequencies."""
    m = PROCESS.marginal(0.0, shape=SHAPE)
    ratio = variance / (m.alpha**2 * SPECTRUM + m.sigma**2)
    order = np.argsort(PROCESS.basis.eigenvalues(SHAPE).ravel(), kind="stable")
    return ratio.ravel()[order].reshape(GROUPS, -1).mean(axis=1) - 1


def _gain(t: Any, like: Any) -> Any:
    m = PROCESS.marginal(t, shape=SHAPE, like=like)
    return m.alpha, m.sigma


def _plan(settings: bc.SampleConfig, x0_error: bc.X0Error | None, axes: tuple[int, ...]) -> SamplingPlan:
    config = bc.RunConfig(train=bc.TrainConfig(objective=bc.Denoising(prediction="x0")))
    return SamplingPlan(config, settings, (*SHAPE, 1), axes=axes, x0_error=x0_error)


def _by_torch(settings: bc.SampleConfig, x0_error: bc.X0Error | None) -> np.ndarray:
    import torch
    from blurcore_torch.sampler import sample_batch

    spectrum = torch.tensor(SPECTRUM, dtype=torch.float32)

    class Exact(torch.nn.Module):
        def forward(self, z: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
            alpha, sigma = (c[0] for c in _gain(cond[:1], z))
            u = alpha * spectrum / (alpha**2 * spectrum + sigma**2) * PROCESS.basis.forward(z)
            return PROCESS.basis.inverse(u)

    source = torch.Generator().manual_seed(0)
    draws = sample_batch(
        _plan(settings, x0_error, (-2, -1)), Exact(), lambda k: torch.randn((COUNT, 1, *SHAPE), generator=source)
    )
    return draws[:, 0].numpy()


def _by_jax(settings: bc.SampleConfig, x0_error: bc.X0Error | None) -> np.ndarray:
    import jax
    import jax.numpy as jnp
    from blurcore_jax.sampler import Network, noise_of, sample_batch
    from flax import nnx

    from blurcore.engine import draws_of

    class Exact(nnx.Module):
        def __call__(self, z: jax.Array, cond: jax.Array) -> jax.Array:
            spectrum = jnp.asarray(SPECTRUM, jnp.float32)
            alpha, sigma = (c[0] for c in _gain(cond[:1], z))
            gain = (alpha * spectrum / (alpha**2 * spectrum + sigma**2))[..., None]
            return PROCESS.basis.inverse(gain * PROCESS.basis.forward(z, axes=(1, 2)), axes=(1, 2))

    graphdef, params = nnx.split(Exact())
    noise = noise_of(0, draws_of(settings, range(COUNT)))
    draws = sample_batch(_plan(settings, x0_error, (1, 2)), Network(graphdef, params), noise)
    return np.asarray(draws)[..., 0]


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_sample_paths_have_the_spectrum_of_the_closed_form(name: str, request: pytest.FixtureRequest) -> None:
    """50 steps of DPM-Solver++ 2M come closer than 1000 ancestral steps, and 10 calibrated ones closer than both."""
    request.getfixturevalue(name)
    if name == "jax":
        pytest.importorskip("flax")
    run = {"torch": _by_torch, "jax": _by_jax}[name]
    worst = {}
    for title, (settings, solver) in RUNS.items():
        draws = run(settings, getattr(solver, "x0_error", None))
        got = _grouped((scipy.fft.dctn(draws.astype(float), axes=(1, 2), norm="ortho") ** 2).mean(axis=0))
        expected = _grouped(
            output_variance(solver, settings.times.times(PROCESS), SPECTRUM, last_noise=settings.last_noise)
        )
        np.testing.assert_allclose(got, expected, rtol=0, atol=5 * STANDARD_ERROR, err_msg=title)
        worst[title] = np.abs(expected).max(), np.abs(got).max()
    ancestral, solver_pp, calibrated = (worst[title] for title in RUNS)
    assert calibrated[0] < solver_pp[0] < ancestral[0]
    assert max(calibrated[1], solver_pp[1]) + 5 * STANDARD_ERROR < ancestral[1]
