"""Pictures of runs, on every backend: the loss of each band of frequencies, and samples being born."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.data import ArrayDataset
from blurcore.engine import objective_of
from blurcore.errors import ArgumentError
from blurcore.figures.loss_bands import band_curves, held_out
from blurcore.measure import measure_spectral_loss, octave_bands
from blurcore.protocols import RunNetwork
from blurcore.runs import read_config, write_config

FIXTURES = Path(__file__).parent / "fixtures"
RNG = np.random.default_rng(0)
DATA = ArrayDataset(RNG.integers(0, 256, (12, 8, 6, 1), dtype=np.uint8))
RUNS = {
    "blurring": (
        bc.BlurringDiffusion(blur=bc.Sin(sigma_blur_max=2.0)),
        bc.TrainConfig(objective=bc.Denoising(prediction="v")),
    ),
    "Gaussian": (bc.GaussianDiffusion(), bc.TrainConfig(objective=bc.Denoising(prediction="eps", levels=10))),
    "heat": (bc.HeatDissipation(blur=bc.LogLinear(num_levels=10)), bc.TrainConfig(objective=bc.HeatReversal())),
    "cold": (bc.ColdDiffusion(), bc.TrainConfig(objective=bc.Restoration())),
}


@pytest.mark.parametrize("name", RUNS)
def test_loss_adds_up_over_frequencies_to_the_loss_of_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parseval: the mean over frequencies is the mean squared error over pixels of the very same examples."""
    process, train = RUNS[name]
    config = bc.RunConfig(process=process, train=train)
    objective, pairs = objective_of(config), []

    class Recorded:
        levels = getattr(objective, "num_levels", getattr(objective, "levels", 0))

        def pair(self, *args: Any, **kwargs: Any) -> Any:
            pairs.append(objective.pair(*args, **kwargs))
            return pairs[-1]

    monkeypatch.setattr("blurcore.measure.bands.objective_of", lambda config: Recorded())
    network = RunNetwork(config, (8, 6, 1), 0, lambda z, t: np.tanh(z))
    found = measure_spectral_loss(network, DATA, num_images=12, num_times=5)
    assert found.loss.shape == found.power.shape == (len(pairs), 8, 6)
    for k, pair in enumerate(pairs):
        np.testing.assert_allclose(found.loss[k].mean(), ((np.tanh(pair.z) - pair.target) ** 2).mean(), rtol=1e-5)
        np.testing.assert_allclose(found.power[k].mean(), (pair.target**2).mean(), rtol=1e-5)
    if Recorded.levels:  # the times that the network is trained at, and no others
        np.testing.assert_allclose(found.times * 10, np.round(found.times * 10), atol=1e-12)
        assert found.times[0] == 0.1


def test_zero_prediction_loses_all_the_power_and_the_exact_one_none() -> None:
    config = bc.RunConfig(process=RUNS["blurring"][0], train=bc.TrainConfig(objective=bc.Denoising(prediction="x0")))
    one = ArrayDataset(np.full((1, 8, 6, 1), 200, np.uint8))
    answers = {"nothing": 0.0, "all": 200 / 127.5 - 1}
    for name, answer in answers.items():
        network = RunNetwork(config, (8, 6, 1), 0, lambda z, t, a=answer: np.full(z.shape, a, np.float32))
        found = measure_spectral_loss(network, one, num_images=1, num_times=3)
        names, _, share = band_curves(found)
        # a constant image has power in the band of the mean alone; elsewhere 0 / 0, or what rounding has left
        np.testing.assert_allclose(share[names.index("mean")], 1.0 if name == "nothing" else 0.0, atol=1e-10)
        np.testing.assert_allclose(found.power[:, 0, 0], 48 * answers["all"] ** 2, rtol=1e-6)
        np.testing.assert_allclose(found.power.sum(axis=(1, 2)), 48 * answers["all"] ** 2, rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (7, 12), (16,), (4, 6, 8)], ids=str)
@pytest.mark.parametrize("basis", [bc.DCT(), bc.DST(), bc.RealFourier()], ids=lambda basis: type(basis).__name__)
def test_every_frequency_is_in_the_one_band_of_its_wavelength(shape: tuple[int, ...], basis: Any) -> None:
    names, members = octave_bands(basis, shape)
    np.testing.assert_array_equal(members.sum(axis=0), 1)
    wavelength = 2 * np.pi / np.sqrt(np.maximum(basis.eigenvalues(shape), 1e-30))
    for name, band in zip(names, members, strict=True):
        if name == "mean":
            assert (basis.eigenvalues(shape)[band] == 0).all()
            continue
        low, high = (float(word) for word in name.removesuffix(" px").split(" to "))
        assert high == 2 * low
        assert ((wavelength[band] > low * (1 - 1e-8)) & (wavelength[band] <= high * (1 + 1e-8))).all()


def test_held_out_images_are_the_test_part_where_there_is_one(tmp_path: Path) -> None:
    data, kind = held_out(bc.Digits())
    assert (len(data), kind) == (176, "held-out")
    np.save(tmp_path / "own.npy", DATA[:])
    data, kind = held_out(bc.ArrayFile(path=str(tmp_path / "own.npy")))
    assert (len(data), kind) == (12, "training")


def test_numbers_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    network = RunNetwork(bc.RunConfig(), (8, 6, 1), 0, lambda z, t: z)
    for wrong in ({"num_images": 0}, {"num_times": 1}):
        with pytest.raises(ArgumentError, match=f"{next(iter(wrong))} must be at least"):
            measure_spectral_loss(network, DATA, **wrong)
    for flags, message in (
        ("--num-images 0", "--num-images must be at least 1; got 0"),
        ("--num-times 1", "--num-times must be at least 2; got 1"),
        ("--out losses.webp", "--out must end in one of .png, .svg, .pdf; got 'losses.webp'"),
        ("", "nowhere"),
    ):
        assert main(["figure", "losses", "nowhere", *flags.split()]) == 2
        assert message in capsys.readouterr().err


def test_run_is_drawn_band_by_band_and_as_a_film(machine: Any, tmp_path: Path) -> None:
    run = tmp_path / "my-run"
    shutil.copytree(FIXTURES / "format_1", run)
    config = read_config(run / "config.toml")
    write_config(replace(config, sample=replace(config.sample, times=bc.Uniform(num_steps=3))), run / "config.toml")
    flags = ["--backend", machine.name, "--device", "cpu"]
    losses, film = tmp_path / "losses.svg", tmp_path / "film.webp"
    assert (
        main(["figure", "losses", str(run), "--num-images", "8", "--num-times", "3", "--out", str(losses), *flags]) == 0
    )
    text = losses.read_text(encoding="utf-8")
    for label in ("blurring diffusion, step 2, 8 held-out images (Digits)", "4 to 8 px", "knows nothing", "time t"):
        assert label in text
    words = ["--num-samples", "2", "--frames", "4", "--out", str(film), *flags]
    assert main(["figure", "trajectory", str(run), str(run), *words]) == 0
    with Image.open(film) as opened:
        assert opened.n_frames == 4
        pictures = []
        for k in (0, 3):
            opened.seek(k)
            pictures.append(np.asarray(opened.convert("L")).astype(int))
    assert (pictures[0][:-8] != pictures[1][:-8]).any()  # without the bar that says how far the film is
