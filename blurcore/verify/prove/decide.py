"""Are two formulas equal for all values? Refuted by numbers, proven by exact algebra, or undecided; never guessed.

First both sides are worked out in 60 digits at random values, within what is stated; where they differ, those values are
the refutation. Then what is not rational becomes a generator of a field of fractions, in which equality is decided by
cancelling: exp(x) of each monomial x, sines as exponentials of imaginary angles, logarithms within exponentials as powers,
square roots r with r^2 = the radicand (taken apart only into factors that are positive), and functions and their
derivatives. Generators are taken to be independent, which can leave a true equation undecided and cannot prove a wrong one.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import mpmath
import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.polys.fields import field

from blurcore.verify.prove.symbolic import exact, facts

DIGITS = 60
AGREE = mpmath.mpf(10) ** -35
ROUNDED = mpmath.mpf(10) ** -12
_SAMPLES = 3
_TRIES = 20_000


class Decision(NamedTuple):
    """What became of an equation: "proven", "refuted" or "undecided", by which steps, and for which numbers it fails."""

    verdict: str
    steps: tuple[str, ...]
    witness: str = ""


def equal(left: Any, right: Any, *, seed: int = 0) -> Decision:
    """Decide whether two expressions are equal for all values of their symbols that are allowed by what is stated."""
    left, right = (_exactly(sp.sympify(side)) for side in (left, right))
    if left == right:
        return Decision("proven", ("identical",))
    algebra = Algebra()
    try:
        if (witness := refutation(left, right, seed)) is not None:
            return Decision("refuted", ("numbers",), witness)
        difference = algebra.rational(left) - algebra.rational(right)
        zero = algebra.is_zero(difference)
    except (NotImplementedError, sp.PolynomialError, sp.CoercionFailed, ZeroDivisionError) as error:
        return Decision("undecided", tuple(algebra.steps), str(error))
    steps = (*algebra.steps, "cancel")
    if zero:
        return Decision("proven", steps)
    return Decision("undecided", steps, f"equal in {DIGITS} digits wherever tried, yet nothing cancels")


def sign_of(expression: Any) -> int | None:
    """Return the sign of an expression where its factors are positive, or where those of its ratio to a stated one are."""
    algebra = Algebra()
    try:
        value = algebra.rational(_exactly(expression))
        for known in (sp.S(1), *map(algebra.rational, facts())):
            if (found := algebra.sign(value / known)) is not None:
                return found
    except (NotImplementedError, sp.PolynomialError, sp.CoercionFailed, ZeroDivisionError):
        return None
    return None


def _exactly(e: Any) -> Any:
    """Return an expression in which floats that met SymPy's numbers are exact again."""
    return e.xreplace({number: exact(float(number)) for number in e.atoms(sp.Float)})


def _opaque(*expressions: Any) -> dict[Any, Any]:
    """Return a symbol for each unknown function at its argument, and for each of its derivatives."""
    found = set().union(*(e.atoms(sp.Derivative) for e in expressions))
    found |= set().union(*(e.atoms(AppliedUndef) for e in expressions))
    names: dict[Any, Any] = {}
    for one in sorted(found, key=sp.default_sort_key):
        names[one] = sp.Dummy(str(one), positive=one.is_positive or None, real=True)
    return names


def _named(expression: Any, names: dict[Any, Any]) -> Any:
    derivatives = {one: name for one, name in names.items() if isinstance(one, sp.Derivative)}
    return expression.xreplace(derivatives).xreplace(names)


def refutation(left: Any, right: Any, seed: int = 0) -> str | None:
    """Return values for which two expressions differ, with both numbers; None where none was found."""
    names = _opaque(left, right, *facts())
    sides = [_named(e, names) for e in (left, right)]
    stated = [_named(e, names) for e in facts()]
    symbols = sorted(set().union(*(e.free_symbols for e in (*sides, *stated))), key=lambda s: s.name)
    allowed = sp.lambdify(symbols, stated, "math") if stated else lambda *_: ()
    values_of = sp.lambdify(symbols, sides, "mpmath")
    rng = random.Random(seed)
    checked = 0
    for _ in range(_TRIES):
        scale = 10.0 ** -rng.choice((0, 0, 0, 1, 2, 3, 4))  # what is stated may leave room near 0 alone
        scales = [rng.choice((scale, 1.0)) for _ in symbols] if rng.random() < 0.5 else [scale] * len(symbols)
        draw = [round(rng.uniform(0.001, 2.0) * s, 9) for s in scales]
        if not all(fact > 0 for fact in allowed(*draw)):
            continue
        with mpmath.workdps(DIGITS):
            numbers = [mpmath.mpf(str(v)) for v in draw]
            try:
                a, b = values_of(*numbers)
            except (ZeroDivisionError, ValueError):
                continue
            if not (mpmath.isfinite(a) and mpmath.isfinite(b)):
                continue
            apart, size = abs(a - b), abs(a) + abs(b) + AGREE
            if apart > AGREE * size:
                if apart < ROUNDED * size:
                    raise NotImplementedError(
                        f"the sides differ by {float(apart / size):.1e} of their size, as rounded constants do"
                    )
                where = ", ".join(f"{s.name.lstrip('_')} = {v:g}" for s, v in zip(symbols, draw, strict=True))
                return f"{mpmath.nstr(a, 12)} is not {mpmath.nstr(b, 12)}, at {where}"
        checked += 1
        if checked == (_SAMPLES if symbols else 1):
            return None
    raise NotImplementedError("no values were found at which both sides are numbers")


def _finer(*expressions: Any) -> dict[Any, Any]:
    """Return, for each positive symbol of which fractional powers occur, that power of another of which none do."""
    powers: dict[Any, int] = {}
    for power in set().union(*(e.atoms(sp.Pow) for e in expressions)):
        if power.base.is_Symbol and power.exp.is_Rational:
            powers[power.base] = int(sp.ilcm(powers.get(power.base, 1), power.exp.q))
    return {s: sp.Dummy(s.name, positive=True) ** n for s, n in powers.items() if n > 1}


class Algebra:
    """Expressions as rational functions of generators, and the steps that this takes."""

    def __init__(self) -> None:
        self.steps: dict[str, None] = {}
        self._exponentials: dict[Any, Any] = {}
        self._angles: dict[Any, Any] = {}
        self._atoms: dict[Any, Any] = {}
        self._roots: dict[Any, Any] = {}
        self._known: dict[Any, Any] = {}

    def rational(self, e: Any) -> Any:
        """Return an expression with all that is not rational replaced by generators."""
        if e not in self._known:
            self._known[e] = self._rational(e)
        return self._known[e]

    def _rational(self, e: Any) -> Any:
        if e.is_Rational or e is sp.I or e.is_Symbol:
            return e
        if e.is_Add or e.is_Mul:
            return e.func(*map(self.rational, e.args))
        if isinstance(e, sp.exp):
            return self._exponential(e.args[0])
        if e.is_Pow:
            return self._power(self.rational(e.base), e.exp) if e.exp.is_Rational else self._atom(e)
        if isinstance(e, (sp.sin, sp.cos)):
            self.steps["sines as exponentials"] = None
            turn = self._turn(e.args[0])
            return (turn - 1 / turn) / (2 * sp.I) if isinstance(e, sp.sin) else (turn + 1 / turn) / 2
        if isinstance(e, sp.tan):
            return self.rational(sp.sin(e.args[0]) / sp.cos(e.args[0]))
        if isinstance(e, sp.log) and (expanded := sp.expand_log(e)) != e:
            return self.rational(expanded)
        if isinstance(e, (sp.Derivative, AppliedUndef)):
            self.steps["functions as symbols"] = None
        return self._atom(e)

    def _atom(self, e: Any) -> Any:
        return self._atoms.setdefault(e, sp.Dummy(f"x{len(self._atoms)}", positive=e.is_positive or None))

    def _terms(self, e: Any) -> list[tuple[Any, Any]]:
        """Return a sum as rational factors and monomials."""
        denominator = sp.fraction(sp.together(e))[1]
        whole = sp.expand(sp.cancel(e) if denominator.has(sp.Add) else e)
        return [term.as_coeff_Mul(rational=True) for term in sp.Add.make_args(whole) if term != 0]

    def _exponential(self, e: Any) -> Any:
        self.steps["substitute exponentials"] = None
        result, waves = sp.S(1), sp.S(0)
        for factor, rest in self._terms(e):
            if isinstance(rest, sp.log):
                result *= self._power(self.rational(rest.args[0]), factor)
            elif rest.has(sp.sin, sp.cos):  # whose identities hold within exponents too
                waves += factor * rest
            else:
                result *= self._generated(rest, factor)
        if waves != 0:
            for factor, rest in self._terms(self.rational(waves)):
                result *= self._generated(rest, factor)
        return result

    def _generated(self, monomial: Any, factor: Any) -> Any:
        """Return e^(factor monomial) as a power of the monomial's generator, whose powers multiply."""
        if factor.q > 1000:
            raise NotImplementedError(f"the exponential of {factor} times {monomial}")
        name = self._exponentials.setdefault(monomial, sp.Dummy(f"e{len(self._exponentials)}", positive=True))
        return name**factor

    def _is_wave(self, e: Any) -> bool:
        """Whether an expression holds generators that stand for numbers that need not be positive."""
        waves = set(self._angles.values())
        waves |= {name for x, name in self._exponentials.items() if x.has(sp.I, *self._angles.values())}
        return bool(e.has(sp.I, *waves))

    def _turn(self, angle: Any) -> Any:
        """Return e^(i angle)."""
        result = sp.S(1)
        for factor, rest in self._terms(angle):
            if factor.q > 1000:
                raise NotImplementedError(f"the sine of {factor} times {rest}")
            if rest is sp.pi and (2 * factor).is_Integer:
                result *= sp.I ** (2 * factor)
            else:  # positive, so that its powers multiply: no more is used of it
                name = self._angles.setdefault(rest, sp.Dummy(f"z{len(self._angles)}", positive=True))
                result *= name**factor
        return result

    def _power(self, base: Any, exponent: Any) -> Any:
        if exponent.is_Integer:
            return base**exponent
        if exponent.q != 2:
            raise NotImplementedError(f"the power {exponent} of {base}")
        self.steps["square roots"] = None
        return self._root(base) ** exponent.p

    def _root(self, base: Any) -> Any:
        finer = _finer(base)
        top, bottom = (sp.factor_list(part) for part in sp.fraction(sp.cancel(base.xreplace(finer))))
        number = sp.sqrt(top[0] / bottom[0])
        factors = [(f, k) for f, k in top[1]] + [(f, -k) for f, k in bottom[1]]
        if not (number.is_Rational and all(self._is_positive(f) for f, _ in factors)):
            return self._generator(sp.cancel(base), positive=None)
        result = number
        for f, k in factors:
            if k % 2 == 0:
                result *= f ** (k // 2)
            elif f.is_Symbol:
                result *= f ** sp.Rational(k, 2)
            else:
                result *= self._generator(f, positive=True) ** k
        return result.xreplace({power.base: s ** sp.Rational(1, power.exp) for s, power in finer.items()})

    def _generator(self, radicand: Any, *, positive: bool | None) -> Any:
        for name, known in self._roots.items():
            if known == radicand:
                return name
        name = sp.Dummy(f"r{len(self._roots)}", positive=positive)
        self._roots[name] = radicand
        return name

    def sign(self, e: Any) -> int | None:
        """Return the sign of a rational function of generators whose factors are positive; None where that is not seen."""
        finer = _finer(e)
        top, bottom = (sp.factor_list(part) for part in sp.fraction(sp.cancel(e.xreplace(finer))))
        number = top[0] / bottom[0]
        if not number.is_Rational or number == 0:
            return 0 if number == 0 else None
        negative = number < 0
        for f, power in (*top[1], *bottom[1]):
            if self._is_positive(-f):
                negative ^= power % 2 == 1
            elif not self._is_positive(f):
                return None
        return -1 if negative else 1

    def _is_positive(self, f: Any) -> bool:
        """Whether a polynomial is positive: all its coefficients are, once generators >= 1 and numbers < 1 say so."""
        if self._is_wave(f):
            return False
        at_least_one = {
            name: 1 + sp.Dummy(name.name, positive=True) for x, name in self._exponentials.items() if x.is_positive
        }
        below_one = {
            s: 1 / (1 + sp.Dummy(s.name, positive=True))
            for s in f.free_symbols
            if any(sp.S(1) - s == g for g in facts())
        }
        top, bottom = sp.fraction(sp.cancel(f.xreplace(at_least_one | below_one)))
        for part in (top, bottom):
            polynomial = sp.Poly(part, *sorted(part.free_symbols, key=str)) if part.free_symbols else None
            if polynomial is None:
                if not part.is_positive:
                    return False
            elif not all(s.is_positive for s in polynomial.gens) or not all(c > 0 for c in polynomial.coeffs()):
                return False
        return True

    def is_zero(self, e: Any) -> bool:
        """Whether a rational function of the generators is 0, given what their squares are."""
        finer = _finer(e, *self._roots.values())
        e = e.xreplace(finer)
        roots = {name: radicand.xreplace(finer) for name, radicand in self._roots.items()}
        symbols = set(e.free_symbols).union(*(r.free_symbols for r in roots.values()))
        if not symbols:
            return bool(sp.expand(e) == 0)
        gens = sorted(symbols, key=lambda s: (s.name, s.dummy_index if isinstance(s, sp.Dummy) else 0))
        domain = sp.QQ_I if e.has(sp.I) or any(r.has(sp.I) for r in roots.values()) else sp.QQ
        generators: list[Any]
        space: Any  # a FracField
        space, *generators = field([f"{s.name}_{i}" for i, s in enumerate(gens)], domain)
        at = dict(zip(gens, generators, strict=True))
        known: dict[Any, Any] = {}

        def value(x: Any) -> Any:
            if x not in known:
                if x in at:
                    known[x] = at[x]
                elif x.is_Add:
                    known[x] = sum(map(value, x.args), space.zero)
                elif x.is_Mul:
                    product = space.one
                    for factor in x.args:
                        product = product * value(factor)
                    known[x] = product
                elif x.is_Pow and x.exp.is_Integer:
                    known[x] = value(x.base) ** int(x.exp)
                else:
                    known[x] = space(domain.from_sympy(x))
            return known[x]

        numerator = value(e).numer
        for name, radicand in reversed(roots.items()):  # a later one's radicand may hold an earlier one
            if name not in at:
                continue
            place, square = gens.index(name), value(radicand)
            reduced = space.zero
            for powers, coefficient in numerator.terms():
                rest = list(powers)
                halves, rest[place] = divmod(powers[place], 2)
                monomial = space.ring.term_new(tuple(rest), coefficient)
                reduced = reduced + space.field_new(monomial) * square**halves
            numerator = reduced.numer
        return not numerator
