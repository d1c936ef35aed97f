"""Sampling over sizes on both backends: the same numbers as the core's loop, and one U-Net for all sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.engine import ALONE, Batch, SamplingPlan, walk
from blurcore.resolution import resolutions_for

GRID = (8, 16)
PROCESS = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=8.0))
SIZES = resolutions_for(PROCESS, 0.3 / (np.asarray(bc.DCT().eigenvalues(GRID)) + 0.01))
SOLVERS: dict[str, tuple[bc.Solver, Any]] = {
    "ancestral": (bc.Ancestral(), "static"),
    "third order": (bc.DPMSolverPP(order=3), "off"),
    "calibrated": (bc.CalibratedAncestral(), "off"),
}
ERRORS = bc.X0Error(times=(0.0, 0.4, 1.0), values=np.random.default_rng(3).uniform(0.01, 0.5, (3, *GRID)))


def make(name: str, axes: tuple[int, ...]) -> SamplingPlan:
    solver, clip = SOLVERS[name]
    config = bc.RunConfig(
        process=PROCESS,
        train=bc.TrainConfig(objective=bc.Denoising(prediction="v")),
        resolution=bc.Nested(found=SIZES),
    )
    settings = bc.SampleConfig(solver=solver, times=bc.Uniform(num_steps=9), clip=clip)
    error = ERRORS if solver.needs_calibration else None
    return SamplingPlan(config, settings, (*GRID, 2), axes=axes, x0_error=error)


def expected(name: str, noise: np.ndarray, batch: Batch = ALONE) -> np.ndarray:
    plan = make(name, (1, 2))

    def ask(z: np.ndarray, cond: np.ndarray) -> np.ndarray:
        return np.tanh(z) * (1 + cond.reshape(-1, 1, 1, 1))

    u = plan.first_state(noise[0], np.asarray)
    return walk(plan, u, ask, lambda k: noise[k], batch, move=np.asarray, show=np.asarray)


@pytest.mark.parametrize("name", SOLVERS)
def test_torch_draws_what_the_core_draws(torch, name):
    from blurcore_torch.sampler import sample_batch

    noise, seen, told = np.random.default_rng(0).standard_normal((10, 2, *GRID, 2)), [], []
    rows = torch.tensor(noise, dtype=torch.float32).movedim(-1, 2)

    class Squashed(torch.nn.Module):
        def forward(self, z, cond):
            return torch.tanh(z) * (1 + cond.reshape(-1, 1, 1, 1))

    batch = Batch(watch=lambda k, x: seen.append((k, x.shape)), step_done=told.append)
    found = sample_batch(make(name, (-2, -1)), Squashed(), lambda k: rows[k], batch).movedim(1, -1).numpy()
    np.testing.assert_allclose(found, expected(name, noise), rtol=0, atol=2e-5)
    assert seen == [(k, (2, *GRID, 2)) for k in range(10)]
    assert sum(told) == 9


@pytest.mark.parametrize("name", SOLVERS)
def test_jax_draws_what_the_core_draws(jax, name):
    nnx = pytest.importorskip("flax.nnx")
    from blurcore_jax.sampler import Network, sample_batch

    class Squashed(nnx.Module):
        def __call__(self, z, cond):
            return jax.numpy.tanh(z) * (1 + cond.reshape(-1, 1, 1, 1))

    noise, seen, told = np.random.default_rng(0).standard_normal((10, 2, *GRID, 2)), [], []
    graphdef, params = nnx.split(Squashed())
    batch = Batch(watch=lambda k, x: seen.append((k, x.shape)), step_done=told.append)
    found = np.asarray(sample_batch(make(name, (1, 2)), Network(graphdef, params), np.float32(noise), batch))
    np.testing.assert_allclose(found, expected(name, noise), rtol=0, atol=2e-5)
    assert seen == [(k, (2, *GRID, 2)) for k in range(10)]
    assert sum(told) == 9


MODEL = bc.ModelConfig(
    base_channels=8, channel_multipliers=(1, 2), num_res_blocks=1, attention_levels=(1,), dropout=0.0, norm_groups=4
)


def test_one_unet_of_torch_takes_all_sizes_and_no_other_multiple(torch):
    from blurcore_torch.model import UNet

    net = UNet(MODEL, in_channels=3, out_channels=3, image_size=(16, 16), seed=0).eval()
    for size in ((16, 16), (8, 8), (4, 6)):
        x = torch.randn(2, 3, *size)
        assert net(x, torch.full((2,), 0.5)).shape == x.shape
    with pytest.raises(bc.errors.ArgumentError, match="multiples of 2"):
        net(torch.randn(1, 3, 5, 5), torch.full((1,), 0.5))


def test_one_unet_of_jax_takes_all_sizes(jax):
    nnx = pytest.importorskip("flax.nnx")
    from blurcore_jax.model import UNet

    net = UNet(MODEL, in_channels=3, out_channels=3, image_size=(16, 16), rngs=nnx.Rngs(0))
    for size in ((16, 16), (4, 6)):
        x = jax.numpy.ones((2, *size, 3))
        assert net(x, jax.numpy.full((2,), 0.5)).shape == x.shape
