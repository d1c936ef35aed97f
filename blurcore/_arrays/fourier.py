r"""The orthonormal real Fourier basis and its inverse by one real FFT of the same length, for long axes.

With :math:`X_f = \sum_n x_n e^{-2 \pi i f n / N}` the coefficients are

.. math:: u = (s_0 \mathrm{Re} X_0, s_1 \mathrm{Re} X_1, -s_1 \mathrm{Im} X_1, s_2 \mathrm{Re} X_2, \ldots),

where :math:`s_f = \sqrt{2 / N}`, and :math:`\sqrt{1 / N}` for the constant and, for even N, the last cosine.
"""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import numpy as np

from blurcore._arrays.constants import complex_constant, recipe
from blurcore._typing import Array


@recipe("RealFourier.scales")
def _scales(n: int) -> np.ndarray[Any, Any]:
    """Return s_f."""
    scales = np.full(n // 2 + 1, np.sqrt(2 / n), dtype=np.complex128)
    scales[[0, -1] if n % 2 == 0 else [0]] = np.sqrt(1 / n)
    return scales


@recipe("RealFourier.unscales")
def _unscales(n: int) -> np.ndarray[Any, Any]:
    """Return 1 / s_f for the cosines, and -i / s_f for the sines."""
    back = 1 / _scales(n)
    return np.stack([back, -1j * back])


def real_fourier(x: Array) -> Array:
    """Return the coefficients along the last axis of float32 or float64 data."""
    xp, n = compat.array_namespace(x), x.shape[-1]
    z = xp.fft.rfft(x, axis=-1) * complex_constant("RealFourier.scales", x)
    pairs = xp.reshape(xp.stack((xp.real(z), -xp.imag(z)), axis=-1), (*z.shape[:-1], 2 * z.shape[-1]))
    return xp.concat((pairs[..., :1], pairs[..., 2 : n + 1]), axis=-1)  # without the sine of f = 0, and the last one's


def inverse_real_fourier(u: Array) -> Array:
    """Return the inverse of :func:`real_fourier` along the last axis."""
    xp, n = compat.array_namespace(u), u.shape[-1]
    none = xp.zeros_like(u[..., :1])
    pairs = xp.concat((u[..., :1], none, u[..., 1:], *([none] if n % 2 == 0 else [])), axis=-1)
    pairs = xp.reshape(pairs, (*u.shape[:-1], n // 2 + 1, 2))
    back = complex_constant("RealFourier.unscales", u)
    cosine, sine = (xp.astype(pairs[..., i], back.dtype) * back[i, ...] for i in (0, 1))
    return xp.fft.irfft(cosine + sine, n=n, axis=-1)
