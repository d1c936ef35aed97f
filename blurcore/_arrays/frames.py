"""Where coefficients are worked out: in float64 wherever the library and the device have it, and cast once, at the end.

Where there is no float64 (JAX without x64, Apple's MPS), whatever is a Python number is worked out in NumPy on the host and
moved; only what is traced stays in float32.
"""

from __future__ import annotations

from typing import NamedTuple

import array_api_compat as compat

from blurcore._arrays.dtypes import compute_dtype
from blurcore._arrays.libraries import host, space_of
from blurcore._typing import Array, Device, DType, Namespace


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
            return value if value.dtype == self.out else self.xp.astype(value, self.out)
        return self.out_xp.asarray(value, dtype=self.out, device=self.out_device)

    def arange(self, n: int) -> Array:
        """0, 1, ..., n - 1 in the working dtype."""
        return self.xp.arange(n, dtype=self.work, device=self.device)


_HOST = Frame(host, host.float64, None, host, host.float64, None)
"""NumPy float64, from the first to the last."""


def _has_float64(xp: Namespace, device: Device) -> bool:
    if xp is host:
        return True
    if compat.is_torch_namespace(xp):
        return bool(device is None or device.type != "mps")
    return "float64" in xp.__array_namespace_info__().dtypes(kind="real floating")


def device_beside(xp: Namespace, array: Array) -> Device:
    """Return the device of an array, for new arrays that go with it; None for JAX, whose tracers have no device."""
    return None if compat.is_jax_namespace(xp) else compat.device(array)


def frame(like: Array | None, *, on_host: bool) -> Frame:
    """Choose where to compute for a result that goes with `like` (None: NumPy float64).

    `on_host` says that every input is a Python number, so that the host may do the work where `like` has no float64.
    """
    if like is None:
        return _HOST
    out_xp = space_of(like)
    out = compute_dtype(out_xp, like.dtype)
    device = device_beside(out_xp, like)
    if _has_float64(out_xp, device):
        return Frame(out_xp, out_xp.float64, device, out_xp, out, device)
    if on_host:
        return Frame(host, host.float64, None, out_xp, out, device)
    return Frame(out_xp, out_xp.float32, device, out_xp, out, device)
