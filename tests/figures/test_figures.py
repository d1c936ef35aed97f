"""Pictures: their values against the reference and closed forms, their text as text, their pixels as they are."""

from __future__ import annotations

import re
from pathlib import Path

import blurcore_reference.oracle as reference
import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.data import to_float, to_uint8
from blurcore.errors import ArgumentError, OutputError
from blurcore.figures.canvas import new_figure, save_figure
from blurcore.figures.kernels import equivalent_variance, pixel_kernel
from blurcore.figures.overview import draw_overview
from blurcore.serial import to_dict

PROCESS = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=4.0), min_scale=0.01)
SHAPE = (5, 4)
CENTRE = 2 * SHAPE[1] + 2


def words(path: Path) -> str:
    """Return the text of an SVG, without its markup."""
    text = " ".join(re.findall(r"<(?:text|tspan)[^>]*>([^<]*)<", path.read_text(encoding="utf-8")))
    return re.sub(r"\s+", " ", text)


class TestKernels:
    @pytest.mark.parametrize("basis", [bc.DCT(), bc.DST(), bc.RealFourier()], ids=lambda basis: type(basis).__name__)
    def test_kernels_are_rows_of_the_references_dense_matrices(self, basis):
        process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=4.0), min_scale=0.01, basis=basis)
        blur, noise = reference.marginal_dense(to_dict(process), 0.3, SHAPE)
        _, step = reference.transition_dense(to_dict(process), 0.3, 0.1, SHAPE)
        inverse = np.linalg.inv(blur)
        m = process.marginal(0.3, shape=SHAPE)
        for diagonal, matrix in (
            (m.alpha, blur),
            (np.broadcast_to(m.sigma**2, SHAPE), noise),
            (bc.transition(process, 0.3, 0.1, shape=SHAPE).variance, step),
            (equivalent_variance(process, 0.3, SHAPE), inverse @ noise @ inverse.T),
        ):
            # the inverse of a matrix whose condition is 1 / min_scale = 100 loses two digits and a square two more
            np.testing.assert_allclose(
                pixel_kernel(basis, diagonal).ravel(), matrix[CENTRE], rtol=0, atol=1e-11 * np.abs(matrix).max()
            )

    def test_sharp_data_with_the_equivalent_noise_are_the_blurred_ones_undone(self):
        """The equivalence itself: z / alpha, drawn as z is, has the covariance that is drawn."""
        rng = np.random.default_rng(0)
        m = PROCESS.marginal(0.2, shape=SHAPE)
        x = rng.standard_normal(SHAPE)
        eps = rng.standard_normal((20_000, *SHAPE))
        noisy = bc.diffuse(PROCESS, np.broadcast_to(x, eps.shape).copy(), 0.2, eps)
        undone = PROCESS.basis.inverse(PROCESS.basis.forward(noisy) / m.alpha) - x
        covariance = (undone * undone[:, 2:3, 2:3]).mean(axis=0)
        kernel = pixel_kernel(PROCESS.basis, equivalent_variance(PROCESS, 0.2, SHAPE))
        # a product of two jointly normal numbers has a variance of at most 2 k_00^2: 5 standard errors of the mean
        np.testing.assert_allclose(covariance, kernel, rtol=0, atol=5 * np.sqrt(2 / 20_000) * kernel.max())

    def test_peaks_that_are_written_are_those_of_closed_forms(self, tmp_path):
        path = tmp_path / "kernels.svg"
        assert main(["figure", "kernels", "--size", "9", "--times", "0.25", "0.5", "--out", str(path)]) == 0
        text = words(path)
        for t in (0.25, 0.5):  # white noise: sigma^2 = sin^2 of an angle that is linear in t and symmetric about 1/2
            b = np.arctan(np.exp(-5.0))
            assert f"peak {np.sin(b + (np.pi / 2 - 2 * b) * t) ** 2:.3g}" in text
            width = 20 * np.sin(np.pi * t / 2) ** 2
            assert f"t = {t:g} blur {width:.2g} px" in text

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ("--size 2", "size must be from 3 to 256 pixels; got 2"),
            ("--times 0.5 0.2", r"times must rise, above 0 and up to 1; got \(0.5, 0.2\)"),
            ("--times 0 0.2", "times must rise"),
            ("--times nan", "times must rise"),
            ("--min-scale 0", "alpha falls to 0"),
            ("--min-scale 2", r"min_scale must be in \[0, 1\]"),
            ("--sigma-blur-max -1", "sigma_blur_max must be 0 or more"),
            ("--out kernels.gif", "--out must end in one of .png, .svg, .pdf"),
        ],
    )
    def test_mistake_is_named(self, flags, message, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main(["figure", "kernels", *flags.split()]) == 2
        assert re.search(message, capsys.readouterr().err)
        assert list(tmp_path.iterdir()) == []


class TestText:
    @pytest.mark.parametrize(
        ("figure", "labels"),
        [
            ("overview", ["standard diffusion", "heat dissipation", "blurring diffusion", "t = 0.23"]),
            (
                "snr",
                [
                    "standard diffusion",
                    "heat dissipation",
                    "blurring diffusion",
                    "frequency k (half waves per image)",
                    "log-SNR",
                ],
            ),
            ("snr --stacked", ["standard diffusion", "heat dissipation", "blurring diffusion", "half waves per image"]),
            ("kernels", ["noise of a step", "blur is undone", "a draw of it", "share of the peak"]),
        ],
    )
    def test_labels_of_an_svg_are_text(self, figure, labels, tmp_path):
        path = tmp_path / "figure.svg"
        assert main(["figure", *figure.split(), "--size", "16", "--out", str(path)]) == 0
        assert [label for label in labels if label not in words(path)] == []

    def test_fonts_of_a_pdf_are_embedded_as_outlines(self, tmp_path):
        path = tmp_path / "figure.pdf"
        assert main(["figure", "snr", "--size", "8", "--out", str(path)]) == 0
        content = path.read_bytes()
        assert b"/FontFile2" in content  # TrueType, which publishers take
        assert b"/Type3" not in content

    @pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
    def test_same_figure_is_the_same_file(self, suffix, tmp_path):
        files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for path in files:
            assert main(["figure", "kernels", "--size", "8", "--out", str(path)]) == 0
        assert files[0].read_bytes() == files[1].read_bytes()

    def test_settings_of_matplotlib_are_left_alone(self, tmp_path):
        import matplotlib

        before = dict(matplotlib.rcParams)
        assert main(["figure", "snr", "--size", "8", "--out", str(tmp_path / "a.svg")]) == 0
        assert dict(matplotlib.rcParams) == before

    def test_figure_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match=r"cannot write the figure .*file/a\.png"):
            save_figure(new_figure(1, 1), tmp_path / "file" / "a.png")


def test_overview_shows_every_pixel_as_it_is(tmp_path):
    """The last column of the first row, pixel for pixel, in whole squares: nothing is resampled."""
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    draw_overview(picture, tmp_path / "overview.png", columns=3, seed=4)
    x = to_float(picture).astype(np.float64)
    expected = to_uint8(
        bc.diffuse(bc.GaussianDiffusion(), x, 1.0, np.random.default_rng(4).standard_normal(x.shape), axes=(0, 1))
    )
    with Image.open(tmp_path / "overview.png") as opened:
        drawn = np.asarray(opened.convert("RGB")).astype(int)
    scale = (1400 - 170 - 20 - 2 * 6) // (3 * 30)
    left, top = 170 + 2 * (30 * scale + 6), 60
    panel = drawn[top : top + 20 * scale, left : left + 30 * scale]
    np.testing.assert_array_equal(panel, expected.repeat(scale, axis=0).repeat(scale, axis=1))


def test_large_pictures_get_finer_pixels_not_a_wider_figure(tmp_path):
    picture = np.zeros((300, 900, 3), np.uint8)
    draw_overview(picture, tmp_path / "overview.png", columns=2)
    with Image.open(tmp_path / "overview.png") as opened:
        dpi = round(opened.info["dpi"][0])
        assert dpi > 200
        assert 2 * 900 < opened.width <= 7 * dpi + 1


def test_log_snr_is_drawn_for_a_column_of_a_paper(tmp_path):
    assert main(["figure", "snr", "--size", "8", "--stacked", "--out", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.width == 680  # 3.4 inches at 200 pixels


def test_variance_without_signal_is_refused():
    with pytest.raises(ArgumentError, match="t must be a time at which every frequency is left"):
        equivalent_variance(bc.HeatDissipation(), 1.0, (8, 8))


def test_dead_frequencies_are_those_that_sizes_drop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What dropping all frequencies from k on costs is the handover's account, and the sizes follow from it."""
    from blurcore.figures.dead_frequencies import cost_from, draw_dead_frequencies
    from blurcore.relay import handover_cost

    power, process = 1 / (1 + np.arange(8.0)[:, None] + np.arange(8.0)) ** 3, bc.BlurringDiffusion()
    found = cost_from(process, power, np.array([0.1, 0.5]))
    for i, t in enumerate((0.1, 0.5)):
        expected = handover_cost(process, t, grid=(8, 8), small=(3, 3), spectrum=power)
        assert found[i, 3] == pytest.approx(expected, rel=1e-12)
    sizes = draw_dead_frequencies(tmp_path / "a.svg", bc.Digits().load(), multiple=1)
    assert "standard diffusion" in (tmp_path / "a.svg").read_text()
    assert sizes["standard diffusion"].share() > 0.9 > 0.5 > sizes["blur up to 20 px"].share()
    assert main(["figure", "dead-frequencies", "--tolerance", "0", "--out", str(tmp_path / "b.svg")]) == 2
    assert "--tolerance must be positive; got 0.0" in capsys.readouterr().err
