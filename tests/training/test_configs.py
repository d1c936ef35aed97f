"""Every configuration that ships, and the paper's ablations, from the command line on every backend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.runs import newest_checkpoint, read_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
SMALL = [
    *("--model.base-channels", "8", "--model.norm-groups", "4", "--model.channel-multipliers", "1"),
    *("--model.attention-levels", "0", "--model.num-res-blocks", "1", "--train.steps", "2", "--train.batch-size", "4"),
    *("--train.precision", "float32", "--sample.batch-size", "4"),
]
ABLATIONS = {
    "no blur by sin, d_min 0.01": {"blur": bc.Sin(sigma_blur_max=0.0), "min_scale": 0.01},
    "40 pixels, d_min 0": {"blur": bc.SinSquared(sigma_blur_max=40.0), "min_scale": 0.0},
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configuration_is_whole_and_of_its_kind(path: Path) -> None:
    config = read_config(path)
    assert bc.from_dict(bc.to_dict(config), bc.RunConfig) == config
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")


@pytest.mark.parametrize(
    ("machine", "path"),
    [  # on JAX, whose programs take seconds to compile, one with noise and one without
        pytest.param(backend, path, id=f"{backend}-{path.stem}")
        for backend, names in (("torch", "mnist_*"), ("jax", "mnist_[bh]*"))
        for path in CONFIGS
        if path.match(f"{names}.toml")
    ],
    indirect=["machine"],
)
def test_configuration_trains_and_samples(machine: Any, path: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    heat = "heat" in path.stem
    own = ["--process.blur.num-levels", "3"] if heat else []
    few = ["--sample.times.num-steps", "3", "--sample.num-samples", "4"]
    where = ["--backend", machine.name, "--device", "cpu", "--data.image-size", "8", "8"]
    assert main(["train", str(path), "--out", str(run), *SMALL, *where, *own, *few]) == 0
    assert main(["sample", str(run), "--backend", machine.name, "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    images = np.load(tmp_path / "out" / "samples.npz")["images"]
    assert images.shape == (4, 8, 8, 1)
    assert len(np.unique(images)) > 1


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_of_the_paper_train_and_sample(machine: Any, config: bc.RunConfig, tmp_path: Path, name: str) -> None:
    ablated = replace(config, process=bc.BlurringDiffusion(**ABLATIONS[name]), train=replace(config.train, steps=2))
    machine.train(ablated, tmp_path / "run")
    assert all(np.isfinite(weights).all() for weights in newest_checkpoint(tmp_path / "run").groups["model"].values())
    assert machine.sample(tmp_path / "run", replace(config.sample, times=bc.Uniform(num_steps=3))).shape == (4, 8, 8, 1)
