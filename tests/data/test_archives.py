"""IDX files and CIFAR's archives, made here as they are downloaded."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.data.inert_pickle import read_pickle
from blurcore.errors import ArgumentError, DataError

RNG = np.random.default_rng(0)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    """Return an IDX file."""
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def digits(tmp_path: Path) -> dict[str, np.ndarray]:
    """A folder like MNIST's, the test part gzipped."""
    made = {}
    for part, count in (("train", 6), ("t10k", 4)):
        made[part] = RNG.integers(0, 256, (count, 5, 4), dtype=np.uint8)
        pack = gzip.compress if part == "t10k" else bytes
        end = ".gz" if part == "t10k" else ""
        (tmp_path / f"{part}-images-idx3-ubyte{end}").write_bytes(pack(idx(made[part])))
        (tmp_path / f"{part}-labels-idx1-ubyte{end}").write_bytes(pack(idx(np.arange(count, dtype=np.uint8))))
    return made


class TestIDX:
    def test_folder_has_both_parts_and_their_labels(self, digits, tmp_path):
        source = bc.IDX(path=str(tmp_path))
        assert source.has_test_part
        for split, expected in (
            ("train", digits["train"]),
            ("test", digits["t10k"]),
            ("all", np.concatenate([digits["train"], digits["t10k"]])),
        ):
            data = source.part(split).load()
            np.testing.assert_array_equal(data[:][..., 0], expected)
            assert data.image_shape == (5, 4, 1)
            assert split in data.source
        assert data.labels().tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
        assert data.labels().dtype == np.int64

    def test_one_file_is_memory_mapped_and_all_training_data(self, digits, tmp_path):
        from blurcore.data.sources.idx import read_idx

        file = tmp_path / "train-images-idx3-ubyte"
        assert isinstance(read_idx(file), np.memmap)
        source = bc.IDX(path=str(file), image_size=(8, 8))
        assert source.load().image_shape == (8, 8, 1)
        with pytest.raises(ArgumentError, match="split must be 'train' or 'all' for this IDX, which has no test part"):
            source.part("test")
        (tmp_path / "train-labels-idx1-ubyte").unlink()
        assert source.load().labels() is None

    def test_numbers_of_two_bytes_have_bits(self, tmp_path):
        (tmp_path / "x").write_bytes(idx(np.asarray([[[0, 1023, 512]] * 2] * 2, ">i2").reshape(2, 3, 2), 11))
        found = bc.IDX(path=str(tmp_path / "x"), bits=10).load()[:]
        assert sorted(set(found.ravel().tolist())) == [0, 128, 255]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is no IDX file: it begins with b''"),
            (b"\0\0\7\3", "is no IDX file"),
            (b"PNG rubbish", "is no IDX file: it begins with b'PNG '"),
            (
                idx(np.zeros((2, 4, 4), np.uint8))[:-1],
                r"must hold 32 bytes of the shape \(2, 4, 4\), .*; got 31 at its end",
            ),
            (idx(np.zeros((2, 4, 4), np.uint8)) + b"x", "got 33 or more"),
            (gzip.compress(idx(np.zeros((2, 4, 4), np.uint8)), mtime=0)[:-9], "cannot be read"),
            (b"\x1f\x8b\x08rubbish", "cannot be read"),
            (b"\0\0\x08\3" + b"\xff" * 12, "more than"),
            (idx(np.zeros((2, 4, 4), np.float32), 13), "must hold uint8 pixels; got >f4"),
        ],
    )
    def test_damaged_file_is_named(self, content, message, tmp_path):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            bc.IDX(path=str(tmp_path / "x")).load()
        assert "x'" in str(caught.value) or "x in" in str(caught.value)

    def test_what_is_not_there_is_named(self, tmp_path):
        with pytest.raises(DataError, match="must be an IDX file, or a folder of them, that exists"):
            bc.IDX(path=str(tmp_path / "nowhere")).load()
        with pytest.raises(DataError, match="must hold t10k-images-idx3-ubyte"):
            bc.IDX(path=str(tmp_path), split="test").load()


def pickled(images: np.ndarray, **other: Any) -> bytes:
    """Return a batch as the archive for Python holds it: rows of red, green, blue; the keys are bytes."""
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)
    return pickle.dumps(
        {b"data": rows, b"batch_label": b"of tests", **{k.encode(): v for k, v in other.items()}}, protocol=3
    )


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """Write a .tar.gz."""
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


IMAGES = RNG.integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
LABELS = RNG.integers(0, 10, 18).tolist()


@pytest.fixture(params=["10-python", "10-binary", "100-python", "100-binary", "folder"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """15 images for training, 3 for testing, in each of the forms."""
    form = request.param
    if form.startswith("100"):
        parts = {"train": slice(0, 15), "test": slice(15, 18)}
    else:
        parts = {**{f"data_batch_{i + 1}": slice(3 * i, 3 * i + 3) for i in range(5)}, "test_batch": slice(15, 18)}
    members = {"cifar/readme.html": b"text", "cifar/batches.meta": b"not read"}
    for name, part in parts.items():
        images, labels = IMAGES[part], LABELS[part]
        if form.endswith("binary"):
            coarse = b"\7" if form.startswith("100") else b""
            rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            members[f"cifar/{name}.bin"] = b"".join(
                coarse + bytes([label]) + row.tobytes() for label, row in zip(labels, rows, strict=True)
            )
        else:
            key = "fine_labels" if form.startswith("100") else "labels"
            members[f"cifar/{name}"] = pickled(images, **{key: labels, "coarse_labels": [7] * len(labels)})
    path = archive(tmp_path / "cifar.tar.gz", members)
    if form == "folder":
        with tarfile.open(path) as file:
            file.extractall(tmp_path / "unpacked", filter="data")
        return tmp_path / "unpacked"
    return path


class TestCIFAR:
    def test_every_form_has_the_same_images_labels_and_parts(self, cifar):
        source = bc.CIFAR(path=str(cifar))
        for split, part in (("train", slice(0, 15)), ("test", slice(15, 18))):
            data = source.part(split).load()
            np.testing.assert_array_equal(data[:], IMAGES[part])
            assert data.labels().tolist() == LABELS[part]
        assert len(source.part("all").load()) == 18

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({"a/readme": b""}, "holds no images of CIFAR of the part 'train'"),
            ({"a/data_batch_1.bin": b"1234"}, "data_batch_1.bin must hold rows of 3073 bytes; got 4 bytes"),
            ({"a/data_batch_1": b"1234"}, "a pickle is damaged"),
            (
                {"a/data_batch_1": pickled(IMAGES)},
                "data_batch_1 must hold labels, one whole number for each of its 18 images",
            ),
            ({"a/data_batch_1": pickled(IMAGES, labels=[-1] * 18)}, "must hold labels"),
            ({"a/data_batch_1": pickle.dumps([1])}, "must hold a dictionary; got list"),
            (
                {"a/data_batch_1": pickle.dumps({b"data": np.zeros((2, 5), np.uint8)}, 3)},
                r"uint8 of the shape \(n, 3072\)",
            ),
            ({"a/data_batch_1": pickle.dumps({b"data": np.zeros((2, 5))}, 3)}, "must hold arrays of uint8"),
        ],
    )
    def test_archive_of_something_else_is_named(self, members, message, tmp_path):
        path = archive(tmp_path / "x.tar.gz", members)
        with pytest.raises(DataError, match=message):
            bc.CIFAR(path=str(path)).load()

    def test_archive_that_was_cut_is_named(self, tmp_path):
        path = archive(tmp_path / "x.tar.gz", {"a/data_batch_1": pickled(IMAGES, labels=LABELS)})
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(DataError, match=r"x\.tar\.gz' cannot be read"):
            bc.CIFAR(path=str(path)).load()


class Evil:
    """What a pickle must not do."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("evil", [Evil(print, "called"), Evil(eval, "print('called')"), Path("x"), np.float64])
def test_pickle_calls_nothing_that_it_names(evil, protocol, capsys):
    content = pickle.dumps({b"data": evil}, protocol=protocol)
    with pytest.raises(DataError, match=r"a pickle that names .* is not read"):
        read_pickle(content)
    assert capsys.readouterr().out == ""


def test_pickle_of_python_2_is_read():
    """Protocol 2 with strings of bytes, as CIFAR's own are."""
    content = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02K\x03\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06abcdeftb"
        b"U\x06labels](K\x01K\x02eu."
    )
    found = read_pickle(content)
    assert found[b"data"].tolist() == [[97, 98, 99], [100, 101, 102]]
    assert found[b"labels"] == [1, 2]


@pytest.mark.parametrize("place", range(0, 200, 7))
def test_harmed_pickle_is_read_or_refused(place):
    content = bytearray(pickled(IMAGES[:1], labels=[3]))
    content[place % len(content)] ^= 0x15
    with suppress(DataError):
        read_pickle(bytes(content))
