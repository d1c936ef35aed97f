"""Sampling that starts from given images, and from smaller ones, on every backend and from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft

import blurcore as bc
from blurcore.cli import main
from blurcore.relay import handover_time

PROCESS = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=4.0))


@pytest.fixture
def run(machine: Any, config: bc.RunConfig, tmp_path: Path) -> Path:
    machine.train(replace(config, process=PROCESS, train=replace(config.train, steps=2)), tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def digits() -> np.ndarray:
    return np.asarray(bc.Digits().load()[:3])


@pytest.mark.parametrize("solver", ["DDIM", "AdaptiveODE"])
def test_images_at_a_time_near_the_data_stay_as_they_are(
    machine: Any, run: Path, digits: np.ndarray, solver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", digits)
    words = [
        "sample",
        str(run),
        "--solver",
        solver,
        "--start",
        "Image",
        "--start.path",
        str(tmp_path / "x.npy"),
        "--start.time",
        "1e-3",
    ]
    words += ["--num-samples", "4", "--backend", machine.name, "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "start: Image, at t = 0.001" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "samples.npz") as archive:
        drawn = archive["images"].astype(int)
    assert (
        np.abs(drawn - digits[[0, 1, 2, 0]]).max() <= 255 * 0.05
    )  # noise of 0.0067 in units of [-1, 1], and a blur of 0.01 pixels


def test_smaller_images_are_the_low_frequencies_of_what_they_become(
    machine: Any, run: Path, digits: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lower(images: np.ndarray) -> np.ndarray:
        return scipy.fft.dctn(images / 127.5 - 1, axes=(1, 2), norm="ortho")[:, :4, :4] / 2

    small = np.clip(
        np.rint(127.5 * (scipy.fft.idctn(lower(digits // 3 + 85), axes=(1, 2), norm="ortho") + 1)), 0, 255
    ).astype(np.uint8)
    np.save(tmp_path / "small.npy", small)
    tolerance = 1e5  # so much that sampling begins near the data, where the low frequencies are not touched any more
    words = f"sample {run} --solver DDIM --start low_resolution --start.path {tmp_path / 'small.npy'} --start.tolerance {tolerance}"
    words += f" --num-samples 3 --backend {machine.name} --device cpu --out {tmp_path / 'out'}"
    assert main(words.split()) == 0
    start = bc.LowResolution(path=str(tmp_path / "small.npy"), tolerance=tolerance)
    t = start.begins_at(PROCESS, (8, 8, 1), "symmetric")
    assert f"start: LowResolution, at t = {t:.4g}" in capsys.readouterr().out
    assert t < 0.1
    with np.load(tmp_path / "out" / "samples.npz") as archive:
        drawn = archive["images"]
    sigma = float(np.max(PROCESS.marginal(t, shape=(8, 8)).sigma))
    assert np.abs(lower(drawn) - lower(enlarged(small))).max() < 6 * sigma / 2 + 0.05


def enlarged(small: np.ndarray) -> np.ndarray:
    """Return images of 8 x 8 whose first frequencies are those of smaller ones, in grey levels."""
    u = np.zeros((len(small), 8, 8, 1))
    u[:, :4, :4] = 2 * scipy.fft.dctn(small / 127.5 - 1, axes=(1, 2), norm="ortho")
    return 127.5 * (scipy.fft.idctn(u, axes=(1, 2), norm="ortho") + 1)


def test_time_of_the_handover_is_where_the_highest_octave_would_be_dead(digits: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", digits[:, ::2, ::2])
    start = bc.LowResolution(path=str(tmp_path / "small.npy"))
    u = 2 * scipy.fft.dctn(digits[:, ::2, ::2] / 127.5 - 1, axes=(1, 2), norm="ortho")
    power = (u**2).mean(axis=0).sum(axis=-1)
    highest = (power.sum() - power[:2, :2].sum()) / 12
    expected = handover_time(PROCESS, grid=(8, 8), small=(4, 4), spectrum=highest, tolerance=0.01)
    assert start.begins_at(PROCESS, (8, 8, 1), "symmetric") == pytest.approx(expected, abs=1e-9)


def test_noise_alone_is_refused_for_a_process_that_leaves_an_image() -> None:
    for restore in (
        lambda: bc.Noise().restore(bc.HeatDissipation(), (8, 8, 1), "unit", None),
        lambda: bc.Noise().fit(bc.HeatDissipation(), bc.Digits().load(), "unit", seed=0),
    ):
        with pytest.raises(
            bc.errors.ConfigError, match=r"must be BlurredData or Mixture for HeatDissipation.*got Noise"
        ):
            restore()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("Image --start.path nowhere", "sample.start.path must be a folder of images, an image"),
        ("Image --start.path {large}", "must hold images of the run's size, (8, 8, 1)"),
        ("Image --start.path {large} --start.time 1", "time must be in (0, 1)"),
        ("LowResolution --start.path {large}", "must hold images smaller than the run's, (8, 8, 1)"),
        ("Mixture", "no blurred data for sample.start Mixture"),
        ("BlurredData --start.path x", "a setting of Image and LowResolution: BlurredData has: none"),
    ],
)
def test_mistakes_are_one_sentence(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("torch")
    np.save(tmp_path / "large.npy", np.zeros((1, 9, 9, 1), np.uint8))
    fixture = Path(__file__).parent / "fixtures" / "format_1"
    words = f"sample {fixture} --out {tmp_path / 'out'} --device cpu --start {flags}"
    assert main(words.format(large=tmp_path / "large.npy").split()) in (1, 2)
    err = capsys.readouterr().err
    assert message in err.replace("│", "").replace("\n", " "), err
