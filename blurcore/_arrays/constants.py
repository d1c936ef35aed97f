"""Arrays that follow from sizes alone: worked out on the host, in float64, and kept for each library and device.

What is kept is bounded in bytes, and may be asked for by several threads at once.

An accelerator gets each of them once, a compiled program as a constant.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import array_api_compat as compat
import numpy as np

from blurcore._arrays.frames import device_beside
from blurcore._arrays.libraries import space_of
from blurcore._typing import Array, Device, DType, Namespace

Recipe = Callable[..., "np.ndarray[Any, Any]"]

_MOST_BYTES = 2**26
_ENTRY = 512  # what an entry takes beside its numbers
_recipes: dict[str, Recipe] = {}
_programs: dict[Any, str] = {}
_numbers = itertools.count()
_lock = threading.RLock()


class _Kept:
    """Constants in the order of their last use, of no more than `_MOST_BYTES` together; for several threads."""

    def __init__(self) -> None:
        self.arrays: dict[Any, Any] = {}
        self.bytes = 0

    def find(self, key: Any) -> Any:
        """Return a constant, or None."""
        with _lock:
            array = self.arrays.pop(key, None)
            if array is not None:
                self.arrays[key] = array
            return array

    def keep(self, key: Any, array: Any) -> None:
        """Keep a constant, and drop those that were not used for longest; one above the bound is not kept."""
        size = _size(array)
        with _lock:
            if size > _MOST_BYTES or key in self.arrays:
                return
            self.arrays[key] = array
            self.bytes += size
            while self.bytes > _MOST_BYTES:
                self.bytes -= _size(self.arrays.pop(next(iter(self.arrays))))


_kept = _Kept()


def _size(array: Any) -> int:
    """Return the bytes of an array; 16 bytes a number where the library has no itemsize."""
    return int(getattr(array, "nbytes", 16 * math.prod(array.shape))) + _ENTRY


class _Shelf:
    """Holds what compiled programs use, for as long as they may be called, each constant as an attribute.

    `torch.compile` looks an attribute up when it comes to it (a dictionary it reads whole).
    """


_shelf = _Shelf()


def recipe(name: str) -> Callable[[Recipe], Recipe]:
    """Declare how the constant `name` follows from integers: a float64 or complex128 array of NumPy's."""

    def declare(make: Recipe) -> Recipe:
        _recipes[name] = make
        return make

    return declare


def constant(name: str, sizes: tuple[int, ...], xp: Namespace, dtype: DType, device: Device) -> Array:
    """Return a constant by the name of its recipe. It is shared: copy it before it is returned to a user."""
    if compat.is_jax_namespace(
        xp
    ):  # what JAX makes within a trace must not outlive it, so that it gets the host's array
        return xp.asarray(_find(name, sizes, np, np.dtype(dtype).name, None))
    if compat.is_torch_namespace(xp) and xp.compiler.is_dynamo_compiling():
        return getattr(_shelf, _place_for_program(name, sizes, xp, dtype, device))
    return _find(name, sizes, xp, dtype, device)


def _find(name: str, sizes: tuple[int, ...], xp: Any, dtype: DType, device: Device) -> Array:
    """Return the cached constant, or compute it outside of the lock; of two threads' results the first is kept."""
    key = (name, sizes, xp.__name__, dtype, device)
    array = _kept.find(key)
    if array is None:
        # A tensor of PyTorch's inference mode could never be part of a training step.
        with xp.inference_mode(False) if compat.is_torch_namespace(xp) else nullcontext():
            array = xp.asarray(_recipes[name](*sizes), dtype=dtype, device=device)
        if compat.is_numpy_array(array):
            array.setflags(write=False)
        if not compat.is_torch_array(array) or _is_real(array, xp):
            _kept.keep(key, array)
    return array


def _place_for_program(name: str, sizes: tuple[int, ...], xp: Any, dtype: DType, device: Device) -> str:
    """Put a constant on the shelf of compiled programs, and return its place."""
    key: Any = (name, sizes, xp.__name__, dtype, device)
    with _lock:
        place = _programs.get(key)
        if place is None:
            place = f"constant_{next(_numbers)}"
            array = _find(name, sizes, xp, dtype, device)
            setattr(_shelf, place, array)
            if _is_real(array, xp):  # another program must not find it
                _programs[key] = place
        return place


def _is_real(tensor: Any, xp: Any) -> bool:
    """Whether a tensor has memory of its own: not one of a tracer, or of `torch.func`, which mean nothing outside of them."""
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return type(tensor) is xp.Tensor


# What `torch.compiler.assume_constant_result` sets, without a need to import torch: Dynamo calls the function while it
# traces, and takes its word as a constant.
_place_for_program._dynamo_marked_constant = True  # type: ignore[attr-defined]


def where(x: Array) -> tuple[Namespace, DType, Device]:
    """Return the library, dtype and device of an array."""
    xp = space_of(x)
    return xp, x.dtype, device_beside(xp, x)


def constant_beside(name: str, x: Array, dtype: DType) -> Array:
    """Return a constant for the last axis of x, with as many axes before its own as x has (and its first, if it has two)."""
    xp, _, device = where(x)
    array = constant(name, (fixed(x.shape[-1]),), xp, dtype, device)
    return xp.reshape(array, (*array.shape[:-1], *[1] * (x.ndim - 1), array.shape[-1]))


def complex_constant(name: str, x: Array) -> Array:
    """Return a complex constant beside real x, as precise as x."""
    xp = compat.array_namespace(x)
    return constant_beside(name, x, xp.complex128 if x.dtype == xp.float64 else xp.complex64)


def fixed(n: int) -> int:
    """Return a size as a number that `torch.compile` knows, whose sizes may be symbols: a program is made for each.

    A symbol that becomes the key of a dictionary has to be a number.
    """
    return next(iter({n: None}))
