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
from typing import Any, TypeVar

from blurcore._checks import plain
from blurcore._late import settings_of
from blurcore.errors import ArgumentError, ConfigError
from blurcore.kinds import ROLES, find_kind, role_of, unknown_setting

T = TypeVar("T")


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
    result: dict[str, Any] = {"kind": type(settings).__name__} if role_of(settings) else {}
    for field in settings_of(settings):
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
        cls = typing.cast("type[T]", _kind_in(data, name))
    elif "kind" in data and find_kind(data["kind"], role_of(cls), path=_join(name, "kind")) is not cls:
        raise ConfigError(f"{_join(name, 'kind')} must be {cls.__name__!r} here; got {data['kind']!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name for f in settings_of(cls)}
    for key in data:
        if key != "kind" and key not in fields:
            raise unknown_setting(cls, key, path=_join(name, key))
    values = {}
    for key, value in data.items():
        if key == "kind":
            continue
        path = _join(name, key)
        if key in ROLES and hints[key] not in (bool, int, float, str):
            if not isinstance(value, dict):
                raise ConfigError(f"{path} must be a table with a `kind`; got {value!r}")
            values[key] = from_dict(value, _kind_in(value, path), name=path)
        else:
            values[key] = _coerce(value, hints[key], path)
    try:
        return cls(**values)
    except ArgumentError as error:
        raise ConfigError(f"in {name or 'the settings'}: {error}") from None


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _kind_in(data: dict[str, Any], name: str) -> type[Any]:
    """Return the class that a dictionary names under ``kind``; the last part of `name` is its role."""
    role = name.rpartition(".")[2]
    return find_kind(data.get("kind"), role if role in ROLES else "", path=_join(name, "kind"))


def _coerce(value: Any, hint: Any, path: str) -> Any:
    """Return `value` as the annotated type, allowing the conversions that JSON and TOML need (1 for 1.0, list for tuple)."""
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
