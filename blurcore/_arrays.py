"""Where a computation happens: which library, in which precision, on which device.

Coefficients are worked out in float64 wherever the library and the device have it, and cast once, at the end, to the
precision of the data (float32 for half-precision data). Where there is no float64 (JAX without x64, Apple's MPS),
whatever is a Python number is worked out in NumPy on the host and moved; only what is traced stays in float32.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import array_api_compat as compat
import numpy as np

from blurcore._checks import plain, require
from blurcore._typing import Array, Device, DType, Namespace, Time
from blurcore.errors import ArgumentError, NamespaceError

P = ParamSpec("P")
R = TypeVar("R")


def quiet(f: Callable[P, R]) -> Callable[P, R]:
    """Make a computation independent of NumPy's error state: underflow and infinities are results here, not faults."""

    @functools.wraps(f)
    def calm(*args: P.args, **kwargs: P.kwargs) -> R:
        torch = sys.modules.get("torch")
        if torch is not None and torch.compiler.is_dynamo_compiling():  # which cannot follow NumPy's error state
            return f(*args, **kwargs)
        with np.errstate(all="ignore"):
            return f(*args, **kwargs)

    return calm


def is_number(value: Any) -> bool:
    """Whether a value is a host scalar: a Python or NumPy number, but no bool."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def namespace(**arrays: Array) -> Namespace:
    """Return the one namespace of the given arrays (numbers and None are skipped).

    Raises
    ------
    NamespaceError
        The arrays belong to different libraries or devices, or an argument is no array; the message names them.
    """
    given = {name: value for name, value in arrays.items() if value is not None and not is_number(value)}
    spaces = {}
    for name, value in given.items():
        spaces[name] = _namespace_of(name, value)
    if not spaces:
        return compat.array_namespace(np.empty(0))
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


def _namespace_of(name: str, value: Any) -> Namespace:
    try:
        return compat.array_namespace(value)
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
    if compat.is_array_api_strict_namespace(compat.array_namespace(array)):
        array = array.to_device(type(array.device)("CPU_DEVICE"))  # the one that NumPy reaches
    return np.asarray(array)


def require_floating(name: str, array: Array) -> Namespace:
    """Return the namespace of one array; refuse what is no array, or is not of a real floating dtype."""
    xp = _namespace_of(name, array)
    if not xp.isdtype(array.dtype, "real floating"):
        raise ArgumentError(f"{name} must be real floating; got dtype {array.dtype}")
    return xp


def require_real(**arrays: Array) -> None:
    """Refuse arrays that are not of a real floating dtype."""
    for name, array in arrays.items():
        require_floating(name, array)


def compute_dtype(xp: Namespace, dtype: DType) -> DType:
    """Return float64 for data of 64 bits or more, in any byte order; float32 for everything shorter (SPEC 10: half precision)."""
    wide = dtype == xp.float64 or (compat.is_numpy_namespace(xp) and np.dtype(dtype).itemsize >= 8)
    return xp.float64 if wide else xp.float32


def result_dtype(x: Array) -> DType:
    """Return the dtype of what goes with data: their own, in the machine's byte order, and float64 for NumPy's longer ones."""
    if not compat.is_numpy_array(x):
        return x.dtype
    return np.dtype(np.float64) if x.dtype.itemsize > 8 else x.dtype.newbyteorder("=")


def as_result(value: Array, x: Array) -> Array:
    """Return a value in the dtype of what goes with data x; itself where it has it."""
    dtype = result_dtype(x)
    return value if value.dtype == dtype else compat.array_namespace(value).astype(value, dtype)


def upcast(x: Array) -> Array:
    """Return `x` in its compute dtype."""
    xp = compat.array_namespace(x)
    work = compute_dtype(xp, x.dtype)
    return x if x.dtype == work else xp.astype(x, work)


def root(x: Array) -> Array:
    """Return the square root, with 0 as its derivative where x is 0.

    A variance that stays 0 (DC of heat dissipation) has a standard deviation that stays 0, of which the chain rule makes 0 / 0.
    """
    xp = compat.array_namespace(x)
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
    xp = namespace(**given) if _may_differ(given, first) else _namespace_of(name, first)
    work = compute_dtype(xp, first.dtype)
    for name, value in given.items():
        if value.dtype != work:
            require_floating(name, value)
            arrays[name] = xp.astype(value, work)
    return tuple(arrays.values())


def _may_differ(arrays: dict[str, Any], first: Any) -> bool:
    """Whether arrays may be of several libraries or devices, which one type tells faster than their namespaces."""
    kind = type(first)
    if any(type(value) is not kind for value in arrays.values()):
        return True
    return compat.is_torch_array(first) and any(value.device != first.device for value in arrays.values())


class Frame(NamedTuple):
    """Library, working dtype and device of a computation, and those of its result."""

    xp: Namespace
    work: DType
    device: Device
    out_xp: Namespace
    out: DType
    out_device: Device

    def finish(self, value: Array) -> Array:
        """Cast (and, from the host, move) a result to what the caller asked for."""
        if self.xp is self.out_xp:
            return self.xp.astype(value, self.out, copy=False)
        return self.out_xp.asarray(value, dtype=self.out, device=self.out_device)

    def arange(self, n: int) -> Array:
        """0, 1, ..., n - 1 in the working dtype."""
        return self.xp.arange(n, dtype=self.work, device=self.device)


def _has_float64(xp: Namespace, device: Device) -> bool:
    if compat.is_torch_namespace(xp):
        return bool(device is None or device.type != "mps")
    return "float64" in xp.__array_namespace_info__().dtypes(kind="real floating")


def device_beside(xp: Namespace, array: Array) -> Device:
    """Return the device for what goes with an array: None for JAX, which finds it by itself; its tracers have none to name."""
    return None if compat.is_jax_namespace(xp) else compat.device(array)


def frame(like: Array | None, *, on_host: bool) -> Frame:
    """Choose where to compute for a result that goes with `like` (None: NumPy float64).

    `on_host` says that every input is a Python number, so that the host may do the work where `like` has no float64.
    """
    if like is None:
        xp = compat.array_namespace(np.empty(0))
        return Frame(xp, xp.float64, None, xp, xp.float64, None)
    out_xp = compat.array_namespace(like)
    out = compute_dtype(out_xp, like.dtype)
    device = device_beside(out_xp, like)
    if _has_float64(out_xp, device):
        return Frame(out_xp, out_xp.float64, device, out_xp, out, device)
    if on_host:
        host = compat.array_namespace(np.empty(0))
        return Frame(host, host.float64, None, out_xp, out, device)
    return Frame(out_xp, out_xp.float32, device, out_xp, out, device)


class Times(NamedTuple):
    """Times made ready: a frame, and each time as a NumPy float64 scalar or an array of the frame's working dtype."""

    frame: Frame
    values: tuple[Array, ...]
    on_host: bool

    def scalar(self, value: Array, num_axes: int) -> Any:
        """Return a quantity of time so that it broadcasts over `num_axes` frequency axes: a float, or ``(*time, 1, .., 1)``."""
        if self.on_host:
            return float(value)
        return self.frame.xp.reshape(value, (*value.shape, *([1] * num_axes)))


def _checked_number(name: str, t: Time) -> float:
    value = float(t)
    require(0.0 <= value <= 1.0, name, value, "a time in [0, 1]")
    return value


def _checked(times: dict[str, Time], like: Array | None = None) -> tuple[dict[str, Array], Namespace]:
    """Return those of the times that are arrays, and their namespace, having refused what is no time."""
    arrays = {name: t for name, t in times.items() if not is_number(t)}
    for name, t in times.items():
        if is_number(t):
            _checked_number(name, t)
    if not arrays:
        return arrays, None
    xp = namespace(**arrays, like=like)
    for name, t in arrays.items():
        _require_floating_time(xp, name, t)
        if is_checkable(xp) and not bool(xp.all((t >= 0) & (t <= 1))):
            bad = xp.reshape(t, (-1,))
            worst = next(float(v) for v in (bad[i] for i in range(bad.shape[0])) if not 0.0 <= float(v) <= 1.0)
            raise ArgumentError(f"{name} must be a time in [0, 1]; got {worst!r}")
    return arrays, xp


def _require_floating_time(xp: Namespace, name: str, t: Array) -> None:
    if not xp.isdtype(t.dtype, "real floating"):
        raise ArgumentError(f"{name} must be a real floating time in [0, 1]; got dtype {t.dtype}")


def check_step(t: Time, s: Time) -> None:
    """Refuse times of a step back from t to s that are none, or are in the wrong order, where they can be seen."""
    arrays, xp = _checked({"t": t, "s": s})
    if arrays and not is_checkable(xp):
        return
    late, early = (float(time) if is_number(time) else time for time in (t, s))
    rising = early > late
    if bool(xp.any(rising) if arrays else rising):
        raise ArgumentError(f"s must be at most t; got s = {s!r}, t = {t!r}")


def prepare_times(like: Array | None = None, **times: Time) -> Times:
    """Check times and bring them to one frame.

    Numbers are checked to lie in [0, 1]; so are NumPy arrays. Arrays that may be traced or live on an accelerator are
    taken at their word, because looking at them would break the trace or wait for the device.
    """
    arrays, xp = _checked(times, like)
    if not arrays:
        if like is not None:
            namespace(like=like)
        values = tuple(np.asarray(float(t), dtype=np.float64) for t in times.values())
        return Times(frame(like, on_host=True), values, True)
    ranks = {t.ndim for t in arrays.values()} - {0}
    if len(ranks) > 1:
        listing = ", ".join(f"{name}: {tuple(t.shape)}" for name, t in arrays.items())
        raise ArgumentError(f"times must have the same number of axes, or none; got shapes {listing}")
    rank = max(ranks, default=0)
    chosen = frame(next(iter(arrays.values())) if like is None else like, on_host=False)

    def bring(t: Time) -> Array:
        if is_number(t):
            return xp.full((1,) * rank, float(t), dtype=chosen.work, device=chosen.device)
        t = xp.astype(t, chosen.work, copy=False)
        return xp.reshape(t, (1,) * rank) if t.ndim == 0 else t

    return Times(chosen, tuple(bring(t) for t in times.values()), False)


def schedule_time(**times: Time) -> tuple[Namespace, tuple[Array, ...]]:
    """Bring the arguments of a schedule to arrays of one namespace; numbers alone become NumPy float64 scalars.

    Numbers are checked to lie in [0, 1]. Arrays are not, whose values the processes have looked at before; those of half
    precision go on in float32.
    """
    xp = namespace(**times)
    given = next((t for t in times.values() if not is_number(t)), None)
    if given is None:
        return xp, tuple(np.asarray(_checked_number(name, t), dtype=np.float64) for name, t in times.items())
    work = compute_dtype(xp, given.dtype)
    ready = []
    for name, t in times.items():
        if is_number(t):
            device = device_beside(xp, given)
            t = xp.full((), _checked_number(name, t), dtype=work, device=device)
        elif t.dtype != work:
            _require_floating_time(xp, name, t)
            t = upcast(t)
        ready.append(t)
    return xp, tuple(ready)


def normalize_axes(axes: tuple[int, ...] | int, ndim: int) -> tuple[int, ...]:
    """Return axes as non-negative integers; refuse those out of range or given twice."""
    several: Any = (axes,) if is_number(axes) else axes
    axes = tuple(plain(a) for a in several)
    if not all(isinstance(a, int) and -ndim <= a < ndim for a in axes):
        raise ArgumentError(f"axes must be in [-{ndim}, {ndim}) for data with {ndim} axes; got {axes!r}")
    positive = tuple(a % ndim for a in axes)
    require(len(set(positive)) == len(positive), "axes", axes, "distinct")
    return positive


def align(coefficient: Array, *, ndim: int, axes: tuple[int, ...] | int) -> Array:
    """Reshape a coefficient ``(*time, *grid)`` so that it broadcasts over data with `ndim` axes.

    The time axes are the leading axes of the data; the grid axes go where `axes` says, in any order; the rest
    (channels) has size 1.

    Raises
    ------
    ArgumentError
        The time axes run into the grid axes: t has more axes than the data has batch axes. Or the coefficient has
        fewer axes than the grid.
    NamespaceError
        The coefficient is no array.
    """
    xp = _namespace_of("coefficient", coefficient)
    axes = normalize_axes(axes, ndim)
    num_times = coefficient.ndim - len(axes)
    require(
        num_times >= 0, "coefficient", tuple(coefficient.shape),
        f"of shape (*time, *grid), with a grid of {len(axes)} axes",
    )  # fmt: skip
    require(
        all(axis >= num_times for axis in axes), "t", f"{num_times} axes",
        f"of the batch axes alone, which precede the grid axes {axes} of the data",
    )  # fmt: skip
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    shape = [1] * ndim
    shape[:num_times] = coefficient.shape[:num_times]
    for i in order:
        shape[axes[i]] = coefficient.shape[num_times + i]
    if order != list(range(len(axes))):
        coefficient = xp.permute_dims(coefficient, (*range(num_times), *(num_times + i for i in order)))
    return xp.reshape(coefficient, tuple(shape))
