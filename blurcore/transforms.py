r"""Orthonormal bases in which blur is diagonal (SPEC 1).

A basis is (forward, inverse, eigenvalues): :math:`u = V^T x`, :math:`x = V u` with :math:`V^T V = 1`, separable over
the axes of the grid, and the eigenvalues of the negative Laplacian with the boundary that the basis implies,

.. math:: \lambda_k = \sum_n \lambda^{(n)}_{k_n}, \qquad \text{DCT: } \lambda^{(n)}_k = (\pi k / N_n)^2 .

============== ================== ==============================
basis          boundary           eigenvalue of one axis
============== ================== ==============================
DCT (DCT-II)   reflecting         (pi k / N)^2
DST (DST-II)   absorbing          (pi (k + 1) / N)^2
RealFourier    periodic           (2 pi f / N)^2
Identity       none               0
Dense          any (graph, mesh)  given
============== ================== ==============================
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, final

import array_api_compat as compat

from blurcore._arrays import Frame, frame, namespace, normalize_axes, require_real, upcast
from blurcore._checks import require
from blurcore._typing import Array
from blurcore.errors import ArgumentError


class Basis(Protocol):
    """An orthonormal basis of the grid and the eigenvalues of its Laplacian."""

    def forward(self, x: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
        """Return the coefficients u = V^T x along `axes`."""
        ...

    def inverse(self, u: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
        """Return the data x = V u along `axes`."""
        ...

    def eigenvalues(self, shape: tuple[int, ...], *, like: Array | None = None) -> Array:
        """Return lambda on the grid `shape`."""
        ...


def check_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a grid shape as a tuple of positive integers, or refuse it."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    require(
        len(shape) >= 1 and all(isinstance(n, int) and n >= 1 for n in shape), "shape", shape, "a tuple of sizes >= 1"
    )
    return shape


def _apply(matrix: Array, x: Array, axis: int) -> Array:
    """Multiply the vectors along `axis` by a matrix. The matrix stands on the right: one GEMM instead of a batch."""
    xp = compat.array_namespace(x)
    last = x.ndim - 1
    if axis == last:
        return xp.matmul(x, matrix.T)
    swap = tuple({axis: last, last: axis}.get(i, i) for i in range(x.ndim))  # its own inverse
    return xp.permute_dims(xp.matmul(xp.permute_dims(x, swap), matrix.T), swap)


def _transform(x: Array, axes: tuple[int, ...] | int, matrices: list[Array]) -> Array:
    """Apply one matrix to each axis, accumulating in float32 or better, and give the dtype of `x` back."""
    result = upcast(x)
    for axis, matrix in zip(normalize_axes(axes, x.ndim), matrices, strict=True):
        result = _apply(matrix, result, axis)
    return compat.array_namespace(x).astype(result, x.dtype, copy=False)


class _Separable:
    """A basis that is one analysis matrix (rows: basis vectors) and one vector of eigenvalues for each axis."""

    def _analysis(self, n: int, f: Frame) -> Array:
        raise NotImplementedError

    def _axis_eigenvalues(self, n: int, f: Frame) -> Array:
        raise NotImplementedError

    def matrices(self, shape: tuple[int, ...], *, like: Array | None = None) -> tuple[Array, ...]:
        """Return the orthonormal analysis matrix of each axis, (N, N): u = M x, x = M^T u.

        Parameters
        ----------
        shape
            Sizes of the grid.
        like
            An array whose library, device and compute dtype (float32, or float64 for float64) the matrices get;
            NumPy float64 where not given.
        """
        f = frame(like, on_host=True)
        return tuple(f.finish(self._analysis(n, f)) for n in check_shape(shape))

    def forward(self, x: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
        r"""Return :math:`u = V^T x` along `axes`.

        Parameters
        ----------
        x
            Real floating array; half precision is accumulated in float32.
        axes
            The axes of the grid, in any position and number.

        Returns
        -------
        Array
            Of the shape, library, dtype and device of `x`.

        Raises
        ------
        ArgumentError
            `x` is not real floating, or `axes` are out of range or repeated.
        """
        return _transform(x, axes, list(self._matrices_of(x, axes)))

    def inverse(self, u: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
        r"""Return :math:`x = V u` along `axes`; the inverse of :meth:`forward`, with the same arguments and errors."""
        return _transform(u, axes, [m.T for m in self._matrices_of(u, axes)])

    def _matrices_of(self, x: Array, axes: tuple[int, ...] | int) -> tuple[Array, ...]:
        namespace(x=x)
        require_real(x=x)
        return self.matrices(tuple(x.shape[a] for a in normalize_axes(axes, x.ndim)), like=x)

    def eigenvalues(self, shape: tuple[int, ...], *, like: Array | None = None) -> Array:
        r"""Return :math:`\lambda` on the grid, in units of 1 / pixel^2 (SPEC 1).

        Parameters
        ----------
        shape
            Sizes of the grid.
        like
            An array whose library, device and compute dtype the result gets; NumPy float64 where not given.

        Returns
        -------
        Array
            Of shape `shape`.
        """
        f = frame(like, on_host=True)
        return f.finish(self.eigenvalues_in(check_shape(shape), f))

    def eigenvalues_in(self, shape: tuple[int, ...], f: Frame) -> Array:
        """Return the eigenvalues in a frame's working dtype, for the processes' coefficients."""
        total: Any = None
        for axis, n in enumerate(shape):
            values = self._axis_eigenvalues(n, f)
            values = f.xp.reshape(values, tuple(n if i == axis else 1 for i in range(len(shape))))
            total = values if total is None else total + values
        return total


@final
@dataclass(frozen=True, kw_only=True)
class DCT(_Separable):
    """Orthonormal DCT-II: reflecting boundary, the paper's choice."""

    def _analysis(self, n: int, f: Frame) -> Array:
        # The argument is a multiple of pi / 2N: taking the integer modulo 4N first keeps the cosine's argument small
        # and exact, whatever N.
        k = f.xp.reshape(f.arange(n), (n, 1))
        i = f.xp.reshape(f.arange(n), (1, n))
        rows = f.xp.cos(f.xp.remainder((2 * i + 1) * k, f.xp.full_like(k, 4 * n)) * (math.pi / (2 * n)))
        return f.xp.where(k == 0, f.xp.full_like(rows, math.sqrt(1 / n)), rows * math.sqrt(2 / n))

    def _axis_eigenvalues(self, n: int, f: Frame) -> Array:
        return (f.arange(n) * (math.pi / n)) ** 2

    def forward(self, x: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
        """Return the orthonormal DCT-II of `x` along `axes`; see :meth:`Basis.forward`."""
        if _scipy_serves(x):
            from scipy import fft

            spectrum: Array = fft.dctn(upcast(x), axes=normalize_axes(axes, x.ndim), norm="ortho")
            return spectrum.astype(x.dtype, copy=False)
        return super().forward(x, axes=axes)

    def inverse(self, u: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
        """Return the inverse of the orthonormal DCT-II along `axes`; see :meth:`Basis.inverse`."""
        if _scipy_serves(u):
            from scipy import fft

            image: Array = fft.idctn(upcast(u), axes=normalize_axes(axes, u.ndim), norm="ortho")
            return image.astype(u.dtype, copy=False)
        return super().inverse(u, axes=axes)


@cache
def _has_scipy() -> bool:
    return importlib.util.find_spec("scipy") is not None


def _scipy_serves(x: Array) -> bool:
    """Whether `x` is a real NumPy array and SciPy, which is no requirement of the core, is installed."""
    return bool(compat.is_numpy_array(x) and x.dtype.kind == "f" and x.size and _has_scipy())


@final
@dataclass(frozen=True, kw_only=True)
class DST(_Separable):
    """Orthonormal DST-II: absorbing boundary (the data is zero outside)."""

    def _analysis(self, n: int, f: Frame) -> Array:
        k = f.xp.reshape(f.arange(n), (n, 1)) + 1
        i = f.xp.reshape(f.arange(n), (1, n))
        rows = f.xp.sin(f.xp.remainder((2 * i + 1) * k, f.xp.full_like(k, 4 * n)) * (math.pi / (2 * n)))
        return rows * f.xp.where(k == n, f.xp.full_like(k, math.sqrt(1 / n)), f.xp.full_like(k, math.sqrt(2 / n)))

    def _axis_eigenvalues(self, n: int, f: Frame) -> Array:
        return ((f.arange(n) + 1) * (math.pi / n)) ** 2


@final
@dataclass(frozen=True, kw_only=True)
class RealFourier(_Separable):
    """Orthonormal real Fourier basis, ordered 1, cos 1, sin 1, cos 2, sin 2, ...: periodic boundary."""

    def _analysis(self, n: int, f: Frame) -> Array:
        xp = f.xp
        j = xp.reshape(f.arange(n), (n, 1))
        i = xp.reshape(f.arange(n), (1, n))
        freq = xp.floor((j + 1) / 2)
        angle = xp.remainder(freq * i, xp.full_like(j, n)) * (2 * math.pi / n)
        is_sine = (j > 0) & (xp.remainder(j, xp.full_like(j, 2)) == 0)
        rows = xp.where(is_sine, xp.sin(angle), xp.cos(angle))
        unpaired = (j == 0) | (2 * freq == n)  # the constant and, for even N, the Nyquist cosine
        return rows * xp.where(unpaired, xp.full_like(j, math.sqrt(1 / n)), xp.full_like(j, math.sqrt(2 / n)))

    def _axis_eigenvalues(self, n: int, f: Frame) -> Array:
        return (f.xp.floor((f.arange(n) + 1) / 2) * (2 * math.pi / n)) ** 2


@final
@dataclass(frozen=True, kw_only=True)
class Identity(_Separable):
    """No transform: what standard Gaussian diffusion needs, whose coefficients are the same for all frequencies."""

    def _analysis(self, n: int, f: Frame) -> Array:
        return f.xp.eye(n, dtype=f.work, device=f.device)

    def _axis_eigenvalues(self, n: int, f: Frame) -> Array:
        return f.xp.zeros((n,), dtype=f.work, device=f.device)

    def forward(self, x: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
        """Return `x` itself."""
        normalize_axes(axes, x.ndim)
        return x

    def inverse(self, u: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> Array:
        """Return `u` itself."""
        normalize_axes(axes, u.ndim)
        return u


@final
class Dense(_Separable):
    """An eigenbasis given as a matrix, for graphs and meshes: one axis of P nodes.

    Parameters
    ----------
    vectors
        Orthonormal columns, (P, P), a host array (NumPy or what converts to it): x = vectors @ u.
    eigenvalues
        Of the negative Laplacian, (P,), all >= 0.

    Raises
    ------
    ArgumentError
        The shapes disagree, the columns are not orthonormal to 1e-6, or an eigenvalue is negative or not finite.

    Notes
    -----
    The one basis that holds arrays: it is compared by identity and is not saved in configurations.
    """

    def __init__(self, vectors: Array, eigenvalues: Array) -> None:
        import numpy as np

        self._vectors = np.array(vectors, dtype=np.float64)
        self._values = np.array(eigenvalues, dtype=np.float64)
        size = self._values.size
        require(size >= 1 and self._values.shape == (size,), "eigenvalues", self._values.shape, "a vector")
        require(
            self._vectors.shape == (size, size), "vectors", self._vectors.shape, f"a matrix of shape {(size, size)}"
        )
        error = float(np.max(np.abs(self._vectors.T @ self._vectors - np.eye(size))))
        require(error < 1e-6, "vectors", f"columns with an error of {error:.1e}", "orthonormal to 1e-6")
        wrong = self._values[~(np.isfinite(self._values) & (self._values >= 0))]
        require(wrong.size == 0, "eigenvalues", wrong.tolist(), "finite, 0 or more")

    def _check(self, n: int) -> None:
        if n != self._values.size:
            raise ArgumentError(f"shape must be ({self._values.size},) for this eigenbasis; got an axis of {n}")

    def _analysis(self, n: int, f: Frame) -> Array:
        self._check(n)
        return f.xp.asarray(self._vectors.T.copy(), dtype=f.work, device=f.device)

    def _axis_eigenvalues(self, n: int, f: Frame) -> Array:
        self._check(n)
        return f.xp.asarray(self._values, dtype=f.work, device=f.device)


BASES: dict[str, type[DCT] | type[DST] | type[RealFourier] | type[Identity]] = {
    cls.__name__: cls for cls in (DCT, DST, RealFourier, Identity)
}
"""The bases that a configuration can name."""
