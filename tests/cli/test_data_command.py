"""`blurcore data SOURCE`: every form is recognised, and what is said is so."""

from __future__ import annotations

import struct
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import data as command
from blurcore.cli import main
from blurcore.errors import ConfigError

pytest.importorskip("tyro")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "SECONDS", 0.01)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(4):
        place = tmp_path / "pictures" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6), 50 * number, np.uint8)).save(place / f"{number}.png")
    (tmp_path / "pictures" / "notes.txt").touch()
    return tmp_path / "pictures"


def test_folder_is_shown_with_the_settings_of_a_configuration(pictures, capsys):
    assert main(["data", "pictures", "--data.channels", "1", "--out", "grid.png", "--num-images", "3"]) == 0
    text = capsys.readouterr().out
    for said in (
        "kind         Folder",
        "4 images, 1 left out (1 .txt)",
        "images       4, 4 x 6 x 1",
        "labels       2 classes from 0 to 1, 2 to 2 images in each",
        "test part    none",
        "pixels       mean 75.0, standard deviation 55.9",
        "grid.png: 3 images",
        "images/s with 4 workers",
    ):
        assert said in text, said
    with Image.open("grid.png") as grid:
        assert grid.size == (2 * 6 + 3 * 2, 2 * 4 + 3 * 2)
    config = bc.from_dict(tomllib.loads(text[text.index("[data]") :]), bc.RunConfig)
    assert config.data == bc.Folder(path="pictures", channels=1)


def test_set_with_a_name_is_shown(capsys):
    pytest.importorskip("sklearn")
    assert main(["data", "digits", "--data.split", "test"]) == 0
    text = capsys.readouterr().out
    assert "images       176, 8 x 8 x 1" in text
    assert "test part    yes" in text
    assert Path("data.png").is_file()


def test_signals_are_shown(capsys):
    np.save("x.npy", np.zeros((5, 16), np.uint8))
    assert main(["data", "x.npy", "--data.dims", "1"]) == 0
    assert "images       5, 16 x 1" in capsys.readouterr().out


def test_form_of_a_path_is_recognised(pictures, tmp_path):
    np.save("x.npy", np.zeros((2, 4, 4, 1), np.uint8))
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.write(pictures / "a" / "0.png")
    (tmp_path / "tars").mkdir()
    for name in ("tars/0.tar", "cifar-10-binary.tar.gz"):
        tarfile.open(name, "w:gz" if name.endswith("gz") else "w").close()
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 1, 1, 1) + b"x")
    for path, kind in {
        "pictures": bc.Folder,
        "x.npy": bc.ArrayFile,
        "x.zip": bc.Zip,
        "tars": bc.WebDataset,
        "tars/0.tar": bc.WebDataset,
        "cifar-10-binary.tar.gz": bc.CIFAR,
        "mnist": bc.IDX,
        "mnist/train-images-idx3-ubyte": bc.IDX,
    }.items():
        assert command.source_of(path) == kind(path=path), path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data"], "data needs a path or the name of a kind"),
        (["data", "nowhere"], "SOURCE, if it is no path that exists, must be one of ArrayFile, Arrow, Brain,"),
        (["data", "Folder"], "SOURCE must be a path for Folder: blurcore data PATH --data Folder"),
        (
            ["data", "x.what"],
            "SOURCE must be of a form that is recognised, or its kind be named by --data; got 'x.what'",
        ),
        (["data", "x.what", "--data", "Zip"], "the zip archive 'x.what' cannot be read"),
        (["data", "MNIST", "--data.path", "x"], "unknown setting --data.path, a setting of Folder"),
        (["data", "pictures", "--out", "nowhere/x.txt/y.png"], "--out"),
    ],
)
def test_mistake_is_named_in_one_line(words, message, pictures, capsys):
    Path("x.what").write_text("text")
    Path("nowhere").write_text("a file")
    words = [word.replace("nowhere/x.txt", "x.what") for word in words]
    if words == ["data", "nowhere"]:
        Path("nowhere").unlink()
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


def test_kind_that_is_chosen_takes_the_path():
    with pytest.raises(ConfigError):
        command.source_of("nothing")
    assert command.source_of("nothing", chosen=True) == bc.Folder(path="nothing")
