"""What commands write: the result first, what may fail after it, nothing over the result of other settings."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

import blurcore as bc
from blurcore.cli import main
from blurcore.cli.parser import build_parser
from blurcore.data import ArrayDataset, pictures
from blurcore.data.values import to_samples
from blurcore.errors import DataError, OutputError
from blurcore.figures.film import write_film
from blurcore.figures.sampler_error import draw_sampler_error
from blurcore.measure import calibration as calibration
from blurcore.measure.curve import Reference
from blurcore.protocols import RunNetwork
from blurcore.runs import files, newest_checkpoint
from blurcore.verify.runner import IDENTITIES, verify_backends

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("picture", ["data.pictures.write_picture", "figures.film.write_film"])
def test_samples_are_saved_before_the_pictures_that_may_fail(
    blurcore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: str
) -> None:
    def fail(picture: Any, path: Path) -> None:
        raise OutputError(f"{path} cannot be written")

    monkeypatch.setattr(f"blurcore.{picture}", fail)
    code, out, says = blurcore("sample", tmp_path / "run", "--num-samples", "3", "--film", "--out", tmp_path / "out")
    assert (code, "cannot be written" in says) == (1, True)
    assert np.load(tmp_path / "out" / "samples.npz")["images"].shape == (3, 4, 4, 1)
    assert f"images: {tmp_path / 'out' / 'samples.npz'}" in out


def test_more_samples_than_fit_into_a_picture_are_all_saved(
    blurcore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(pictures.grids_that_fit.__kwdefaults__, "pixels", 20_000)
    code, out, _ = blurcore("sample", tmp_path / "run", "--num-samples", "9", "--film", "--out", tmp_path / "out")
    assert (code, "grid: " in out, "film: " in out) == (0, True, True)
    assert f"{tmp_path / 'out' / 'grid.png'} shows the first 4 of 9 images" in caplog.text
    assert len(np.load(tmp_path / "out" / "samples.npz")["images"]) == 9


@pytest.mark.parametrize("every", ["sample", "evaluate"])
def test_checkpoint_is_saved_before_a_picture_that_fails(
    train: Any, trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: str
) -> None:
    """At step 4, whose checkpoint is due, and at step 3, where it is not: the next attempt is past the picture."""

    def fail(self: Any, settings: Any, prior: Any) -> None:
        raise DataError("no picture")

    monkeypatch.setattr(trainer, "sample", fail)
    for step in ("3", "4"):
        code, says = train(f"--train.{every}-every", step, "--out", str(tmp_path / step))
        assert (code, "no picture" in says) == (2, True)
        assert newest_checkpoint(tmp_path / step).step == int(step)


def test_samples_that_are_not_finite_are_counted_and_left_out_of_metrics(blurcore: Command, tmp_path: Path) -> None:
    """As many as `eta` says in hundredths: NaN and infinities of both signs."""
    run, out = tmp_path / "run", tmp_path / "out"
    drawn = ["--solver", "ddim", "--num-samples", "8", "--solver.eta"]
    code, said, _ = blurcore("sample", run, *drawn, "0.03", "--out", out)
    assert (code, "not finite: 3 of 8 samples are not finite\n" in said) == (0, True)
    with np.load(out / "samples.npz") as archive:
        np.testing.assert_array_equal(archive["finite"], [False] * 3 + [True] * 5)

    code, said, says = blurcore("sample", run, *drawn, "0.08", "--out", tmp_path / "none")
    assert (code, "no sample is finite" in says) == (1, True)
    assert [path.name for path in (tmp_path / "none").glob("*[gz]")] == ["samples.npz"]

    metrics = ["--metrics", "spectrum", "--bootstrap", "0", "--features", "dct"]
    code, said, says = blurcore("evaluate", run, *drawn, "0.03", *metrics)
    about = json.loads((run / "evaluation.json").read_text())["samples"]
    assert (code, about["not_finite"], about["num_samples"]) == (0, 3, 5), says
    assert "3 of 8 samples are not finite, and left out" in said
    (run / "evaluation.json").unlink()
    code, _, says = blurcore("evaluate", run, *drawn, "0.08", *metrics)
    assert (code, (run / "evaluation.json").exists(), "8 of 8 samples are not finite" in says) == (1, False, True)

    between = ["--reference", tmp_path / "images.npy", *metrics, "--json", tmp_path / "found.json"]
    code, said, says = blurcore("evaluate", "--samples", out, *between)
    assert (code, "an array of (5, 4, 4, 1), without 3 that are not finite" in said) == (0, True), says
    assert json.loads((tmp_path / "found.json").read_text())["samples"]["num_samples"] == 5
    code, _, says = blurcore("evaluate", "--samples", tmp_path / "none", *between)
    assert (code, "no image in" in says) == (2, True)


@pytest.mark.parametrize("lost", [0, 3, 40])
def test_curve_is_of_finite_samples_alone(lost: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 1), dtype=np.uint8)
    draws = images / 127.5 - 1
    draws[:lost, 1, 1] = np.resize([np.nan, np.inf, -np.inf], (lost, 1))
    found = Reference(ArrayDataset(images)).distances(to_samples(draws, "symmetric"))
    expected = {} if lost == 40 else Reference(ArrayDataset(images)).distances(to_samples(draws[lost:], "symmetric"))
    assert found == expected | ({"samples_not_finite": lost} if lost else {})
    assert (len(expected) == 2) == (lost < 40)


OTHER = {
    "--num-samples 3": "num_samples",
    "--solver.variance upper": "solver",
    "--solver AdaptiveODE --solver.tolerance 0.5": "solver",
    "--solver InverseHeat --solver.delta 0.1": "solver",
    "--solver DDIM --solver.eta 0.01": "solver",
    "--solver DPMSolverPP --solver.order 3": "solver",
    "--times Given --times.values 1 0.5 0": "times",
    "--times LogSNR": "times",
    "--last-noise": "last_noise",
    "--label 1": "label",
    "--guidance 2": "guidance",
    "--clip-quantile 0.5": "clip_quantile",
    "--seed 2": "seed",
    "--vary noise": "vary",
    "--device cpu:0": "device",
}


def test_set_of_samples_never_replaces_another(
    blurcore: Command, train: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the other setting, in the default folder and in one of the user's; the same settings draw the same set again."""
    run, words = tmp_path / "run", ["--num-samples", "2", "--times.num-steps", "2"]

    def sets() -> dict[str, bytes]:
        return {path.parent.name: path.read_bytes() for path in sorted(run.glob("samples/*/samples.npz"))}

    assert blurcore("sample", run, *words)[0] == 0
    assert blurcore("sample", run, *words, "--out", tmp_path / "out")[0] == 0
    assert list(sets()) == ["Ancestral-Uniform2-seed0"]
    for count, (flags, name) in enumerate(OTHER.items(), start=2):
        before = sets()
        other = [*words[:2], *flags.split()] if flags.startswith("--times") else [*words, *flags.split()]
        code, said, _ = blurcore("sample", run, *other)
        after = sets()
        assert (code, len(after), before.items() <= after.items()) == (0, count, True), flags
        (new,) = after.keys() - before.keys()
        assert f"images: {run / 'samples' / new / 'samples.npz'}" in said
        if re.fullmatch(r"Ancestral-Uniform2-seed0-[0-9a-f]{8}", new):
            assert f"{run / 'samples' / 'Ancestral-Uniform2-seed0'} stays: it holds a set with {name} " in said
        assert blurcore("sample", run, *other)[0] == 0
        assert sets() == after  # the same once more
        content = (tmp_path / "out" / "samples.npz").read_bytes()
        code, _, says = blurcore("sample", run, *other, "--out", tmp_path / "out")
        assert (
            code,
            f"--out must be a folder without a set of other samples; {tmp_path / 'out'} has one, with {name}" in says,
        ) == (2, True)
        assert (tmp_path / "out" / "samples.npz").read_bytes() == content

    before = sets()
    assert train("--resume", "--train.steps", "9")[0] == 0
    code, said, _ = blurcore("sample", run, *words, "--batch-size", "1")
    assert (code, "step 8, not 9" in said) == (0, True)
    assert before.items() < sets().items()
    (run / "samples" / "Ancestral-Uniform2-seed0" / "samples.json").unlink()  # of an older version
    code, said, _ = blurcore("sample", run, *words)
    assert (code, "it holds a set with settings that are not known" in said) == (0, True)


def leaves(parser: argparse.ArgumentParser, *words: str) -> Iterator[tuple[list[str], argparse.ArgumentParser]]:
    """Yield every command with its parser."""
    deeper = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not deeper:
        yield list(words), parser
    for name, leaf in (pair for action in deeper for pair in action.choices.items()):
        yield from leaves(leaf, *words, name)


def outputs() -> Iterator[tuple[list[str], str, str]]:
    """Yield every option of every command that names what it writes, and whether that is a file or a folder."""
    for words, parser in leaves(build_parser()):
        for flag, kind in (parser.get_default("writes") or {}).items():
            yield words, flag, kind
    yield ["verify"], "--html", "file"


@pytest.mark.parametrize(("words", "flag", "kind"), list(outputs()), ids=lambda value: str(value).strip("-"))
def test_output_that_cannot_be_written_is_refused_before_any_work(
    words: list[str], flag: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else is there: no run, no data; a command that looked at anything first would say that."""
    (tmp_path / "file.png").touch()
    (tmp_path / "folder.png").mkdir()
    needs = {"train": ["none.toml"], "evaluate": ["none"], "sample": ["none"], "fit": ["none"]}
    needs |= {"export": ["none", "--to", "diffusers"]}
    operands = needs.get(words[0], ["none"] if words[-1] == "losses" else [])
    wrong = [tmp_path / "file.png" / "x.png", tmp_path / ("folder.png" if kind == "file" else "file.png")]
    for path in wrong:
        code = main([*words, *operands, flag, str(path)])
        out, says = capsys.readouterr()
        assert (code, out, f"{flag} must " in says, len(says.splitlines())) == (2, "", True, 1), says


READ = ("--samples", "--reference", "--inception-weights", "--run")


def test_every_path_that_is_written_is_marked() -> None:
    marked = {(*words, flag) for words, flag, _ in outputs()}
    named = {
        (*words, flag)
        for words, parser in leaves(build_parser())
        for action in parser._actions
        for flag in action.option_strings
        if action.type is Path and flag not in READ
    }
    assert named <= marked


def test_run_that_cannot_be_written_is_refused_before_any_work(
    blurcore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, readable = tmp_path / "run", files.why_unwritable
    monkeypatch.setattr(
        files, "why_unwritable", lambda path: "it is closed" if run in (path, *path.parents) else readable(path)
    )
    for words in (
        ["sample", run],
        ["calibrate", run],
        ["evaluate", run],
        ["evaluate", run, "--likelihood", "discrete"],
    ):
        code, out, says = blurcore(*words)
        assert (code, out, "it is closed" in says, len(says.splitlines())) == (2, "", True, 1), words
    few = ["--metrics", "spectrum", "--bootstrap", "0", "--features", "dct", "--num-samples", "4"]
    code, out, says = blurcore("evaluate", run, *few, "--json", tmp_path / "found.json")
    assert (code, "not written into the run" in says, (tmp_path / "found.json").is_file()) == (0, True, True), says
    assert blurcore("sample", run, "--out", tmp_path / "out")[0] == 0


def test_file_of_a_set_that_is_a_folder_is_refused_before_drawing(blurcore: Command, tmp_path: Path) -> None:
    (tmp_path / "run" / "evaluation.json").mkdir()
    assert "must be a file" in blurcore("evaluate", tmp_path / "run")[2]
    (tmp_path / "run" / "calibration.safetensors").mkdir()
    assert "must be a file" in blurcore("calibrate", tmp_path / "run")[2]


def test_calibration_on_a_disk_that_is_full_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(arrays: Any, path: Path, metadata: Any) -> None:
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    monkeypatch.setattr(
        calibration,
        "measure_x0_error",
        lambda *given, **settings: bc.X0Error(times=(0.0, 1.0), values=np.ones((2, 4, 4))),
    )
    config = bc.RunConfig(data=bc.Digits())
    network = RunNetwork(config, (8, 8, 1), 1, lambda z, t: z)
    with pytest.raises(OutputError, match=r"the calibration cannot be written to .*No space left"):
        calibration.calibrate_run(tmp_path, network, num_images=1, num_times=2)


def test_pictures_are_written_to_a_path_given_as_a_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_film([np.zeros((2, 2, 1), np.uint8)] * 2, "new/film.gif")
    draw_sampler_error("new/error.png", table="new/error.md", steps=(1,), size=4)
    assert {path.name for path in Path("new").iterdir()} == {"film.gif", "error.png", "error.md"}


def test_report_is_printed_where_its_page_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("blurcore.verify.command.replace_text", full)
    monkeypatch.setattr(
        "blurcore.verify.command.verify",
        lambda *given, **settings: verify_backends([bc.get_backend("numpy")], quick=True, identities=IDENTITIES[:1]),
    )
    assert main(["verify", "--quick", "--html", str(tmp_path / "page.html")]) == 1
    out, says = capsys.readouterr()
    assert out
    assert "cannot write" in says
