"""An Array API namespace whose numbers are SymPy expressions: the core runs on it unchanged and returns formulas.

The module is the namespace. What a formula's sign decides (`where`, comparisons) is decided by what is stated
(:func:`assuming`), never by a guess. A floating-point constant in the code stands for the simplest fraction, or multiple
of pi, that rounds to it.
"""

from __future__ import annotations

import builtins
import math
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

_Values = np.ndarray[Any, Any]


class Undecided(Exception):
    """The assumptions do not determine a branch: the sign of `expression` is unknown."""

    def __init__(self, expression: Any) -> None:
        super().__init__(f"the sign of {expression} is not known")
        self.expression = expression


_facts: list[Any] = []


@contextmanager
def assuming(*positive: Any) -> Iterator[None]:
    """State that expressions are > 0, for the time of a `with` statement."""
    before = len(_facts)
    _facts.extend(map(sp.sympify, positive))
    try:
        yield
    finally:
        del _facts[before:]


def facts() -> tuple[Any, ...]:
    """Return the expressions that are stated to be > 0."""
    return tuple(_facts)


def sign(expression: Any) -> int:
    """Return the sign of an expression, from its symbols or through a positive factor that relates it to an assumption.

    Raises
    ------
    Undecided
        They do not.
    """
    expression = sp.sympify(expression)
    for tells, answer in ((expression.is_zero, 0), (expression.is_positive, 1), (expression.is_negative, -1)):
        if tells:
            return answer
    for fact in _facts:
        ratio = sp.cancel(expression / fact)
        if ratio.is_number and ratio.is_real:
            return 1 if ratio > 0 else -1
    from blurcore.verify.prove.decide import sign_of  # whose algebra looks at what is stated in turn

    if (found := sign_of(expression)) is not None:
        return found
    raise Undecided(expression)


def exact(value: Any) -> Any:
    """Return a number as SymPy's: a float as the simplest fraction, or multiple of pi, that rounds to it."""
    if isinstance(value, (builtins.bool, np.bool_, sp.Basic)):
        return value
    if isinstance(value, (int, np.integer)):
        return sp.Integer(int(value))
    number = float(value)
    if not math.isfinite(number):
        return sp.nan if math.isnan(number) else sp.oo * (1 if number > 0 else -1)
    fraction = Fraction(number).limit_denominator(10**6)
    if float(fraction) == number:
        return sp.Rational(fraction.numerator, fraction.denominator)
    if builtins.abs(number) < 1 and 1 / round(1 / number) == number:
        return sp.Rational(1, round(1 / number))
    turns = Fraction(number / math.pi).limit_denominator(1000)
    if math.isclose(float(turns) * math.pi, number, rel_tol=4e-16):
        return sp.Rational(turns.numerator, turns.denominator) * sp.pi
    return sp.Rational(repr(number))


_exact = np.frompyfunc(exact, 1, 1)


def _lift(value: Any) -> Any:
    if isinstance(value, Symbols):
        return value.values
    if isinstance(value, (builtins.bool, int, float, np.generic, np.ndarray, sp.Basic)):
        return _exact(np.asarray(value, dtype=object))
    raise TypeError(f"{type(value).__name__} is no number")


class DType:
    """A name; all numbers are exact."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


float64, float32 = DType("float64"), DType("float32")
bool = DType("bool")
pi, inf, nan, newaxis = math.pi, math.inf, math.nan, None


class Symbols:
    """An array of SymPy expressions, or of truth values."""

    device = "symbolic"

    def __init__(self, values: Any) -> None:
        self.values: _Values = np.asarray(values, dtype=object)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        del api_version
        return sys.modules[__name__]

    @property
    def dtype(self) -> DType:
        """float64, or bool."""
        return bool if self.size and isinstance(self.values.ravel()[0], builtins.bool) else float64

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(self.values.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.values.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.values.size

    @property
    def T(self) -> Symbols:
        """The transposed matrix."""
        return Symbols(self.values.T)

    def to_device(self, device: Any, stream: Any = None) -> Symbols:
        """Return the array itself."""
        del device, stream
        return self

    def __getitem__(self, key: Any) -> Symbols:
        return Symbols(self.values[key])

    if TYPE_CHECKING:  # made below, all alike

        def __add__(self, other: Any) -> Symbols: ...
        def __radd__(self, other: Any) -> Symbols: ...
        def __sub__(self, other: Any) -> Symbols: ...
        def __rsub__(self, other: Any) -> Symbols: ...
        def __mul__(self, other: Any) -> Symbols: ...
        def __rmul__(self, other: Any) -> Symbols: ...
        def __truediv__(self, other: Any) -> Symbols: ...
        def __rtruediv__(self, other: Any) -> Symbols: ...
        def __pow__(self, other: Any) -> Symbols: ...
        def __eq__(self, other: Any) -> Any: ...
        def __ne__(self, other: Any) -> Any: ...
        def __lt__(self, other: Any) -> Symbols: ...
        def __le__(self, other: Any) -> Symbols: ...
        def __gt__(self, other: Any) -> Symbols: ...
        def __ge__(self, other: Any) -> Symbols: ...
        def __float__(self) -> float: ...  # really, SymPy would take an array beside its numbers for one

    def __neg__(self) -> Symbols:
        return Symbols(-self.values)

    def __abs__(self) -> Symbols:
        return abs(self)

    def __invert__(self) -> Symbols:
        return _each(lambda v: not v, self)

    def __bool__(self) -> builtins.bool:
        value = self.values.item()
        if not isinstance(value, builtins.bool):
            raise Undecided(value)
        return value

    def __repr__(self) -> str:
        return f"Symbols({self.values})"


def _binary(name: str, function: Callable[[Any, Any], Any]) -> None:
    def forward(self: Symbols, other: Any) -> Symbols:
        return Symbols(function(self.values, _lift(other)))

    def backward(self: Symbols, other: Any) -> Symbols:
        return Symbols(function(_lift(other), self.values))

    setattr(Symbols, f"__{name}__", forward)
    setattr(Symbols, f"__r{name}__", backward)


for _name, _function in {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "pow": operator.pow,
    "matmul": operator.matmul,
    "and": operator.and_,
    "or": operator.or_,
}.items():
    _binary(_name, _function)


def _equal(a: Any, b: Any) -> builtins.bool:
    return sign(a - b) == 0


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": _equal,
    "ne": lambda a, b: not _equal(a, b),
    "lt": lambda a, b: sign(a - b) < 0,
    "le": lambda a, b: sign(a - b) <= 0,
    "gt": lambda a, b: sign(a - b) > 0,
    "ge": lambda a, b: sign(a - b) >= 0,
}


def _comparison(name: str, function: Callable[[Any, Any], Any]) -> None:
    universal = np.frompyfunc(function, 2, 1)
    setattr(Symbols, f"__{name}__", lambda self, other: Symbols(universal(self.values, _lift(other))))


for _name, _function in _COMPARISONS.items():
    _comparison(_name, _function)


def _each(function: Callable[..., Any], *arrays: Any) -> Symbols:
    return Symbols(np.frompyfunc(function, len(arrays), 1)(*map(_lift, arrays)))


def apply(function: Callable[[Any], Any], x: Any) -> Symbols:
    """Return a function of SymPy's at each element."""
    return _each(function, x)


# The standard's functions, as far as the core asks for them; their names are the standard's.
def exp(x: Any) -> Symbols:
    """e^x."""
    return _each(sp.exp, x)


def expm1(x: Any) -> Symbols:
    """e^x - 1."""
    return _each(lambda v: sp.exp(v) - 1, x)


def log(x: Any) -> Symbols:
    """Natural logarithm."""
    return _each(sp.log, x)


def log1p(x: Any) -> Symbols:
    """log(1 + x)."""
    return _each(lambda v: sp.log(1 + v), x)


def sqrt(x: Any) -> Symbols:
    """Square root."""
    return _each(sp.sqrt, x)


def sin(x: Any) -> Symbols:
    """Sine."""
    return _each(sp.sin, x)


def cos(x: Any) -> Symbols:
    """Cosine."""
    return _each(sp.cos, x)


def tan(x: Any) -> Symbols:
    """Tangent."""
    return _each(sp.tan, x)


def atan(x: Any) -> Symbols:
    """Inverse tangent."""
    return _each(sp.atan, x)


def tanh(x: Any) -> Symbols:
    """Hyperbolic tangent."""
    return _each(sp.tanh, x)


def square(x: Any) -> Symbols:
    """x^2."""
    return _each(lambda v: v**2, x)


def abs(x: Any) -> Symbols:
    """|x|, whose sign must be known."""
    return _each(lambda v: v * sign(v), x)


def minimum(a: Any, b: Any) -> Symbols:
    """Return the lesser, which must be known."""
    return _each(lambda v, w: v if sign(v - w) <= 0 else w, a, b)


def maximum(a: Any, b: Any) -> Symbols:
    """Return the greater, which must be known."""
    return _each(lambda v, w: v if sign(v - w) >= 0 else w, a, b)


def clip(x: Any, min: Any = None, max: Any = None) -> Symbols:
    """Return x brought into a range, if its side of the ends is known."""
    x = asarray(x) if min is None else maximum(x, min)
    return x if max is None else minimum(x, max)


def where(condition: Any, a: Any, b: Any) -> Symbols:
    """Return a where the condition holds, else b."""
    return _each(lambda c, v, w: v if c else w, condition, a, b)


def isfinite(x: Any) -> Symbols:
    """Whether an element is finite; symbols are."""
    return _each(lambda v: not v.has(sp.oo, sp.zoo, sp.nan), x)


def isnan(x: Any) -> Symbols:
    """Whether an element is NaN; symbols are not."""
    return _each(lambda v: v.has(sp.nan), x)


def all(x: Any, **_: Any) -> Symbols:
    """Whether all elements are true."""
    return Symbols(builtins.all(_lift(x).ravel().tolist()))


def any(x: Any, **_: Any) -> Symbols:
    """Whether an element is true."""
    return Symbols(builtins.any(_lift(x).ravel().tolist()))


def sum(x: Any, axis: Any = None, keepdims: builtins.bool = False, **_: Any) -> Symbols:
    """Return the sum over axes."""
    return Symbols(np.sum(_lift(x), axis=axis, keepdims=keepdims))


def matmul(a: Any, b: Any) -> Symbols:
    """Return the product of matrices."""
    return Symbols(_lift(a) @ _lift(b))


def asarray(value: Any, **_: Any) -> Symbols:
    """Return numbers as an array."""
    return value if isinstance(value, Symbols) else Symbols(_lift(np.asarray(value, dtype=object)))


def astype(x: Symbols, dtype: Any, *, copy: Any = True, device: Any = None) -> Symbols:
    """Return the array itself."""
    del dtype, copy, device
    return x


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Whether a dtype is of a kind."""
    return (kind in ("bool", bool)) == (dtype is bool)


def reshape(x: Any, shape: Any, **_: Any) -> Symbols:
    """Return the elements in another shape."""
    return Symbols(_lift(x).reshape(shape))


def permute_dims(x: Any, axes: Any) -> Symbols:
    """Return the axes in another order."""
    return Symbols(_lift(x).transpose(axes))


def broadcast_to(x: Any, shape: Any) -> Symbols:
    """Return the elements repeated."""
    return Symbols(np.broadcast_to(_lift(x), shape))


def concat(arrays: Any, *, axis: int = 0) -> Symbols:
    """Return arrays joined."""
    return Symbols(np.concatenate([_lift(x) for x in arrays], axis))


def full(shape: Any, value: Any, **_: Any) -> Symbols:
    """Return an array of one value."""
    return Symbols(np.full(shape, exact(value), dtype=object))


def full_like(x: Symbols, value: Any, **_: Any) -> Symbols:
    """Return an array of one value, in the shape of another."""
    return full(x.shape, value)


def zeros_like(x: Symbols, **_: Any) -> Symbols:
    """Return zeros."""
    return full(x.shape, 0)


def ones_like(x: Symbols, **_: Any) -> Symbols:
    """Return ones."""
    return full(x.shape, 1)


def __array_namespace_info__() -> Any:
    return SimpleNamespace(
        dtypes=lambda **_: {"float64": float64, "float32": float32}, devices=lambda: [Symbols.device]
    )
