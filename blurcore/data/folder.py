"""A folder of image files, searched recursively, in the order of their relative paths.

Each file is decoded once at load, which is the only check that finds all damaged ones: those are named, counted,
logged as one warning and left out. Where the images fit `MEMORY_LIMIT` as uint8 they are kept from that pass, else they
are decoded again on access.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blurcore._checks import require
from blurcore.data import dataset
from blurcore.data.dataset import Indices, positions, refuse_missing
from blurcore.data.formats import SUFFIXES, UnreadableError, pillow
from blurcore.data.images import Picture, check_image_size, decode, read_bytes
from blurcore.errors import DataError, UnreadableDataError

_DECODERS = min(4, os.cpu_count() or 1)  # threads of the first pass: bounded memory, Pillow decodes without the lock
_CHUNK = 256
_SHOWN = 5
_RUN = {"config.toml", "checkpoints"}
"""What a folder of a run holds."""

logger = logging.getLogger(__name__)


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
                others[_suffix(entry.name)] += 1
    return sorted(found), sorted(unreadable), others


def _suffix(name: str) -> str:
    """Return what comes after the last dot, in words where it is no suffix to speak of."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 9 else "without a suffix"


def in_words(counts: Mapping[str, int]) -> str:
    """Return numbers of files as "30 .gif, 2 hidden", the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = sum(count for _, count in ranked[_SHOWN:])
    return ", ".join(
        [*(f"{count:,} {kind}" for kind, count in ranked[:_SHOWN]), *([f"{more:,} others"] if more else [])]
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


class FolderDataset:
    """Images of a folder (PNG, JPEG, WebP, TIFF, BMP, AVIF), resized and cropped to one size.

    The fingerprint is the sha256 of the image shape and of the relative path and the contents of each image file that
    was accepted; it does not change when the folder is moved or copied.

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

    Attributes
    ----------
    rejected
        (relative path, reason) of each image file that was left out.
    left_out
        How many files were left out: by suffix, and those that are "hidden", "unreadable" or in "run folders".
    files
        The first 16 digits of the SHA-256 of each image file, by its relative path.

    Raises
    ------
    ArgumentError
        `image_size` or `channels` makes no sense.
    DataError
        The folder is missing or holds no readable image, images differ in size where they may not, or Pillow is missing.
    UnreadableDataError
        An image file cannot be read, and `strict` is on; all of them are named.
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
        if image_size is not None:
            check_image_size("image_size", image_size)
        require(channels in (None, 1, 3), "channels", channels, "1 (grey) or 3 (RGB)")
        pillow()
        self.root = Path(path).expanduser()
        refuse_missing(self.root, "a folder", self.root.is_dir())
        self.name, self._bits = "folder", bits
        candidates, self.rejected, others = find_images(self.root)
        if not candidates:
            raise DataError(
                f"the folder {str(self.root)!r} holds no image files ({', '.join(SUFFIXES)}); "
                f"it holds {others.total()} other files{f' ({in_words(others)})' if others else ''}{self._reasons()}"
            )
        self.image_shape = self._shape(candidates, image_size, channels)
        self.paths: list[str] = []
        self.files: dict[str, str] = {}
        self._num_pages = 0  # files of several pages
        self._images: npt.NDArray[np.uint8] | None = None
        self.fingerprint = self._read_all(candidates)
        if not self.paths:
            raise DataError(
                f"none of the {len(candidates)} image files in {str(self.root)!r} can be read{self._reasons()}"
            )
        if self.rejected and strict:
            raise UnreadableDataError(f"{self._count()} cannot be read, and none may be left out{self._reasons(None)}")
        if self.rejected:
            logger.warning(
                "%s cannot be read and are left out%s; data.strict names all, and stops", self._count(), self._reasons()
            )
        self.left_out = dict(others) | ({"unreadable": len(self.rejected)} if self.rejected else {})
        self.source = self._described()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Indices) -> npt.NDArray[np.uint8]:
        chosen, single = positions(indices, len(self))
        if self._images is not None:
            batch = self._images[chosen]
        else:
            batch = np.empty((len(chosen), *self.image_shape), dtype=np.uint8)
            for row, position in enumerate(chosen):
                batch[row] = self._decode_again(self.paths[position])
        return batch[0] if single else batch

    def _described(self) -> str:
        count, skipped = len(self.paths), sum(self.left_out.values())
        parts = [f"folder {str(self.root)!r}, {count:,} image{'' if count == 1 else 's'}", f"{skipped:,} left out"]
        if skipped:
            parts[-1] += f" ({in_words(self.left_out)})"
        if self._num_pages:
            parts.append(f"the first page of each of {self._num_pages:,} TIFF of several")
        return ", ".join(parts)

    def _shape(
        self, candidates: list[str], image_size: tuple[int, int] | None, channels: int | None
    ) -> tuple[int, int, int]:
        """Return what was asked for, and what all images have in common where nothing was: that takes a pass of its own."""
        if image_size is not None and channels is not None:
            return int(image_size[0]), int(image_size[1]), channels
        shapes: dict[tuple[int, ...], str] = {}
        for path, _, result in self._decoded(candidates, image_size, channels):
            if not isinstance(result, str):
                shapes.setdefault(result.pixels.shape, path)
        sizes = {shape[:2]: path for shape, path in shapes.items()}
        if len(sizes) > 1:
            (one, first), (other, second) = list(sizes.items())[:2]
            raise DataError(
                f"the images in {str(self.root)!r} must have one size; got {one[0]} x {one[1]} ({first!r}) and"
                f" {other[0]} x {other[1]} ({second!r})"
            )
        # Without any readable image the shape does not matter: the next pass says that there is none.
        height, width = next(iter(sizes), (1, 1))
        return height, width, max((shape[2] for shape in shapes), default=1)

    def _read_all(self, candidates: list[str]) -> str:
        """Decode each file once; fill `paths`, `rejected` and perhaps the images; return the fingerprint."""
        depth = "" if self._bits is None else f" {self._bits} bits"
        digest = hashlib.sha256(f"blurcore folder {self.image_shape}{depth}\n".encode())
        keep = len(candidates) * int(np.prod(self.image_shape)) <= dataset.MEMORY_LIMIT
        images = np.empty((len(candidates), *self.image_shape), dtype=np.uint8) if keep else None
        for path, content_hash, result in self._decoded(candidates, self.image_shape[:2], self.image_shape[2]):
            if isinstance(result, str):
                self.rejected.append((path, result))
                continue
            if images is not None:
                images[len(self.paths)] = result.pixels
            self.paths.append(path)
            self.files[path] = content_hash.hex()[:16]
            self._num_pages += result.has_more_pages
            digest.update(os.fsencode(path) + b"\0" + content_hash)
        self._images = None if images is None else images[: len(self.paths)]
        return digest.hexdigest()

    def _decoded(
        self, candidates: list[str], image_size: tuple[int, int] | None, channels: int | None
    ) -> Iterator[tuple[str, bytes, Picture | str]]:
        decode_one = partial(self._decode, image_size=image_size, channels=channels)
        with ThreadPoolExecutor(_DECODERS, thread_name_prefix="blurcore-decode") as pool:
            for start in range(0, len(candidates), _CHUNK):
                yield from pool.map(decode_one, candidates[start : start + _CHUNK])

    def _decode(
        self, path: str, image_size: tuple[int, int] | None, channels: int | None
    ) -> tuple[str, bytes, Picture | str]:
        try:
            content = read_bytes(self.root / path)
            return path, hashlib.sha256(content).digest(), decode(content, image_size, channels, self._bits)
        except UnreadableError as error:
            return path, b"", str(error)

    def _decode_again(self, path: str) -> npt.NDArray[np.uint8]:
        try:
            content = read_bytes(self.root / path)
            return decode(content, self.image_shape[:2], self.image_shape[2], self._bits).pixels
        except UnreadableError as error:
            raise UnreadableDataError(
                f"the image {str(self.root / path)!r} could be read when the folder was loaded and cannot now: {error}"
            ) from error

    def _count(self) -> str:
        return f"{len(self.rejected)} of {len(self.rejected) + len(self.paths)} image files in {str(self.root)!r}"

    def _reasons(self, most: int | None = _SHOWN) -> str:
        """The first few rejected files (None: all), to be put at the end of a sentence."""
        if not self.rejected:
            return ""
        shown = "; ".join(f"{path!r}: {reason}" for path, reason in self.rejected[:most])
        more = len(self.rejected[len(self.rejected) if most is None else most :])
        return f" ({shown}{f'; and {more} more' if more > 0 else ''})"
