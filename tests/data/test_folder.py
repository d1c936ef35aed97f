from __future__ import annotations

import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.data import Dataset, FolderDataset, dataset, folder, load
from blurcore.errors import ArgumentError, DataError

COLOURS = {"a.png": 10, "b/c.JPG": 60, "b/d/e.webp": 120, "b.jpeg": 180, "z.PNG": 240}


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "pictures"
    for number, (name, grey) in enumerate(COLOURS.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 31 - number), (grey, grey, grey)).save(path)
    (root / "readme.txt").write_text("not a picture")
    return root


def open_folder(path, size=(8, 12), **settings):
    return load(bc.DataConfig(name="folder", path=str(path), image_size=size, **settings))


def test_folder_is_read_in_the_order_of_relative_paths(pictures):
    data = open_folder(pictures)
    assert isinstance(data, Dataset)
    assert data.paths == ["a.png", "b.jpeg", "b/c.JPG", "b/d/e.webp", "z.PNG"]
    assert data[:].shape == (5, 8, 12, 3)
    np.testing.assert_allclose(data[:].mean(axis=(1, 2, 3)), [10, 180, 60, 120, 240], atol=3)
    assert data.rejected == []
    assert (data.name, data.image_shape, len(data)) == ("folder", (8, 12, 3), 5)
    assert "5 images, 0 left out" in data.source


def test_folder_is_read_in_grey(pictures):
    assert open_folder(pictures, channels=1)[2].shape == (8, 12, 1)


def test_folder_without_damage_logs_nothing(pictures, caplog):
    open_folder(pictures)
    assert caplog.records == []


def harm(root):
    (root / "empty.png").touch()
    (root / "b" / "text.jpg").write_text("no picture at all")
    (root / "cut.png").write_bytes((root / "z.PNG").read_bytes()[:-40])
    (root / "gone.webp").symlink_to(root / "nowhere.webp")


def test_unreadable_files_are_skipped_counted_and_named_in_one_warning(pictures, caplog):
    clean = open_folder(pictures)
    harm(pictures)
    with caplog.at_level(logging.WARNING, logger="blurcore"):
        data = open_folder(pictures)
    assert [path for path, _ in data.rejected] == ["b/text.jpg", "cut.png", "empty.png", "gone.webp"]
    assert dict(data.rejected)["empty.png"] == "the file is empty"
    np.testing.assert_array_equal(data[:], clean[:])
    assert data.fingerprint == clean.fingerprint
    (record,) = caplog.records
    assert record.name.startswith("blurcore")
    text = record.getMessage()
    assert "4 of 9 image files" in text
    assert "'b/text.jpg': not a PNG, JPEG or WebP image" in text
    assert "4 left out" in data.source


def test_warning_names_only_the_first_few(pictures, caplog):
    for number in range(12):
        (pictures / f"x{number:02}.png").touch()
    data = open_folder(pictures)
    assert len(data.rejected) == 12
    text = caplog.records[0].getMessage()
    assert "x04.png" in text
    assert "x05.png" not in text
    assert "and 7 more" in text


def test_folder_too_large_for_memory_is_decoded_on_access(pictures, monkeypatch):
    harm(pictures)
    kept = open_folder(pictures)
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 100)
    again = open_folder(pictures)
    assert kept._images is not None
    assert again._images is None
    assert again.fingerprint == kept.fingerprint
    assert again.rejected == kept.rejected
    np.testing.assert_array_equal(again[:], kept[:])
    np.testing.assert_array_equal(again[-1], kept[-1])
    np.testing.assert_array_equal(again[np.asarray([3, 0, 3])], kept[np.asarray([3, 0, 3])])


def test_picture_that_vanished_after_load_is_an_error_that_names_it(pictures, monkeypatch):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 100)
    data = open_folder(pictures)
    (pictures / "b.jpeg").unlink()
    with pytest.raises(DataError, match=r"b.jpeg' could be read when the folder was loaded and cannot now: No such"):
        data[1]


def test_folder_gives_copies(pictures):
    data = open_folder(pictures)
    before = data[:]
    for chosen in (0, slice(None), np.asarray([1])):
        data[chosen][...] = 0
    np.testing.assert_array_equal(data[:], before)


def test_fingerprint_of_a_folder_follows_names_and_contents_not_place_or_time(pictures, tmp_path):
    base = open_folder(pictures).fingerprint
    shutil.copytree(pictures, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "a.png", (1, 1))
    assert open_folder(tmp_path / "copy").fingerprint == base
    (tmp_path / "copy" / "a.png").rename(tmp_path / "copy" / "aa.png")
    renamed = open_folder(tmp_path / "copy").fingerprint
    Image.new("RGB", (20, 31), (11, 10, 10)).save(pictures / "a.png")
    changed = open_folder(pictures).fingerprint
    assert len({base, renamed, changed, open_folder(pictures, size=(8, 8)).fingerprint}) == 4


@pytest.mark.timeout(20)
def test_loops_of_links_end_and_linked_folders_are_read_once(pictures, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (9, 9)).save(elsewhere / "y.png")
    (elsewhere / "back").symlink_to(pictures)
    (pictures / "link").symlink_to(elsewhere)
    (pictures / "twin").symlink_to(elsewhere)
    (pictures / "self").symlink_to(pictures / "self")
    (pictures / "b" / "up").symlink_to(pictures)
    data = open_folder(pictures)
    assert len(data) == 6
    assert "link/y.png" in data.paths


def test_folder_called_like_a_picture_is_a_folder(pictures):
    (pictures / "dir.png").mkdir()
    Image.new("RGB", (9, 9)).save(pictures / "dir.png" / "y.png")
    assert "dir.png/y.png" in open_folder(pictures).paths


def test_folder_inside_that_cannot_be_listed_is_rejected_by_name(pictures, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("d"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(folder.os, "scandir", scandir)
    data = open_folder(pictures)
    assert data.rejected == [("b/d", "Permission denied")]
    assert len(data) == 4


def test_file_names_that_are_no_unicode_are_read(pictures):
    name = os.fsdecode(b"\xff\xfe.png")
    try:
        shutil.copy(pictures / "a.png", pictures / name)
        (pictures / os.fsdecode(b"\xfe.png")).touch()
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    data = open_folder(pictures)
    assert name in data.paths
    assert len(data.rejected) == 1


def test_decoding_in_several_chunks_keeps_the_order(pictures, monkeypatch):
    expected = open_folder(pictures)
    monkeypatch.setattr(folder, "_CHUNK", 2)
    found = open_folder(pictures)
    assert found.paths == expected.paths
    np.testing.assert_array_equal(found[:], expected[:])


def test_missing_folder_is_refused_with_its_path(tmp_path):
    with pytest.raises(DataError, match=r"data.path must be a folder that exists; got .*nowhere"):
        open_folder(tmp_path / "nowhere")


def test_file_instead_of_a_folder_is_refused(pictures):
    with pytest.raises(DataError, match=r"data.path must be a folder that exists; got .*a.png"):
        open_folder(pictures / "a.png")


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no image files \(.png, .jpg, .jpeg, .webp\); it holds 0 other files"):
        open_folder(tmp_path)


def test_folder_of_other_files_is_refused_with_their_number(tmp_path):
    for name in ("x.gif", "y.bmp"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(DataError, match="it holds 2 other files"):
        open_folder(tmp_path)


def test_folder_without_a_readable_picture_is_refused_with_the_reasons(tmp_path):
    (tmp_path / "x.png").touch()
    (tmp_path / "y.png").write_text("no")
    with pytest.raises(
        DataError, match=r"none of the 2 image files in .* can be read \('x.png': the file is empty; 'y"
    ):
        open_folder(tmp_path)


def test_folder_dataset_refuses_arguments_that_make_no_sense(pictures):
    with pytest.raises(ArgumentError, match="image_size must be"):
        FolderDataset(pictures, image_size=(0, 8))
    with pytest.raises(ArgumentError, match=r"channels must be 1 \(grey\) or 3 \(RGB\); got 2"):
        FolderDataset(pictures, image_size=(8, 8), channels=2)
