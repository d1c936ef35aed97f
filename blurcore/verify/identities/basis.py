"""The basis: orthonormal, invertible, equal to its definition, and diagonal for the Laplacian of its boundary (SPEC 1)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from blurcore.verify import reference
from blurcore.verify.cases import Case
from blurcore.verify.identity import Comparison, absolute, identity, relative
from blurcore.verify.rounding import transform_error

Values = np.ndarray[Any, Any]
TRANSFORMED = ("blurring", "blurring, absorbing, DDPM betas", "blurring, periodic")


def one_per_basis(process_name: str) -> bool:
    """Choose one process for each basis: DCT, DST, real Fourier."""
    return process_name in TRANSFORMED


def _norm(x: Values, axes: tuple[int, ...]) -> Values:
    return np.asarray(np.sqrt(np.sum(x**2, axis=axes, keepdims=True)))


def dense_forward(case: Case, x: Values, axes: tuple[int, ...]) -> Values:
    """Return V^T x by the matrices of the definition."""
    return _apply(case, x, axes, transpose=True)


def dense_inverse(case: Case, u: Values, axes: tuple[int, ...]) -> Values:
    """Return V u by the matrices of the definition."""
    return _apply(case, u, axes, transpose=False)


def _apply(case: Case, x: Values, axes: tuple[int, ...], *, transpose: bool) -> Values:
    name = type(case.process.basis).__name__
    for axis in axes:
        matrix = reference.basis_matrix(name, x.shape[axis])
        x = np.moveaxis(np.tensordot(matrix.T if transpose else matrix, x, axes=(1, axis)), 0, axis)
    return x


@identity("orthonormal", "V^T V = 1", "SPEC 1; paper section 2", half=True, wants=one_per_basis, quick=False)
def orthonormal(case: Case) -> Iterator[Comparison]:
    """The Gram matrix of the transformed unit vectors is 1.

    Bound: each of the two vectors of an entry has norm 1 and is off by the transform's relative error.
    """
    axes = tuple(range(1, 1 + len(case.shape)))
    units = np.eye(case.size).reshape(case.size, *case.shape)
    u = case.numpy(case.ops.forward(case.process.basis, case.array(units), axes=axes)).reshape(case.size, -1)
    yield absolute(u @ u.T, np.eye(case.size), 2 * transform_error(case.shape, case.eps, case.cast_eps))


@identity("Parseval", "|V^T x|^2 = |x|^2", "SPEC 1", half=True, wants=one_per_basis)
def parseval(case: Case) -> Iterator[Comparison]:
    """The transform keeps the norm.

    Bound: a norm is off by no more than the vector, relative; its square by twice that.
    """
    for shape, axes in case.layouts():
        x = case.rounded(case.rng("data").standard_normal(shape))
        u = case.numpy(case.ops.forward(case.process.basis, case.array(x), axes=axes))
        axes = tuple(a % x.ndim for a in axes)
        yield relative(
            _norm(u, axes) ** 2, _norm(x, axes) ** 2, 2 * transform_error(case.shape, case.eps, case.cast_eps)
        )


@identity("inverse", "V V^T x = x", "SPEC 1", half=True, wants=one_per_basis)
def inverse(case: Case) -> Iterator[Comparison]:
    """Forward and back is where one came from.

    Bound: two transforms, each off relative to the norm of x; no element is off by more than the norm.
    """
    for shape, axes in case.layouts():
        x = case.rounded(case.rng("data").standard_normal(shape))
        u = case.ops.forward(case.process.basis, case.array(x), axes=axes)
        back = case.numpy(case.ops.inverse(case.process.basis, u, axes=axes))
        grid = tuple(a % x.ndim for a in axes)
        yield absolute(back, x, 2 * transform_error(case.shape, case.eps, case.cast_eps) * _norm(x, grid))


@identity(
    "dense basis", "u = V^T x, x = V u, V written out", "SPEC 1; paper appendix A", half=True, wants=one_per_basis
)
def dense(case: Case) -> Iterator[Comparison]:
    """The transform is the matrix of its definition, for every layout of the axes.

    Bound: one transform, relative to the norm of the data, and that of NumPy's float64 product.
    """
    for shape, axes in case.layouts():
        x = case.rounded(case.rng("data").standard_normal(shape))
        grid = tuple(a % x.ndim for a in axes)
        bound = (
            transform_error(case.shape, case.eps, case.cast_eps) + transform_error(case.shape, 2.0**-52, 0.0)
        ) * _norm(x, grid)
        u = case.numpy(case.ops.forward(case.process.basis, case.array(x), axes=axes))
        yield absolute(u, dense_forward(case, x, axes), bound)
        back = case.numpy(case.ops.inverse(case.process.basis, case.array(x), axes=axes))
        yield absolute(back, dense_inverse(case, x, axes), bound)


@identity(
    "eigenvalues", "lambda_k = sum_n (pi k_n / N_n)^2, lambda_DC = 0", "SPEC 1; paper section 2", wants=one_per_basis
)
def eigenvalues(case: Case) -> Iterator[Comparison]:
    """The eigenvalues are those of the definition; a zero is a zero.

    Bound: six roundings of one sign in each of the two texts (pi, product, quotient, square, sum over at most 3 axes).
    """
    lam = case.on_grid(case.ops.eigenvalues(case.process.basis, case.shape, like=case.like))
    name = type(case.process.basis).__name__
    yield relative(lam, reference.eigenvalues(name, case.shape), 12 * case.eps)


def laplacian_matrix(name: str, n: int) -> Values:
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


@identity("Laplacian", "L V = V 4 sin^2(sqrt(lambda) / 2), L with the basis' boundary", "SPEC 1", wants=one_per_basis)
def laplacian(case: Case) -> Iterator[Comparison]:
    """Basis vectors and eigenvalues belong together, and to the right boundary.

    The second difference L with a reflecting boundary (absorbing, periodic) has the same eigenvectors as the continuous
    Laplacian, with eigenvalue 4 sin^2(w / 2) where that has w^2.
    Bound: V is off by one transform and |L| <= 4; sin^2(sqrt(lambda) / 2) is well conditioned, eigenvalues are at most 4.
    """
    name = type(case.process.basis).__name__
    for n in sorted(set(case.shape)):
        v = case.numpy(case.ops.inverse(case.process.basis, case.array(np.eye(n)), axes=(1,))).T
        lam = case.numpy(case.ops.eigenvalues(case.process.basis, (n,), like=case.like))
        # On 1 or 2 points the far neighbour of the periodic boundary is also the near one; the formula counts both.
        bound = 8 * transform_error((n,), case.eps, 0.0) + 16 * case.eps
        yield absolute(laplacian_matrix(name, n) @ v, v * (4 * np.sin(np.sqrt(lam) / 2) ** 2), bound)


REFINEMENT = 33
"""Fine points for each coarse one; odd, so that the coarse cell centres are fine cell centres."""


@cache
def _heat_propagator(n: int, tau: float) -> Values:
    """Return exp(-tau L / h^2) of n refined cells with reflecting ends, by SciPy's matrix exponential."""
    from scipy import linalg  # which the checks of other people's code do without: it is no dependency of the core

    fine = laplacian_matrix("DCT", n * REFINEMENT) * REFINEMENT**2
    return np.asarray(linalg.expm(-tau * fine))


@identity(
    "heat equation",
    "diffuse(x, sigma = 0) = solution of dx/dtau = Laplacian x, reflecting, at tau = sigma_B^2 / 2",
    "SPEC 2; paper section 2.2",
    wants=lambda name: name == "cold",
    every_grid=False,
)
def heat_equation(case: Case) -> Iterator[Comparison]:
    r"""The blur is the heat equation, solved by finite differences on a 33 times finer grid.

    The data's cosine series is sampled on the fine grid, whose semi-discrete heat equation is solved by scipy.linalg.expm
    along each axis, and read off at the coarse centres.
    Bound: the fine grid (spacing h) has eigenvalue mu = 4 sin^2(sqrt(lambda) h / 2) / h^2 where the continuum has lambda,
    with lambda (1 - lambda h^2 / 12) <= mu <= lambda, so frequency k is off by at most
    exp(-mu tau) (lambda - mu) tau <= tau lambda^2 h^2 / 12 exp(-mu tau) summed over axes, times |u_k| and the largest value of its wave
    (sqrt(2 / N) for each axis); plus rounding: the transforms, and expm's 1e-13 of its norm.
    """
    t = 0.7
    tau = reference.tau(case.process, t)
    x = case.rounded(case.rng("heat").standard_normal((1, *case.shape)))
    axes = tuple(range(1, 1 + len(case.shape)))
    z = case.numpy(case.ops.diffuse(case.process, case.array(x), t, case.array(np.zeros_like(x)), axes=axes))
    solution, error, waves = x, np.zeros(case.shape), 1.0
    h = 1 / REFINEMENT
    for axis, n in zip(axes, case.shape, strict=True):
        series = reference.basis_matrix("DCT", n)
        centres = (np.arange(n * REFINEMENT) + 0.5) * h  # of the fine cells, in coarse pixels from the edge
        waves_fine = (
            np.cos(np.pi * np.outer(centres, np.arange(n)) / n) * np.where(np.arange(n) == 0, 1, 2**0.5) / n**0.5
        )
        solver = _heat_propagator(n, tau)[REFINEMENT // 2 :: REFINEMENT] @ waves_fine @ series.T
        solution = np.moveaxis(np.tensordot(solver, solution, axes=(1, axis)), 0, axis)
        lam = reference.eigenvalues("DCT", (n,))
        off = tau * lam**2 * h**2 / 12
        error = error + off.reshape([n if a == axis else 1 for a in axes])
        waves *= (2 / n) ** 0.5
    mu = reference.eigenvalues("DCT", case.shape) - error / tau
    u = np.abs(dense_forward(case, x, axes)[0])
    discrete = waves * np.sum(u * error * np.exp(-tau * mu))
    rounding = 3 * transform_error(case.shape, case.eps, 0.0) + 1e-13
    yield absolute(z, solution, discrete + rounding * np.linalg.norm(x))


IDENTITIES = (orthonormal, parseval, inverse, dense, eigenvalues, laplacian, heat_equation)
