"""examples/azula_sampling.py: azula's samplers, given one value for each frequency, take the steps of the core."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc

torch: Any = pytest.importorskip("torch")
pytest.importorskip("azula")
sample: Any = pytest.importorskip("azula.sample")
adapter: Any = pytest.importorskip("azula_sampling")

PROCESS = bc.BlurringDiffusion()
STEPS = 6


class Odd(torch.nn.Module):
    def forward(self, z: Any, t: Any) -> Any:
        return torch.tanh(z.roll(1, -1) + t.view(-1, 1, 1, 1))


def denoiser() -> Any:
    return adapter.FrequencyDenoiser(Odd(), adapter.FrequencySchedule(PROCESS, (6, 8)), prediction="v")


def by_the_core(solver: Any, u: Any) -> Any:
    state = bc.SamplerState(u)
    for t, s in pairwise(bc.uniform_times(STEPS)):
        output = Odd()(PROCESS.basis.inverse(state.u), torch.full((len(u),), t, dtype=u.dtype))
        noise = torch.randn_like(u) if solver.uses_noise else None
        state = solver.step(state, bc.predict(PROCESS, output, "v", state.u, t), t, s, noise)
    return state.u


@pytest.mark.parametrize(
    ("name", "settings", "solver"),
    [
        ("DDIMSampler", {"eta": 0.0}, bc.DDIM(process=PROCESS)),
        ("EulerSampler", {}, bc.DDIM(process=PROCESS)),
        ("DDPMSampler", {}, bc.Ancestral(process=PROCESS)),
    ],
)
def test_samplers_of_azula_take_the_steps_of_the_core(name, settings, solver):
    u = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sampler = getattr(sample, name)(denoiser(), steps=STEPS, silent=True, dtype=torch.float64, **settings)
    torch.manual_seed(0)
    got = sampler(u)
    torch.manual_seed(0)
    # 1 - (alpha_t / alpha_s sigma_s / sigma_t)^2 cancels where alpha_t / alpha_s is close to 1: a few digits of float64.
    np.testing.assert_allclose(got, by_the_core(solver, u), rtol=1e-9, atol=1e-9)


def test_start_has_the_spread_of_the_process():
    u = sample.DDIMSampler(denoiser(), silent=True).init((400, 1, 6, 8), var=0.0)
    assert u.shape == (400, 1, 6, 8)
    np.testing.assert_allclose(
        u.std(), float(PROCESS.marginal(1.0, shape=(6, 8)).sigma.max()), rtol=0.03
    )  # 19,200 draws


@pytest.mark.slow
def test_example_trains_and_samples():
    script = Path(__file__).parents[2] / "examples" / "azula_sampling.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert "samples (4, 1, 16, 16)" in done.stdout
