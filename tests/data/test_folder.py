from __future__ import annotations

import logging
import os
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.data import Dataset, FolderDataset, Loader, dataset, decoded, folder_images, load_image
from blurcore.errors import ArgumentError, DataError, UnreadableDataError

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
    return bc.Folder(path=str(path), image_size=size, **settings).load()


def test_folder_is_read_in_the_order_of_relative_paths(pictures):
    data = open_folder(pictures)
    assert isinstance(data, Dataset)
    assert data.paths == ["a.png", "b.jpeg", "b/c.JPG", "b/d/e.webp", "z.PNG"]
    assert data[:].shape == (5, 8, 12, 3)
    np.testing.assert_allclose(data[:].mean(axis=(1, 2, 3)), [10, 180, 60, 120, 240], atol=3)
    assert data.rejected == []
    assert (data.name, data.image_shape, len(data)) == ("Folder", (8, 12, 3), 5)
    assert "5 images, 1 left out (1 .txt)" in data.source


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
    assert "'b/text.jpg': not a PNG, JPEG, WebP, TIFF, BMP or AVIF image" in text
    assert "5 left out (4 unreadable, 1 .txt)" in data.source


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
    with pytest.raises(
        DataError, match=r"b.jpeg' of the folder .* could be read when it was loaded and cannot now: No such"
    ):
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

    monkeypatch.setattr(folder_images.os, "scandir", scandir)
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
    monkeypatch.setattr(decoded, "_CHUNK", 2)
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
    with pytest.raises(
        DataError, match=r"holds no image files \(.png, .jpg, .jpeg, .jfif, .webp, .tif,.*; it holds 0 other files"
    ):
        open_folder(tmp_path)


def test_folder_of_other_files_is_refused_with_their_number(tmp_path):
    for name in ("x.gif", "y.ico"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(DataError, match=r"it holds 2 other files \(1 .gif, 1 .ico\)"):
        open_folder(tmp_path)


def test_folder_without_a_readable_picture_is_refused_with_the_reasons(tmp_path):
    (tmp_path / "x.png").touch()
    (tmp_path / "y.png").write_text("no")
    with pytest.raises(
        DataError, match=r"none of the 2 image files in .* can be read \('x.png': the file is empty; 'y"
    ):
        open_folder(tmp_path)


def test_folder_without_a_size_has_that_of_its_images_and_is_grey_where_all_are(tmp_path):
    for name, mode in (("a.png", "L"), ("b.png", "1"), ("c.png", "I;16")):
        Image.new(mode, (7, 5)).save(tmp_path / name)
    assert FolderDataset(tmp_path, image_size=None, channels=None)[:].shape == (3, 5, 7, 1)
    Image.new("RGB", (7, 5), (9, 8, 7)).save(tmp_path / "d.png")
    (tmp_path / "e.png").touch()
    data = FolderDataset(tmp_path, image_size=None, channels=None)
    assert data[:].shape == (4, 5, 7, 3)
    assert data[3][0, 0].tolist() == [9, 8, 7]
    assert [path for path, _ in data.rejected] == ["e.png"]
    Image.new("RGB", (5, 7)).save(tmp_path / "f.png")
    with pytest.raises(DataError, match=r"must have one size; got 5 x 7 \('a.png'\) and 7 x 5 \('f.png'\)"):
        FolderDataset(tmp_path, image_size=None)
    assert FolderDataset(tmp_path, image_size=(4, 4), channels=None)[:].shape == (5, 4, 4, 3)


def test_folder_dataset_refuses_arguments_that_make_no_sense(pictures):
    with pytest.raises(ArgumentError, match="image_size must be"):
        FolderDataset(pictures, image_size=(0, 8))
    with pytest.raises(ArgumentError, match=r"channels must be 1 \(grey\) or 3 \(RGB\); got 2"):
        FolderDataset(pictures, image_size=(8, 8), channels=2)


def one_of_each(root):
    """Write every kind of file that image folders are known to hold; return the names of those that are pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(24, 16, 3), dtype=np.uint8)
    picture, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = 6
    good = {
        "plain.png": picture,
        "UPPER.JPG": picture,
        "cmyk.jpg": picture.convert("CMYK"),
        "grey.webp": picture.convert("L"),
        "16 bit.png": Image.fromarray(pixels[..., 0].astype(np.uint16) * np.uint16(257)),
        "bilevel.png": picture.convert("1"),
        "alpha.png": picture.convert("RGBA"),
        "ünïcødé 图.png": picture,
        "new\nline.png": picture,
        "quote'\".png": picture,
    }
    for name, image in good.items():
        image.save(root / name)
    picture.quantize(4).save(root / "palette.png", transparency=b"\x00\x80\xff\xff")
    picture.save(root / "turned.jpg", exif=exif)
    picture.save(root / "animated.webp", save_all=True, append_images=[picture.rotate(90)])
    (root / "folder.png").mkdir()
    picture.save(root / "folder.png" / "inside.png")

    content = (root / "turned.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(content[: len(content) // 2])
    (root / "empty.png").touch()
    (root / "text.png").write_text("I am no picture")
    picture.save(root / "moving.png", format="GIF", save_all=True, append_images=[picture.rotate(90)])
    picture.save(root / "moving.gif", save_all=True, append_images=[picture.rotate(90)])
    write_bomb(root / "bomb.png")
    os.mkfifo(root / "pipe.png")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    (root / "itself.png").symlink_to(root / "itself.png")
    (root / "loop").symlink_to(root)
    (root / "zeros.png").symlink_to("/dev/zero")
    return sorted([*good, "palette.png", "turned.jpg", "animated.webp", "folder.png/inside.png"])


BAD = {
    "bomb.png": "too many pixels",
    "cut.jpg": "runcated",
    "empty.png": "the file is empty",
    "gone.png": "No such file",
    "itself.png": "symbolic links",
    "moving.png": "not a PNG, JPEG, WebP, TIFF",
    "pipe.png": "not a regular file",
    "text.png": "not a PNG, JPEG, WebP, TIFF",
    "zeros.png": "not a regular file",
}


def write_bomb(path):
    """Write a whole picture of 20,000 x 20,000 pixels, one bit each, in 50 kB; decoded it takes 400 MB."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    side, pack = 20_000, zlib.compressobj(1)
    rows = b"".join(pack.compress(bytes(100 * (1 + side // 8))) for _ in range(side // 100)) + pack.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes and links to speak of")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.timeout(60)
def test_folder_of_everything_gives_its_pictures_and_names_the_rest(tmp_path, caplog):
    good = one_of_each(tmp_path)
    data = open_folder(tmp_path)
    assert data.paths == good
    assert [path for path, _ in data.rejected] == sorted(BAD)
    for path, reason in data.rejected:
        assert BAD[path] in reason
    assert "9 of 23 image files" in caplog.text
    np.testing.assert_array_equal(data[good.index("plain.png")], data[good.index("new\nline.png")])
    upright = np.asarray(data[good.index("turned.jpg")]).astype(int)
    whole = Image.open(tmp_path / "plain.png").rotate(-90, expand=True)
    whole.save(tmp_path / "by hand.png")
    expected = load_image(tmp_path / "by hand.png", image_size=(8, 12)).astype(int)
    assert np.abs(upright - expected).mean() < 25  # JPEG of noise, made small
    with pytest.raises(UnreadableDataError, match="9 of 24 image files") as caught:
        open_folder(tmp_path, strict=True)
    for path in BAD:
        assert repr(path) in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux says how much memory a program has used")
def test_bomb_does_not_take_memory(tmp_path):
    """The peak of a program of its own, beyond what it takes to read the picture beside the bomb."""
    write_bomb(tmp_path / "bomb.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")
    code = """
import sys, warnings
from blurcore.data import FolderDataset
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
warnings.simplefilter("ignore")
sizes = []
for suffix in ("good.png", ""):
    folder = sys.argv[1]
    if suffix:
        import os, shutil
        os.mkdir(folder + "/sub")
        shutil.copy(folder + "/good.png", folder + "/sub")
        folder += "/sub"
    data = FolderDataset(folder, image_size=(8, 8))
    sizes.append(peak())
print(len(data), len(data.rejected), sizes[1] - sizes[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    read, rejected, grown = map(int, done.stdout.split())
    assert (read, rejected) == (2, 1)
    assert grown < 20  # MiB, of the 400 that its pixels would take


@pytest.mark.parametrize("number", [1, 3])
def test_folder_of_fewer_pictures_than_a_batch_repeats_them_equally_often(number, tmp_path):
    for grey in range(number):
        Image.new("RGB", (8, 8), (50 * grey,) * 3).save(tmp_path / f"{grey}.png")
    with Loader(open_folder(tmp_path), batch_size=6, seed=0, stop_step=2, num_workers=1) as loader:
        greys = np.concatenate([batch[:, 0, 0, 0] for _, batch in loader])
    assert {int(grey): int(count) for grey, count in zip(*np.unique(greys, return_counts=True), strict=True)} == {
        50 * grey: 12 // number for grey in range(number)
    }


def test_what_is_hidden_is_not_data(pictures):
    clean = open_folder(pictures)
    for name in (
        ".ipynb_checkpoints/a-checkpoint.png",
        "b/.trash/deep/x.png",
        "__MACOSX/._a.png",
        "b/._c.JPG",
        ".hidden.png",
    ):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(pictures / name)
    data = open_folder(pictures)
    assert data.paths == clean.paths
    assert data.fingerprint == clean.fingerprint
    assert data.left_out == {"hidden": 5, ".txt": 1}


def test_folder_that_is_hidden_itself_is_read(pictures):
    shutil.copytree(pictures, pictures / ".hidden")
    assert len(open_folder(pictures / ".hidden")) == 5


def test_folders_of_runs_are_not_data(pictures, tmp_path):
    clean = open_folder(pictures)
    for root in (pictures / "runs" / "one", tmp_path / "two"):
        (root / "checkpoints").mkdir(parents=True)
        (root / "samples").mkdir()
        (root / "config.toml").touch()
        Image.new("RGB", (9, 9)).save(root / "samples" / "step-00000001.png")
    (pictures / "link").symlink_to(tmp_path / "two")
    data = open_folder(pictures)
    assert data.fingerprint == clean.fingerprint
    assert data.left_out == {"run folders": 2, ".txt": 1}


def test_other_files_are_counted_by_their_suffixes(pictures):
    names = ["1.gif", "2.GIF", "3.gif", "4.heic", "5.heic", "6.psd", "7.svg", "8.xcf", "9.csv", "none", "bad.a b", "x."]
    for name in names:
        (pictures / name).touch()
    data = open_folder(pictures)
    assert data.left_out == {
        ".gif": 3,
        ".heic": 2,
        ".psd": 1,
        ".svg": 1,
        ".xcf": 1,
        ".csv": 1,
        ".txt": 1,
        "without a suffix": 3,
    }
    assert "5 images, 13 left out (3 .gif, 3 without a suffix, 2 .heic, 1 .csv, 1 .psd, 3 others)" in data.source
