"""Processes and schedules of which nothing is known, and shipped ones whose settings are symbols."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from types import FunctionType, SimpleNamespace
from typing import Any

import sympy as sp

from blurcore.processes import Difference, Marginal
from blurcore.processes._affine import AffineProcess, Parts
from blurcore.schedules import NoiseRates, NoiseScales
from blurcore.verify.prove.symbolic import Symbols, apply, exact, full

R, S, T = (sp.Symbol(name, positive=True) for name in "rst")
"""Times r < s < t in [0, 1]."""
ORDERED = (S - R, T - S, 1 - T)
LAMBDA = sp.Symbol("lambda", positive=True)
FLOOR = sp.Symbol("d_min", positive=True)
A, ALPHA, SIGMA, TAU = (sp.Function(name, positive=True) for name in ("a", "alpha", "sigma", "tau"))
SHAPE = (1,)


def array(expression: Any) -> Symbols:
    """Return one expression as an array of a time or a datum."""
    return Symbols([expression])


def value(x: Any) -> Any:
    """Return the one expression of an array."""
    (found,) = x.values.ravel().tolist()
    return found


class AnyNoise:
    """A noise schedule that is any functions a(t) > 0 and sigma(t) > 0."""

    def scales(self, t: Symbols) -> NoiseScales:
        """Return them."""
        return NoiseScales(a=apply(A, t), sigma=apply(SIGMA, t))

    def log_snr(self, t: Symbols) -> Symbols:
        """Return their logarithm."""
        return apply(lambda v: 2 * sp.log(A(v) / SIGMA(v)), t)

    def log_snr_difference(self, t: Symbols, s: Symbols) -> Any:
        """Return the difference of logarithms."""
        return self.log_snr(t) - self.log_snr(s)

    def rates(self, t: Symbols) -> NoiseRates:
        """Return their derivatives."""
        slope = apply(lambda v: -(SIGMA(v) ** 2) * sp.diff(2 * sp.log(A(v) / SIGMA(v)), v), t)
        rises = apply(lambda v: sp.diff(SIGMA(v), v), t)
        return NoiseRates(log_a=apply(lambda v: sp.diff(sp.log(A(v)), v), t), noise=slope, sigma=rises)


@dataclass(frozen=True)
class Constant:
    """A noise schedule with a = 1 and one sigma > 0."""

    sigma: Any

    def scales(self, t: Symbols) -> NoiseScales:
        """Return 1 and sigma."""
        return NoiseScales(a=apply(lambda _: sp.S(1), t), sigma=apply(lambda _: self.sigma, t))

    def log_snr(self, t: Symbols) -> Symbols:
        """Return -2 log sigma."""
        return apply(lambda _: -2 * sp.log(self.sigma), t)

    def log_snr_difference(self, t: Symbols, s: Symbols) -> Any:
        """Return 0."""
        return self.log_snr(t) - self.log_snr(s)

    def rates(self, t: Symbols) -> NoiseRates:
        """Return 0, 0, 0."""
        zero = apply(lambda _: sp.S(0), t)
        return NoiseRates(log_a=zero, noise=zero, sigma=zero)


class AnyBlur:
    """A blur schedule that is any function tau(t) > 0."""

    def tau(self, t: Symbols) -> Symbols:
        """Return it."""
        return apply(TAU, t)

    def tau_difference(self, t: Symbols, s: Symbols) -> Any:
        """Return its difference."""
        return self.tau(t) - self.tau(s)

    def tau_rate(self, t: Symbols) -> Symbols:
        """Return its derivative."""
        return apply(lambda v: sp.diff(TAU(v), v), t)


class AnyBasis:
    """A basis with one frequency, whose eigenvalue is any number > 0."""

    def eigenvalues_in(self, shape: tuple[int, ...], frame: Any) -> Symbols:
        """Return it."""
        del frame
        return full(shape, LAMBDA)

    def forward(self, x: Any, *, axes: Any = None) -> Any:
        """Return x, which is taken for coefficients."""
        del axes
        return x

    inverse = forward


@dataclass(frozen=True, kw_only=True)
class AnyProcess(AffineProcess):
    """The affine kernel as it ships, over schedules and settings of which nothing is known."""

    min_scale: Any = FLOOR
    noise: Any = dataclasses.field(default_factory=AnyNoise)
    blur: Any = dataclasses.field(default_factory=AnyBlur)
    basis: Any = dataclasses.field(default_factory=AnyBasis)

    def _parts(self) -> Parts:
        return Parts(noise=self.noise, blur=self.blur, min_scale=self.min_scale, basis=self.basis)


class AnyMarginals:
    """A process of which only the marginal is known: any functions alpha(t) > 0 and sigma(t) > 0, and their differences."""

    basis = AnyBasis()

    def marginal(self, t: Symbols, *, shape: Any, like: Any = None) -> Marginal[Symbols]:
        """Return them."""
        del shape, like
        return Marginal(alpha=apply(ALPHA, t), sigma=apply(SIGMA, t))

    def log_snr(self, t: Symbols, *, shape: Any, like: Any = None) -> Symbols:
        """Return their logarithm."""
        del shape, like
        return apply(lambda v: 2 * sp.log(ALPHA(v) / SIGMA(v)), t)

    def difference(self, t: Symbols, s: Symbols, *, shape: Any, like: Any = None) -> Difference[Any]:
        """Return quotient and difference."""
        after, before = (self.log_snr(time, shape=shape) for time in (t, s))
        return Difference(alpha=apply(ALPHA, t) / apply(ALPHA, s), log_snr=after - before)


def _exactly_of(function: Any) -> Any:
    return lambda x: function(exact(x))


_MATH = SimpleNamespace(
    pi=sp.pi,
    e=sp.E,
    inf=sp.oo,
    factorial=sp.factorial,
    expm1=lambda x: sp.exp(exact(x)) - 1,
    log1p=lambda x: sp.log(1 + exact(x)),
    **{name: _exactly_of(getattr(sp, name)) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "atan")},
)
"""Python's `math`, as SymPy has it."""


def _plain(function: Any) -> Any:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _rebound(function: Any, names: dict[str, Any]) -> Any:
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _names_of(own: dict[str, Any], replace: dict[str, Any]) -> dict[str, Any]:
    """Return a module's globals with `math` and other names replaced by SymPy's, in its functions too."""
    names = own | replace
    if getattr(names.get("math"), "__name__", "") == "math":
        names["math"] = _MATH
        for name, found in own.items():
            plain = _plain(found)
            if isinstance(plain, FunctionType) and plain.__globals__ is own:
                names[name] = _rebound(plain, names)
    return names


def with_settings(kind: type, replace: dict[str, Any] | None = None, **settings: Any) -> Any:
    """Return a settings class of the package, or of a user, with the code that it has and settings that are symbols.

    For that code `math` is SymPy's, and `replace` says what else is another.
    """
    members: dict[str, Any] = {}
    tables: dict[int, dict[str, Any]] = {}

    def rebound(function: Any) -> Any:
        own = function.__globals__
        if id(own) not in tables:
            tables[id(own)] = _names_of(own, replace or {})
        return _rebound(function, tables[id(own)])

    for base in reversed(kind.__mro__[:-1]):
        for name, found in vars(base).items():
            if isinstance(found, property):
                members[name] = property(rebound(_plain(found.fget)))
            elif isinstance(_plain(found), FunctionType) and not name.startswith("__"):
                members[name] = rebound(_plain(found))
    made: Any = object.__new__(type(kind.__name__, (kind,), members))
    for name, given in settings.items():
        object.__setattr__(made, name, given)
    return made


def symbolic_process(process: Any) -> Any:
    """Return a process on symbols: its code, its settings, its schedules' settings exact, and an eigenvalue that may be any."""
    made = with_settings(type(process), **_settings(process))
    if "basis" in _settings(process):  # else it is the data's own space
        object.__setattr__(made, "basis", AnyBasis())
    return made


def _settings(process: Any) -> dict[str, Any]:
    given = {field.name: getattr(process, field.name) for field in dataclasses.fields(process)}
    return {
        name: _exactly(value) if dataclasses.is_dataclass(value) else copy.copy(value) for name, value in given.items()
    }


def _exactly(schedule: Any) -> Any:
    fields = {field.name: getattr(schedule, field.name) for field in dataclasses.fields(schedule)}
    exactly = {name: exact(value) if isinstance(value, float) else value for name, value in fields.items()}
    return with_settings(type(schedule), **exactly)
