"""`blurcore fit`: its rules on spectra that are known, on digits, and from the command line into a training."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.data_spectrum import TOP, UNIT, deviation
from blurcore.errors import ArgumentError
from blurcore.measure.fitting import KNOTS, NODES, SHARE, data_variance, fit_spectrum

LAM = np.asarray(bc.DCT().eigenvalues((32, 32)))


def test_blur_of_one_frequency_has_its_closed_form():
    c = np.zeros((32, 32))
    c[0, 0], c[0, 3] = 9.0, 2.0
    found = fit_spectrum(c)
    assert found.sigma_blur_max == pytest.approx(math.sqrt(math.log(1 / SHARE) / LAM[0, 3]), rel=1e-9)
    assert found.min_scale == pytest.approx(1 / 127.5 / math.sqrt(12 * 2.0), rel=1e-12)


def test_blur_of_the_papers_images_is_the_papers():
    c = np.divide(1.0, LAM, out=np.ones_like(LAM), where=LAM > 0)
    assert fit_spectrum(c).sigma_blur_max == pytest.approx(20.0, rel=0.01)
    # the same image on twice as many pixels: lambda_k is a quarter of what it was, so that the blur is twice as wide
    fine = np.asarray(bc.DCT().eigenvalues((64, 64)))
    wide = np.zeros((64, 64))
    wide[:32, :32] = c
    assert fit_spectrum(wide).sigma_blur_max == pytest.approx(2 * fit_spectrum(c).sigma_blur_max, rel=1e-9)
    assert fine[0, 1] == pytest.approx(LAM[0, 1] / 4)


def test_less_is_left_by_wider_blurs():
    c = np.divide(1.0, LAM, out=np.ones_like(LAM), where=LAM > 0)
    widths = [fit_spectrum(c, share=share).sigma_blur_max for share in (0.5, 0.1, 0.01)]
    assert widths == sorted(widths)
    with pytest.raises(ArgumentError, match=r"share must be in \(0, 1\); got 1"):
        fit_spectrum(c, share=1)


def test_nodes_and_knots_of_a_power_law_lie_on_it():
    c = 4.0 / (LAM + 0.05)
    found = fit_spectrum(c)
    nodes = UNIT * ((1 + TOP / UNIT) ** (np.arange(NODES) / (NODES - 1)) - 1)
    inside = (nodes > 0.02) & (nodes < 10)  # with frequencies on both sides
    # a mean over a node's neighbours, of a law that falls by up to 2.3 from node to node
    np.testing.assert_allclose(np.array(found.sigma_data)[inside] ** 2, 4.0 / (nodes[inside] + 0.05), rtol=0.25)
    np.testing.assert_allclose(deviation(found.sigma_data, LAM) ** 2, c, rtol=0.6)
    frequency = np.linspace(0, math.pi, KNOTS)[1:]
    np.testing.assert_allclose(found.noise_spectrum[1:], 4.0 / (frequency**2 + 0.05), rtol=0.15)


def test_variance_of_drawn_images_is_that_of_the_law():
    rng = np.random.default_rng(0)
    c = 2.0 / (LAM[:8, :8] * 16 + 1.0)
    x = bc.DCT().inverse(np.sqrt(0.01 * c)[..., None] * rng.standard_normal((4000, 8, 8, 1)), axes=(1, 2))
    pixels = np.clip(np.round((x + 1) * 127.5), 0, 255).astype(np.uint8)
    got = data_variance(pixels, values="symmetric")
    # of 4,000 draws a variance is off by sqrt(2 / 4000), here by four of them, and rounding adds 1 / 12 of a level squared
    np.testing.assert_allclose(got, 0.01 * c + 1 / 127.5**2 / 12, rtol=4 * math.sqrt(2 / 4000))


def test_digits_give_a_configuration_that_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("sklearn")
    assert main(["fit", "Digits", "--figure", str(tmp_path / "fit.png")]) == 0
    text = capsys.readouterr().out
    lines = tomllib.loads(text)
    (tmp_path / "fit.toml").write_text(text)
    config = bc.runs.read_config(tmp_path / "fit.toml")
    assert isinstance(config.data, bc.Digits)
    data = bc.Digits().load()[:].astype(np.float64) / 127.5 - 1
    c = np.asarray(bc.DCT().forward(data, axes=(1, 2))).var(axis=0, ddof=1)[..., 0]
    left = np.exp(-np.asarray(bc.DCT().eigenvalues((8, 8))) * lines["process"]["blur"]["sigma_blur_max"] ** 2) * c
    assert left.sum() - left[0, 0] == pytest.approx(SHARE * (c.sum() - c[0, 0]), rel=0.02)  # three digits of the width
    assert (tmp_path / "fit.png").stat().st_size > 10_000
    objective = config.train.objective.build(config.process)
    objective.check((8, 8))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "SOURCE, if it is no path that exists, must be one of"),
        (["Digits", "--share", "2"], "--share must be in (0, 1)"),
        (["Digits", "--num-images", "1"], "--num-images must be at least 2; got 1"),
        (["Digits", "--nonsense"], "unknown option '--nonsense'"),
    ],
)
def test_data_that_cannot_be_fitted_is_an_error(words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["fit", *words]) == 2
    assert message in capsys.readouterr().err


def test_images_that_do_not_vary_are_refused():
    with pytest.raises(ArgumentError, match="must vary in more than their mean"):
        fit_spectrum(np.zeros((4, 4)))
    with pytest.raises(ArgumentError, match="images must be at least 2"):
        data_variance(np.zeros((1, 4, 4, 1), np.uint8), values="symmetric")
