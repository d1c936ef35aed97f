"""Configurations and image folders that do not serve: what is wrong is named, with a code that scripts can trust."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.data import dataset
from blurcore.engine import loop
from blurcore.errors import BackendError
from blurcore.registry import choose_backend
from blurcore.runs import read_config, write_config


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures, fewer than a batch, and two files that are none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for grey in (60, 180):
        Image.new("L", (9, 9), grey).save(folder / f"{grey}.png")
    (folder / "empty.png").touch()
    (folder / "text\n.jpg").write_text("no picture")
    return folder


@pytest.fixture
def config(pictures: Path) -> bc.RunConfig:
    """A configuration that trains on them in a moment."""
    return bc.RunConfig(
        device="cpu",
        data=bc.Folder(path=str(pictures), image_size=(8, 8), channels=1),
        model=bc.ModelConfig(
            base_channels=4, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), norm_groups=4
        ),
        train=bc.TrainConfig(
            objective=bc.Denoising(prediction="v"), steps=2, batch_size=4, warmup_steps=1, log_every=1
        ),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=2), num_samples=2),
    )


def train(config: bc.RunConfig, folder: Path, *words: str) -> int:
    """Train from a file, as a user does."""
    try:
        choose_backend()
    except BackendError as error:
        pytest.skip(str(error))
    write_config(config, folder / "config.toml")
    return main(["train", str(folder / "config.toml"), "--out", str(folder / "run"), *words])


class TestFolders:
    def test_unreadable_files_are_counted_and_listed_and_training_continues(self, config, tmp_path, capsys, caplog):
        assert train(config, tmp_path) == 0
        assert "2 of 4 image files" in caplog.text
        assert (
            "'empty.png': the file is empty; 'text\\n.jpg': not a PNG, JPEG, WebP, TIFF, BMP or AVIF image"
            in caplog.text
        )
        assert "run:" in capsys.readouterr().out

    @pytest.mark.parametrize("by", ["flag", "file"])
    def test_strict_stops_before_the_run_with_code_1_and_names_them_all(self, config, pictures, tmp_path, capsys, by):
        for number in range(8):
            (pictures / f"more{number}.png").touch()
        if by == "file":
            config = replace(config, data=replace(config.data, strict=True))
        assert train(config, tmp_path, *(["--strict"] if by == "flag" else [])) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "10 of 12 image files" in err
        assert all(f"more{number}.png" in err for number in range(8))
        assert len(err.splitlines()) == 1
        assert not (tmp_path / "run").exists()

    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_picture_that_goes_away_ends_the_run_with_code_1_and_its_name(
        self, config, pictures, tmp_path, capsys, monkeypatch, num_workers
    ):
        monkeypatch.setattr(dataset, "MEMORY_LIMIT", 0)  # so that pictures are read again in each step
        checked = loop.check_config

        def check_and_lose(*arguments):
            checked(*arguments)
            (pictures / "180.png").unlink()

        monkeypatch.setattr(loop, "check_config", check_and_lose)
        assert train(config, tmp_path, "--train.num-workers", str(num_workers)) == 1
        first, line = capsys.readouterr().err.splitlines()
        assert first.startswith(f"training with {choose_backend()} on 2 images, 8 x 8 x 1: folder ")
        assert "the batch of step 0 cannot be read" in line
        assert "the image '180.png' of the folder " in line
        assert "could be read when it was loaded and cannot now: No such file or directory" in line


class TestConfigurations:
    def test_mark_of_windows_before_the_text_is_no_part_of_it(self, config, tmp_path):
        write_config(config, tmp_path / "plain.toml")
        text = (tmp_path / "plain.toml").read_text(encoding="utf-8").replace("\n", "\r\n")
        (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert read_config(tmp_path / "marked.toml") == config

    def test_empty_path_is_refused(self, tmp_path, capsys):
        """It would be the working folder."""
        (tmp_path / "x.toml").write_text("[data]\nkind = 'Folder'\npath = ''\nimage_size = [8, 8]\n")
        assert main(["train", str(tmp_path / "x.toml"), "--out", str(tmp_path / "run")]) == 2
        assert "in data: path must be where the images are; got ''" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("[train]\nlearning_rate = nan\n", "train.learning_rate must be a finite number; got nan"),
            ("[train]\nlearning_rate = -inf\n", "train.learning_rate must be a finite number; got -inf"),
            ("[train]\nsteps = -3\n", "in train: steps must be at least 1; got -3"),
            ("[train]\nsteps = true\n", "train.steps must be a whole number; got True"),
            ("[train]\nsteps = 2.5\n", "train.steps must be a whole number; got 2.5"),
            ("seed = '0'\n", "seed must be a whole number; got '0'"),
            ("[train]\nsteps = 3\nsteps = 4\n", "): 'steps = 4'"),
            ("[train]\n[data]\n[train]\n", "): '[train]'"),
            ("[train.deep]\nx = 1\n", "unknown setting train.deep"),
            ("train = 3\n", "train must be a table of settings; got 3"),
            ("[process]\nkind = 3\n", "process.kind must be one of"),
            ("[data]\nkind = 'Folder'\nstrict = 'yes'\n", "data.strict must be true or false; got 'yes'"),
            (b"[train]\nsteps = 3 # \xff\n", "'utf-8' codec can't decode byte 0xff"),
            (b"\xff\xfe[\0t\0", "'utf-8' codec can't decode byte 0xff"),
        ],
    )
    def test_file_and_key_are_named(self, text, names, tmp_path, capsys):
        path = tmp_path / "wrong.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert main(["train", str(path), "--out", str(tmp_path / "run")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(path) in line
        assert names in line
        assert not (tmp_path / "run").exists()
