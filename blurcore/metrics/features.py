"""What images are compared by: functions from images to vectors, built in by name or your own.

==========  =====================================================================================  =============
name        features                                                                               dimensions
==========  =====================================================================================  =============
digits      the last hidden layer of a small classifier of handwritten digits that ships with us   32
dct         the lowest DCT coefficients of each channel: 36 of 1 axis, 6 x 6, 3 x 3 x 3            36 C, 36 C, 27 C
inception   the pooled layer of the Inception network of FID, from weights that you bring          2048
==========  =====================================================================================  =============

Features of one's own are any function of uint8 images ``(n, *grid, C)`` that returns (n, D): `module:attribute` names one, as does
an entry point of the group ``blurcore.features`` of an installed package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from blurcore.data.values import to_data
from blurcore.errors import ConfigError
from blurcore.metrics._inputs import Array
from blurcore.metrics.digits import DigitFeatures
from blurcore.transforms import DCT

GROUP = "blurcore.features"
"""Entry points of installed packages: a name, and the features; loaded where an evaluation names it."""

_LOWEST = 36  # coefficients of a channel, as near as a cube of them comes


@runtime_checkable
class Features(Protocol):
    """A function from images to vectors, with a name for the record."""

    @property
    def name(self) -> str:
        """Name."""
        ...

    def __call__(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return features (n, D) of images, uint8 ``(n, *grid, C)``; a row must not depend on the others."""
        ...


class DctFeatures:
    """The lowest DCT coefficients of each channel, of data in [-1, 1], on grids with any number of axes."""

    name = "dct"

    def __call__(self, images: Array) -> Array:
        """Return (n, D)."""
        axes = tuple(range(1, images.ndim - 1))
        side = round(_LOWEST ** (1 / max(1, len(axes))))
        u = np.asarray(DCT().forward(to_data(images, "symmetric").astype(np.float64), axes=axes))
        lowest: Array = u[(slice(None), *(slice(side) for _ in axes))].reshape(len(images), -1)
        return lowest


FEATURES: dict[str, Callable[[], Features]] = {"digits": DigitFeatures, "dct": DctFeatures}
"""The features that need nothing else, by name."""


def default_features(image_shape: tuple[int, ...]) -> str:
    """Return the features that are taken where none are named: `digits` for images (H, W, C), `dct` for other grids."""
    return "digits" if len(image_shape) == 3 and image_shape[-1] in (1, 3) else "dct"


def get_features(name: str) -> Features:
    """Return features by name.

    Parameters
    ----------
    name
        `digits`, `dct`, the name of an entry point in the group ``blurcore.features``, or `module:attribute`.

    Raises
    ------
    ConfigError
        There are none of this name, or they cannot be imported or are no function.
    """
    if name in FEATURES:
        return FEATURES[name]()
    if name == "inception":
        raise ConfigError("the features inception need the network's weights: --inception-weights PATH")
    from importlib.metadata import entry_points

    found: Any = next(iter(entry_points(group=GROUP, name=name)), None)
    try:
        if found is not None:
            found = found.load()
        elif ":" in name:
            module, _, attribute = name.partition(":")
            found = getattr(importlib.import_module(module), attribute)
        else:
            known = sorted({*FEATURES, "inception", *(point.name for point in entry_points(group=GROUP))})
            raise ConfigError(f"features must be one of {', '.join(known)}, or module:attribute; got {name!r}")
        function: Any = found() if isinstance(found, type) else found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"features {name!r} cannot be imported: {error}") from error
    if isinstance(function, Features):
        return function
    if not callable(function):
        raise ConfigError(f"features {name!r} must be a function of images; got {type(function).__name__}")
    return _Named(name, cast("Callable[[Array], Array]", function))


class _Named:
    """A plain function as features."""

    def __init__(self, name: str, function: Callable[[Array], Array]) -> None:
        self.name, self._function = name, function

    def __call__(self, images: Array) -> Array:
        return self._function(images)
