"""The expected values of the identities: the reference's formulas of SPEC 1-2, for an object of the core.

A process is described to the reference by its public fields, so that one of somebody's own with the same fields is served
too; a schedule that the reference does not know defines itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from blurcore_reference import bases, marginals

from blurcore import schedules
from blurcore.serial import to_dict

Values = np.ndarray[Any, Any]


@lru_cache(maxsize=64)
def described(process: Any) -> Mapping[str, Any]:
    """Return a process as the reference's dictionary; its schedule is a function of t where the reference has none."""
    noise = getattr(process, "noise", None) or schedules.ConstantSigma(sigma=getattr(process, "sigma", 0.0))
    blur = getattr(process, "blur", schedules.NoBlur())
    return {
        "kind": type(process).__name__,
        "sigma": getattr(process, "sigma", 0.0),
        "noise": to_dict(noise) if _is_ours(noise) else lambda t: tuple(float(scale) for scale in noise.scales(t)),
        "blur": to_dict(blur) if _is_ours(blur) else lambda t: math.sqrt(2 * float(blur.tau(t))),
        "min_scale": min_scale(process),
        "basis": {"kind": type(process.basis).__name__},
    }


def _is_ours(schedule: Any) -> bool:
    return type(schedule).__module__ == schedules.__name__


def basis_matrix(name: str, n: int) -> Values:
    """Return V of one axis: orthonormal columns, x = V u."""
    return np.asarray(bases.basis_matrix(name, n))


def dense_basis(name: str, shape: tuple[int, ...]) -> Values:
    """Return V of the grid, the Kronecker product over the axes, (P, P)."""
    return np.asarray(bases.dense_basis(name, shape))


def eigenvalues(name: str, shape: tuple[int, ...]) -> Values:
    """Return lambda on the grid."""
    return np.asarray(bases.eigenvalues(name, shape))


def noise(process: Any, t: float) -> tuple[float, float]:
    """Return a_t and sigma_t."""
    a, sigma = marginals.noise_levels(described(process), t)
    return float(a), float(sigma)


def noise_log_snr(process: Any, t: float) -> float:
    """Return g_t = 2 log(a_t / sigma_t)."""
    a, sigma = noise(process, t)
    return 2 * math.log(a / sigma) if sigma else math.inf


def tau(process: Any, t: float) -> float:
    """Return tau_t, in pixels squared."""
    return float(marginals.tau(described(process), t))


def min_scale(process: Any) -> float:
    """Return d_min; 0 for a process without one."""
    return float(getattr(process, "min_scale", 0.0))


def exponent(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    """Return lambda tau_t."""
    return eigenvalues(type(process.basis).__name__, shape) * tau(process, t)


def decay(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    """Return d_t."""
    return np.asarray(marginals.decay(described(process), t, shape))


def alpha(process: Any, t: float, shape: tuple[int, ...]) -> Values:
    """Return alpha_t."""
    return np.asarray(marginals.alpha(described(process), t, shape))
