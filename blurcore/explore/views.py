r"""What the page shows of an image under a process at a time: pictures, spectra and numbers, all worked out by the core.

The spectra are means over rings of equal radial frequency :math:`\sqrt{\lambda} / 2 \pi`, in cycles per pixel.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import blurcore as bc
from blurcore._checks import require
from blurcore.data import to_float, to_uint8
from blurcore.errors import ArgumentError
from blurcore.transforms import Basis, with_frequencies

Array = np.ndarray[Any, Any]

_AXES = (0, 1)
_RINGS = 48
_MAX_SEED = 2**31 - 1
_TINY = 1e-30  # power below this is nothing


class View(NamedTuple):
    """Pictures, uint8 (H, W, C), and curves over the radial frequency; what is not finite is None."""

    noisy: Array
    """z_t."""
    blurred: Array
    """What the blur alone makes of the image: the data's part of z_t, its mean brightness kept."""
    noise: Array | None
    """The noise of z_t once the blur is undone, three standard deviations from black to white; None without noise."""
    noise_std: float | None
    """Its standard deviation, in units of the data."""
    frequency: list[float]
    """Of each ring, in cycles per pixel."""
    signal: list[float | None]
    """Power of the data's part of z_t."""
    white: list[float | None]
    """Power of the noise's part."""
    total: list[float | None]
    """Power of z_t itself."""
    log_snr: list[float | None]
    """l_t; None where it is infinite, or all is lost."""
    facts: dict[str, float | None]
    """alpha at the lowest and at the highest frequency, and the noise's sigma."""


def look(process: Any, image: Array, *, t: float, seed: int) -> View:
    """Return what an image becomes.

    Parameters
    ----------
    process
        Any process.
    image
        uint8 (H, W, C).
    t
        Time in [0, 1].
    seed
        Of the noise, which depends on nothing else but the image's shape.

    Raises
    ------
    ArgumentError
        `t` or `seed` makes no sense, or the process gives numbers that are not finite.
    """
    require(_is_number(t) and 0.0 <= t <= 1.0, "t", t, "a number from 0 to 1")
    require(
        isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= _MAX_SEED,
        "seed",
        seed,
        f"from 0 to {_MAX_SEED}",
    )
    with np.errstate(all="ignore"):
        return _look(process, to_float(image), float(t), seed)


def _look(process: Any, x: Array, t: float, seed: int) -> View:
    shape = x.shape[:2]
    basis = process.basis
    wide = x.astype(np.float64)
    alpha, sigma = (np.broadcast_to(np.asarray(c), (*shape, 1)) for c in bc.marginal_for(process, t, wide, axes=_AXES))
    log_snr: Array = np.array(np.broadcast_to(np.asarray(bc.log_snr(process, t, shape=shape)), shape), dtype=np.float64)
    if not (np.isfinite(alpha).all() and np.isfinite(sigma).all()) or np.isnan(log_snr).any():
        raise ArgumentError(f"process must have finite coefficients at t = {t:.4g}; these settings give others")
    eps = np.random.default_rng(seed).standard_normal(x.shape)
    u, n = (basis.forward(part, axes=_AXES) for part in (wide, eps))
    signal, white = alpha * u, sigma * n
    rings, frequency = _rings_of(basis, shape)
    with_power = with_frequencies(basis)

    def power(part: Array) -> list[float | None]:
        if with_power is not basis:  # standard diffusion stays in data space, which has no frequencies
            part = with_power.forward(part, axes=_AXES)
        return _finite(_over_rings((part**2).mean(axis=-1), rings), least=_TINY)

    noisy = basis.inverse(signal + white, axes=_AXES)
    if not np.isfinite(noisy).all():
        raise ArgumentError(f"process must keep the image finite at t = {t:.4g}; with these settings it does not")
    noise, std = _undone(basis, log_snr, n)
    lowest, highest = (float(alpha.ravel()[pick(_eigenvalues(basis, shape))]) for pick in (np.argmin, np.argmax))
    return View(
        noisy=to_uint8(noisy),
        blurred=to_uint8(basis.inverse(signal / max(float(alpha.max()), 1e-300), axes=_AXES)),
        noise=noise,
        noise_std=std,
        frequency=[float(f) for f in frequency],
        signal=power(signal),
        white=power(white),
        total=power(signal + white),
        log_snr=_finite(_over_rings(log_snr, rings)),
        facts={"alpha_low": lowest, "alpha_high": highest, "sigma": float(np.sqrt((sigma**2).mean()))},
    )


def _undone(basis: Basis, log_snr: Array, n: Array) -> tuple[Array | None, float | None]:
    """Return V (sigma / alpha) V^T eps as a picture, and its standard deviation: None for both without noise.

    The ratio is exp(-l / 2): where alpha underflows it is taken from the logarithm, in shares of the largest.
    """
    exponent = -log_snr / 2
    finite = np.where(np.isposinf(exponent), 700.0, exponent)
    top = float(finite.max())
    if top == -math.inf:
        return None, None
    shares = basis.inverse(np.exp(finite - top)[..., None] * n, axes=_AXES)
    spread = max(float(shares.std()), 1e-300)
    log_std = math.log(spread) + top
    return to_uint8(shares / (3 * spread)), math.exp(log_std) if log_std < 700 else None


def _eigenvalues(basis: Basis, shape: tuple[int, ...]) -> Array:
    return np.asarray(with_frequencies(basis).eigenvalues(shape))


def _rings_of(basis: Basis, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the ring of each frequency, and the mean radial frequency of each ring."""
    radius = np.sqrt(_eigenvalues(basis, shape)) / (2 * np.pi)
    count = min(_RINGS, max(shape) // 2)
    number = (
        np.minimum((radius / radius.max() * count).astype(int), count - 1) if radius.max() > 0 else np.zeros(shape, int)
    )
    _, number = np.unique(number, return_inverse=True)  # rings without a frequency are left out
    number = number.reshape(shape)
    return number, _over_rings(radius, number)


def _over_rings(values: Array, rings: Array) -> Array:
    means: Array = np.bincount(rings.ravel(), weights=values.ravel()) / np.bincount(rings.ravel())
    return means


def _finite(values: Array, least: float = -math.inf) -> list[float | None]:
    return [float(v) if math.isfinite(v) and v > least else None for v in values]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
