"""Kinds: everything that a user chooses, by role and name.

A kind is a frozen, keyword-only dataclass of Python scalars that carries its own settings and answers questions about itself.
Its role says what it is for; the name of its class is its name in files (``kind = "DDIM"``), on the command line
(``--solver DDIM``, in any case, ``ddim`` too) and in checkpoints. Nobody else tests its name or its class.

One of your own is as good as ours: :func:`register_kind`, or an entry point of an installed package.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from blurcore._late import late, settings_of
from blurcore.errors import ArgumentError, ConfigError

GROUP = "blurcore.kinds"
"""Entry points of installed packages: the name of a kind, and its class; loaded where a name is asked for."""

K = TypeVar("K", bound=type)


class Role(NamedTuple):
    """A role of kinds: the methods by which one is recognised, and the module and name of the built-in list."""

    needs: tuple[str, ...]
    home: tuple[str, str]


ROLES: dict[str, Role] = {
    "process": Role(("marginal", "log_snr", "difference", "sde"), ("blurcore.processes", "PROCESSES")),
    "noise": Role(("scales", "log_snr", "log_snr_difference", "rates"), ("blurcore.schedules", "NOISE_SCHEDULES")),
    "blur": Role(("tau", "tau_difference", "tau_rate"), ("blurcore.schedules", "BLUR_SCHEDULES")),
    "basis": Role(("forward", "inverse", "eigenvalues", "eigenvalues_in"), ("blurcore.transforms", "BASES")),
    "solver": Role(("coefficients", "apply", "build"), ("blurcore.samplers", "SOLVERS")),
    "times": Role(("times", "with_steps"), ("blurcore.samplers", "TIMES")),
    "objective": Role(("pair", "loss", "predict", "build"), ("blurcore.objectives", "OBJECTIVES")),
    "start": Role(("fit", "restore"), ("blurcore.starts", "STARTS")),
    "resolution": Role(("choose", "with_sizes", "resolutions"), ("blurcore.resolution", "RESOLUTIONS")),
    "data": Role(("load", "part", "absolute", "anonymous"), ("blurcore.data.sources", "SOURCES")),
    "operator": Role(("observation",), ("blurcore.restoration", "OPERATORS")),
    "form": Role(("write_run",), ("blurcore.forms", "FORMS")),
    "method": Role(("check_operator", "step"), ("blurcore.restoration", "METHODS")),
}
"""The roles; a field of settings that has the name of a role holds one of its kinds."""


def _ours(role: str) -> dict[str, type[Any]]:
    module, name = ROLES[role].home
    registry: dict[str, type[Any]] = getattr(import_module(module), name)
    return registry


def register_kind(cls: K) -> K:
    """Register a class by its name, for dictionaries, files, checkpoints and the command line.

    A decorator. A package that is installed may declare its classes in the entry-point group ``blurcore.kinds`` instead,
    ``NAME = "module:Class"``; they are then found without an import of one's own.

    Parameters
    ----------
    cls
        A frozen dataclass with the methods of a role (:data:`ROLES`), such as a :class:`blurcore.Process`, a
        :class:`blurcore.NoiseSchedule` or a :class:`blurcore.Solver`; its fields are numbers, words, booleans, tuples of them,
        and kinds.

    Returns
    -------
    type
        `cls` itself.

    Raises
    ------
    ArgumentError
        It has no role, is not frozen, or a class of another module has its name (a second definition in the same
        module, as in a notebook, takes the place of the first).
    """
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise ArgumentError(f"cls must be a frozen dataclass, @dataclass(frozen=True, kw_only=True); got {cls!r}")
    role = next((name for name, role in ROLES.items() if all(callable(getattr(cls, n, None)) for n in role.needs)), "")
    if not role:
        asked = "; ".join(f"{name}: {', '.join(role.needs)}" for name, role in ROLES.items())
        raise ArgumentError(f"cls must have the methods of a role ({asked}); {cls.__name__} has not")
    registry = _ours(role)
    other = next((kind for name, kind in registry.items() if _same(name, cls.__name__)), cls)
    if other.__module__ != cls.__module__:
        raise ArgumentError(f"cls must have a name of its own; {cls.__name__} of {other.__module__} is known already")
    registry[cls.__name__] = cls
    return cls


def kinds_of(role: str) -> Mapping[str, type[Any]]:
    """Return the kinds of a role by name: built-in ones, registered ones, and those of installed packages."""
    for name in _declared():
        _load(name)
    return dict(_ours(role))


def find_kind(name: Any, role: str = "", *, path: str = "kind") -> type[Any]:
    """Return the class that a name stands for, in any case and with or without underscores.

    Parameters
    ----------
    name
        Such as "DDIM" or "ddim".
    role
        One of :data:`ROLES`; all of them where not given.
    path
        What is being set, for the error message.

    Raises
    ------
    ConfigError
        There is no such kind.
    """
    roles = (role,) if role else tuple(ROLES)
    if isinstance(name, str) and _match(name, known := _known(roles)) is None:
        for declared in _declared():
            if _same(declared, name):
                _load(declared)
    found = _match(name, known := _known(roles))
    if found is None:
        raise ConfigError(
            f"{path} must be one of {', '.join(sorted(known))}, or a class of your own that has been made known by"
            f" blurcore.register_kind; got {name!r}"
        )
    return found


def role_of(kind: Any) -> str:
    """Return the role of a kind, a class or an instance; empty if it has none."""
    cls = kind if isinstance(kind, type) else type(kind)
    return next((role for role in ROLES if cls in _ours(role).values()), "")


def unknown_setting(kind: type[Any], name: str, *, path: str) -> ConfigError:
    """Return the error of a setting that a kind does not have, which names the kinds of its role that have it.

    Parameters
    ----------
    kind
        What is being set up.
    name
        The setting.
    path
        Its full name, for the message.
    """
    own = ", ".join(field.name for field in settings_of(kind)) or "none"
    role = role_of(kind)
    others = [
        cls.__name__ for cls in (kinds_of(role) if role else {}).values() if name in {f.name for f in settings_of(cls)}
    ]
    if not role:
        return ConfigError(f"unknown setting {path}; there are: {own}")
    *rest, last = others or [""]
    whose = f", a setting of {', '.join(rest) + ' and ' * bool(rest)}{last}" if others else ""
    return ConfigError(f"unknown setting {path}{whose}: {kind.__name__} has: {own}")


def short_name(kind: Any) -> str:
    """Return a kind's name with the settings that are not its defaults, for names of folders: "DDIM-eta0.5"."""
    words = [type(kind).__name__]
    for field in settings_of(kind):
        value = getattr(kind, field.name)
        if value == field.default:
            continue
        if isinstance(value, bool):
            words.append(field.name.replace("_", "-"))
        elif isinstance(value, str):  # of a path its last part
            words.append(re.sub(r"[^\w.]+", "_", value.rstrip("/").rpartition("/")[2]))
        elif isinstance(value, (int, float)):
            words.append(f"{field.name.removeprefix('num_')}{value:g}")
        elif isinstance(value, tuple):
            words.append(f"{field.name}{len(value)}")
        elif dataclasses.is_dataclass(value):
            words.append(short_name(value))
    return "-".join(words)


def _known(roles: tuple[str, ...]) -> dict[str, type[Any]]:
    """Return the kinds of some roles; of two with one name that of the first role."""
    return {name: cls for role in reversed(roles) for name, cls in _ours(role).items()}


def _same(one: str, other: str) -> bool:
    return one.replace("_", "").lower() == other.replace("_", "").lower()


def _match(name: Any, known: Mapping[str, type[Any]]) -> type[Any] | None:
    if not isinstance(name, str):
        return None
    return known.get(name) or next((cls for kind, cls in known.items() if _same(kind, name)), None)


@cache
def _declared() -> tuple[str, ...]:
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=GROUP).names))


@cache
def _load(name: str) -> None:
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP, name=name):
        register_kind(point.load())


__all__ = [
    "GROUP",
    "ROLES",
    "Role",
    "find_kind",
    "kinds_of",
    "late",
    "register_kind",
    "role_of",
    "short_name",
    "unknown_setting",
]
