"""`blurcore sample RUN` with every sampler, grid and option, on every backend; `calibrate` first, where it is needed."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main

RUN = Path(__file__).parent / "fixtures" / "format_1"

WAYS = {
    "Ancestral": "--solver.variance upper",
    "calibrated_ancestral": "--last-noise",
    "ddim": "--solver.eta 0.5 --clip static",
    "dpm_solver_pp": "--solver.order 3 --times LogSNR",
    "dpm_solver_sde": "--times quadratic --clip dynamic --clip-quantile 0.9",
    "euler": "--times Given --times.values 1 0.5 0.2 0",
    "heun": "--times log_snr",
    "adaptive_ode": "--solver.tolerance 0.1",
}


def test_every_sampler_runs_from_the_command_line(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    run, where = tmp_path / "run", ["--backend", machine.name, "--device", "cpu"]
    machine.train(replace(config, process=bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=1.0))), run)
    assert main(["calibrate", str(run), "--num-images", "16", "--num-times", "4", *where]) == 0
    found = {}
    for sampler, flags in WAYS.items():
        words = [
            "sample",
            str(run),
            "--solver",
            sampler,
            "--num-samples",
            "2",
            *flags.split(),
            *([] if "Given" in flags else ["--times.num-steps", "3"]),
            *where,
        ]
        assert main(words) == 0, sampler
    for path in run.glob("samples/*/samples.npz"):
        images = np.load(path)["images"]
        assert (images.shape, images.dtype) == ((2, 8, 8, 1), np.uint8)
        found[path.parent.name] = images.tobytes()
    assert len(found) == len(WAYS)  # each in a folder of its own
    assert len(set(found.values())) == len(WAYS)  # none of them is another under its name


def test_infinities_that_clipping_would_make_white_are_not_finite(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def infinite(plan: Any, *given: Any) -> Any:
        library = importlib.import_module("torch" if machine.name == "torch" else "jax.numpy")
        *grid, channels = plan.image_shape
        return library.full((2, *grid, channels) if machine.name == "jax" else (2, channels, *grid), np.inf)

    monkeypatch.setattr(f"blurcore_{machine.name}.sampler.sample_batch", infinite)
    for clip in ("static", "dynamic"):
        settings = bc.SampleConfig(times=bc.Uniform(num_steps=2), num_samples=2, clip=clip)
        assert not bc.get_backend(machine.name).sample(RUN, settings, device="cpu").finite.any()


@pytest.mark.parametrize("sampler", ["cold_naive", "cold_improved"])
def test_samplers_of_cold_diffusion_run_from_the_command_line(
    machine: Any, config: bc.RunConfig, tmp_path: Path, sampler: str
) -> None:
    cold = bc.ColdDiffusion(blur=bc.SinSquared(sigma_blur_max=6.0))
    settings = replace(config.sample, solver=bc.ColdNaive())
    train = replace(config.train, objective=bc.Restoration(), steps=2)
    machine.train(replace(config, process=cold, train=train, sample=settings), tmp_path / "run")
    words = [
        "sample",
        str(tmp_path / "run"),
        "--solver",
        sampler,
        "--times.num-steps",
        "4",
        "--film",
        "--vary",
        "interpolation",
    ]
    assert main([*words, "--backend", machine.name, "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "grid.png",
        "film.webp",
        "samples.npz",
        "samples.json",
    }
