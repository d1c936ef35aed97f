"""The curve of samples during training, and `blurcore evaluate RUN` afterwards, on every backend that trains."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.data.values import Samples
from blurcore.engine import Totals
from blurcore.engine import log as engine_metrics
from blurcore.engine.log import Scalars
from blurcore.engine.loop import evaluation_settings
from blurcore.errors import ConfigError, DataError, RunStoppedError
from blurcore.measure.curve import Reference, check_evaluation
from blurcore.metrics import compare
from blurcore.runs import newest_checkpoint
from blurcore.runs.folder import read_metrics

CURVE = ("frechet_distance_digits", "spectrum_distance")


@pytest.fixture
def config(config: bc.RunConfig, tmp_path: Path) -> bc.RunConfig:
    """Six steps on forty digits, of which every second has a line, and every third is evaluated."""
    np.save(tmp_path / "digits.npy", config.data.load()[:40])
    config = replace(config, data=bc.ArrayFile(path=str(tmp_path / "digits.npy")))
    train = replace(config.train, steps=6, log_every=2, evaluate_every=3, evaluate_samples=33)
    return replace(config, train=train, sample=replace(config.sample, batch_size=16))


def curve(folder: Path) -> dict[int, list[float]]:
    lines = read_metrics(folder / "metrics.jsonl")
    return {line["step"]: [line[name] for name in CURVE] for line in lines if CURVE[0] in line}


@pytest.mark.slow
def test_curve_is_of_the_averaged_weights_and_continues_after_resuming(
    machine: Any, config: bc.RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.train(config, tmp_path / "with")
    machine.train(replace(config, train=replace(config.train, evaluate_every=0)), tmp_path / "without")
    machine.train(replace(config, train=replace(config.train, steps=4)), tmp_path / "parts")
    machine.train(config, tmp_path / "parts", resume=True)

    groups = [newest_checkpoint(tmp_path / name).groups for name in ("with", "without", "parts")]
    for name, value in ((f"{g}/{n}", v) for g, arrays in groups[0].items() for n, v in arrays.items()):
        group, _, key = name.partition("/")
        for other in groups[1:]:
            np.testing.assert_array_equal(value, other[group][key], err_msg=name)
    assert [line["step"] for line in read_metrics(tmp_path / "with" / "metrics.jsonl")] == [2, 3, 4, 6]
    assert [line["step"] for line in read_metrics(tmp_path / "without" / "metrics.jsonl")] == [2, 4, 6]
    assert list(curve(tmp_path / "with")) == [3, 6]
    assert curve(tmp_path / "parts") == curve(tmp_path / "with")

    images = machine.sample(tmp_path / "with", replace(config.sample, num_samples=33))
    found = compare(images, config.data.load(), metrics=("frechet", "spectrum"))
    assert curve(tmp_path / "with")[6] == pytest.approx([estimate.value for estimate in found.values()], rel=1e-6)

    flags = ["--num-samples", "33", "--bootstrap", "2", "--backend", machine.name, "--device", "cpu"]
    assert main(["evaluate", str(tmp_path / "with"), *flags]) == 0
    words = capsys.readouterr().out
    about = json.loads((tmp_path / "with" / "evaluation.json").read_text())["samples"]
    assert (about["step"], about["num_samples"], about["num_reference"], about["split"]) == (6, 33, 40, "train")
    for name in ("frechet_distance", "spectrum_distance"):
        estimate = about["metrics"][name]
        assert estimate["value"] == pytest.approx(found[name].value, rel=1e-6)
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
        assert f"{estimate['value']:.4f}" in words


def test_signal_while_samples_are_evaluated_ends_the_run_with_its_checkpoint(
    config: bc.RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("blurcore_torch.trainer.Trainer.sample", lambda *_: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(RunStoppedError, match="SIGTERM after step 3 of 6") as caught:
        bc.get_backend("torch").train(config, tmp_path / "run")
    assert caught.value.exit_code == 143
    assert newest_checkpoint(tmp_path / "run").step == 3
    assert [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [2, 3]
    assert curve(tmp_path / "run") == {}


def test_classes_are_all_in_the_curve_whatever_the_grids_show(config: bc.RunConfig) -> None:
    sample = replace(config.sample, times=bc.Uniform(num_steps=7), label=3, vary="noise")
    assert evaluation_settings(replace(config, sample=sample)) == replace(
        config.sample, times=bc.Uniform(num_steps=7), num_samples=33, label=None, vary="all"
    )


def test_curve_goes_to_tensorboard_too(monkeypatch: pytest.MonkeyPatch, config: bc.RunConfig) -> None:
    written = {}

    class Writer:
        def __init__(self, folder: str) -> None: ...

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written[name] = value, step

        def close(self) -> None: ...

    class Run:
        path = Path("run")

        def log(self, **values: float) -> None: ...

    monkeypatch.setattr(engine_metrics, "summary_writer", lambda: Writer)
    with Scalars(Run(), replace(config.train, tensorboard=True), num_images=1) as scalars:  # type: ignore[arg-type]
        scalars.write(Totals(), config.train, 3, seconds=1.0, distances={"spectrum_distance": 1.5})
    assert written["train/spectrum_distance"] == (1.5, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"evaluate_samples": 32},
            "train.evaluate_samples must be at least 33, more than the 32 dimensions of the features",
        ),
        ({"evaluate_samples": 0}, "evaluate_samples must be at least 1; got 0"),
        ({"evaluate_every": -1}, "evaluate_every must be 0 or more; got -1"),
    ],
)
def test_curve_that_cannot_be_is_refused_before_there_is_a_folder(
    machine: Any, config: bc.RunConfig, tmp_path: Path, settings: dict[str, int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):  # ArgumentError from the settings, ConfigError with the data
        machine.train(replace(config, train=replace(config.train, **settings)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_of_too_few_images_have_no_curve(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.zeros((32, 8, 8, 1), np.uint8))
    config = replace(config, data=bc.ArrayFile(path=str(tmp_path / "few.npy")))
    with pytest.raises(DataError, match=r"needs at least 33 training images.*data set ArrayFile has 32"):
        machine.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_signals_have_a_curve_of_their_lowest_coefficients() -> None:
    pytest.importorskip("matplotlib")
    data = bc.Membrane().load()
    found = Reference(data).distances(Samples(data[:], np.ones(len(data), bool)))
    assert set(found) == {"frechet_distance_dct", "spectrum_distance"}
    assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-6)


def test_number_of_samples_follows_from_the_features_of_the_data(config: bc.RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"at least 109, more than the 108 dimensions of the features 'dct'; got 33"):
        check_evaluation(config, (64, 3))
