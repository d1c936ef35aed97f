"""Sources of data as kinds: what they have in common, and what each refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.data import SOURCES, ArrayDataset, Grids, Located, Parts, Source
from blurcore.errors import ArgumentError, ConfigError

OURS = {name: cls(path="x") if issubclass(cls, Located) else cls() for name, cls in SOURCES.items()}


@pytest.mark.parametrize("source", OURS.values(), ids=OURS)
def test_kind_is_a_source_and_comes_back_from_a_file(source: Any) -> None:
    assert isinstance(source, Source)
    config = bc.RunConfig(data=source)
    assert bc.from_dict(bc.to_dict(config), bc.RunConfig) == config
    assert bc.kinds_of("data")[type(source).__name__] is type(source)
    assert source.absolute().anonymous() == source.anonymous()
    assert source.description
    assert source.flip is False


@pytest.mark.parametrize("source", OURS.values(), ids=OURS)
def test_part_is_the_same_source_or_refused(source: Any) -> None:
    if source.has_test_part:
        assert source.part("test").split == "test"
        assert source.part("test").part("train") == source
    else:
        assert source.part("train") == source
        assert type(source.part("all")) is type(source)
        with pytest.raises(
            ArgumentError, match=r"split must be 'train' or 'all' for .*, which has no test part; got 'test'"
        ):
            source.part("test")
    with pytest.raises(ArgumentError, match="split must be 'train', 'test' or 'all'; got 'valid'"):
        source.part("valid")


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (bc.MNIST, {"split": "valid"}, "split must be 'train', 'test' or 'all'; got 'valid'"),
        (bc.Photos, {"channels": 4}, r"channels must be 1 \(grey\) or 3 \(RGB\); got 4"),
        (bc.Digits, {"image_size": (8.5, 8)}, r"image_size must be \(height, width\), two positive integers"),
        (bc.Digits, {"image_size": (100_000, 100_000)}, "of at most 67108864 pixels together"),
        (bc.Folder, {"path": ""}, "path must be where the images are; got ''"),
        (bc.Folder, {"path": "x", "bits": 0}, "bits must be from 1 to 32; got 0"),
        (bc.ArrayFile, {"path": "x", "dims": 1, "channels": 3}, "image_size, channels and flip are for images"),
        (bc.ArrayFile, {"path": "x", "dims": 3, "flip": True}, "as dims = 3 says, are taken as they are"),
        (bc.ArrayFile, {"path": "x", "dims": 1, "image_size": (8, 8)}, "are taken as they are"),
    ],
)
def test_setting_that_makes_no_sense_is_refused(kind: Any, settings: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        kind(**settings)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [("MNIST", "path"), ("Brain", "image_size"), ("Membrane", "flip"), ("Photos", "bits"), ("Folder", "split")],
)
def test_setting_of_another_kind_is_an_error_that_names_both(kind: str, setting: str) -> None:
    with pytest.raises(TypeError, match=setting):
        SOURCES[kind](**{setting: None})
    with pytest.raises(ConfigError, match=rf"unknown setting data\.{setting}, a setting of .*: {kind} has: values"):
        bc.from_dict({"data": {"kind": kind, setting: 1}}, bc.RunConfig)


def test_paths_are_made_absolute_for_the_run_and_short_for_other_eyes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    source = bc.Folder(path="a/b", strict=True)
    assert source.absolute() == bc.Folder(path=str(tmp_path / "a" / "b"), strict=True)
    assert source.absolute().anonymous() == bc.Folder(path="b", strict=True)
    assert bc.ArrayFile(path="~/x.npy").absolute().path == str(tmp_path / "home" / "x.npy")


def test_output_inside_a_folder_of_data_is_refused_by_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    source = bc.Folder(path=str(tmp_path))
    for out in (tmp_path, tmp_path / "runs" / "new", tmp_path / "link" / "run"):
        with pytest.raises(ConfigError, match="--out must not lie inside the folder of the data"):
            source.refuse_inside(out)
        bc.ArrayFile(path=str(tmp_path / "x.npy")).refuse_inside(out)
    source.refuse_inside(tmp_path.parent)


def test_labels_of_a_folder_are_its_sub_folders_by_name(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for number, place in enumerate(("b/x", "a", "c", "b")):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        image.fromarray(np.full((2, 2), number, np.uint8)).save(tmp_path / place / "1.png")
    (tmp_path / "a" / "0.png").touch()  # cannot be read, and is left out
    data = bc.Folder(path=str(tmp_path), channels=1).load()
    assert data[:][:, 0, 0, 0].tolist() == [1, 3, 0, 2]
    assert data.labels().tolist() == [0, 1, 1, 2]
    image.new("L", (2, 2)).save(tmp_path / "d.png")
    assert bc.Folder(path=str(tmp_path), channels=1).load().labels() is None


@pytest.fixture
def own() -> Iterator[type[Any]]:
    """A kind of somebody's own: one class."""

    @bc.register_kind
    @dataclass(frozen=True, kw_only=True)
    class Waves(Grids, Parts):
        """Sines."""

        count: int = 3

        def load(self) -> ArrayDataset:
            phases = np.arange(self.count)[:, None] + np.linspace(0, 6, 16)
            return ArrayDataset(np.rint(127.5 + 127.5 * np.sin(phases)).astype(np.uint8)[..., None], name="Waves")

    yield Waves
    del SOURCES["Waves"]


def test_custom_kind_is_loaded_like_a_built_in_one(own: Any, tmp_path: Path) -> None:
    from blurcore.runs import read_config, write_config

    config = bc.RunConfig(data=own(count=5))
    write_config(config, tmp_path / "config.toml")
    assert read_config(tmp_path / "config.toml") == config
    assert config.data.load().image_shape == (16, 1)
    assert bc.find_kind("waves", "data") is own
    assert "source and licence are not recorded" in config.data.description
