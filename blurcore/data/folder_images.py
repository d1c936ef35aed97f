"""A folder of image files, searched recursively, in the order of their relative paths."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from blurcore.data.dataset import refuse_missing
from blurcore.data.decoded import PictureDataset, suffix_of
from blurcore.data.formats import SUFFIXES
from blurcore.data.images import read_bytes

_RUN = {"config.toml", "checkpoints"}
"""What a folder of a run holds."""


def find_images(root: Path) -> tuple[list[str], list[tuple[str, str]], Counter[str]]:
    """Relative paths of the image files, the folders that cannot be read, and the numbers of what else is there.

    Links are followed; a folder that is reached twice (a loop of links, too) is read once. What is hidden, and folders
    of runs, whose pictures are samples, are not looked into.
    """
    found: list[str] = []
    unreadable: list[tuple[str, str]] = []
    seen: set[tuple[int, int]] = set()
    others: Counter[str] = Counter()
    pending = [""]
    while pending:
        relative = pending.pop()
        try:
            status = os.stat(root / relative)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(root / relative) as entries:
                listed = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            unreadable.append((relative or ".", error.strerror or str(error)))
            continue
        if relative and {entry.name for entry in listed} >= _RUN:
            others["run folders"] += 1
            continue
        for entry in listed:
            path = f"{relative}/{entry.name}" if relative else entry.name
            if entry.name.startswith("."):
                others["hidden"] += 1
            elif _is_folder(entry):
                pending.append(path)
            elif entry.name.lower().endswith(SUFFIXES):
                found.append(path)
            else:
                others[suffix_of(entry.name)] += 1
    return sorted(found), sorted(unreadable), others


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


class FolderDataset(PictureDataset):
    """The pictures of a folder; see :class:`PictureDataset`.

    Parameters
    ----------
    path
        The folder.
    image_size
        (height, width) to resize (antialiased) and crop (the centre) to, in pixels. None: the size that all images have.
    channels
        1 (grey) or 3 (RGB). None: grey if all images are, else RGB.
    strict
        Refuse the folder where an image file cannot be read, instead of leaving it out.
    bits
        Bits of a pixel, of grey pictures that have more than 8; None for what each file says.

    Raises
    ------
    DataError
        The folder is missing, or as for :class:`PictureDataset`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        image_size: tuple[int, int] | None,
        channels: int | None = 3,
        strict: bool = False,
        bits: int | None = None,
    ) -> None:
        self.root = Path(path).expanduser()
        refuse_missing(self.root, "a folder", self.root.is_dir())
        candidates, rejected, others = find_images(self.root)
        super().__init__(
            f"folder {str(self.root)!r}",
            candidates,
            lambda relative: read_bytes(self.root / relative),
            name="Folder",
            image_size=image_size,
            channels=channels,
            strict=strict,
            bits=bits,
            rejected=rejected,
            others=others,
        )
