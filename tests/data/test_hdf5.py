"""HDF5 files: images where they lie, labels beside them, and what is wrong named in a sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli.data import source_of
from blurcore.errors import DataError

h5py = pytest.importorskip("h5py")
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as made:
        made["images"] = IMAGES
        made["labels"] = np.arange(7) % 3
        made.create_dataset("packed/x", data=IMAGES[..., 0], compression="gzip", chunks=(2, 4, 5))
        made["packed/y"] = np.arange(7)[::-1]
        made["text"] = "words"
        made["real"] = IMAGES / 255
    return path


def test_images_and_labels_are_those_of_the_file(file):
    source = bc.HDF5(path=str(file))
    data = source.load()
    np.testing.assert_array_equal(data[:], IMAGES)
    np.testing.assert_array_equal(data[np.asarray([6, 0])], IMAGES[[6, 0]])
    assert data.labels().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert not source.has_test_part


def test_array_in_one_piece_is_mapped_and_a_compressed_one_is_read(file):
    whole, _ = bc.HDF5(path=str(file))._read("images", lambda shape, dtype: None)
    packed, _ = bc.HDF5(path=str(file))._read("packed/x", lambda shape, dtype: None)
    assert isinstance(whole, np.memmap)
    assert not isinstance(packed, np.memmap)
    data = bc.HDF5(path=str(file), images="packed/x").load()
    np.testing.assert_array_equal(data[:], IMAGES[..., :1])
    assert data.labels().tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert bc.HDF5(path=str(file), images="packed/x", labels="labels").load().labels().tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_path_tells_the_kind(file):
    assert source_of(str(file)) == bc.HDF5(path=str(file))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": "nothing"}, r"has no array 'nothing' .*; it holds: images, labels, packed/x, packed/y, real, text"),
        ({"images": "packed"}, r"has no array 'packed'"),
        ({"images": "real"}, r"float"),
        ({"images": "labels"}, r"got int64, whose range is not known"),
        ({"images": "labels", "bits": 8}, r"must have the shape"),
        ({"labels": "nothing"}, r"has no array 'nothing'"),
        ({"labels": "real"}, r"data.labels must name whole numbers of the shape \(7,\)"),
    ],
)
def test_wrong_name_is_named(file, settings, message):
    with pytest.raises(DataError, match=message):
        bc.HDF5(path=str(file), **settings).load().labels()


def test_what_is_no_hdf5_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.h5").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"x\.h5' cannot be read as HDF5"):
        bc.HDF5(path=str(tmp_path / "x.h5")).load()
    with pytest.raises(DataError, match="nowhere"):
        bc.HDF5(path=str(tmp_path / "nowhere")).load()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"HDF5 needs h5py .*; try: pip install 'blurcore\[hdf5\]'"):
        bc.HDF5(path=str(tmp_path / "x.h5")).load()
