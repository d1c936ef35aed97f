"""Backends by name, found through the entry-point group ``blurcore.backends`` and imported only when asked for."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING, cast

from blurcore.errors import BackendError
from blurcore.protocols import Backend, Machinery

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "blurcore.backends"
AUTO = "auto"
"""The name that stands for the backend that is installed; see :func:`choose_backend`."""
_LIBRARIES = {"torch": ("torch",), "jax": ("jax", "flax", "optax")}
"""What this project's own backends train with, the first choice first. They are declared whether that is installed or not."""


@cache
def _declared() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # a fifth of the time that `import blurcore` takes, and rarely needed

    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """Return the names of the declared backends, sorted; nothing is imported."""
    return tuple(sorted(_declared()))


def is_installed(name: str) -> bool:
    """Whether a backend is declared and the libraries that it trains with can be found; nothing is imported."""
    if name not in _declared():
        return False
    return all(map(_is_found, _LIBRARIES.get(name, (_declared()[name].module.partition(".")[0],))))


def _is_found(module: str) -> bool:
    """Whether a top-level module can be found. A folder of its name in the working folder, without code, does not count."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # blocked by an import hook, or in sys.modules without a spec
        return False
    return spec is not None and spec.origin is not None


def choose_backend(name: str = AUTO, *, trained_with: str | None = None) -> str:
    """Return the name of the backend to train and sample with, without importing PyTorch or JAX.

    Parameters
    ----------
    name
        One of :func:`names`, which is returned as it is, or "auto".
    trained_with
        For "auto": the backend that a run was trained with, which is taken if it is installed. A run belongs to no framework,
        so that any other will do: PyTorch's, else JAX's, else one of another package that trains.

    Raises
    ------
    BackendError
        None is installed.
    """
    if name != AUTO:
        return name
    for candidate in (trained_with, *_LIBRARIES):
        if candidate is not None and is_installed(candidate):
            return candidate
    for candidate in available():
        if candidate not in _LIBRARIES and isinstance(get_backend(candidate), Machinery):
            return candidate
    hints = " or ".join(f"pip install 'blurcore[{extra}]'" for extra in _LIBRARIES)
    raise BackendError(f"no backend that trains and samples is installed; try: {hints}")


def get_backend(name: str) -> Backend:
    """Return a backend, importing its library.

    Parameters
    ----------
    name
        One of :func:`names`, or "auto" for the one that :func:`choose_backend` chooses.

    Raises
    ------
    BackendError
        The name is unknown, none is installed, or the backend cannot be imported; the message says what to install.
    """
    declared, name = _declared(), choose_backend(name)
    if name not in declared:
        raise BackendError(
            f"backend {name!r} is unknown; there are: {', '.join(names()) or 'none (is blurcore installed?)'}"
        )
    try:
        return cast(Backend, declared[name].load())
    except ImportError as error:
        raise BackendError(
            f"backend {name!r} is declared but cannot be imported ({error}); try: pip install 'blurcore[{name}]'"
        ) from error


def available() -> tuple[str, ...]:
    """Return the names of the backends whose libraries can be imported; imports them."""
    found = []
    for name in names():
        try:
            get_backend(name)
        except BackendError:
            continue
        found.append(name)
    return tuple(found)
