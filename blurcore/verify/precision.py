r"""Errors of float32 coefficients against 50-digit arithmetic, beside those of the paper's clipped pseudo-code.

SPEC 4's target: every coefficient of the marginal, the transition and the posterior within 1e-6, relative, at any number
of steps T up to 10^6, in float32, on every backend. The pseudo-code of the paper takes differences of float32 variances
and clips them at 1e-8, which at T = 10^4 costs half a percent.

The 50 digits come from the reference package, which needs mpmath (``pip install 'blurcore[test]'``). Ball arithmetic over the same
formulas certifies 35 of them (``tests/reference/test_enclosures.py``).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from blurcore.errors import BackendError
from blurcore.processes import BlurringDiffusion, Process
from blurcore.protocols import Backend
from blurcore.serial import to_dict

Values = np.ndarray[Any, Any]

TARGET = 1e-6
STEP_COUNTS = (10, 1000, 10**4, 10**6)
COEFFICIENTS = {
    "marginal": ("alpha", "sigma"),
    "transition": ("alpha", "variance"),
    "posterior": ("z_coef", "x_coef", "variance"),
}
"""The coefficients of SPEC 2-4, by operation."""
SMALLEST = 2.0**-126
"""Float32's smallest normal number: what is smaller has fewer digits, or is flushed to 0."""


def steps_of(count: int) -> tuple[tuple[float, float], ...]:
    """Return (t, s) of the last, the middle and the first of `count` steps."""
    return tuple((k / count, (k - 1) / count) for k in (1, count // 2, count))


def _precise() -> Any:
    try:
        return importlib.import_module("blurcore_reference.precise")
    except ImportError as error:
        raise BackendError(
            f"the precision table needs 50-digit arithmetic, which cannot be imported ({error}); try: pip install 'blurcore[test]'"
        ) from error


def exact(process: Process, operation: str, times: tuple[float, ...], shape: tuple[int, ...]) -> tuple[Values, ...]:
    """Return coefficients from 50 digits, each the nearest float64."""
    key: Any = process  # frozen dataclasses are hashable; the protocol does not say so
    return _exact(key, operation, times, shape)


@cache
def _exact(process: Any, operation: str, times: tuple[float, ...], shape: tuple[int, ...]) -> tuple[Values, ...]:
    precise = _precise()
    return tuple(precise.on_grid(getattr(precise, operation), to_dict(process), *times, shape=shape))


def relative_error(actual: Values, expected: Values) -> float:
    """Return the worst relative error; a value below float32's smallest normal number counts as correct if the exact one is too."""
    actual, expected = np.broadcast_arrays(np.asarray(actual, dtype=np.float64), expected)
    tiny = np.abs(expected) < SMALLEST
    if not np.all(np.abs(actual[tiny]) <= SMALLEST):
        return float("inf")
    with np.errstate(all="ignore"):
        error = np.abs(actual[~tiny] / expected[~tiny] - 1)
    return float(np.max(np.where(np.isnan(error), np.inf, error), initial=0.0))


def coefficient_errors(
    backend: Backend, process: Process, count: int, *, shape: tuple[int, ...], dtype: str = "float32", device: str
) -> dict[str, float]:
    """Return the worst relative error of every coefficient over the last, the middle and the first of `count` steps.

    Parameters
    ----------
    backend, device, dtype
        Where to compute.
    process
        Any process; the posterior is left out where t has no noise.
    count
        Number of steps T, times being k / T as Python numbers.
    shape
        Sizes of the grid.
    """
    like = backend.asarray(np.zeros((1,)), dtype=dtype, device=device)
    errors: dict[str, float] = {}
    for t, s in steps_of(count):
        noisy = float(np.max(exact(process, "marginal", (t,), shape)[1])) > 0
        for operation, names in COEFFICIENTS.items():
            if operation == "posterior" and not noisy:
                continue
            times = (t,) if operation == "marginal" else (t, s)
            result = getattr(backend.operations, operation)(process, *times, shape=shape, like=like)
            for name, expected in zip(names, exact(process, operation, times, shape), strict=True):
                error = relative_error(backend.to_numpy(getattr(result, name)), expected)
                errors[f"{operation} {name}"] = max(errors.get(f"{operation} {name}", 0.0), error)
    return errors


def clipped_errors(process: Process, count: int, *, shape: tuple[int, ...]) -> dict[str, float]:
    """Return the same for the posterior of the paper's pseudo-code in float32, clipped at 1e-8."""
    _precise()
    oracle = importlib.import_module("blurcore_reference.oracle")
    errors: dict[str, float] = {}
    for t, s in steps_of(count):
        with np.errstate(all="ignore"):
            clipped = oracle.clipped_posterior(to_dict(process), t, s, shape)
        for name, value, expected in zip(
            COEFFICIENTS["posterior"], clipped, exact(process, "posterior", (t, s), shape), strict=True
        ):
            errors[f"posterior {name}"] = max(errors.get(f"posterior {name}", 0.0), relative_error(value, expected))
    return errors


def precision_table(
    backends: Iterable[str] | None = None, *, shape: tuple[int, ...] = (16, 16), process: Process | None = None
) -> str:
    """Return the table as text: T down, backends and the clipped pseudo-code across.

    Parameters
    ----------
    backends
        Names of backends; all that are installed but the reference where not given.
    shape
        Sizes of the grid.
    process
        Blurring diffusion with the paper's defaults where not given.

    Raises
    ------
    BackendError
        A backend, or mpmath, cannot be imported.
    """
    from blurcore.verify.runner import installed

    process = process or BlurringDiffusion()
    chosen = [
        b
        for b in installed(backends)
        if (backends is not None or b.name != "reference") and "float32" in b.dtypes(b.devices()[0])
    ]
    grid = " x ".join(map(str, shape))
    lines = [
        f"Largest relative error against 50 digits, {type(process).__name__}, {grid}, float32,"
        " over the first, the middle and the last of T steps",
        f"{'T':>8}  {'coefficient':<20}" + "".join(f"{b.name:>11}" for b in chosen) + f"{'clipped':>11}",
    ]
    for count in STEP_COUNTS:
        columns = [coefficient_errors(b, process, count, shape=shape, device=b.devices()[0]) for b in chosen]
        paper = clipped_errors(process, count, shape=shape)
        for name in columns[0] if columns else paper:
            clipped = f"{paper[name]:>11.1e}" if name in paper else f"{'-':>11}"
            lines.append(f"{count:>8}  {name:<20}" + "".join(f"{c[name]:>11.1e}" for c in columns) + clipped)
    lines.append(f"target: {TARGET:g} (SPEC 4); clipped: the paper's pseudo-code, delta = 1e-8")
    return "\n".join(lines) + "\n"
