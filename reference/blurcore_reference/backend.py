"""The reference as a backend of its own: dense NumPy for arrays, 50 digits for coefficients, nothing of ``blurcore``.

``blurcore verify --backend reference`` holds the second text of the mathematics to the identities that it holds the
first text to. A process or a basis arrives as an object of the other package and is read by its public fields alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath
import numpy as np

from blurcore_reference import bases, denoisers, kernels, precise
from blurcore_reference.marginals import Process, basis_kind


class Marginal(NamedTuple):
    """Scale and standard deviation."""

    alpha: np.ndarray
    sigma: np.ndarray


class Difference(NamedTuple):
    """Quotient of the scales and difference of the log-SNRs."""

    alpha: np.ndarray
    log_snr: np.ndarray


class Transition(NamedTuple):
    """Scale and variance."""

    alpha: np.ndarray
    variance: np.ndarray


class Posterior(NamedTuple):
    """Weights of u_t and u_0, and variance."""

    z_coef: np.ndarray
    x_coef: np.ndarray
    variance: np.ndarray


class SDE(NamedTuple):
    """Drift and squared diffusion."""

    drift: np.ndarray
    diffusion: np.ndarray


def settings(value: Any) -> dict[str, Any]:
    """Dictionary of a process, schedule or basis, from its dataclass fields.

    Parameters
    ----------
    value : a dataclass instance, its fields scalars or dataclasses.

    Returns
    -------
    ``{"kind": name of the class, field: value, ..}``, nested.
    """
    result: dict[str, Any] = {"kind": type(value).__name__}
    for field in dataclasses.fields(value):
        entry = getattr(value, field.name)
        result[field.name] = settings(entry) if dataclasses.is_dataclass(entry) else entry
    return result


def _difference(process: Process, t: float, s: float, eigenvalue: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
    with mpmath.workdps(precise.DIGITS):
        (log_t, var_t), (log_s, var_s) = (
            precise.log_marginal(process, mpmath.mpf(time), eigenvalue) for time in (t, s)
        )
        if var_s == 0:
            noise = mpmath.mpf(0) if var_t == 0 else -mpmath.inf
        else:
            noise = mpmath.log(var_s) - mpmath.log(var_t)
        return mpmath.exp(log_t - log_s), 2 * (log_t - log_s) + noise


def _log_snr(process: Process, t: float, eigenvalue: mpmath.mpf) -> tuple[mpmath.mpf]:
    with mpmath.workdps(precise.DIGITS):
        log_alpha, variance = precise.log_marginal(process, mpmath.mpf(t), eigenvalue)
        return (2 * log_alpha - mpmath.log(variance) if variance else mpmath.inf,)


def _posterior(process: Process, t: float, s: float, eigenvalue: mpmath.mpf) -> tuple[mpmath.mpf, ...]:
    if t == s:  # 0 / 0 in the limit of LinearBeta at 0: nothing happens in no time
        return mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0)
    return precise.posterior(process, t, s, eigenvalue)


class ReferenceOperations:
    """The operations that ``blurcore verify`` asks for, by the functions of this package."""

    def forward(self, basis: Any, x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
        """Analysis by dense matrices."""
        return bases.forward(x, axes, type(basis).__name__)

    def inverse(self, basis: Any, u: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
        """Synthesis by dense matrices."""
        return bases.inverse(u, axes, type(basis).__name__)

    def eigenvalues(self, basis: Any, shape: tuple[int, ...], *, like: np.ndarray) -> np.ndarray:
        """Eigenvalues, exact fractions times pi^2."""
        return bases.eigenvalues(type(basis).__name__, shape)

    def marginal(self, process: Any, t: Any, *, shape: tuple[int, ...], like: np.ndarray) -> Marginal:
        """Scale and standard deviation, from 50 digits."""
        return Marginal(*_over_times(precise.marginal, process, [t], shape, powers=(0, 1)))

    def log_snr(self, process: Any, t: Any, *, shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
        """Log-SNR, from 50 digits."""
        return _over_times(_log_snr, process, [t], shape)[0]

    def difference(self, process: Any, t: Any, s: Any, *, shape: tuple[int, ...], like: np.ndarray) -> Difference:
        """Quotient and difference, from 50 digits."""
        return Difference(*_over_times(_difference, process, [t, s], shape))

    def transition(self, process: Any, t: Any, s: Any, *, shape: tuple[int, ...], like: np.ndarray) -> Transition:
        """Forward step, by its definition in 50 digits."""
        return Transition(*_over_times(precise.transition, process, [t, s], shape, powers=(0, 2)))

    def posterior(self, process: Any, t: Any, s: Any, *, shape: tuple[int, ...], like: np.ndarray) -> Posterior:
        """Step back, by conditioning in 50 digits."""
        return Posterior(*_over_times(_posterior, process, [t, s], shape, powers=(0, 0, 2)))

    def sde(self, process: Any, t: Any, *, shape: tuple[int, ...], like: np.ndarray) -> SDE:
        """Drift and diffusion, by difference quotients in 50 digits."""
        read = settings(process)
        times = np.asarray(t, dtype=np.float64)
        rows = [kernels.sde(read, float(time), shape) for time in times.ravel()]
        return SDE(*(np.reshape(column, (*times.shape, *shape)) for column in zip(*rows, strict=True)))

    def diffuse(self, process: Any, x: np.ndarray, t: Any, eps: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
        """Noisy data, item by item: z = V alpha V^T x + sigma eps."""
        read = settings(process)
        kind = basis_kind(read)
        z = np.empty(np.shape(x))
        times = np.broadcast_to(np.asarray(t, dtype=np.float64), (len(x),))
        grid = [axis % np.ndim(x) for axis in axes]
        shape = tuple(np.shape(x)[axis] for axis in grid)
        for i, time in enumerate(times):
            alpha, sigma = precise.on_grid(precise.marginal, read, float(time), shape=shape)
            # the frequencies of axes[j] of the data are along axis j of the coefficients
            moved = np.moveaxis(bases.forward(x[i : i + 1], axes, kind), grid, range(-len(grid), 0)) * alpha
            u = np.moveaxis(moved, range(-len(grid), 0), grid)
            z[i : i + 1] = bases.inverse(u, axes, kind) + sigma.flat[0] * eps[i : i + 1]
        return z

    def convert(self, value: np.ndarray, source: str, target: str, *, z: np.ndarray, marginal: Any) -> np.ndarray:
        """Change of parametrisation."""
        rates = getattr(marginal, "alpha_rate", None), getattr(marginal, "sigma_rate", None)
        known = {"rates": rates, "sigma_data": getattr(marginal, "sigma_data", None)}
        return denoisers.convert(value, source, target, z, marginal.alpha, marginal.sigma, **known)


def _over_times(
    coefficients: Callable[..., tuple[mpmath.mpf, ...]],
    process: Any,
    times: Sequence[Any],
    shape: tuple[int, ...],
    powers: Sequence[int] | None = None,
) -> list[np.ndarray]:
    """Coefficients at numbers, (\\*shape), or at arrays of times, (\\*times, \\*shape).

    Those of smaller images are the first of the larger one's; ``powers`` says with which power of sqrt(M / N) each shrinks.
    """
    scale = getattr(process, "scale", None)
    whole = shape if scale is None else process.basis.whole
    read = settings(process if scale is None else process.process)
    arrays = np.broadcast_arrays(*(np.asarray(t, dtype=np.float64) for t in times))
    rows = [
        precise.on_grid(coefficients, read, *(float(t) for t in instant), shape=whole)
        for instant in zip(*(a.ravel() for a in arrays), strict=True)
    ]
    found = [np.reshape(column, (*arrays[0].shape, *whole)) for column in zip(*rows, strict=True)]
    if scale is None or powers is None:
        return found
    first = (..., *(slice(0, size) for size in shape))
    ratio = float(np.sqrt(np.prod(shape) / np.prod(whole)))
    return [column[first] * ratio**power for column, power in zip(found, powers, strict=True)]


class ReferenceBackend:
    """NumPy float64; narrower numbers would say nothing that these do not."""

    name = "reference"
    operations = ReferenceOperations()

    @property
    def description(self) -> str:
        """Libraries and versions."""
        return f"dense NumPy {np.__version__} and mpmath {mpmath.__version__}"

    def devices(self) -> tuple[str, ...]:
        """The one device."""
        return ("cpu",)

    def dtypes(self, device: str) -> tuple[str, ...]:
        """The one dtype."""
        return ("float64",)

    def asarray(self, values: np.ndarray, *, dtype: str, device: str) -> np.ndarray:
        """Copy."""
        return np.array(values, dtype=dtype)

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        """The array itself, as float64."""
        return np.asarray(array, dtype=np.float64)


BACKEND = ReferenceBackend()
"""What the entry point names."""
