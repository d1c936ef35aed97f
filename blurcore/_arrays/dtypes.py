"""Precision: float64 stays, everything shorter is worked out in float32, and results have the dtype of the data (SPEC 10)."""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import numpy as np

from blurcore._arrays.libraries import is_number, namespace, namespace_of, require_floating, space_of
from blurcore._checks import plain
from blurcore._typing import A, Array, DType, Namespace


def compute_dtype(xp: Namespace, dtype: DType) -> DType:
    """Return float64 for data of 64 bits or more, in any byte order; float32 for everything shorter (SPEC 10: half precision)."""
    wide = dtype == xp.float64 or (compat.is_numpy_namespace(xp) and np.dtype(dtype).itemsize >= 8)
    return xp.float64 if wide else xp.float32


def result_dtype(x: Array) -> DType:
    """Return the dtype of results for data `x`: that of `x` in native byte order; float64 for longer NumPy dtypes."""
    if not compat.is_numpy_array(x):
        return x.dtype
    return np.dtype(np.float64) if x.dtype.itemsize > 8 else x.dtype.newbyteorder("=")


def as_result(value: A, x: Array) -> A:
    """Return a value in the dtype of results for data `x`, without a copy if it has that already."""
    dtype = result_dtype(x)
    return value if value.dtype == dtype else space_of(value).astype(value, dtype)


def upcast(x: A) -> A:
    """Return `x` in its compute dtype."""
    xp = space_of(x)
    work = compute_dtype(xp, x.dtype)
    return x if x.dtype == work else xp.astype(x, work)


def root(x: Array) -> Array:
    """Return the square root, with 0 as its derivative where x is 0.

    A variance that stays 0 (DC of heat dissipation) has a standard deviation that stays 0, of which the chain rule makes 0 / 0.
    """
    xp = space_of(x)
    zero = x == 0
    return xp.where(zero, xp.zeros_like(x), xp.sqrt(xp.where(zero, xp.ones_like(x), x)))


def together(**arrays: Any) -> tuple[Any, ...]:
    """Return arrays in the compute dtype of the first of them, numbers as Python's; None stays None.

    Raises
    ------
    NamespaceError
        The arrays belong to different libraries or devices, or an argument is no array; the message names them.
    ArgumentError
        An array is not real floating.
    """
    arrays = {name: plain(value) for name, value in arrays.items()}
    given = {name: value for name, value in arrays.items() if value is not None and not is_number(value)}
    if not given:
        return tuple(arrays.values())
    name, first = next(iter(given.items()))
    xp = namespace(**given) if _may_differ(given, first) else namespace_of(name, first)
    work = compute_dtype(xp, first.dtype)
    for name, value in given.items():
        if value.dtype != work:
            require_floating(name, value)
            arrays[name] = xp.astype(value, work)
    return tuple(arrays.values())


def _may_differ(arrays: dict[str, Any], first: Any) -> bool:
    """Whether arrays may be of several libraries or devices; a quick test by type, before namespaces are looked up."""
    kind = type(first)
    if any(type(value) is not kind for value in arrays.values()):
        return True
    return compat.is_torch_array(first) and any(value.device != first.device for value in arrays.values())
