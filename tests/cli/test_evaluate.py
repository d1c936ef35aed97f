"""`blurcore evaluate --samples DIR --reference DIR`, and what it says to what it cannot compare."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.config import EvaluateConfig
from blurcore.errors import NotFiniteError
from blurcore.metrics import compare
from blurcore.runs import write_config


def pictures(seed: int, count: int = 40, shape: tuple[int, ...] = (6, 5, 1)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def save(images: np.ndarray, folder: Path) -> Path:
    """Write images as a folder of PNGs."""
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def sets(tmp_path: Path) -> list[str]:
    """The words that name two sets: a folder of images and an array."""
    np.save(tmp_path / "reference.npy", pictures(1, 45))
    return [
        "evaluate",
        "--samples",
        str(save(pictures(0), tmp_path / "samples")),
        "--reference",
        str(tmp_path / "reference.npy"),
    ]


def refused(capsys: pytest.CaptureFixture[str], *words: object, code: int = 2) -> str:
    """Return the one sentence with which the command refuses."""
    assert main(list(map(str, words))) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


def test_two_sets_are_compared_in_a_table_and_in_json(sets, tmp_path, capsys):
    assert main([*sets, "--bootstrap", "20", "--json", str(tmp_path / "found.json"), "--seed", "3"]) == 0
    words = capsys.readouterr().out
    about = json.loads((tmp_path / "found.json").read_text())["samples"]
    expected = compare(pictures(0), pictures(1, 45), bootstrap=20, seed=3)
    assert {name: tuple(values.values()) for name, values in about["metrics"].items()} == {
        name: pytest.approx(tuple(estimate), rel=1e-4, abs=1e-9) for name, estimate in expected.items()
    }  # rows of float32 products are summed in another order where the batches are laid out otherwise
    assert (about["num_samples"], about["num_reference"], about["features"]) == (40, 45, "digits")
    assert {len(values) for values in about["spectrum"].values()} == {8}
    for name, estimate in expected.items():
        assert f"{name} " in words
        assert f"{estimate.value:.3f}"[:-1] in words
    assert f"written: {tmp_path / 'found.json'}" in words


def test_sets_that_hold_the_same_images_have_distance_0_whatever_they_are_called(tmp_path, capsys):
    images = pictures(0, 40, (6, 5, 3))
    one = save(images, tmp_path / "one")
    other = save(images[::-1], tmp_path / "other")
    assert main(["evaluate", "--samples", str(one), "--reference", str(other), "--bootstrap", "0"]) == 0
    numbers = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("  "))
    assert {name: abs(float(value)) for name, value in numbers.items()} == {
        "frechet_distance": 0,
        "kid": 0,
        "precision": 1,
        "recall": 1,
        "spectrum_distance": 0,
    }


def test_what_sample_has_written_is_a_set_too_and_grey_compares_with_rgb(tmp_path, capsys):
    (tmp_path / "drawn").mkdir()
    np.savez(tmp_path / "drawn" / "samples.npz", images=pictures(0))
    Image.new("RGB", (99, 99)).save(tmp_path / "drawn" / "grid.png")
    np.save(tmp_path / "rgb.npy", np.repeat(pictures(0), 3, axis=-1))
    words = ["evaluate", "--samples", str(tmp_path / "drawn"), "--reference", str(tmp_path / "rgb.npy")]
    assert main([*words, "--metrics", "kid,spectrum", "--bootstrap", "0"]) == 0
    assert "kid                    0.0000" in capsys.readouterr().out


def test_signals_and_volumes_are_compared_too(tmp_path, capsys):
    np.save(tmp_path / "signals.npy", pictures(0, 40, (16,)))
    words = ["evaluate", "--samples", str(tmp_path / "signals.npy"), "--reference", str(tmp_path / "signals.npy")]
    assert main([*words, "--dims", "1", "--bootstrap", "0"]) == 0
    assert "features: dct, 16 dimensions" in capsys.readouterr().out


def test_reference_can_be_a_part_and_features_a_module_of_the_working_folder(sets, tmp_path, capsys, monkeypatch):
    (tmp_path / "mine_for_evaluate.py").write_text(
        "def mean(images):\n    return images.reshape(len(images), -1).mean(axis=1)[:, None]\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert main([*sets, "--features", "mine_for_evaluate:mean", "--num-reference", "10", "--json", "found.json"]) == 0
    assert sys.path == before
    assert "features: mine_for_evaluate:mean, 1 dimensions" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["samples"]["num_reference"] == 10


class TestSetsThatDoNotServe:
    def test_missing_empty_and_foreign_ones_are_named(self, sets, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        (tmp_path / "floats.npy").write_bytes(b"")
        np.save(tmp_path / "floats.npy", np.zeros((40, 6, 5, 1)))
        for path, words in [
            (tmp_path / "nowhere", "--samples must be a folder of images, or a .npy or .npz file, that exists; got"),
            (tmp_path / "empty", "holds no image files"),
            (tmp_path / "floats.npy", "must hold uint8 pixels; got float64"),
            (Path(__file__), "must end in .npy or .npz"),
        ]:
            line = refused(capsys, "evaluate", "--samples", path, *sets[3:])
            assert "--samples" in line
            assert words in line

    def test_damaged_images_are_named_with_code_1(self, sets, tmp_path, capsys):
        (tmp_path / "samples" / "half.png").write_bytes((tmp_path / "samples" / "000.png").read_bytes()[:40])
        assert "'half.png'" in refused(capsys, *sets, code=1)

    def test_sizes_that_differ_are_both_named(self, sets, tmp_path, capsys):
        np.save(tmp_path / "reference.npy", pictures(1, 40, (6, 6, 1)))
        assert "must have one size; got 6 x 5 x 1 and 6 x 6 x 1" in refused(capsys, *sets)
        Image.new("L", (9, 8)).save(tmp_path / "samples" / "large.png")
        line = refused(capsys, *sets)
        assert "must have one size; got 6 x 5 ('000.png') and 8 x 9 ('large.png')" in line

    def test_too_few_images_are_counted(self, sets, tmp_path, capsys):
        np.save(tmp_path / "reference.npy", pictures(1, 32))
        line = refused(capsys, *sets)
        assert "the Frechet distance needs at least 33 images in each set" in line
        assert "got 40 samples and 32 references" in line
        line = refused(capsys, *sets, "--num-reference", "3", "--metrics", "precision_recall")
        assert "at least 4 images" in line


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--metrics", "fid"], "metrics must be some of frechet, kid, precision_recall, spectrum; got 'fid'"),
        (
            ["--features", "nothing"],
            "features must be one of dct, digits, inception, or module:attribute; got 'nothing'",
        ),
        (["--features", "os:getpid"], "features 'os:getpid' fail on images (1, 6, 5, 1): TypeError"),
        (["--features", "inception"], "--inception-weights PATH"),
        (["--features", "dct", "--inception-weights", __file__], "for the features inception; got --features dct"),
        (["--inception-weights", __file__], "with the sha256 6726825d"),
        (["--inception-weights", "nowhere"], "the Inception weights 'nowhere' cannot be read"),
        (["--bootstrap", "1"], "--bootstrap must be 0 or at least 2; got 1"),
        (["--seed", "-1"], "--seed must be 0 or more; got -1"),
        (["--neighbours", "0"], "neighbours must be at least 1; got 0"),
        (["--num-reference", "0"], "--num-reference must be at least 1; got 0"),
        (["--json", "nowhere/found.json"], "--json must be a file in a folder that exists; got 'nowhere/found.json'"),
        (["--dims", "3"], "--dims must be 2 for a folder of images"),
        (["--num-samples", "3"], "unknown option '--num-samples'"),
        (["--split", "test"], "--split is for runs"),
        (["--backend", "jax"], "--backend is for runs"),
    ],
)
def test_options_that_make_no_sense_are_refused(words, names, sets, capsys):
    assert names in refused(capsys, *sets, *words)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], "evaluate needs a run folder, blurcore evaluate RUN, or --samples DIR --reference DIR"),
        (["--samples", "a"], "a run folder, or --samples DIR together with --reference DIR"),
        (["--reference", "a"], "a run folder, or --samples DIR together with --reference DIR"),
        (["run", "--samples", "a", "--reference", "b"], "a run folder, or --samples DIR together with --reference DIR"),
        (["nowhere"], "nowhere"),
        (["--likelihood", "discrete"], "evaluate needs a run folder: blurcore evaluate RUN --likelihood discrete"),
        (["run", "--likelihood", "ode", "--inception-weights", "w"], "--inception-weights is for samples"),
        (["run", "--num-images", "4", "--metrics", "kid"], "--metrics is for samples"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words, names, capsys):
    assert names in refused(capsys, "evaluate", *words)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What there is of a run before its first checkpoint."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_config(bc.RunConfig(device="cpu", data=bc.Digits()), folder / "config.toml")
    return folder


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--num-samples", "32"], "got 32 samples and 1621 references"),
        (["--num-samples", "40", "--split", "test", "--num-reference", "9"], "got 40 samples and 9 references"),
        (["--dims", "2"], "--dims is for --samples and --reference"),
        (["--features", "nothing"], "got 'nothing'"),
        (["--bootstrap", "-3"], "--bootstrap must be 0 or at least 2; got -3"),
        (["--seed", "-1"], "seed must be 0 or more; got -1"),
    ],
)
def test_run_is_refused_before_samples_are_drawn(run, words, names, capsys):
    assert names in refused(capsys, "evaluate", run, *words)


@pytest.mark.parametrize(
    ("words", "names"), [([], "--num-samples"), (["--likelihood", "ode"], "--probes")], ids=["samples", "likelihood"]
)
def test_help_has_the_settings_of_either_kind(words, names, capsys):
    assert main(["evaluate", *words, "--help"]) == 0
    out = capsys.readouterr().out
    assert names in out
    assert "--inception-weights" in out


def test_evaluations_of_two_kinds_stay_side_by_side(tmp_path, capsys):
    from blurcore.cli.evaluate import write_evaluation

    path = tmp_path / "evaluation.json"
    for part in ({"bits_per_dim": 3.0}, {"samples": 1}, {"samples": 2}):
        write_evaluation(path, part)
    assert json.loads(path.read_text()) == {"bits_per_dim": 3.0, "samples": 2}
    path.write_text('{"samples": 2, "bits')  # cut short: nothing can be read of it
    write_evaluation(path, {"samples": 3})
    assert json.loads(path.read_text()) == {"samples": 3}
    with pytest.raises(ValueError, match="cannot write"):
        write_evaluation(tmp_path / "nowhere" / "found.json", {})


def test_likelihood_that_is_not_finite_is_an_error_and_not_written(tmp_path, capsys):
    from blurcore.cli.evaluate import _report
    from blurcore.measure import Terms

    values = np.array([1.0, np.nan, np.inf])
    with pytest.raises(NotFiniteError, match=r"the likelihood of 2 of 3 images is not finite"):
        _report(Terms(values, values, values, np.zeros(3)), 1, EvaluateConfig(), tmp_path / "evaluation.json")
    assert "total" in capsys.readouterr().out
    assert not (tmp_path / "evaluation.json").exists()
