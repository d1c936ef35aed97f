"""A matrix applied along axes of an array, laid out so that it is one large product and, where it can be, no copy."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import array_api_compat as compat
import numpy as np

from blurcore._arrays.libraries import space_of
from blurcore._typing import Array, Matrix, Namespace, Tensor

_FEWEST_COLUMNS = 8
"""Below, a product for each row of the data would be slower than moving the axis to the end (three colours, last)."""


def multiply(matrix: Matrix, x: Array, first: int, last: int) -> Array:
    """Multiply the vectors that run over the neighbouring axes `first` .. `last` of x, taken together, by a matrix.

    A matrix that is not square changes the size of the one axis that it is for.
    """
    xp, shape = space_of(x), tuple(x.shape)
    size = matrix.shape[0]
    result = shape if size == matrix.shape[1] else (*shape[:first], size, *shape[last + 1 :])
    if compat.is_numpy_namespace(xp):  # before 2.3 NumPy rounds a product by the layout of its operands
        x = np.ascontiguousarray(x)
    n, outer, inner = math.prod(shape[first : last + 1]), math.prod(shape[:first]), math.prod(shape[last + 1 :])
    if inner == 1:
        return xp.reshape(_matmul(xp, xp.reshape(x, (outer, n)), matrix.T), result)
    rows = xp.reshape(x, (outer, n, inner))
    if inner >= _FEWEST_COLUMNS:
        return xp.reshape(_matmul(xp, matrix, rows), result)
    columns = xp.reshape(xp.permute_dims(rows, (0, 2, 1)), (outer * inner, n))
    products = xp.reshape(_matmul(xp, columns, matrix.T), (outer, inner, size))
    return xp.reshape(xp.permute_dims(products, (0, 2, 1)), result)


def _matmul(xp: Namespace, a: Array, b: Array) -> Array:
    """Multiply in the arrays' own precision, whatever the library's settings for products.

    JAX's default is less on accelerators (TF32, bfloat16), and has a form for one call; PyTorch has autocast, and its switches.
    """
    if compat.is_jax_namespace(xp):
        return xp.matmul(a, b, precision="highest")
    if not compat.is_torch_namespace(xp):
        return xp.matmul(a, b)
    tensor: Tensor = a
    if tensor.device.type == "meta" or not _may_autocast(xp, tensor.device.type):
        return _switched_off(xp, a, b)
    with xp.autocast(tensor.device.type, enabled=False):
        return _switched_off(xp, a, b)


def _may_autocast(torch: Namespace, device: str) -> bool:
    """Whether a product may be autocast; unknown, and so True, while Dynamo compiles."""
    return bool(torch.compiler.is_dynamo_compiling() or torch.is_autocast_enabled(device))


_switching = threading.RLock()


def _switched_off(torch: Namespace, a: Tensor, b: Tensor) -> Tensor:
    """Multiply tensors with PyTorch's switches for TF32 and bfloat16 off; within `torch.compile` they are the caller's.

    The switches hold for all threads: another thread's product waits, and does not take them, as they stand here, for its own.
    """
    if a.dtype != torch.float32 or torch.compiler.is_dynamo_compiling():
        return a @ b
    with _switching:
        restore = _switch_off(torch)
        if restore is not None:
            try:
                return a @ b
            finally:
                restore()
    return a @ b


def _switch_off(torch: Namespace) -> Callable[[], None] | None:
    """Switch PyTorch to full float32 products; return the function that undoes it, or None if they are full already.

    Since 2.9 PyTorch has a switch for each device beside the old one for all of them, which refuses to be read once they differ.
    """
    try:
        common = torch.get_float32_matmul_precision()
    except RuntimeError:
        common = None
    if common == "highest":
        return None
    mine = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    switches = [(s, s.fp32_precision) for s in mine if hasattr(s, "fp32_precision")]
    if common is not None:
        torch.set_float32_matmul_precision("highest")
    for switch, _ in switches if common is None else ():
        switch.fp32_precision = "ieee"

    def restore() -> None:
        if common is not None:
            torch.set_float32_matmul_precision(common)
        for switch, value in switches:
            if switch.fp32_precision != value:
                switch.fp32_precision = value
            elif common is None and torch.backends.fp32_precision == value:
                switch.fp32_precision = "none"  # as the setting for all of PyTorch says

    return restore
