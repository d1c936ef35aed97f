"""What the metrics want to know of a set of images, from one pass over them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from blurcore.data.images import convert_channels
from blurcore.data.order import permutation
from blurcore.errors import ArgumentError, BlurcoreError
from blurcore.metrics._inputs import Array
from blurcore.metrics.features import Features
from blurcore.metrics.spectrum import band_power

_BATCH = 256


class Observation(NamedTuple):
    """A set of n images, image by image."""

    by: Features
    """What the features are."""
    image_shape: tuple[int, ...]
    """``(*grid, C)``"""
    features: Array
    """float64 (n, D)"""
    power: Array
    """float64 (n, bands), of :func:`blurcore.metrics.band_power`."""
    keys: list[bytes]
    """Hashes of the pixels, by which an image is known again in another set."""


class View:
    """Some images of a set, in the order in which they are there, perhaps with other channels; read where they are asked for.

    Parameters
    ----------
    data
        A data set or an array, uint8 ``(n, *grid, C)``.
    limit
        How many images at most: a fixed random choice; None for all.
    channels
        3 to repeat grey; None for what they have.
    """

    def __init__(self, data: Any, *, limit: int | None = None, channels: int | None = None) -> None:
        self._data, self._channels = data, channels
        count = len(data)
        chosen = np.arange(count) if limit is None else np.sort(permutation(count, seed=0, epoch=0)[:limit])
        self._chosen = chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, rows: slice) -> Array:
        return convert_channels(np.asarray(self._data[self._chosen[rows]]), self._channels)


def observe(images: Any, features: Features, *, step_done: Callable[[int], None] = lambda images: None) -> Observation:
    """Look at each image of a set once.

    Parameters
    ----------
    images
        uint8 ``(n, *grid, C)``: an array, or a data set, which is read batch by batch.
    features
        What images are compared by.
    step_done
        Called after each batch with its number of images.

    Raises
    ------
    ArgumentError
        There are no images, they are no pixels, or the features are not one finite vector for each.
    """
    if not len(images):
        raise ArgumentError("images must hold at least one image; got none")
    rows, power, keys, shape = [], [], [], ()
    for first in range(0, len(images), _BATCH):
        batch = np.ascontiguousarray(images[first : first + _BATCH])
        power.append(band_power(batch))
        rows.append(_vectors(features, batch))
        keys += [hashlib.blake2b(image.data, digest_size=16).digest() for image in batch]
        shape = batch.shape[1:]
        step_done(len(batch))
    if len({part.shape[1] for part in rows}) > 1:
        raise ArgumentError(f"features {features.name!r} must have one dimension for all images; got several")
    return Observation(features, tuple(shape), np.concatenate(rows), np.concatenate(power), keys)


def _vectors(features: Features, batch: Array) -> Array:
    """Return the features of a batch, (n, D), if that is what they are."""
    try:
        rows = np.asarray(features(batch), dtype=np.float64)
    except BlurcoreError:
        raise
    except Exception as error:  # a function of the user's, of which nothing is known
        raise ArgumentError(
            f"features {features.name!r} fail on images {batch.shape}: {type(error).__name__}: {error}"
        ) from error
    if rows.ndim != 2 or len(rows) != len(batch) or rows.size == 0:
        raise ArgumentError(
            f"features {features.name!r} must return an array ({len(batch)}, D) for {len(batch)} images; got {rows.shape}"
        )
    if not np.isfinite(rows).all():
        raise ArgumentError(f"features {features.name!r} must be finite; got NaN or infinity")
    return rows
