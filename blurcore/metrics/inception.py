"""The features that FID is defined by: those of one file of Inception's weights, known by its hash before it is opened.

The file is yours, and a maintained library computes the features (torch-fidelity, through the backend `torch`), with the
resizing that the definition has. Nothing that does not come from this file is called FID here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from blurcore._typing import StrPath
from blurcore.data.images import convert_channels
from blurcore.errors import ArgumentError, ConfigError, DataError
from blurcore.metrics._inputs import Array

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of `pt_inception-2015-12-05-6726825d.pth` (pytorch-fid) and `weights-inception-2015-12-05-6726825d.pth` (torch-fidelity): one
file under two names, which both carry the hash's first digits."""


def check_inception_weights(path: StrPath) -> None:
    """Refuse any other file than the one that FID is defined by; nothing is loaded.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DataError
        There is no such file.
    ConfigError
        It is another one: the message has both hashes.
    """
    try:
        with Path(path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"the Inception weights {str(path)!r} cannot be read: {error.strerror or error}") from None
    if found != SHA256:
        raise ConfigError(
            f"--inception-weights must be the file that FID is defined by, weights-inception-2015-12-05-6726825d.pth of"
            f" torch-fidelity or pt_inception-2015-12-05-6726825d.pth of pytorch-fid, with the sha256 {SHA256};"
            f" {str(path)!r} has {found}"
        )


class InceptionFeatures:
    """The 2048 numbers of the pooled layer, of images (n, H, W, C), C = 1 (repeated) or 3.

    Parameters
    ----------
    weights
        The file; see :func:`check_inception_weights`.
    load
        load(weights): the network, a function from uint8 (n, H, W, 3) to (n, 2048); called once the file's hash is right.

    Raises
    ------
    DataError, ConfigError
        As :func:`check_inception_weights`.
    """

    name = "inception"

    def __init__(self, weights: StrPath, load: Callable[[Path], Callable[[Array], Array]]) -> None:
        check_inception_weights(weights)
        self._network = load(Path(weights))

    def __call__(self, images: Array) -> Array:
        """Return (n, 2048)."""
        if images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ArgumentError(f"FID is of images (n, H, W, C), C = 1 or 3; got {images.shape}")
        return self._network(convert_channels(images, 3))
