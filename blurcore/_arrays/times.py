"""Times: checked to lie in [0, 1] where that can be seen, and brought to one frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from blurcore._arrays.dtypes import compute_dtype, upcast
from blurcore._arrays.frames import Frame, device_beside, frame
from blurcore._arrays.libraries import host, is_checkable, is_number, namespace
from blurcore._checks import require
from blurcore._typing import Array, Namespace, Time
from blurcore.errors import ArgumentError


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
    """Check that times lie in [0, 1]; return those that are arrays, and their namespace."""
    arrays: dict[str, Array] = {}
    for name, t in times.items():
        if is_number(t):
            _checked_number(name, t)
        else:
            arrays[name] = t
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
    """Check the times of a step back from t to s, where their values can be looked at."""
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
        ready = xp.astype(t, chosen.work, copy=False)
        return xp.reshape(ready, (1,) * rank) if ready.ndim == 0 else ready

    return Times(chosen, tuple(bring(t) for t in times.values()), False)


def schedule_time(**times: Time) -> tuple[Namespace, tuple[Array, ...]]:
    """Bring the arguments of a schedule to arrays of one namespace; numbers alone become NumPy float64 scalars.

    Numbers are checked to lie in [0, 1]. Arrays are not, whose values the processes have looked at before; those of half
    precision go on in float32.
    """
    if all(type(t) is np.ndarray and t.dtype == np.float64 for t in times.values()):  # what the processes ask with
        return host, tuple(times.values())  # type: ignore[arg-type]  # arrays all, as the line before has seen
    xp = namespace(**times)
    given = next((t for t in times.values() if not is_number(t)), None)
    if given is None:
        return xp, tuple(np.asarray(_checked_number(name, t), dtype=np.float64) for name, t in times.items())
    work = compute_dtype(xp, given.dtype)
    ready: list[Array] = []
    for name, t in times.items():
        if is_number(t):
            device = device_beside(xp, given)
            t = xp.full((), _checked_number(name, t), dtype=work, device=device)
        elif t.dtype != work:
            _require_floating_time(xp, name, t)
            t = upcast(t)
        ready.append(t)
    return xp, tuple(ready)
