"""Backends by name, found through the entry-point group ``blurcore.backends`` and imported only when asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from blurcore.errors import BackendError
from blurcore.protocols import Backend

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "blurcore.backends"


@cache
def _declared() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # a fifth of the time that `import blurcore` takes, and rarely needed

    return {point.name: point for point in entry_points(group=GROUP)}


def refresh() -> None:
    """Look for entry points again, after an installation in a running process."""
    _declared.cache_clear()


def names() -> tuple[str, ...]:
    """Return the names of the declared backends, sorted; nothing is imported."""
    return tuple(sorted(_declared()))


def get_backend(name: str) -> Backend:
    """Return a backend, importing its library.

    Parameters
    ----------
    name
        One of :func:`names`.

    Raises
    ------
    BackendError
        The name is unknown, or the backend cannot be imported; the message says what to install.
    """
    declared = _declared()
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
