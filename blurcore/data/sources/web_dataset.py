"""Tar archives in the layout of WebDataset: the files of a sample stand together and differ in what follows the first dot.

Archives are not unpacked: their heads are gone through once, and pictures are read from where they lie.
"""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, final

import numpy as np

from blurcore.data.dataset import refuse_missing
from blurcore.data.decoded import Labels, PictureDataset
from blurcore.data.formats import SUFFIXES, UnreadableError
from blurcore.data.images import MAX_FILE_BYTES
from blurcore.data.source import Pictures
from blurcore.errors import DataError

_MOST_OF_A_LABEL = 18  # bytes, so that it fits into int64


class Member(NamedTuple):
    """Where a file lies in an archive."""

    archive: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Return its contents."""
        try:
            with self.archive.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from error
        if len(content) < self.size:
            raise UnreadableError(f"{self.archive.name} ends within it")
        return content


class Index(NamedTuple):
    """Contents of the archives: pictures and classes by path, counts of other files, and unreadable ones."""

    pictures: dict[str, Member]
    classes: dict[str, Member]
    """By the path of the sample, without what follows the first dot."""
    others: Counter[str]
    rejected: list[tuple[str, str]]


@final
@dataclass(frozen=True, kw_only=True)
class WebDataset(Pictures):
    """Tar archives of WebDataset: one `.tar`, or a folder of them. Labels are the whole numbers of the `.cls` files.

    RGB unless `channels` says otherwise; captions and whatever else stands beside the pictures is counted and left out.
    """

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is a `.tar`, or a folder of them."""
        return place.suffix == ".tar" or any(place.glob("*.tar"))

    def load(self) -> PictureDataset:
        """Decode the pictures; see :class:`blurcore.data.PictureDataset`."""
        refuse_missing(self.place, "a .tar, or a folder of them,", self.place.exists())
        archives = sorted(self.place.glob("*.tar")) if self.place.is_dir() else [self.place]
        if not archives:
            raise DataError(f"the folder {str(self.place)!r} holds no .tar")
        index = Index({}, {}, Counter(), [])
        for archive in archives:
            _add(index, archive, f"{archive.name}/" if self.place.is_dir() else "")

        def read(path: str) -> bytes:
            member = index.pictures[path]
            if member.size > MAX_FILE_BYTES:
                raise UnreadableError(f"the file is larger than {MAX_FILE_BYTES} bytes")
            return member.read()

        return PictureDataset(
            f"{'folder of tar archives' if self.place.is_dir() else 'tar archive'} {str(self.place)!r}",
            list(index.pictures),
            read,
            **self.decoding(),
            rejected=index.rejected,
            others=index.others,
            labels_of=partial(_labels, index.classes),
        )


def _add(index: Index, archive: Path, prefix: str) -> None:
    """Go through the heads of an archive; what comes before a damaged one is kept."""
    try:
        with tarfile.open(archive, "r:") as file:
            for info in file:
                path, name = f"{prefix}{info.name}", os.path.basename(info.name)
                if not info.isfile():
                    continue
                if name.startswith("."):
                    index.others["hidden"] += 1
                    continue
                suffix = name.partition(".")[2]
                member = Member(archive, info.offset_data, info.size)
                if f".{suffix.lower()}".endswith(SUFFIXES):
                    index.pictures[path] = member
                elif suffix == "cls":
                    index.classes[_sample(path)] = member
                else:
                    index.others[f".{suffix.rpartition('.')[2]}" if suffix else "without a suffix"] += 1
    except tarfile.ReadError as error:
        packed = Member(archive, 0, 2).read() == b"\x1f\x8b"
        reason = "it is gzipped: unpack it, so that its pictures can be read in any order" if packed else str(error)
        index.rejected.append((archive.name, reason))
    except OSError as error:
        raise DataError(f"the tar archive {str(archive)!r} cannot be read: {error.strerror or error}") from error


def _sample(path: str) -> str:
    """Return the path of a file's sample: what comes before the first dot of its name."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _labels(classes: dict[str, Member], paths: list[str]) -> Labels:
    """Return the numbers beside some pictures; None where there are none at all."""
    if not classes:
        return None
    found = []
    for path in paths:
        member = classes.get(_sample(path))
        try:
            text = b"" if member is None or member.size > _MOST_OF_A_LABEL else member.read()
        except UnreadableError:
            text = b""
        if not text.strip().isdigit():
            raise DataError(f"the picture {path!r} must have a whole number, 0 or more, as its .cls; got {text!r}")
        found.append(int(text))
    return np.asarray(found, np.int64)
