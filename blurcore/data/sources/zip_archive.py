"""Pictures in a zip archive, as they are handed round."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import final

from blurcore.data.dataset import refuse_missing
from blurcore.data.decoded import PictureDataset, suffix_of
from blurcore.data.formats import SUFFIXES, UnreadableError
from blurcore.data.images import MAX_FILE_BYTES
from blurcore.data.source import Pictures
from blurcore.errors import DataError


@final
@dataclass(frozen=True, kw_only=True)
class Zip(Pictures):
    """A zip archive of pictures, read where it lies; RGB unless `channels` says otherwise. Its folders are the labels."""

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is a `.zip`."""
        return place.suffix.lower() == ".zip"

    def load(self) -> PictureDataset:
        """Decode the pictures; see :class:`blurcore.data.PictureDataset`."""
        refuse_missing(self.place, "a zip archive", self.place.is_file())
        try:
            archive = zipfile.ZipFile(self.place)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"the zip archive {str(self.place)!r} cannot be read: {error}") from error
        found, others = [], Counter[str]()
        for member in archive.infolist():
            parts = PurePosixPath(member.filename).parts
            if member.is_dir():
                continue
            if any(part.startswith(".") or part == "__MACOSX" for part in parts):
                others["hidden"] += 1
            elif member.filename.lower().endswith(SUFFIXES):
                found.append(member.filename)
            else:
                others[suffix_of(member.filename)] += 1

        return PictureDataset(
            f"zip archive {str(self.place)!r}",
            sorted(found),
            lambda name: _read(archive, name),
            **self.decoding(),
            others=others,
        )


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the contents of a member; its checksum is compared."""
    try:
        if archive.getinfo(name).file_size > MAX_FILE_BYTES:
            raise UnreadableError(f"the file is larger than {MAX_FILE_BYTES} bytes")
        return archive.read(name)
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadableError(str(error)) from error  # damaged, or with a password
