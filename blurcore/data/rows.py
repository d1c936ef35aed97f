"""Tables with a column of pictures, as pyarrow reads them: Parquet, row group by row group, and Arrow, memory-mapped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from blurcore.data.decoded import Labels, PictureDataset
from blurcore.data.formats import UnreadableError
from blurcore.data.images import MAX_FILE_BYTES
from blurcore.data.labels import whole_labels
from blurcore.errors import DataError

LABELS = ("label", "labels", "fine_label", "class", "cls", "target")
"""Names of the column of whole numbers that are taken for labels, the first that is there."""
_GROUPS = 64
"""Row groups of a Parquet file that are kept."""


class Rows(NamedTuple):
    """A file with a column of pictures."""

    num_rows: int
    value: Callable[[int], Any]
    """What stands in a row of the column: bytes, a dictionary with `bytes`, or None."""
    labels: Callable[[], npt.NDArray[Any] | None]

    def read(self, row: int) -> bytes:
        """Return the contents of a picture; :class:`UnreadableError` where there are none."""
        try:
            value = self.value(row)
        except Exception as error:  # a damaged file fails in many ways
            raise UnreadableError(f"{type(error).__name__}: {error}") from error
        content = value.get("bytes") if isinstance(value, dict) else value
        if not content:
            raise UnreadableError("the row holds no picture")
        if len(content) > MAX_FILE_BYTES:
            raise UnreadableError(f"the picture is larger than {MAX_FILE_BYTES} bytes")
        return bytes(content)


def load_rows(where: str, files: dict[str, Rows], **settings: Any) -> PictureDataset:
    """Return the pictures of some files, in the order of files and rows.

    Parameters
    ----------
    where
        What holds them, for messages.
    files
        By the names that their pictures get, ``NAME/ROW``.
    settings
        As for :class:`PictureDataset`.
    """

    def read(path: str) -> bytes:
        name, _, row = path.rpartition("/")
        return files[name].read(int(row))

    def labels_of(paths: list[str]) -> Labels:
        columns = {name: rows.labels() for name, rows in files.items()}
        found = [(columns[name], int(row)) for name, _, row in (path.rpartition("/") for path in paths)]
        chosen = [column[row] for column, row in found if column is not None]
        return whole_labels(np.asarray(chosen), where) if len(chosen) == len(found) else None

    names = [f"{name}/{row}" for name, rows in files.items() for row in range(rows.num_rows)]
    return PictureDataset(where, names, read, labels_of=labels_of, **settings)


def open_parquet(file: Path, column: str | None) -> Rows:
    """Open a Parquet file; of its row groups the last few that were asked for are kept.

    Raises
    ------
    DataError
        It is damaged, or has no column of pictures; or pyarrow is missing.
    """
    with _named(file):
        table = import_module("pyarrow.parquet").ParquetFile(file, memory_map=True)
        images, labels = _columns(table.schema_arrow, column, file)
        ends = np.cumsum([table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)])
    lock = threading.Lock()

    @lru_cache(maxsize=_GROUPS)
    def group(number: int) -> Any:
        return table.read_row_group(number, columns=[images]).column(0)

    def value(row: int) -> Any:
        number = int(np.searchsorted(ends, row, side="right"))
        with lock:
            found = group(number)
        return found[row - (int(ends[number - 1]) if number else 0)].as_py()

    def of_labels() -> npt.NDArray[Any] | None:
        with _named(file), lock:
            return None if labels is None else table.read(columns=[labels]).column(0).to_numpy()

    return Rows(int(table.metadata.num_rows), value, of_labels)


def open_arrow(file: Path, column: str | None) -> Rows:
    """Open an Arrow file or stream, memory-mapped.

    Raises
    ------
    DataError
        It is damaged, or has no column of pictures; or pyarrow is missing.
    """
    with _named(file):
        ipc: Any = import_module("pyarrow.ipc")
        source = import_module("pyarrow").memory_map(str(file))
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        opened = ipc.open_file(source) if is_file else ipc.open_stream(source)
        table = opened.read_all()
        images, labels = _columns(table.schema, column, file)
    pictures = table.column(images)
    return Rows(
        len(table),
        lambda row: pictures[row].as_py(),
        lambda: None if labels is None else table.column(labels).to_numpy(),
    )


def _columns(schema: Any, column: str | None, file: Path) -> tuple[str, str | None]:
    """Return the names of the columns of pictures and of labels."""
    types: Any = import_module("pyarrow.types")

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == "bytes" and holds_bytes(field.type) for field in kind)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    able = [field.name for field in schema if holds_bytes(field.type)]
    if (column not in able) if column else not able:
        shown = ", ".join(f"{field.name} ({field.type})" for field in schema)
        wanted = f"a column {column!r}" if column else "a column"
        raise DataError(f"{str(file)!r} must have {wanted} of the bytes of pictures; it has: {shown}")
    numbers = {field.name for field in schema if types.is_integer(field.type)}
    return column or able[0], next((name for name in LABELS if name in numbers), None)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Turn what a missing library or a damaged file raises into a :class:`DataError` that names the file."""
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(
            f"reading {str(file)!r} needs pyarrow ({error}); try: pip install 'blurcore[tables]'"
        ) from error
    except Exception as error:
        raise DataError(f"{str(file)!r} cannot be read: {error}") from error
