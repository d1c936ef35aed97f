"""Zip archives and WebDataset's tars of pictures: what a folder with the same pictures gives, and what is wrong is named."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import blurcore as bc
from blurcore.data import dataset
from blurcore.errors import DataError, UnreadableDataError

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures in two folders, one that is damaged, and something else."""
    root = tmp_path / "pictures"
    for number in range(5):
        place = root / "cat" if number % 2 else root / "ant"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (6, 5 + number, 3), dtype=np.uint8)).save(place / f"{number}.png")
    (root / "cat" / "bad.jpg").write_bytes(b"nothing")
    (root / "readme.txt").write_text("text")
    (root / ".hidden.png").touch()
    return root


def zipped(root: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(root.with_suffix(".zip"), "w", method) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root))
    return root.with_suffix(".zip")


@pytest.mark.parametrize("memory", [2**30, 0], ids=["kept", "on-access"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_is_what_the_folder_is(pictures, method, memory, monkeypatch, caplog):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", memory)
    settings = {"image_size": (4, 4), "channels": 1}
    packed = bc.Zip(path=str(zipped(pictures, method)), **settings).load()
    folder = bc.Folder(path=str(pictures), **settings).load()
    shutil.rmtree(pictures) if memory else None
    np.testing.assert_array_equal(packed[:], folder[:])
    np.testing.assert_array_equal(packed[np.asarray([4, 0])], folder[[4, 0]])
    assert packed.labels().tolist() == folder.labels().tolist() == [0, 0, 0, 1, 1]
    assert packed.fingerprint == folder.fingerprint
    assert packed.files == folder.files
    assert packed.left_out == folder.left_out == {".txt": 1, "hidden": 1, "unreadable": 1}
    assert "1 of 6 image files in the zip archive" in caplog.text
    assert "cat/bad.jpg" in caplog.text


def test_zip_with_a_harmed_member_names_it(pictures):
    path = zipped(pictures, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    place = content.index((pictures / "ant" / "0.png").read_bytes()) + 60
    content[place] ^= 1
    path.write_bytes(content)
    data = bc.Zip(path=str(path), image_size=(4, 4)).load()
    assert [name for name, _ in data.rejected] == ["ant/0.png", "cat/bad.jpg"]
    assert "Bad CRC-32" in data.rejected[0][1]
    with pytest.raises(UnreadableDataError, match=r"ant/0\.png.*cat/bad\.jpg"):
        bc.Zip(path=str(path), image_size=(4, 4), strict=True).load()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and no more"])
def test_what_is_no_zip_is_named(content, tmp_path):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"the zip archive .*x\.zip' cannot be read"):
        bc.Zip(path=str(tmp_path / "x.zip")).load()
    with pytest.raises(DataError, match="must be a zip archive that exists"):
        bc.Zip(path=str(tmp_path / "y.zip")).load()


def test_zip_without_pictures_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(DataError, match=r"the zip archive .* holds no image files .* 1 other files \(1 \.txt\)"):
        bc.Zip(path=str(tmp_path / "x.zip")).load()


def tarred(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((3, 3), level, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def sample(key: str, level: int) -> dict[str, bytes]:
    return {f"{key}.png": png(level), f"{key}.cls": str(level % 10).encode(), f"{key}.txt": b"a caption"}


@pytest.mark.parametrize("memory", [2**30, 0], ids=["kept", "on-access"])
def test_tars_are_read_where_they_lie_with_labels_beside_the_pictures(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", memory)
    for shard in range(2):
        members = {}
        for number in range(3):
            members |= sample(f"a/{number:04}", 10 * shard + number + 1)
        tarred(tmp_path / f"{shard:05}.tar", members)
    data = bc.WebDataset(path=str(tmp_path), channels=1).load()
    assert data[:][:, 0, 0, 0].tolist() == [1, 2, 3, 11, 12, 13]
    assert data[np.asarray([5, 1])][:, 1, 1, 0].tolist() == [13, 2]
    assert data.labels().tolist() == [1, 2, 3, 1, 2, 3]
    assert data.left_out == {".txt": 6}
    one = bc.WebDataset(path=str(tmp_path / "00001.tar"), channels=1).load()
    assert one[:][:, 0, 0, 0].tolist() == [11, 12, 13]


def test_tar_that_was_cut_keeps_what_comes_before(tmp_path):
    path = tarred(tmp_path / "x.tar", sample("a", 1) | sample("b", 2) | {"c.png": RNG.bytes(5000)})
    path.write_bytes(path.read_bytes()[:6000])
    data = bc.WebDataset(path=str(path), channels=1).load()
    assert len(data) == 2
    assert data.left_out["unreadable"] == 1
    assert "ends within it" in data.rejected[0][1] or "unexpected end" in data.rejected[0][1]


def test_tar_of_another_kind_is_named(tmp_path):
    tarred(tmp_path / "x.tar", sample("a", 1), "w:gz")
    with pytest.raises(DataError, match=r"holds no image files .*it is gzipped: unpack it"):
        bc.WebDataset(path=str(tmp_path / "x.tar")).load()
    with pytest.raises(DataError, match=r"must be a \.tar, or a folder of them, that exists"):
        bc.WebDataset(path=str(tmp_path / "y.tar")).load()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.tar"):
        bc.WebDataset(path=str(tmp_path / "empty")).load()


@pytest.mark.parametrize("label", [b"cat", b"-1", b"", b"1" * 40])
def test_class_that_is_not_a_number_is_named(label, tmp_path):
    path = tarred(tmp_path / "x.tar", sample("a", 1) | {"b.png": png(2), "b.cls": label})
    with pytest.raises(DataError, match=r"the picture 'b\.png' must have a whole number, 0 or more, as its \.cls"):
        bc.WebDataset(path=str(path)).load().labels()
    assert bc.WebDataset(path=str(tarred(tmp_path / "y.tar", {"b.png": png(2)}))).load().labels() is None
