"""The controls of the page: processes and their settings, read off the classes, registered ones included."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from blurcore.errors import BlurcoreError
from blurcore.figures.canvas import name_of
from blurcore.kinds import ROLES, kinds_of

_LABELS = {
    "noise": "noise schedule",
    "blur": "blur schedule",
    "basis": "basis",
    "min_scale": "min_scale",
    "sigma_blur_max": "widest blur (px)",
    "sigma_blur_min": "first level's blur (px)",
    "log_snr_min": "log-SNR at t = 1",
    "log_snr_max": "log-SNR at t = 0",
    "sigma": "noise sigma",
    "num_levels": "levels",
    "beta_start": "first beta",
    "beta_end": "last beta",
    "num_steps": "number of betas",
}


def process_controls() -> list[dict[str, Any]]:
    """Return every process that is known by a name, with its settings and their defaults, as JSON has it.

    A setting is ``{"name", "label", "type", "value"}``, of the type number, integer, flag or choice (with `choices`); or it is
    of the type kind, with the `kinds` that it may be, each of which has settings of its own.
    """
    found = []
    for cls in kinds_of("process").values():
        try:
            process = cls()
        except (TypeError, BlurcoreError):  # a process of one's own without defaults has nothing to show at first
            continue
        found.append({"kind": cls.__name__, "label": name_of(process), "settings": _settings(process)})
    return found


def _settings(owner: Any) -> list[dict[str, Any]]:
    """Return the settings of a process or schedule; what a page has no control for keeps its default."""
    found = []
    hints = typing.get_type_hints(type(owner))
    for field in dataclasses.fields(owner):
        value, hint = getattr(owner, field.name), hints[field.name]
        setting = {"name": field.name, "label": _LABELS.get(field.name, field.name.replace("_", " "))}
        if field.name in ROLES:
            kinds = [_kind(cls, value) for cls in kinds_of(field.name).values() if _fits(cls, hint)]
            found.append({**setting, "type": "kind", "value": type(value).__name__, "kinds": kinds})
        elif typing.get_origin(hint) is typing.Literal:
            found.append({**setting, "type": "choice", "value": value, "choices": list(typing.get_args(hint))})
        elif hint in _TYPES:
            found.append({**setting, "type": _TYPES[hint], "value": value})
    return found


_TYPES: dict[Any, str] = {float: "number", int: "integer", bool: "flag"}


def _fits(cls: type, hint: Any) -> bool:
    """Whether a field may hold a class: one of a union's, where the annotation is one; anything of a protocol's kind."""
    options = typing.get_args(hint)
    return cls in options if options else True


def _kind(cls: Any, present: Any) -> dict[str, Any]:
    """Return a class that a setting may hold, with the values that it has now where it is the present one."""
    return {"kind": cls.__name__, "settings": _settings(present if type(present) is cls else cls())}
