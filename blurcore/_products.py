"""A matrix applied along axes of an array, laid out so that it is one large product and, where it can be, no copy."""

from __future__ import annotations

import math

import array_api_compat as compat
import numpy as np

from blurcore._typing import Array, Namespace

_FEWEST_COLUMNS = 8
"""Below, a product for each row of the data would be slower than moving the axis to the end (three colours, last)."""


def multiply(matrix: Array, x: Array, first: int, last: int) -> Array:
    """Multiply the vectors that run over the neighbouring axes `first` .. `last` of x, taken together, by a matrix."""
    xp, shape = compat.array_namespace(x), tuple(x.shape)
    if compat.is_numpy_namespace(xp):  # before 2.3 NumPy rounds a product by the layout of its operands
        x = np.ascontiguousarray(x)
    n, outer, inner = math.prod(shape[first : last + 1]), math.prod(shape[:first]), math.prod(shape[last + 1 :])
    if inner == 1:
        return xp.reshape(_matmul(xp, xp.reshape(x, (outer, n)), matrix.T), shape)
    rows = xp.reshape(x, (outer, n, inner))
    if inner >= _FEWEST_COLUMNS:
        return xp.reshape(_matmul(xp, matrix, rows), shape)
    columns = xp.reshape(xp.permute_dims(rows, (0, 2, 1)), (outer * inner, n))
    products = xp.reshape(_matmul(xp, columns, matrix.T), (outer, inner, n))
    return xp.reshape(xp.permute_dims(products, (0, 2, 1)), shape)


def _matmul(xp: Namespace, a: Array, b: Array) -> Array:
    """Multiply in the arrays' own precision: JAX's default is less (TF32, bfloat16) on accelerators; PyTorch's is not."""
    return xp.matmul(a, b, precision="highest") if compat.is_jax_namespace(xp) else xp.matmul(a, b)
