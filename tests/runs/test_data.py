"""What a run says of its data, what it takes for data, and what it finds when they have changed or the working folder has."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.runs import newest_checkpoint, read_config, write_config
from blurcore.runs.description import describe_run
from blurcore.runs.files import changed_files
from blurcore.runs.folder import read_metrics

Train = Callable[..., tuple[int, str]]


@pytest.fixture
def pictures(tmp_path: Path, config_file: Path) -> Path:
    """Three pictures, which the configuration trains on, three files of other formats and one that cannot be read."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for grey in (60, 120, 180):
        Image.new("L", (4, 4), grey).save(folder / f"{grey}.png")
    for name in ("a.gif", "b.gif", "notes.txt", "broken.png"):
        (folder / name).touch()
    data = bc.Folder(path=str(folder), image_size=(4, 4), channels=1)
    write_config(bc.RunConfig(**{**vars(read_config(config_file)), "data": data}), config_file)
    return folder


def test_number_of_images_and_of_files_left_out_is_in_every_report(
    train: Train, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, says = train()
    assert code == 0
    left_out = "4 left out (2 .gif, 1 .txt, 1 unreadable)"
    assert f"training with dummy on 3 images, 4 x 4 x 1: folder {str(pictures)!r}, 3 images, {left_out}\n" in says
    assert {line["images"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")} == {3}
    about = describe_run(tmp_path / "run")
    assert (about["images"], about["left_out"]) == (3, {".gif": 2, ".txt": 1, "unreadable": 1})
    assert main(["info", str(tmp_path / "run")]) == 0
    assert "Folder, 4 x 4 x 1, 3 images, 4 files left out (2 .gif, 1 .txt, 1 unreadable)" in capsys.readouterr().out


def test_arrays_are_counted_too(train: Train, tmp_path: Path) -> None:
    code, says = train()
    assert code == 0
    assert says.startswith("training with dummy on 10 images, 4 x 4 x 1: images.npy, an array of (10, 4, 4, 1)\n")
    assert describe_run(tmp_path / "run")["images"] == 10
    assert not (tmp_path / "run" / "data.json").exists()


@pytest.mark.parametrize("value", [None, 3, {".gif": "two"}, ["x"]])
def test_checkpoint_without_a_valid_list_of_left_out_files_is_described(
    train: Train, tmp_path: Path, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train()[0] == 0
    state = newest_checkpoint(tmp_path / "run").state
    path = tmp_path / "run" / "checkpoints" / f"step-{state['step']:08d}" / "state.json"
    path.write_text(json.dumps({**state, "left_out": value, "images": value}))
    about = describe_run(tmp_path / "run")
    assert (about["left_out"], about["images"]) == (None, 3 if value == 3 else None)
    assert main(["info", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize("place", ["run", "deep/er/run", ".hidden/run", ".", "link/run"])
@pytest.mark.parametrize("command", ["train", "sample"])
def test_output_inside_the_data_is_refused_before_anything_is_written(
    command: str, train: Train, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "link").symlink_to(pictures)
    out = tmp_path / place if place.startswith("link") else pictures / place
    if command == "sample":
        assert train()[0] == 0
    before = sorted(pictures.rglob("*"))
    words = ["train", str(tmp_path / "config.toml")] if command == "train" else ["sample", str(tmp_path / "run")]
    capsys.readouterr()
    assert main([*words, "--out", str(out)]) == 2
    assert "--out must not lie inside the folder of the data" in capsys.readouterr().err
    assert sorted(pictures.rglob("*")) == before


def test_output_beside_the_data_is_not_inside(train: Train, pictures: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "pictures", tmp_path / "run-pictures")
    assert train("--data.path", str(tmp_path / "run-pictures"))[0] == 0


def test_run_that_was_moved_into_the_data_is_no_data(train: Train, pictures: Path, tmp_path: Path) -> None:
    assert train()[0] == 0
    before = read_config(tmp_path / "run" / "config.toml").data.load().fingerprint
    shutil.move(tmp_path / "run", pictures / "old")
    code, says = train()
    assert code == 0
    assert "5 left out (2 .gif, 1 .txt, 1 run folders, 1 unreadable)" in says
    assert newest_checkpoint(tmp_path / "run").state["data"] == before


def test_resume_names_the_files_that_have_changed(train: Train, pictures: Path) -> None:
    assert train()[0] == 0
    Image.new("L", (4, 4), 61).save(pictures / "60.png")
    (pictures / "120.png").unlink()
    for number in range(7):
        Image.new("L", (4, 4), number).save(pictures / f"new{number}.png")
    code, says = train("--resume", "--train.steps", "12")
    assert code == 1
    assert (
        "added: 'new0.png', 'new1.png', 'new2.png', 'new3.png', 'new4.png' and 2 more; gone: '120.png'; changed: '60.png';"
        " 3 images -> 9; data: '" in says
    )


def test_files_are_compared_by_their_hashes() -> None:
    before = {"a": "1", "b": "2", "c": "3"}
    assert changed_files(before, before) == []
    assert changed_files({}, before) == []
    assert changed_files(before, {"a": "1", "b": "9"}) == ["gone: 'c'", "changed: 'b'"]


@pytest.mark.parametrize("by", ["folder", "array"])
def test_relative_path_holds_from_every_working_directory(
    by: str, train: Train, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    words = [] if by == "folder" else ["--data", "ArrayFile", "--data.image-size", "None"]
    code, says = train("--data.path", "pictures" if by == "folder" else "images.npy", *words)
    assert code == 0, says
    monkeypatch.chdir(elsewhere)
    config = read_config(tmp_path / "run" / "config.toml")
    assert len(config.data.load()) == (3 if by == "folder" else 10)
    again = ["train", str(tmp_path / "run" / "config.toml"), "--out", str(tmp_path / "run"), "--resume"]
    assert main([*again, "--train.steps", "12"]) == 0


def test_home_folder_is_spelled_out(
    train: Train, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert train("--data.path", os.path.join("~", "pictures"))[0] == 0
    assert read_config(tmp_path / "run" / "config.toml").data.path == str(pictures)


def test_16_bits_of_an_array_are_in_the_first_line(train: Train, tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 2**16, (10, 4, 4)).astype(np.uint16)
    np.save(tmp_path / "images.npy", wide)
    code, says = train()
    assert code == 0
    assert says.startswith(
        "training with dummy on 10 images, 4 x 4 x 1: images.npy, an array of (10, 4, 4), scaled to 8 bits from the 16 of its uint16\n"
    )
    assert train("--resume", "--train.steps", "12", "--data.bits", "12")[0] != 0
