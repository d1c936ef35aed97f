"""Identities: a name, a formula, its section in the specification, and a check with its own bound."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from blurcore.verify.cases import HALF, REPEATED_SHAPES, Case

Values = np.ndarray[Any, Any]


class Comparison(NamedTuple):
    """The two sides of an identity, and the rounding error allowed for each element."""

    actual: Values
    expected: Values
    bound: Values | float


class Measurement(NamedTuple):
    """The element that comes closest to its bound, or exceeds it most."""

    error: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound; NaN is not."""
        return self.error <= self.bound

    @property
    def ratio(self) -> float:
        """Error / bound; infinite where a bound of 0 is missed."""
        if self.bound > 0:
            return self.error / self.bound
        return 0.0 if self.error == 0 else float("inf")


def absolute(actual: Any, expected: Any, bound: Any) -> Comparison:
    """Compare with an absolute bound for each element."""
    return Comparison(np.asarray(actual), np.asarray(expected), bound)


def relative(actual: Any, expected: Any, bound: Any) -> Comparison:
    """Compare with a bound relative to the expected value; a zero is expected exactly."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    zero = expected == 0
    scale = np.where(zero, 1.0, np.abs(expected))
    # Below float32's smallest normal number results are flushed to 0, or have fewer digits: an absolute 1e-37 forgives both.
    floor = 1e-37 / scale
    return Comparison(actual / scale, expected / scale, np.where(zero, 0.0, bound) + floor)


def worst(comparisons: Iterable[Comparison]) -> Measurement:
    """Return the worst element of all comparisons; shapes must agree, and NaN counts as infinitely wrong."""
    result = Measurement(0.0, 0.0)
    found = False
    for actual, expected, bound in comparisons:
        if actual.shape != expected.shape:
            raise ValueError(f"the result has shape {actual.shape}, which should be {expected.shape}")
        with np.errstate(invalid="ignore"):
            error = np.where(actual == expected, 0.0, np.abs(actual - expected)).ravel()
        error = np.where(np.isnan(error), np.inf, error)
        limits = np.broadcast_to(bound, actual.shape).ravel()
        if error.size == 0:
            continue
        excess = np.divide(error, limits, out=np.where(error > 0, np.inf, 0.0), where=limits > 0)
        i = int(np.argmax(excess))
        candidate = Measurement(float(error[i]), float(limits[i]))
        if not found or candidate.ratio > result.ratio:
            result, found = candidate, True
    if not found:
        raise ValueError("the identity compared nothing")
    return result


Check = Callable[[Case], Iterator[Comparison]]


@dataclass(frozen=True)
class Identity:
    """One identity.

    Attributes
    ----------
    name, statement, source
        What to call it, its one line of mathematics, and where it stands in the paper or the specification.
    check
        Yields both sides and the bound; its docstring derives the bound.
    half
        Whether it holds data of the given dtype, so that bfloat16 and float16 say something. Coefficients of
        half-precision data are float32 (SPEC 10), so that there the float32 rows already say it.
    wants
        Which processes it is about.
    needs
        Attributes that the backend must have, such as `derivative`.
    every_grid
        Whether it is measured on every grid; what depends on a grid by its eigenvalues alone needs one for each number of axes.
    quick
        Whether it belongs to the quick set; what another identity implies, or takes long to compile, does not.
    """

    name: str
    statement: str
    source: str
    check: Check
    half: bool = False
    wants: Callable[[str], bool] = lambda _name: True
    needs: tuple[str, ...] = ()
    every_grid: bool = True
    quick: bool = True

    def applies(self, case: Case) -> bool:
        """Whether the identity applies to a cell."""
        if case.dtype in HALF and not self.half:
            return False
        if not self.every_grid and case.shape in REPEATED_SHAPES:
            return False
        return self.wants(case.process_name) and all(hasattr(case.backend, name) for name in self.needs)

    def measure(self, case: Case) -> Measurement:
        """Return the worst error with its bound."""
        return worst(self.check(case))

    @property
    def why(self) -> str:
        """How the bound is derived."""
        return inspect.cleandoc(self.check.__doc__ or "")


def identity(
    name: str,
    statement: str,
    source: str,
    *,
    half: bool = False,
    wants: Callable[[str], bool] = lambda _name: True,
    needs: tuple[str, ...] = (),
    every_grid: bool = True,
    quick: bool = True,
) -> Callable[[Check], Identity]:
    """Make an identity of a check."""

    def make(check: Check) -> Identity:
        return Identity(name, statement, source, check, half, wants, needs, every_grid, quick)

    return make
