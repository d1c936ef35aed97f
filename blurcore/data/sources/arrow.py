"""Arrow files with a column of pictures: what `datasets.Dataset.save_to_disk` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import final

from blurcore.data.dataset import refuse_missing
from blurcore.data.decoded import PictureDataset
from blurcore.data.rows import load_rows, open_arrow
from blurcore.data.source import Parts, Pictures
from blurcore.errors import DataError

_STATE, _PARTS = "state.json", "dataset_dict.json"
"""What tells a saved data set, and a saved dictionary of its parts."""


@final
@dataclass(frozen=True, kw_only=True)
class Arrow(Pictures, Parts):
    """A folder that the library datasets has saved, or an `.arrow` file, with a column of pictures (extra `tables`).

    Files are memory-mapped. RGB unless `channels` says otherwise; labels are a column `label` or the like.
    """

    column: str | None = None
    """The column of pictures; the first that holds bytes where not given."""

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is an `.arrow`, or a folder that datasets has saved."""
        return place.suffix == ".arrow" or (place / _STATE).is_file() or (place / _PARTS).is_file()

    @property
    def has_test_part(self) -> bool:
        """Whether a part for testing was saved."""
        return (self.place / "test" / _STATE).is_file()

    def load(self) -> PictureDataset:
        """Decode the pictures; see :class:`blurcore.data.PictureDataset`."""
        refuse_missing(self.place, "an .arrow file, or a folder that datasets has saved,", self.place.exists())
        files = self._files()
        root = self.place if self.place.is_dir() else self.place.parent
        return load_rows(
            f"Arrow table {str(self.place)!r}",
            {file.relative_to(root).as_posix(): open_arrow(file, self.column) for file in files},
            **self.decoding(),
        )

    def _files(self) -> list[Path]:
        """Return the files of the part that is asked for, in the order in which they were saved."""
        if self.place.is_file():
            return [self.place]
        whole = (self.place / _STATE).is_file()
        names = ("train", "test") if self.split == "all" else (self.split,)
        folders = (
            [self.place] if whole else [self.place / name for name in names if (self.place / name / _STATE).is_file()]
        )
        if not folders or (whole and self.split == "test"):
            raise DataError(
                f"{str(self.place)!r} must hold the part {self.split!r} of a data set that datasets has saved"
            )
        return [folder / name for folder in folders for name in _names(folder)]


def _names(folder: Path) -> list[str]:
    """Return the names of a saved data set's files."""
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{str(folder / _STATE)!r} does not say which files the data set has: {error!r}") from error
    if any(Path(name).name != name for name in names):
        raise DataError(f"{str(folder / _STATE)!r} must name files beside it; got {names}")
    return names
