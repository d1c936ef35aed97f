"""`blurcore restore` on every backend: every operator and method, gradients through a run's network, mistakes in one sentence."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.engine.restoring import (
    RestoreConfig,
    ask_network,
    check_restoring,
    observe_images,
    restore_images,
    spectrum_of,
    undecided,
    working_basis,
)
from blurcore.restoration import DPS, Average, Blur, Calibrated, Identity

RUN = Path(__file__).parent / "fixtures" / "format_1"
RNG = np.random.default_rng(0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def network_of(machine: Any, folder: Path) -> Any:
    return bc.get_backend(machine.name).network(folder, device="cpu")


def restored(machine: Any, folder: Path, *words: str) -> Any:
    out = folder / "out"
    given = ["restore", str(folder), "--simulate", "--num-images", "2", "--num-samples", "2", "--times.num-steps", "4"]
    assert main([*given, "--backend", machine.name, "--device", "cpu", "--out", str(out), *words]) == 0
    assert (out / "grid.png").is_file()
    return np.load(out / "restored.npz"), json.loads((out / "restored.json").read_text())


def test_every_method_and_operator_runs_from_the_command_line(machine: Any, run: Path) -> None:
    assert main(["calibrate", str(run), "--num-images", "16", "--num-times", "3", "--backend", machine.name]) == 0
    for words, seen in (
        ("--operator Blur --operator.sigma 1.5 --method calibrated", (8, 8)),
        ("--operator=lowpass --operator.cutoff 0.5 --method DDRM --method.eta 0.5", (8, 8)),
        ("--operator restrict --method PiGDM --method.covariance unit --last-noise", (4, 4)),
        ("--operator Average --method DPS --method.scale 0.1 --noise 0.1 --times LogSNR", (4, 4)),
        ("--operator Mask --operator.low 0.4 --method Calibrated --method.covariance gaussian", (8, 8)),
    ):
        arrays, report = restored(machine, run, *words.split())
        assert arrays["images"].shape == (2, 2, 8, 8, 1), words
        assert arrays["observed"].shape == (2, *seen, 1), words
        assert {"consistency", "psnr", "psnr_of_mean"} <= set(report), words
        assert report["settings"]["operator"]["kind"].lower() in words.lower()


def test_both_backends_restore_the_same(both: Any, run: Path) -> None:
    words = ["--operator", "Average", "--method", "PiGDM", "--method.covariance", "gaussian", "--method.eta", "0.5"]
    first, second = (restored(machine, run, *words)[0]["images"].astype(int) for machine in both)
    # the same noise and float32 networks that agree to 1e-4 (test_parity): half a level, and its rounding
    assert np.abs(first - second).max() <= 1


@pytest.mark.parametrize("process", [bc.BlurringDiffusion(), bc.GaussianDiffusion()], ids=["blurring", "gaussian"])
@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_gradient_through_the_network_is_that_of_differences(machine: Any, process: Any, prediction: Any, run: Path):
    """Along one direction, for each prediction; without a blur the states are in the DCT, and the process is not."""
    network = network_of(machine, run)
    config = replace(
        network.config,
        process=process,
        train=replace(network.config.train, objective=bc.Denoising(prediction=prediction)),
    )
    ask = ask_network(network._replace(config=config), working_basis(process, (8, 8)))
    u, v, direction = RNG.standard_normal((3, 2, 8, 8, 1))
    h, t = 1e-2, 0.3
    found = np.sum(direction * ask(u, t).pull(v), axis=(1, 2, 3))
    slope = (ask(u + h * direction, t).x0 - ask(u - h * direction, t).x0) / (2 * h)
    # a float32 network over a step of 0.01: 1e-7 / 0.01 of outputs of size 1 / alpha; its curvature is smaller
    scale = np.sqrt(np.sum(slope**2, axis=(1, 2, 3))) * 8
    assert np.all(np.abs(found - np.sum(slope * v, axis=(1, 2, 3))) < 2e-3 * scale)


def test_restorations_do_not_depend_on_the_batch(machine: Any, run: Path) -> None:
    network = network_of(machine, run)
    settings = RestoreConfig(
        times=bc.Uniform(num_steps=2),
        operator=Average(),
        method=Calibrated(covariance="unit"),
        num_samples=2,
        batch_size=64,
    )
    observation = check_restoring(network, settings)
    pictures = RNG.uniform(-1, 1, (3, 4, 4, 1)).astype(np.float32)
    known = undecided(network, settings)
    whole = restore_images(network, pictures, settings, observation, known)
    parts = restore_images(network, pictures, replace(settings, batch_size=5), observation, known)
    np.testing.assert_allclose(parts, whole, atol=1e-5)  # float32 products of other batch sizes
    other = restore_images(network, pictures, replace(settings, seed=1), observation, known)
    assert np.abs(other - whole).max() > 1e-3


def test_spectrum_is_that_of_numpy(config: bc.RunConfig) -> None:
    data = config.data.load()
    found = spectrum_of(data, bc.DCT(), "symmetric")
    u = np.asarray(bc.DCT().forward(data[:].astype(np.float64) / 127.5 - 1, axes=(1, 2)))[..., 0]
    np.testing.assert_allclose(found.mean, u.mean(axis=0), atol=1e-6)  # pixels are float32 before
    np.testing.assert_allclose(found.variance, u.var(axis=0), rtol=1e-5, atol=1e-9)


def test_observations_have_the_noise_that_is_asked_for(machine: Any, run: Path) -> None:
    network = network_of(machine, run)
    observation = check_restoring(network, RestoreConfig(operator=Identity()))
    images = np.zeros((400, 8, 8, 1), np.float32)
    found = observe_images(observation, images, noise=0.3, seed=0, indices=range(400))
    assert abs(found.std() / 0.3 - 1) < 5 / np.sqrt(2 * found.size)
    again = observe_images(observation, images[:1], noise=0.3, seed=0, indices=[7])
    np.testing.assert_array_equal(again[0], found[7])


def test_users_pictures_are_restored(machine: Any, run: Path, tmp_path: Path, capsys: Any) -> None:
    from PIL import Image

    folder = tmp_path / "mine"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(np.full((4, 4), 100 * i, np.uint8)).save(folder / f"{i}.png")
    np.save(tmp_path / "mine.npy", np.zeros((2, 4, 4, 1), np.uint8))
    for images, count in ((folder, 2), (folder / "1.png", 1), (tmp_path / "mine.npy", 2)):
        words = (
            f"restore {run} {images} --operator Average --method DPS --times.num-steps 2 --num-samples 1 --device cpu"
        )
        assert main([*words.split(), "--backend", machine.name, "--out", str(tmp_path / "out")]) == 0
        arrays = np.load(tmp_path / "out" / "restored.npz")
        assert arrays["images"].shape == (count, 1, 8, 8, 1)
        assert "truth" not in arrays
    assert "psnr" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--simulate"),
        (
            "none.png",
            "IMAGES must be a folder of images, an image, or a .npy or .npz file, that exists; got 'none.png'",
        ),
        ("--simulate --operator nothing", "--operator must be one of Average, Blur, Identity, LowPass, Mask, Restrict"),
        ("--simulate --method", "--method must be one of Calibrated, DDRM, DPS, PiGDM, or"),
        (
            "--simulate --operator restrict --operator.factor 3",
            "factor must divide every side of the grid (8, 8); got 3",
        ),
        ("--simulate --operator mask --method ddrm", "another than DDRM"),
        ("--simulate --noise 0", "noise must be positive"),
        ("--simulate --num-images 0", "--num-images must be at least 1"),
        ("--simulate", "blurcore calibrate"),
        ("{small} --method dps", "--simulate takes whole images"),
    ],
)
@pytest.mark.usefixtures("default_backend")  # most are seen once the run's network is there to be asked
def test_mistakes_are_one_sentence(words: str, message: str, run: Path, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "small.npy", np.zeros((1, 4, 4, 1), np.uint8))
    assert main(["restore", str(run), *words.format(small=tmp_path / "small.npy").split()]) == 2
    err = capsys.readouterr().err
    assert message in err.replace("│", "").replace("\n", " "), err


def test_networks_that_do_not_tell_data_from_noise_are_refused(machine: Any, run: Path) -> None:
    network = network_of(machine, run)
    for process, objective in ((bc.HeatDissipation(), bc.HeatReversal()), (bc.ColdDiffusion(), bc.Restoration())):
        config = replace(network.config, process=process, train=replace(network.config.train, objective=objective))
        with pytest.raises(bc.errors.ConfigError, match="restore needs a network that predicts eps, v or x0"):
            check_restoring(network._replace(config=config), RestoreConfig(operator=Blur(), method=DPS()))
