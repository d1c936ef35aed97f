"""Where images come from: settings that open a data set. A kind for each source, and what kinds have in common."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from blurcore._checks import make_plain, require
from blurcore._typing import StrPath
from blurcore.data.dataset import Dataset
from blurcore.data.images import check_image_size
from blurcore.data.values import Values
from blurcore.errors import ArgumentError

Split = Literal["train", "test", "all"]
S = TypeVar("S", bound="Pixels")
P = TypeVar("P", bound="Parts")
L = TypeVar("L", bound="Located")


@runtime_checkable
class Source(Protocol):
    """Where images come from: a kind under the role ``data``."""

    @property
    def values(self) -> Values:
        """Numbers that pixels become: "symmetric", [-1, 1], or "unit", [0, 1]."""
        ...

    @property
    def flip(self) -> bool:
        """Whether the loader mirrors every other image at random, left to right."""
        ...

    @property
    def has_test_part(self) -> bool:
        """Whether there are images that a run of these data is not trained on."""
        ...

    @property
    def description(self) -> str:
        """What the data are, and under which licence, for the cards of runs."""
        ...

    def load(self) -> Dataset:
        """Open the data set. Flips are not applied here: :class:`blurcore.data.Loader` does, step by step.

        Raises
        ------
        DataError
            The set is missing, empty or unreadable; the message says what to install or which path it was.
        """
        ...

    def part(self, split: Split) -> Source:
        """Return the same source with another of its parts, "train", "test" or "all".

        Raises
        ------
        ArgumentError
            It has no such part.
        """
        ...

    def absolute(self) -> Source:
        """Return the same source with paths that are the same from every working directory."""
        ...

    def anonymous(self) -> Source:
        """Return the same source with private paths removed: only the last part of each is kept."""
        ...

    def refuse_inside(self, out: StrPath) -> None:
        """Refuse a place for output that lies where everything is taken for data.

        Raises
        ------
        ConfigError
            It lies there, whatever links lead to it.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Settings of all sources. Every image is for training, unless a source has parts."""

    values: Values = "symmetric"
    """Numbers that pixels become: [-1, 1], or [0, 1] as in inverse heat dissipation, to which a sigma of 0.01 refers there."""

    def __post_init__(self) -> None:
        make_plain(self)

    @property
    def has_test_part(self) -> bool:
        """No."""
        return False

    @property
    def description(self) -> str:
        """Return the description of user data, of which nothing is known."""
        return "data of who trained it; source and licence are not recorded in the run"

    def part(self: S, split: Split) -> S:
        """Return the source itself, which is all training data; see :meth:`Source.part`."""
        check_split(split)
        if split == "test":
            raise without_test_part(self)
        return self

    def absolute(self: S) -> S:
        """Return the source itself, which has no path."""
        return self

    def anonymous(self: S) -> S:
        """Return the source itself, which has no path."""
        return self

    def refuse_inside(self, out: StrPath) -> None:
        """Refuse nothing: no file becomes data by lying somewhere."""


@dataclass(frozen=True, kw_only=True)
class Grids(Pixels):
    """Settings of signals and volumes, which are used as they are."""

    @property
    def flip(self) -> bool:
        """No: left and right are not the same, or mean nothing."""
        return False


@dataclass(frozen=True, kw_only=True)
class Images(Pixels):
    """Settings of sources of images."""

    image_size: tuple[int, int] | None = None
    """(height, width) to bring images to: resized (antialiased) to cover it, then the centre cropped; the natural size where not
    given."""
    channels: Literal[1, 3] | None = None
    """1 (grey, luma of ITU-R 601) or 3 (RGB); the natural number where not given."""
    flip: bool = False
    """Mirror every other image at random, left to right (photographs, never digits)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size is not None:
            check_image_size("image_size", self.image_size)
        require(self.channels in (None, 1, 3), "channels", self.channels, "1 (grey) or 3 (RGB)")


@dataclass(frozen=True, kw_only=True)
class Parts(Pixels):
    """Settings of sources with a test part."""

    split: Split = "train"
    """Part of the set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_split(self.split)

    @property
    def has_test_part(self) -> bool:
        """Yes, unless a kind finds that its files have none."""
        return True

    def part(self: P, split: Split) -> P:
        """Return the same source with another part; see :meth:`Source.part`."""
        if split == "test" and not self.has_test_part:
            raise without_test_part(self)
        return replace(self, split=split)


@dataclass(frozen=True, kw_only=True)
class Located(Pixels):
    """Settings of sources with a path."""

    path: str
    """Where the images are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.path, str) and bool(self.path), "path", self.path, "where the images are")

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether what lies there looks like something of this kind; of several kinds the last that was registered is taken."""
        del place
        return False

    @property
    def place(self) -> Path:
        """The path, with the user's folder in the place of ~."""
        return Path(self.path).expanduser()

    def absolute(self: L) -> L:
        """Return the same source with its full path."""
        return replace(self, path=os.path.abspath(self.place))

    def anonymous(self: L) -> L:
        """Return the same source with the last part of its path."""
        return replace(self, path=self.place.name)


@dataclass(frozen=True, kw_only=True)
class Depth(Pixels):
    """Settings of sources whose pixels may have any number of bits."""

    bits: int | None = None
    """Bits of a pixel: 2^bits - 1 is white. Not given: 8 for uint8, 16 for uint16, 1 for bool, what the file says for pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.bits is None or 1 <= self.bits <= 32, "bits", self.bits, "from 1 to 32")


@dataclass(frozen=True, kw_only=True)
class Pictures(Images, Located, Depth):
    """Settings of sources whose images are picture files, in a folder, an archive or a table; RGB unless `channels` is 1."""

    strict: bool = False
    """Stop where a picture cannot be read (exit code 1, all are named), instead of leaving it out."""

    def decoding(self) -> dict[str, Any]:
        """Return the arguments for :class:`blurcore.data.PictureDataset`."""
        return {
            "name": type(self).__name__,
            "image_size": self.image_size,
            "channels": self.channels or 3,
            "strict": self.strict,
            "bits": self.bits,
        }


def check_split(split: str) -> None:
    """Check the name of a part."""
    require(split in ("train", "test", "all"), "split", split, "'train', 'test' or 'all'")


def without_test_part(source: Pixels) -> ArgumentError:
    """Return the error of a source that is asked for a part that it does not have."""
    name = type(source).__name__
    return ArgumentError(f"split must be 'train' or 'all' for this {name}, which has no test part; got 'test'")
