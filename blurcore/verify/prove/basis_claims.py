"""The bases: orthonormal, and eigenvectors of the continuous Laplacian with their boundary (SPEC 1).

A row of a matrix is a number times cosines of multiples of pi / 2N, whose sums of products are integers in the ring of the
4N-th roots of unity: the remainder by their cyclotomic polynomial says exactly whether a sum is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import sympy as sp

from blurcore.transforms import DCT, DST, RealFourier
from blurcore.verify.prove.abstract import with_settings
from blurcore.verify.prove.claim import Claim, Pair, claim

SIZES = range(1, 33)
COSINE = sp.Function("C")
"""C(j) = cos(pi j / 2N), for whole j."""
PLACE = sp.Symbol("x", real=True)


class _Counting:
    """NumPy for matrices of cosines: they stay cosines of whole multiples of pi / 2N."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def cos(self, angles: Any) -> Any:
        """Return C(j) of angles pi j / 2N."""
        return np.frompyfunc(lambda angle: COSINE(sp.sympify(angle) * 2 * self._n / sp.pi), 1, 1)(angles)

    def sin(self, angles: Any) -> Any:
        """Return the sine as C(j - N)."""
        return np.frompyfunc(lambda angle: COSINE(sp.sympify(angle) * 2 * self._n / sp.pi - self._n), 1, 1)(angles)


def matrix(kind: type, n: int) -> tuple[Any, Any]:
    """Return the squares of the factors of a matrix (N, N), and which multiples of pi / 2N its cosines are of."""
    rows = with_settings(kind, replace={"np": _Counting(n)}).analysis(n)
    squares, multiples = np.empty((n, n), dtype=object), np.zeros((n, n), dtype=np.int64)
    for place, entry in np.ndenumerate(np.asarray(rows, dtype=object)):
        (cosine,) = sp.sympify(entry).atoms(COSINE) or {COSINE(sp.S(0))}
        squares[place] = sp.sympify(entry).xreplace({cosine: sp.S(1)}) ** 2
        multiples[place] = int(sp.Integer(cosine.args[0]))
    return squares, multiples


def _remainders(n: int) -> Any:
    """Return z^j modulo the cyclotomic polynomial of the 4N-th roots of unity, a row for each j < 4N."""
    x = sp.Symbol("x")
    divisor = [int(c) for c in sp.Poly(sp.cyclotomic_poly(4 * n, x), x).all_coeffs()][::-1]
    degree = len(divisor) - 1
    rows = np.zeros((4 * n, degree), dtype=np.int64)
    row = np.zeros(degree, dtype=np.int64)
    row[0] = 1
    for j in range(4 * n):
        rows[j] = row
        row = np.roll(row, 1)
        carried, row[0] = row[0], 0
        row -= carried * np.array(divisor[:-1], dtype=np.int64)
    return rows


def gram(kind: type, n: int) -> tuple[Any, Any]:
    """Return the sums over i of 4 C_ki C_li modulo the cyclotomic polynomial, (N, N, degree), and the rows' squared factors."""
    squares, j = matrix(kind, n)
    sums = np.zeros((n, n, 4 * n), dtype=np.int64)
    rows, columns = np.ogrid[:n, :n]
    for i in range(n):
        for a in (j[:, i], -j[:, i]):
            for b in (j[:, i], -j[:, i]):
                np.add.at(sums, (rows, columns, (a[:, None] + b[None, :]) % (4 * n)), 1)
    return sums @ _remainders(n), squares


def of_orthonormality(kind: type) -> Iterator[Pair]:
    """Yield: the rows of a matrix are orthonormal."""
    for n in SIZES:
        products, squares = gram(kind, n)
        for k in range(n):
            yield Pair(f"N = {n}, factors of row {k}", sp.Integer(len(set(squares[k]))), 1)
            # a product of 4 C C is a whole number where it is rational: the constant term alone is left
            yield Pair(f"N = {n}, length of row {k}", squares[k, 0] * sp.Rational(int(products[k, k, 0]), 4), 1)
        products[np.arange(n), np.arange(n), 0] = 0
        yield Pair(f"N = {n}, all other products", sp.Integer(int(np.count_nonzero(products))), 0)


def _orthonormal(kind: type, what: str) -> Claim:
    def sides() -> Iterator[Pair]:
        return of_orthonormality(kind)

    return claim(
        f"{what} is orthonormal",
        "sum over i of V_ki V_li is 1 for k = l, else 0",
        "SPEC 1",
        for_all=f"every N to {SIZES[-1]}, all rows k, l",
    )(sides)


def of_eigenvalues(kind: type, wave: Callable[[int, int], Any], boundary: Callable[[Any, int], Any]) -> Iterator[Pair]:
    """Yield: each eigenvalue is the continuous Laplacian's for its wave, which obeys the boundary at 0 and N."""
    for n in SIZES:
        values = with_settings(kind)._axis_eigenvalues(n)
        for k in range(n):
            function = wave(k, n)
            yield Pair(f"N = {n}, k = {k}", -sp.diff(function, PLACE, 2), sp.sympify(values[k]) * function)
            yield Pair(f"N = {n}, k = {k}, boundary", boundary(function, n), 0)


@claim(
    "DCT: continuous Laplacian",
    "-(d/dx)^2 cos(pi k x / N) = lambda_k cos(pi k x / N), reflecting ends",
    "SPEC 1",
    for_all=f"every N to {SIZES[-1]}, all k, x",
)
def dct_eigenvalues() -> Iterator[Pair]:
    """The derivative is 0 at both ends."""

    def ends(f: Any, n: int) -> Any:
        slope = sp.diff(f, PLACE)
        return slope.subs(PLACE, 0) ** 2 + slope.subs(PLACE, n) ** 2

    return of_eigenvalues(DCT, lambda k, n: sp.cos(sp.pi * k * PLACE / n), ends)


@claim(
    "DST: continuous Laplacian",
    "-(d/dx)^2 sin(pi (k + 1) x / N) = lambda_k sin(pi (k + 1) x / N), absorbing ends",
    "SPEC 1",
    for_all=f"every N to {SIZES[-1]}, all k, x",
)
def dst_eigenvalues() -> Iterator[Pair]:
    """The value is 0 at both ends."""
    return of_eigenvalues(
        DST,
        lambda k, n: sp.sin(sp.pi * (k + 1) * PLACE / n),
        lambda f, n: f.subs(PLACE, 0) ** 2 + f.subs(PLACE, n) ** 2,
    )


@claim(
    "RealFourier: continuous Laplacian",
    "-(d/dx)^2 of cos, sin(2 pi f x / N) by turns is lambda times it, periodic",
    "SPEC 1",
    for_all=f"every N to {SIZES[-1]}, all f, x",
)
def fourier_eigenvalues() -> Iterator[Pair]:
    """The value at N is that at 0."""

    def wave(k: int, n: int) -> Any:
        angle = 2 * sp.pi * ((k + 1) // 2) * PLACE / n
        return sp.cos(angle) if k % 2 or k == 0 else sp.sin(angle)

    return of_eigenvalues(RealFourier, wave, lambda f, n: f.subs(PLACE, 0) - f.subs(PLACE, n))


CLAIMS: tuple[Claim, ...] = (
    _orthonormal(DCT, "DCT-II"),
    _orthonormal(DST, "DST-II"),
    _orthonormal(RealFourier, "real Fourier"),
    dct_eigenvalues,
    dst_eigenvalues,
    fourier_eigenvalues,
)
