"""Parquet tables with a column of pictures: what the Hugging Face Hub ships."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import final

from blurcore.data.dataset import refuse_missing
from blurcore.data.decoded import PictureDataset
from blurcore.data.rows import load_rows, open_parquet
from blurcore.data.source import Parts, Pictures
from blurcore.errors import DataError


@final
@dataclass(frozen=True, kw_only=True)
class Parquet(Pictures, Parts):
    """A Parquet file, or a folder of them, with a column of pictures (extra `tables`); RGB unless `channels` says otherwise.

    Of a folder, files that have `train` or `test` at the beginning of their name, or of their folder's, are those parts; where none
    has, all are for training. Labels are a column `label` or the like.
    """

    column: str | None = None
    """The column of pictures; the first that holds bytes where not given."""

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is a `.parquet`, or a folder of them."""
        return place.suffix == ".parquet" or (place.is_dir() and next(place.rglob("*.parquet"), None) is not None)

    @property
    def has_test_part(self) -> bool:
        """Whether there are files for testing."""
        return bool(self._files("test"))

    def load(self) -> PictureDataset:
        """Decode the pictures; see :class:`blurcore.data.PictureDataset`."""
        refuse_missing(self.place, "a .parquet, or a folder of them,", self.place.exists())
        files = self._files(self.split)
        if not files:
            raise DataError(f"{str(self.place)!r} holds no .parquet of the part {self.split!r}")
        root = self.place if self.place.is_dir() else self.place.parent
        return load_rows(
            f"Parquet table {str(self.place)!r}",
            {file.relative_to(root).as_posix(): open_parquet(file, self.column) for file in files},
            **self.decoding(),
        )

    def _files(self, split: str) -> list[Path]:
        """Return the files of a part."""
        if not self.place.is_dir():
            return [self.place] if split != "test" else []
        files = sorted(self.place.rglob("*.parquet"))
        parts = {name: [file for file in files if _is_part(file, self.place, name)] for name in ("train", "test")}
        if not any(parts.values()):
            parts["train"] = files
        return files if split == "all" else parts[split]


def _is_part(file: Path, root: Path, name: str) -> bool:
    """Whether a file's name, or one of its folders', begins with the name of a part."""
    return any(re.match(rf"{name}(?![a-z])", part, re.IGNORECASE) for part in file.relative_to(root).parts)
