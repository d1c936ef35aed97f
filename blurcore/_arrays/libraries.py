"""Which library an array is of, and what may be looked at in it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import array_api_compat as compat
import array_api_compat.numpy as compat_numpy
import numpy as np

from blurcore._typing import Array, Namespace
from blurcore.errors import ArgumentError, NamespaceError

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # in `typing` from Python 3.13 on

P = ParamSpec("P")
R = TypeVar("R")

host: Namespace = compat_numpy
"""The namespace of NumPy, where numbers are worked out."""

_is_calm: ContextVar[bool] = ContextVar("blurcore_is_calm", default=False)
"""Whether a function around this one has set NumPy's error state, which has the same scope: setting it takes 3 microseconds."""


def quiet(f: Callable[P, R]) -> Callable[P, R]:
    """Make a computation independent of NumPy's error state: underflow and infinities are results here, not faults."""

    @functools.wraps(f)
    def calm(*args: P.args, **kwargs: P.kwargs) -> R:
        torch = sys.modules.get("torch")
        if torch is not None and torch.compiler.is_dynamo_compiling():  # which cannot follow NumPy's error state
            return f(*args, **kwargs)
        if _is_calm.get():
            return f(*args, **kwargs)
        outside = _is_calm.set(True)
        try:
            with np.errstate(all="ignore"):
                return f(*args, **kwargs)
        finally:
            _is_calm.reset(outside)

    return calm


def is_number(value: Any) -> TypeIs[float]:
    """Whether a value is a host scalar: a Python or NumPy number, but no bool."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def namespace(**arrays: Array | float | None) -> Namespace:
    """Return the one namespace of the given arrays (numbers and None are skipped).

    Raises
    ------
    NamespaceError
        The arrays belong to different libraries or devices, or an argument is no array; the message names them.
    """
    given: dict[str, Any] = {
        name: value for name, value in arrays.items() if value is not None and not is_number(value)
    }
    spaces = {name: namespace_of(name, value) for name, value in given.items()}
    if not spaces:
        return host
    xp = next(iter(spaces.values()))
    if any(other is not xp for other in spaces.values()):
        listing = ", ".join(
            f"{name}: {space.__name__.removeprefix('array_api_compat.')}" for name, space in spaces.items()
        )
        raise NamespaceError(f"arrays must come from one library; got {listing}")
    if compat.is_torch_namespace(xp) or compat.is_array_api_strict_namespace(xp):
        devices = {name: value.device for name, value in given.items()}
        first = next(iter(devices.values()))
        if any(other != first for other in devices.values()):
            listing = ", ".join(f"{name}: {device}" for name, device in devices.items())
            raise NamespaceError(f"arrays must be on one device; got {listing}")
    return xp


def space_of(value: Any) -> Namespace:
    """Return the namespace of one array; for NumPy's and PyTorch's own types without the search that takes microseconds."""
    kind = type(value)
    if kind is np.ndarray and value.dtype.kind == "f":
        return host
    torch = sys.modules.get("array_api_compat.torch")
    return torch if torch is not None and kind is torch.Tensor else compat.array_namespace(value)


def namespace_of(name: str, value: Any) -> Namespace:
    """Return the namespace of one array; an error names the argument."""
    try:
        return space_of(value)
    except TypeError:
        message = (
            f"{name} must be an array of NumPy, PyTorch, JAX or another Array API library; got {type(value).__name__}"
        )
        raise NamespaceError(message) from None


def is_checkable(xp: Namespace) -> bool:
    """Whether values can be looked at without waiting for an accelerator or breaking a trace."""
    return bool(compat.is_numpy_namespace(xp) or compat.is_array_api_strict_namespace(xp))


def to_host(array: Array) -> np.ndarray[Any, Any]:
    """Return an array whose values can be looked at as NumPy's; those of array-api-strict may be on a simulated device."""
    reachable: Any = array
    if compat.is_array_api_strict_namespace(compat.array_namespace(array)):
        reachable = reachable.to_device(type(reachable.device)("CPU_DEVICE"))  # the one that NumPy reaches
    return np.asarray(reachable)


def require_floating(name: str, array: Array) -> Namespace:
    """Return the namespace of one array; raise for another type and for a dtype that is not real floating."""
    xp = namespace_of(name, array)
    if not xp.isdtype(array.dtype, "real floating"):
        raise ArgumentError(f"{name} must be real floating; got dtype {array.dtype}")
    return xp


def require_real(**arrays: Array) -> None:
    """Refuse arrays that are not of a real floating dtype."""
    for name, array in arrays.items():
        require_floating(name, array)
