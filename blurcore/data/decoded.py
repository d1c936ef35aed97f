"""Pictures that are decoded from the contents of files, in a folder, an archive or a table.

Each is decoded once at load, which is the only check that finds all damaged ones: those are named, counted, logged as one
warning and left out. Where the images fit `MEMORY_LIMIT` as uint8 they are kept from that pass, else they are decoded again
on access.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from blurcore._checks import require
from blurcore.data import dataset
from blurcore.data.dataset import Indices, positions
from blurcore.data.formats import SUFFIXES, UnreadableError, pillow
from blurcore.data.images import Picture, check_image_size, decode
from blurcore.errors import DataError, UnreadableDataError

Labels = npt.NDArray[np.int64] | None

_DECODERS = min(4, os.cpu_count() or 1)  # threads of the first pass: bounded memory, Pillow decodes without the lock
_CHUNK = 256
_SHOWN = 5

logger = logging.getLogger(__name__)


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name, or `without a suffix`."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 9 else "without a suffix"


def in_words(counts: Mapping[str, int]) -> str:
    """Return numbers of files as "30 .gif, 2 hidden", the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = sum(count for _, count in ranked[_SHOWN:])
    return ", ".join(
        [*(f"{count:,} {kind}" for kind, count in ranked[:_SHOWN]), *([f"{more:,} others"] if more else [])]
    )


def folders_as_labels(paths: list[str]) -> Labels:
    """Return the place of each path's first folder among all, sorted by name; None where one lies in no folder."""
    folders = [path.partition("/")[0] if "/" in path else None for path in paths]
    if None in folders:
        return None
    return np.unique(np.asarray(folders), return_inverse=True)[1].astype(np.int64)


class PictureDataset:
    """Pictures (PNG, JPEG, WebP, TIFF, BMP, AVIF), resized and cropped to one size.

    The fingerprint is the sha256 of the image shape and of the path and the contents of each picture that was accepted; it does
    not change when the data are moved or copied.

    Parameters
    ----------
    where
        What holds the pictures, such as "folder '/photos'".
    candidates
        The paths of the pictures in it.
    read
        Returns the contents of a path; called by several threads. :class:`UnreadableError` where there are none.
    name
        Of the data set.
    image_size, channels, strict, bits
        As for :class:`FolderDataset`.
    rejected
        Paths that are left out already, and why.
    others
        How many files there are beside the pictures, by kind.
    labels_of
        Returns the classes of some paths, where they are asked for.

    Attributes
    ----------
    rejected
        (path, reason) of each picture that was left out.
    left_out
        How many files were left out: by suffix, and those that are "hidden", "unreadable" or in "run folders".
    files
        The first 16 digits of the SHA-256 of each picture, by its path.

    Raises
    ------
    ArgumentError
        `image_size` or `channels` makes no sense.
    DataError
        There is no readable picture, they differ in size where they may not, or Pillow is missing.
    UnreadableDataError
        A picture cannot be read, and `strict` is on; all of them are named.
    """

    def __init__(
        self,
        where: str,
        candidates: list[str],
        read: Callable[[str], bytes],
        *,
        name: str,
        image_size: tuple[int, int] | None,
        channels: int | None = 3,
        strict: bool = False,
        bits: int | None = None,
        rejected: list[tuple[str, str]] | None = None,
        others: Counter[str] | None = None,
        labels_of: Callable[[list[str]], Labels] = folders_as_labels,
    ) -> None:
        if image_size is not None:
            check_image_size("image_size", image_size)
        require(channels in (None, 1, 3), "channels", channels, "1 (grey) or 3 (RGB)")
        pillow()
        others = Counter() if others is None else others
        self._where, self._read, self._labels_of = where, read, labels_of
        self.name, self._bits = name, bits
        self.rejected = [] if rejected is None else rejected
        if not candidates:
            raise DataError(
                f"the {where} holds no image files ({', '.join(SUFFIXES)}); "
                f"it holds {others.total()} other files{f' ({in_words(others)})' if others else ''}{self._reasons()}"
            )
        self.image_shape = self._shape(candidates, image_size, channels)
        self.paths: list[str] = []
        self.files: dict[str, str] = {}
        self._num_pages = 0  # files of several pages
        self._images: npt.NDArray[np.uint8] | None = None
        self.fingerprint = self._read_all(candidates)
        if not self.paths:
            raise DataError(f"none of the {len(candidates)} image files in the {where} can be read{self._reasons()}")
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

    def labels(self) -> npt.NDArray[np.int64] | None:
        """Return the class of each image; see :meth:`Dataset.labels`."""
        return self._labels_of(self.paths)

    def _described(self) -> str:
        count, skipped = len(self.paths), sum(self.left_out.values())
        parts = [f"{self._where}, {count:,} image{'' if count == 1 else 's'}", f"{skipped:,} left out"]
        if skipped:
            parts[-1] += f" ({in_words(self.left_out)})"
        if self._num_pages:
            parts.append(f"the first page of each of {self._num_pages:,} TIFF of several")
        return ", ".join(parts)

    def _shape(
        self, candidates: list[str], image_size: tuple[int, int] | None, channels: int | None
    ) -> tuple[int, int, int]:
        """Return the image shape: the one asked for, or the one that all images share, which takes a pass over the files."""
        if image_size is not None and channels is not None:
            return int(image_size[0]), int(image_size[1]), channels
        shapes: dict[tuple[int, ...], str] = {}
        sizes: dict[tuple[int, ...], str] = {}
        for path, _, result in self._decoded(candidates, image_size, channels):
            if not isinstance(result, str):
                shapes.setdefault(result.pixels.shape, path)
                sizes.setdefault(result.pixels.shape[:2], path)
            if len(sizes) > 1:
                (one, first), (other, second) = sizes.items()
                raise DataError(
                    f"the images in the {self._where} must have one size; got {one[0]} x {one[1]} ({first!r}) and"
                    f" {other[0]} x {other[1]} ({second!r}); image_size brings them to one"
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
            content = self._read(path)
            return path, hashlib.sha256(content).digest(), decode(content, image_size, channels, self._bits)
        except UnreadableError as error:
            return path, b"", str(error)

    def _decode_again(self, path: str) -> npt.NDArray[np.uint8]:
        try:
            content = self._read(path)
            return decode(content, self.image_shape[:2], self.image_shape[2], self._bits).pixels
        except UnreadableError as error:
            raise UnreadableDataError(
                f"the image {path!r} of the {self._where} could be read when it was loaded and cannot now: {error}"
            ) from error

    def _count(self) -> str:
        return f"{len(self.rejected)} of {len(self.rejected) + len(self.paths)} image files in the {self._where}"

    def _reasons(self, most: int | None = _SHOWN) -> str:
        """The first few rejected files (None: all), to be put at the end of a sentence."""
        if not self.rejected:
            return ""
        shown = "; ".join(f"{path!r}: {reason}" for path, reason in self.rejected[:most])
        more = len(self.rejected[len(self.rejected) if most is None else most :])
        return f" ({shown}{f'; and {more} more' if more > 0 else ''})"
