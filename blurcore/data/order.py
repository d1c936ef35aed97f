"""The order of the data, without state.

Position p = step * batch_size + j of the endless stream of images holds image

    permutation(seed, epoch)[p mod n],    epoch = p // n,

so batches straddle epochs, no image is dropped, and a set smaller than a batch repeats in a defined way. The
permutation sorts the raw 64-bit stream of PCG64, which NumPy keeps the same from version to version (NEP 19), while
`Generator.permutation` may change.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from blurcore._checks import require
from blurcore.errors import ArgumentError

_ORDER, _FLIPS = 0, 1  # one stream for each purpose


def _integer(name: str, value: int, least: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} must be an integer, {least} or more; got {value!r}")
    return int(value)


def _raw(seed: int, purpose: int, index: int, count: int) -> npt.NDArray[np.uint64]:
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, index))
    return np.asarray(np.random.PCG64(sequence).random_raw(count), dtype=np.uint64)


def permutation(num_items: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Order of the images in one epoch.

    Parameters
    ----------
    num_items
        Number of images n, at least 1.
    seed, epoch
        Integers, 0 or more; they alone decide the order.

    Returns
    -------
    int64 (n,), each of 0 .. n - 1 once.

    Raises
    ------
    ArgumentError
        An argument is not an integer in its range.
    """
    num_items, seed = _integer("num_items", num_items, 1), _integer("seed", seed, 0)
    keys = _raw(seed, _ORDER, _integer("epoch", epoch, 0), num_items)
    return np.argsort(keys, kind="stable").astype(np.int64, copy=False)


class Order:
    """Indices of any batch; the permutations in use are kept, so that going through the steps is cheap.

    Parameters
    ----------
    num_items
        Number of images, at least 1.
    batch_size
        Images in a batch, at least 1; it may be larger than `num_items`.
    seed
        Integer, 0 or more.

    Raises
    ------
    ArgumentError
        An argument is not an integer in its range.
    """

    def __init__(self, num_items: int, batch_size: int, seed: int) -> None:
        self.num_items = _integer("num_items", num_items, 1)
        self.batch_size = _integer("batch_size", batch_size, 1)
        self.seed = _integer("seed", seed, 0)
        self._kept: dict[int, npt.NDArray[np.int64]] = {}

    def batch(self, step: int) -> npt.NDArray[np.int64]:
        """Indices of the batch of one step, int64 (batch_size,); `step` is an integer, 0 or more."""
        start = _integer("step", step, 0) * self.batch_size
        stop = start + self.batch_size
        parts = []
        for epoch in range(start // self.num_items, (stop - 1) // self.num_items + 1):
            first = epoch * self.num_items
            parts.append(self._epoch(epoch)[max(start - first, 0) : stop - first])
        return np.concatenate(parts)

    def _epoch(self, epoch: int) -> npt.NDArray[np.int64]:
        order = self._kept.get(epoch)
        if order is None:
            order = permutation(self.num_items, self.seed, epoch)
            # The last epoch asked for, and the one before it: a batch straddles two.
            self._kept = {e: kept for e, kept in self._kept.items() if e == epoch - 1} | {epoch: order}
        return order


def flips(seed: int, step: int, batch_size: int) -> npt.NDArray[np.bool_]:
    """Which images of a step's batch are mirrored: bool (batch_size,), each with probability 1/2.

    Parameters
    ----------
    seed, step
        Integers, 0 or more; they alone decide. A longer batch begins with the flips of a shorter one.
    batch_size
        At least 1.

    Raises
    ------
    ArgumentError
        An argument is not an integer in its range.
    """
    count = _integer("batch_size", batch_size, 1)
    raw = _raw(_integer("seed", seed, 0), _FLIPS, _integer("step", step, 0), count)
    return (raw >> np.uint64(63)).astype(np.bool_)


def apply_flips(images: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Mirror the images chosen by `mask`, left to right.

    Parameters
    ----------
    images
        uint8 (n, H, W, C); not changed.
    mask
        bool (n,).

    Returns
    -------
    A new array of the same shape.

    Raises
    ------
    ArgumentError
        The shapes do not fit.
    """
    require(images.ndim == 4, "images", images.shape, "of shape (n, H, W, C)")
    require(mask.shape == images.shape[:1], "mask", mask.shape, f"of shape {images.shape[:1]}, one flag an image")
    return np.where(mask[:, None, None, None], images[:, :, ::-1], images)
