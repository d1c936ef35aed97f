"""Comparisons that raise, for tests of whatever library an array comes from.

`np.allclose` is forgotten in an expression statement, compares across libraries and broadcasts; :func:`assert_close`
does none of that. It needs NumPy alone: arrays of other libraries are asked to come over, not imported.
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat as compat
import numpy as np

from blurcore._arrays import to_host
from blurcore._typing import Array, Tensor

EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Distance from 1 to the next number of each dtype; rounding to nearest is off by half of it, relative."""

SMALLEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-14, "bfloat16": 2.0**-126}
"""Smallest normal number of each dtype: below it, relative precision is lost, and some libraries flush to zero."""

ROUNDINGS = 16
"""Operations between an input and a coefficient, each well conditioned and rounded once (sines and logarithms: twice)."""


def dtype_name(array: Array) -> str:
    """Return the name of an array's dtype as the Array API standard spells it."""
    return str(array.dtype).rpartition(".")[2]


def tolerance(dtype: str, *, roundings: float = ROUNDINGS, condition: Any = 1.0) -> Any:
    """Return a relative tolerance: roundings of the dtype, times the condition of the formula.

    Parameters
    ----------
    dtype
        float64, float32, float16 or bfloat16: the one that the *computation* is carried out in.
    roundings
        How many of them there are between the input and the result.
    condition
        By how much the formula amplifies a relative error of its input; may be an array.
    """
    return roundings * EPSILON[dtype] * condition


def _is_array(value: Any) -> bool:  # compat's own annotation tells type checkers of the libraries that it knows alone
    return compat.is_array_api_obj(value)


def as_numpy(array: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return an array of any library, on any device, of any real dtype, as NumPy float64."""
    if compat.is_torch_array(array):
        tensor: Tensor = array
        array = tensor.detach().cpu().double().numpy()
    host = to_host(array) if _is_array(array) else np.asarray(array)
    return host.astype(np.float64)


def assert_close(
    actual: Array,
    desired: Any,
    *,
    rtol: Any = None,
    atol: Any = 0.0,
    like: Array | None = None,
    dtype: str | None = None,
    what: str = "values",
) -> None:
    """Raise unless two arrays agree in every value, and `actual` is what it should be in every other respect.

    Parameters
    ----------
    actual
        The array under test.
    desired
        What it should be: an array, or, with `like`, NumPy values or a number from an oracle.
    rtol, atol
        Bounds on the error of each element, atol + rtol |desired|, broadcastable to `desired`; `rtol` is
        :func:`tolerance` of the dtype where not given.
    like
        An array whose library and device `actual` must have; `desired` itself where not given.
    dtype
        Name of the dtype that `actual` must have; that of `like` where not given.
    what
        What is compared, for the message.

    Raises
    ------
    AssertionError
        Library, dtype, device, shape or a value differs. NaN equals nothing; an infinity equals itself alone.
    """
    expected = desired if like is None else like
    spaces = compat.array_namespace(actual), compat.array_namespace(expected)
    if spaces[0] is not spaces[1]:
        raise AssertionError(f"{what}: an array of {spaces[0].__name__}, not of {spaces[1].__name__}")
    wanted = dtype or dtype_name(expected)
    if dtype_name(actual) != wanted:
        raise AssertionError(f"{what}: dtype {dtype_name(actual)}, not {wanted}")
    if compat.device(actual) != compat.device(expected):
        raise AssertionError(f"{what}: on {compat.device(actual)}, not on {compat.device(expected)}")
    got = as_numpy(actual)
    want = as_numpy(desired) if _is_array(desired) else np.asarray(desired, dtype=np.float64)
    if got.shape != want.shape:
        raise AssertionError(f"{what}: shape {got.shape}, not {want.shape}")
    _assert_values_close(got, want, tolerance(wanted) if rtol is None else rtol, atol, what)


def _assert_values_close(got: Any, want: Any, rtol: Any, atol: Any, what: str) -> None:
    finite = np.isfinite(want)
    magnitude = np.where(finite, np.abs(want), 0.0)
    bound = np.broadcast_to(np.asarray(atol) + np.asarray(rtol) * magnitude, want.shape)
    if np.isnan(bound).any():
        raise AssertionError(f"{what}: the tolerance is NaN")
    with np.errstate(invalid="ignore"):
        error = np.where(got == want, 0.0, np.abs(got - want))
    wrong = ~(error <= bound) | ((got != want) & ~finite)
    if not wrong.any():
        return
    excess = np.where(
        wrong, np.where(np.isfinite(error) & (bound > 0), error / np.where(bound > 0, bound, 1.0), math.inf), 0.0
    )
    worst = np.unravel_index(int(np.argmax(excess)), want.shape)
    place = f" at {tuple(int(i) for i in worst)}" if worst else ""
    raise AssertionError(
        f"{what}: {int(wrong.sum())} of {want.size} differ; worst{place}: {float(got[worst])!r}, not {float(want[worst])!r}"
        f" (error {error[worst]:.3g}, allowed {bound[worst]:.3g})"
    )
