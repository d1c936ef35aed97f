"""A folder of pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

from blurcore._typing import StrPath
from blurcore.data.folder_images import FolderDataset
from blurcore.data.source import Pictures
from blurcore.errors import ConfigError


@final
@dataclass(frozen=True, kw_only=True)
class Folder(Pictures):
    """A folder of pictures (PNG, JPEG, WebP, TIFF, BMP, AVIF), searched recursively; RGB unless `channels` says otherwise."""

    @classmethod
    def recognises(cls, place: Path) -> bool:
        """Whether it is a folder."""
        return place.is_dir()

    def load(self) -> FolderDataset:
        """Decode the pictures; see :class:`blurcore.data.FolderDataset`."""
        return FolderDataset(
            self.path, image_size=self.image_size, channels=self.channels or 3, strict=self.strict, bits=self.bits
        )

    def refuse_inside(self, out: StrPath) -> None:
        """Refuse a place inside the folder, whose pictures are all taken for data; see :meth:`Source.refuse_inside`."""
        root, place = self.place, Path(os.path.realpath(out))
        if root.is_dir() and any(folder.exists() and folder.samefile(root) for folder in (place, *place.parents)):
            raise ConfigError(
                f"--out must not lie inside the folder of the data, whose pictures are all taken for data; got {str(out)!r}, inside"
                f" {str(root)!r}"
            )
