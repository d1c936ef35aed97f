"""Arrays that follow from sizes alone: worked out once on the host, in float64, and kept for each library and device.

An accelerator gets each of them once, a compiled program as a constant.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import array_api_compat as compat
import numpy as np

from blurcore._typing import Array, Device, DType, Namespace

Recipe = Callable[..., "np.ndarray[Any, Any]"]

_MOST = 512  # constants that are kept; a program that sees many sizes forgets the oldest
_recipes: dict[str, Recipe] = {}
_places: dict[Any, str] = {}
_numbers = itertools.count()


class _Shelf:
    """Holds each constant as an attribute, which `torch.compile` looks up when it comes to it (a dictionary it reads whole)."""


_shelf = _Shelf()


def recipe(name: str) -> Callable[[Recipe], Recipe]:
    """Declare how the constant `name` follows from integers: a float64 or complex128 array of NumPy's."""

    def declare(make: Recipe) -> Recipe:
        _recipes[name] = make
        return make

    return declare


def constant(name: str, sizes: tuple[int, ...], xp: Namespace, dtype: DType, device: Device) -> Array:
    """Return a constant by the name of its recipe. It is shared: whoever hands it to a user copies it."""
    if compat.is_jax_namespace(
        xp
    ):  # what JAX makes within a trace must not outlive it, so that it gets the host's array
        return xp.asarray(getattr(_shelf, _make(name, sizes, np, np.dtype(dtype).name, None)))
    return getattr(_shelf, _make(name, sizes, xp, dtype, device))


def _make(name: str, sizes: tuple[int, ...], xp: Any, dtype: DType, device: Device) -> str:
    """See to it that a constant is on the shelf, and return where."""
    key: Any = (name, sizes, xp.__name__, dtype, device)
    place = _places.get(key)
    if place is None:
        number = next(_numbers)
        place = f"constant_{number}"
        # A tensor of PyTorch's inference mode could never be part of a training step.
        with xp.inference_mode(False) if compat.is_torch_namespace(xp) else nullcontext():
            array = xp.asarray(_recipes[name](*sizes), dtype=dtype, device=device)
        if compat.is_torch_array(array) and not _is_real(array, xp):
            key = number  # the next call must not find it
        while len(_places) >= _MOST:
            delattr(_shelf, _places.pop(next(iter(_places))))
        setattr(_shelf, place, array)
        _places[key] = place
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
_make._dynamo_marked_constant = True  # type: ignore[attr-defined]


def fixed(n: int) -> int:
    """Return a size as a number that `torch.compile` knows, whose sizes may be symbols: a program is made for each.

    A symbol that becomes the key of a dictionary has to be a number.
    """
    return next(iter({n: None}))
