"""Which way a transform goes: a product with the matrix, or an FFT. All that was measured to decide it is here.

The figures are those of `benchmarks/choice.py` on two cores (docs/speed.md has the table). For accelerators, where
nothing could be measured yet, the length is that at which the product's arithmetic takes as long as the FFT's passes over
memory, in float32 and without TF32.
"""

from __future__ import annotations

import importlib.util
import math
import os
from functools import cache
from typing import Any

import array_api_compat as compat

from blurcore._arrays.libraries import space_of
from blurcore._typing import Array, Tensor

LONGEST_PRODUCT = {"numpy": 96, "torch": 192, "torch, inverse or differentiated": 384, "jax": 256, "accelerator": 512}
"""Axes up to this length are multiplied by the matrix, longer ones go through an FFT.

PyTorch's FFTs have slow derivatives, and the way back from the spectrum needs more passes than the way there."""
FEW_NUMBERS = 2**16
"""NumPy arrays up to this size are left to SciPy whatever their shape: its one call costs less than two of NumPy's products."""
THREADED_BYTES = 2**19
"""NumPy arrays from this size on are worth several threads of SciPy's."""


def fft_axes(x: Array, axes: tuple[int, ...], *, inverse: bool, at_once: bool = False) -> tuple[int, ...]:
    """Return the axes for which an FFT is faster; with `at_once`, one SciPy call transforms all of them."""
    if 0 in x.shape:  # some FFTs refuse an empty batch
        return ()
    longest = 0 if at_once and math.prod(x.shape) <= FEW_NUMBERS else _longest_product(x, inverse=inverse)
    return tuple(axis for axis in axes if _takes_fft(x.shape[axis], longest))


def _longest_product(x: Array, *, inverse: bool) -> float:
    xp = space_of(x)
    if compat.is_numpy_namespace(xp):
        return LONGEST_PRODUCT["numpy"]
    if compat.is_torch_namespace(xp):
        tensor: Tensor = x
        if tensor.device.type != "cpu":
            return LONGEST_PRODUCT["accelerator"]
        return LONGEST_PRODUCT["torch, inverse or differentiated" if inverse or tensor.requires_grad else "torch"]
    if compat.is_jax_namespace(xp):
        platforms = {getattr(device, "platform", "cpu") for device in xp.__array_namespace_info__().devices()}
        return LONGEST_PRODUCT["jax" if platforms == {"cpu"} else "accelerator"]
    return LONGEST_PRODUCT["accelerator"] if hasattr(xp, "fft") else math.inf


def _takes_fft(n: int, longest: float) -> bool:
    """Whether an axis of n is long enough for an FFT; one of a large prime factor has to be longer."""
    if n <= longest:
        return False
    rest = n
    for factor in (2, 3, 5, 7, 11):
        while rest % factor == 0:
            rest //= factor
    return rest == 1 or n > 4 * longest


@cache
def has_scipy() -> bool:
    """Whether SciPy is installed, which is no requirement of the core."""
    return importlib.util.find_spec("scipy") is not None


def threads(x: Array) -> int:
    """Return how many threads SciPy should take for a NumPy array: all cores of this process, or one."""
    host: Any = x
    return 1 if host.nbytes < THREADED_BYTES else _cores()


@cache
def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
