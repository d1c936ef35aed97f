r"""The orthonormal DCT-II, DST-II and their inverses by one real FFT of the same length (Makhoul 1980), for long axes.

With the even samples in order and the odd ones backwards, :math:`v = (x_0, x_2, .., x_3, x_1)`, and their FFT V,

.. math:: u_k = \mathrm{Re}(w_k V_k), \qquad u_{N-k} = -\mathrm{Im}(w_k V_k), \qquad
    w_k = \sqrt{2 / N} \, e^{-i \pi k / 2N}, \quad w_0 = \sqrt{1 / N},

so that half of the spectrum is enough; and back, :math:`V_k = (u_k - i u_{N-k}) / w_k` with :math:`u_N = 0`.

The DST-II of x is the DCT-II of :math:`(-1)^i x_i` backwards, as

.. math:: \sin \frac{\pi (k + 1) (2 i + 1)}{2N} = (-1)^i \cos \frac{\pi (N - 1 - k) (2 i + 1)}{2N} .
"""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import numpy as np

from blurcore._arrays.constants import complex_constant, constant_beside, recipe
from blurcore._typing import Array


@recipe("DCT.twiddles")
def _twiddles(n: int) -> np.ndarray[Any, Any]:
    w: np.ndarray[Any, Any] = np.exp(-0.5j * np.pi * np.arange(n // 2 + 1) / n) * np.sqrt(2 / n)
    w[0] = np.sqrt(1 / n)
    return w


@recipe("DCT.untwiddles")
def _untwiddles(n: int) -> np.ndarray[Any, Any]:
    """1 / w_k for u_k, and -i / w_k for u_(N - k), which is none for k = 0."""
    back = 1 / _twiddles(n)
    return np.stack([back, np.where(np.arange(back.size) > 0, -1j * back, 0.0)])


def dct(x: Array) -> Array:
    """Return the DCT-II along the last axis of float32 or float64 data."""
    xp, n = compat.array_namespace(x), x.shape[-1]
    v = xp.concat((x[..., 0::2], xp.flip(x[..., 1::2], axis=-1)), axis=-1)
    z = xp.fft.rfft(v, axis=-1) * complex_constant("DCT.twiddles", x)
    return xp.concat((xp.real(z), -xp.flip(xp.imag(z)[..., 1 : (n + 1) // 2], axis=-1)), axis=-1)


def idct(u: Array) -> Array:
    """Return the inverse of :func:`dct` along the last axis."""
    xp, n = compat.array_namespace(u), u.shape[-1]
    half = n // 2
    back = complex_constant("DCT.untwiddles", u)
    own, other = back[0, ...], back[1, ...]
    mirrored = xp.concat((u[..., :1], xp.flip(u[..., n - half :], axis=-1)), axis=-1)
    near, far = (xp.astype(part, own.dtype) for part in (u[..., : half + 1], mirrored))
    v = xp.fft.irfft(near * own + far * other, n=n, axis=-1)
    odd = xp.flip(v[..., n - half :], axis=-1)
    x = xp.reshape(xp.stack((v[..., :half], odd), axis=-1), (*v.shape[:-1], 2 * half))
    return x if n % 2 == 0 else xp.concat((x, v[..., half : half + 1]), axis=-1)


def dst(x: Array) -> Array:
    """Return the DST-II along the last axis of float32 or float64 data."""
    xp = compat.array_namespace(x)
    return xp.flip(dct(x * constant_beside("DST.signs", x, x.dtype)), axis=-1)


def idst(u: Array) -> Array:
    """Return the inverse of :func:`dst` along the last axis."""
    xp = compat.array_namespace(u)
    return idct(xp.flip(u, axis=-1)) * constant_beside("DST.signs", u, u.dtype)


@recipe("DST.signs")
def _alternating(n: int) -> np.ndarray[Any, Any]:
    return 1.0 - 2.0 * (np.arange(n) % 2)
