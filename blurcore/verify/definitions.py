r"""The definitions of SPEC 1-2 in NumPy float64, dense and naive: what the identities are held against.

Matrices are written out, products of betas are products, and no difference form is used. Processes are read by their
public fields, so that a process of one's own with the same fields is served too.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from blurcore.schedules import ConstantSigma, CosineLogSNR, LinearBeta, LogLinear, NoBlur, Sin, SinSquared

Values = np.ndarray[Any, Any]


class Parts(NamedTuple):
    """Noise, blur and floor of a process, and the name of its basis."""

    noise: Any
    blur: Any
    min_scale: float
    basis: str


def parts(process: Any) -> Parts:
    """Return what a process is made of, by the table of SPEC 2."""
    blur = getattr(process, "blur", NoBlur())
    noise = getattr(process, "noise", None) or ConstantSigma(sigma=getattr(process, "sigma", 0.0))
    return Parts(noise, blur, float(getattr(process, "min_scale", 0.0)), type(process.basis).__name__)


@cache
def _basis_matrix(name: str, n: int) -> Values:
    i = np.arange(n)
    columns = []
    for k in range(n):
        if name == "DCT":
            columns.append(np.cos(np.pi * k * (i + 0.5) / n))
        elif name == "DST":
            columns.append(np.sin(np.pi * (k + 1) * (i + 0.5) / n))
        elif name == "RealFourier":
            wave = np.sin if k and k % 2 == 0 else np.cos
            columns.append(wave(2 * np.pi * ((k + 1) // 2) * i / n))
        else:
            columns.append((i == k).astype(np.float64))
    matrix = np.stack(columns, axis=1)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=0))


def basis_matrix(name: str, n: int) -> Values:
    """Return V of one axis: orthonormal columns, x = V u."""
    return _basis_matrix(name, n)


def dense_basis(name: str, shape: tuple[int, ...]) -> Values:
    """Return V of the grid, the Kronecker product over the axes, (P, P)."""
    result: Values = np.ones((1, 1))
    for n in shape:
        result = np.kron(result, _basis_matrix(name, n))
    return result


def axis_eigenvalues(name: str, n: int) -> Values:
    """Return lambda of one axis (SPEC 1)."""
    k = np.arange(n)
    half_waves = {"DCT": k, "DST": k + 1, "RealFourier": 2 * ((k + 1) // 2)}.get(name, 0 * k)
    return np.asarray((np.pi * half_waves / n) ** 2)


def eigenvalues(name: str, shape: tuple[int, ...]) -> Values:
    """Return lambda on the grid: the sum over the axes."""
    total = np.zeros(shape)
    for axis, n in enumerate(shape):
        total += axis_eigenvalues(name, n).reshape([n if i == axis else 1 for i in range(len(shape))])
    return total


def reflecting_laplacian(name: str, n: int) -> Values:
    """Return minus the second difference of one axis with the boundary that the basis implies, (n, n).

    Reflecting (DCT): the sample outside equals the one inside; absorbing (DST): its negative; periodic: the far end.
    """
    matrix = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    if name == "RealFourier":
        matrix[0, -1] -= 1
        matrix[-1, 0] -= 1
    else:
        outside = {"DCT": -1.0, "DST": 1.0}[name]
        matrix[0, 0] += outside
        matrix[-1, -1] += outside
    return matrix


def noise(process: Any, t: float) -> tuple[float, float]:
    """Return a_t and sigma_t (SPEC 2); DDPM's betas only at its steps, where a_t^2 is their product."""
    schedule = parts(process).noise
    if isinstance(schedule, ConstantSigma):
        return 1.0, schedule.sigma
    if isinstance(schedule, CosineLogSNR):
        g = noise_log_snr(process, t)
        return math.sqrt(1 / (1 + math.exp(-g))), math.sqrt(1 / (1 + math.exp(g)))
    if isinstance(schedule, LinearBeta):
        step = t * schedule.num_steps
        if abs(step - round(step)) > 1e-9:
            # between two steps the schedule is defined by its own continuation, for which there is no second text here
            scales = schedule.scales(t)
            return float(scales.a), float(scales.sigma)
        betas = np.linspace(schedule.beta_start, schedule.beta_end, schedule.num_steps)[: round(step)]
        log_a2 = math.fsum(np.log1p(-betas))
        return math.exp(log_a2 / 2), math.sqrt(-math.expm1(log_a2))
    scales = schedule.scales(t)  # a schedule of the user's own defines itself
    return float(scales.a), float(scales.sigma)


def noise_log_snr(process: Any, t: float) -> float:
    """Return g_t; for the clipped cosine -2 log tan(m t + b)."""
    schedule = parts(process).noise
    if isinstance(schedule, CosineLogSNR):
        b = math.atan(math.exp(-schedule.log_snr_max / 2))
        m = math.atan(math.exp(-schedule.log_snr_min / 2)) - b
        return -2 * math.log(math.tan(m * t + b))
    a, sigma = noise(process, t)
    return 2 * math.log(a / sigma) if sigma else math.inf


def blur_width(process: Any, t: float) -> float:
    """Return sigma_B(t), in pixels (SPEC 2)."""
    blur = parts(process).blur
    if isinstance(blur, NoBlur):
        return 0.0
    if isinstance(blur, SinSquared):
        return blur.sigma_blur_max * math.sin(math.pi * t / 2) ** 2
    if isinstance(blur, Sin):
        return blur.sigma_blur_max * math.sin(math.pi * t / 2)
    if isinstance(blur, LogLinear):
        level = t * blur.num_levels
        if level < 1:
            return blur.sigma_blur_min * level
        growth = (blur.sigma_blur_max / blur.sigma_blur_min) ** ((level - 1) / (blur.num_levels - 1))
        return float(blur.sigma_blur_min * growth)
    return math.sqrt(2 * float(blur.tau(t)))


def exponent(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    """Return lambda tau_t."""
    return eigenvalues(parts(process).basis, shape) * (blur_width(process, t) ** 2 / 2)


def decay(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    """Return d_t = (1 - d_min) exp(-lambda tau_t) + d_min."""
    floor = parts(process).min_scale
    return np.asarray((1 - floor) * np.exp(-exponent(process, t, shape)) + floor)


def live_share(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    """Return (1 - d_min) exp(-lambda tau_t) / d_t, the share of d_t that still depends on the blur; 1 without a floor."""
    floor = parts(process).min_scale
    if floor == 0:
        return np.ones(shape)
    return np.asarray((1 - floor) * np.exp(-exponent(process, t, shape)) / decay(process, t, shape))


def alpha(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    """Return alpha_t = a_t d_t."""
    return noise(process, t)[0] * decay(process, t, shape)
