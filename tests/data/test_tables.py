"""Parquet and Arrow tables of pictures, written as the Hub and the library datasets write them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.data import Loader, dataset
from blurcore.errors import ArgumentError, DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
Image = pytest.importorskip("PIL.Image")


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((3, 3), level, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def table(levels: list[int], **columns: Any) -> Any:
    """Return a table with an image column as the Hub's: a struct of bytes and path."""
    images = [{"bytes": png(level) if level >= 0 else b"nothing", "path": f"{level}.png"} for level in levels]
    names = {"caption": ["text"] * len(levels), "image": images, "label": [abs(n) % 10 for n in levels]} | columns
    return pa.table({name: values for name, values in names.items() if values is not None})


def levels_of(data: Any) -> list[int]:
    return [int(n) for n in data[:][:, 0, 0, 0]]


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A folder as it is downloaded: two files for training, one for testing."""
    (tmp_path / "data").mkdir()
    pq.write_table(table([1, 2, 3, 4, 5]), tmp_path / "data" / "train-00000-of-00002.parquet", row_group_size=2)
    pq.write_table(table([16, 17]), tmp_path / "data" / "train-00001-of-00002.parquet")
    pq.write_table(table([28]), tmp_path / "data" / "test-00000-of-00001.parquet")
    return tmp_path


@pytest.mark.parametrize("memory", [2**30, 0], ids=["kept", "on-access"])
class TestParquet:
    def test_folder_of_the_hub_has_both_parts_and_labels(self, hub, memory, monkeypatch):
        monkeypatch.setattr(dataset, "MEMORY_LIMIT", memory)
        source = bc.Parquet(path=str(hub), channels=1)
        data = source.load()
        assert levels_of(data) == [1, 2, 3, 4, 5, 16, 17]
        assert [int(n) for n in data[np.asarray([6, 3, 0])][:, 0, 0, 0]] == [17, 4, 1]
        assert data.labels().tolist() == [1, 2, 3, 4, 5, 6, 7]
        assert source.has_test_part
        assert levels_of(source.part("test").load()) == [28]
        assert sorted(levels_of(source.part("all").load())) == [1, 2, 3, 4, 5, 16, 17, 28]

    def test_threads_read_the_same(self, hub, memory, monkeypatch):
        monkeypatch.setattr(dataset, "MEMORY_LIMIT", memory)
        data = bc.Parquet(path=str(hub), channels=1).load()
        found = []
        for workers in (0, 4):
            with Loader(data, batch_size=3, seed=1, stop_step=9, num_workers=workers) as loader:
                found.append(np.concatenate([batch for _, batch in loader]))
        np.testing.assert_array_equal(*found)


def test_row_that_is_not_a_picture_is_named_and_counted(tmp_path, caplog):
    images = [
        {"bytes": png(1), "path": None},
        None,
        {"bytes": None, "path": "x.png"},
        {"bytes": b"nothing", "path": None},
    ]
    pq.write_table(pa.table({"image": images, "label": [7, 8, 9, 6]}), tmp_path / "x.parquet")
    data = bc.Parquet(path=str(tmp_path / "x.parquet"), channels=1).load()
    assert levels_of(data) == [1]
    assert data.labels().tolist() == [7]
    assert [path for path, _ in data.rejected] == ["x.parquet/1", "x.parquet/2", "x.parquet/3"]
    assert "3 of 4 image files in the Parquet table" in caplog.text
    assert "the row holds no picture" in data.rejected[0][1]


def test_column_of_bytes_and_the_one_that_is_asked_for(tmp_path):
    columns = pa.table({"mask": [png(9)] * 2, "picture": [png(1), png(2)], "n": [0.5, 1.5]})
    pq.write_table(columns, tmp_path / "x.parquet")
    path = str(tmp_path / "x.parquet")
    assert levels_of(bc.Parquet(path=path, channels=1).load()) == [9, 9]
    data = bc.Parquet(path=path, column="picture", channels=1).load()
    assert levels_of(data) == [1, 2]
    assert data.labels() is None
    with pytest.raises(
        DataError, match=r"must have a column 'n' of the bytes of pictures; it has: mask \(binary\), picture"
    ):
        bc.Parquet(path=path, column="n").load()
    with pytest.raises(ArgumentError, match="which has no test part"):
        bc.Parquet(path=path).part("test")


@pytest.mark.parametrize("kind", [bc.Parquet, bc.Arrow])
def test_what_is_no_table_is_named(kind, tmp_path):
    (tmp_path / "x").write_bytes(b"PAR1 rubbish")
    with pytest.raises(DataError, match=r"x' cannot be read"):
        kind(path=str(tmp_path / "x")).load()
    with pytest.raises(DataError, match=r"that exists; got .*nowhere"):
        kind(path=str(tmp_path / "nowhere")).load()
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="part 'train'"):
        kind(path=str(tmp_path / "folder")).load()


def test_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    (tmp_path / "x").touch()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow.ipc", None)
    for kind in (bc.Parquet, bc.Arrow):
        with pytest.raises(DataError, match=r"needs pyarrow .*; try: pip install 'blurcore\[tables\]'"):
            kind(path=str(tmp_path / "x")).load()


def save(folder: Path, *tables: Any, is_file: bool = False) -> Path:
    """Write what `Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True)
    names = []
    for number, part in enumerate(tables):
        names.append({"filename": f"data-{number:05}-of-{len(tables):05}.arrow"})
        writer = pa.ipc.new_file if is_file else pa.ipc.new_stream
        with writer(str(folder / names[-1]["filename"]), part.schema) as stream:
            stream.write_table(part, max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": names, "_fingerprint": "x"}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


@pytest.mark.parametrize("is_file", [False, True])
@pytest.mark.parametrize("memory", [2**30, 0], ids=["kept", "on-access"])
def test_saved_data_set_is_read_in_its_order(is_file, memory, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", memory)
    folder = save(tmp_path / "saved", table([3, 1, 2]), table([12]), is_file=is_file)
    source = bc.Arrow(path=str(folder), channels=1)
    data = source.load()
    assert levels_of(data) == [3, 1, 2, 12]
    assert data.labels().tolist() == [3, 1, 2, 2]
    assert not source.has_test_part
    assert levels_of(bc.Arrow(path=str(folder / "data-00001-of-00002.arrow"), channels=1).load()) == [12]


def test_saved_parts(tmp_path):
    save(tmp_path / "all" / "train", table([1, 2]))
    save(tmp_path / "all" / "test", table([3], label=None))
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    source = bc.Arrow(path=str(tmp_path / "all"), channels=1)
    assert [levels_of(source.part(split).load()) for split in ("train", "test", "all")] == [[1, 2], [3], [1, 2, 3]]
    assert source.part("train").load().labels().tolist() == [1, 2]
    assert source.part("all").load().labels() is None


@pytest.mark.parametrize("state", ["", "{}", '{"_data_files": [{"filename": "../x.arrow"}]}'])
def test_invalid_state_is_named(state, tmp_path):
    (tmp_path / "state.json").write_text(state)
    with pytest.raises(DataError, match=r"state\.json"):
        bc.Arrow(path=str(tmp_path)).load()


def test_labels_that_are_missing_are_an_error(tmp_path):
    pq.write_table(table([1, 2], label=[1, None]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="must be whole numbers"):
        bc.Parquet(path=str(tmp_path / "x.parquet")).load().labels()
