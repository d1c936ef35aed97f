"""Hold the random draws of NumPy, PyTorch and JAX inside one call: zero, or noise that is known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

Array = np.ndarray[Any, Any]


class _Source:
    """A noise source: the given noise for draws of its size, other noise, or zeros if it is zero, for the rest."""

    def __init__(self, noise: Array) -> None:
        self.noise = noise
        self.zero = not noise.any()
        self.other = np.random.Generator(np.random.PCG64(7))
        self.count = 0

    def draw(self, shape: Any) -> Array:
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape or ())
        self.count += 1
        if int(np.prod(shape)) == self.noise.size:
            return self.noise.reshape(shape)
        return np.zeros(shape) if self.zero else self.other.standard_normal(shape)


class _Generator:
    """A NumPy generator whose normal draws are held."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._real = source.other

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return self._source.draw(size).astype(dtype)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return loc + scale * self._source.draw(
            np.broadcast_shapes(np.shape(loc), np.shape(scale)) if size is None else size
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _numpy(source: _Source) -> list[tuple[Any, str, Any]]:
    held = _Generator(source)
    return [
        (np.random, "randn", lambda *shape: source.draw(shape)),
        (np.random, "standard_normal", held.standard_normal),
        (np.random, "normal", held.normal),
        (np.random, "default_rng", lambda *_, **__: held),
    ]


def _torch(torch: Any, source: _Source) -> list[tuple[Any, str, Any]]:
    def tensor(shape: Any, dtype: Any, device: Any) -> Any:
        return torch.asarray(source.draw(shape).copy(), dtype=dtype or torch.get_default_dtype(), device=device)

    def randn(*size: Any, dtype: Any = None, device: Any = None, **_: Any) -> Any:
        size = size or (_["size"],)
        return tensor(size[0] if len(size) == 1 and not isinstance(size[0], int) else size, dtype, device)

    def randn_like(x: Any, *, dtype: Any = None, device: Any = None, **_: Any) -> Any:
        return tensor(x.shape, dtype or x.dtype, device or x.device)

    def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, **_: Any) -> Any:
        like = next((v for v in (mean, std) if hasattr(v, "dtype")), None)
        shape = size if size is not None else np.broadcast_shapes(np.shape(mean), np.shape(std))
        return mean + std * tensor(shape, getattr(like, "dtype", None), getattr(like, "device", None))

    def normal_(x: Any, mean: float = 0.0, std: float = 1.0, **_: Any) -> Any:
        return x.copy_(mean + std * tensor(x.shape, x.dtype, x.device))

    return [
        (torch, "randn", randn),
        (torch, "randn_like", randn_like),
        (torch, "normal", normal),
        (torch.Tensor, "normal_", normal_),
    ]


def _jax(jax: Any, source: _Source) -> list[tuple[Any, str, Any]]:
    def normal(key: Any, shape: Any = (), dtype: Any = None, **_: Any) -> Any:
        return jax.numpy.asarray(source.draw(shape), dtype=dtype)

    return [(jax.random, "normal", normal)]


@contextmanager
def held(noise: Array, *names: MutableMapping[str, Any]) -> Iterator[Callable[[], int]]:
    """Make every normal draw within the block give known noise; yield how many draws there were.

    Parameters
    ----------
    noise
        What a draw of as many numbers gives; zeros make every draw zero.
    *names
        Globals of functions and attributes of objects, where the libraries' functions or generators may have names of their own.
    """
    source = _Source(noise)
    patches = _numpy(source)
    for library, make in (("torch", _torch), ("jax", _jax)):
        if library in sys.modules:
            patches += make(sys.modules[library], source)
    with ExitStack() as stack:
        replaced = {id(getattr(where, name)): new for where, name, new in patches}
        for mapping in names:
            for name, value in list(mapping.items()):
                new = _Generator(source) if isinstance(value, np.random.Generator) else replaced.get(id(value))
                if new is not None:
                    stack.enter_context(patch.dict(mapping, {name: new}))
        for where, name, new in patches:
            stack.enter_context(patch.object(where, name, new))
        yield lambda: source.count
