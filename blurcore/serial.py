"""Settings to plain dictionaries and back: what travels in checkpoints and configuration files.

A dictionary holds Python scalars, strings, lists and dictionaries only (JSON, TOML). Where a field may hold one of
several classes (a process, a schedule, a basis) its dictionary names the class under ``kind``. Reading is strict: an
unknown key, a missing kind or a value of the wrong type is refused by its full name.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections import ChainMap
from collections.abc import Mapping
from typing import Any, TypeVar

from blurcore._checks import plain
from blurcore.errors import ArgumentError, ConfigError
from blurcore.processes import PROCESSES
from blurcore.schedules import BLUR_SCHEDULES, NOISE_SCHEDULES
from blurcore.transforms import BASES

T = TypeVar("T")

_KINDS: dict[str, dict[str, Any]] = {
    "process": PROCESSES,
    "noise": NOISE_SCHEDULES,
    "blur": BLUR_SCHEDULES,
    "basis": BASES,
}
"""Which classes a field of this name may hold; the registries themselves, so that a class added there is known here."""


GROUP = "blurcore.processes"
"""Entry points of installed packages: the name of a kind, and the class; loaded where a configuration names it."""

K = TypeVar("K", bound=type)


def register_kind(cls: K) -> K:
    """Make a process or schedule of one's own known by its name, to dictionaries, files, checkpoints and the command line.

    A decorator. A package that is installed may declare its classes in the entry-point group ``blurcore.processes`` instead,
    ``KIND = "module:Class"``; they are then found without an import of one's own.

    Parameters
    ----------
    cls
        A frozen dataclass that is a :class:`blurcore.Process`, a :class:`blurcore.NoiseSchedule` or a
        :class:`blurcore.BlurSchedule`; its fields are numbers, words, booleans, tuples of them, schedules and bases.

    Returns
    -------
    type
        `cls` itself.

    Raises
    ------
    ArgumentError
        It is none of these, is not frozen, or a class of another module has its name (a second definition in the same
        module, as in a notebook, takes the place of the first).
    """
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise ArgumentError(f"cls must be a frozen dataclass, @dataclass(frozen=True, kw_only=True); got {cls!r}")
    fits = (registry for needed, registry in _PROTOCOLS if all(callable(getattr(cls, n, None)) for n in needed))
    registry = next(fits, None)
    if registry is None:
        asked = "; or ".join(", ".join(needed) for needed, _ in _PROTOCOLS)
        raise ArgumentError(
            f"cls must have the methods of a process or of a schedule ({asked}); {cls.__name__} has not"
        )
    other = registry.get(cls.__name__, cls)
    if other.__module__ != cls.__module__:
        raise ArgumentError(f"cls must have a name of its own; {cls.__name__} of {other.__module__} is known already")
    registry[cls.__name__] = cls
    return cls


_PROTOCOLS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("marginal", "log_snr", "difference", "sde"), PROCESSES),
    (("scales", "log_snr", "log_snr_difference", "rates"), NOISE_SCHEDULES),
    (("tau", "tau_difference", "tau_rate"), BLUR_SCHEDULES),
)


def classes_for(field: str) -> list[type]:
    """Return the classes that a field of this name may hold, by their kinds; none for a field of plain values."""
    return list(_KINDS.get(field, {}).values())


def _has_kind(cls: type) -> bool:
    return any(cls in registry.values() for registry in _KINDS.values())


def to_dict(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as a dictionary of plain values; :func:`from_dict` restores an equal object.

    Parameters
    ----------
    settings
        A process, schedule, basis or configuration of this package.

    Raises
    ------
    ConfigError
        It is no dataclass of settings.
    """
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        raise ConfigError(f"settings must be a dataclass of blurcore; got {type(settings).__name__}")
    result: dict[str, Any] = {"kind": type(settings).__name__} if _has_kind(type(settings)) else {}
    for field in dataclasses.fields(settings):
        value = plain(getattr(settings, field.name))  # classes of others may hold what NumPy gave them
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        if value is not None:  # TOML has no null; None is every such field's default
            result[field.name] = value
    return result


def from_dict(data: dict[str, Any], cls: type[T] | None = None, *, name: str = "") -> T:
    """Restore a settings dataclass from the dictionary that :func:`to_dict` made; missing keys get their defaults.

    Parameters
    ----------
    data
        Plain dictionary.
    cls
        The dataclass to build; not needed where `data` names its kind.
    name
        Where the dictionary stands in a larger one, for error messages, such as "process.blur".

    Raises
    ------
    ConfigError
        An unknown key or kind, or a value of the wrong type or range; the message names it in full.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{name or 'settings'} must be a table of settings; got {data!r}")
    if cls is None:
        cls = typing.cast("type[T]", class_of(data, name))
    elif "kind" in data and data["kind"] != cls.__name__:
        raise ConfigError(f"{_join(name, 'kind')} must be {cls.__name__!r} here; got {data['kind']!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key != "kind" and key not in fields:
            raise ConfigError(f"unknown setting {_join(name, key)}; there are: {', '.join(fields) or 'none'}")
    values = {}
    for key, value in data.items():
        if key == "kind":
            continue
        path = _join(name, key)
        if key in _KINDS:
            if not isinstance(value, dict):
                raise ConfigError(f"{path} must be a table with a `kind`; got {value!r}")
            values[key] = from_dict(value, class_of(value, path), name=path)
        else:
            values[key] = _coerce(value, hints[key], path)
    try:
        return cls(**values)
    except ArgumentError as error:
        raise ConfigError(f"in {name or 'the settings'}: {error}") from None


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def class_of(data: dict[str, Any], name: str = "") -> type[Any]:
    """Return the class that a dictionary names under ``kind``.

    Parameters
    ----------
    data
        Plain dictionary.
    name
        Where it stands, such as "process.blur": its last part says which classes there may be; all of them without.

    Raises
    ------
    ConfigError
        There is no such class.
    """
    registry: Mapping[str, Any] = _KINDS.get(name.rpartition(".")[2], ChainMap(*_KINDS.values()))
    kind = data.get("kind")
    if isinstance(kind, str) and kind not in registry:
        from importlib.metadata import entry_points

        for point in entry_points(group=GROUP, name=kind):
            register_kind(point.load())
    if not isinstance(kind, str) or kind not in registry:
        raise ConfigError(
            f"{_join(name, 'kind')} must be one of {', '.join(sorted(registry))}, or a class of your own that has been"
            f" made known by blurcore.register_kind; got {kind!r}"
        )
    found: type[Any] = registry[kind]
    return found


def _coerce(value: Any, hint: Any, path: str) -> Any:
    """Return `value` as the annotated type, allowing what JSON and TOML cannot tell apart (1 for 1.0, list for tuple)."""
    origin, args, value = typing.get_origin(hint), typing.get_args(hint), plain(value)
    if dataclasses.is_dataclass(hint):
        return from_dict(value, typing.cast("type[Any]", hint), name=path)
    if origin in (typing.Union, types.UnionType):
        options = [a for a in args if a is not type(None)]
        if len(options) == 1:
            return _coerce(value, options[0], path)
    if origin is typing.Literal:
        if value in args and not isinstance(value, bool):
            return value
        raise ConfigError(f"{path} must be one of {', '.join(map(repr, args))}; got {value!r}")
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise ConfigError(
                f"{path} must be a list{'' if args[-1] is Ellipsis else f' of {len(args)}'}; got {value!r}"
            )
        return tuple(_coerce(v, args[0], f"{path}[{i}]") for i, v in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
        raise ConfigError(f"{path} must be {words.get(hint, hint)}; got {value!r}")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{path} must be a finite number; got {value!r}")
    return value
