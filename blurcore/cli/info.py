"""`blurcore info RUN`: what a run is and how far it has come, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from blurcore.cli.settings import choose_for_run, refuse_rest
from blurcore.data.decoded import in_words
from blurcore.errors import BackendError, ConfigError
from blurcore.resolution import Resolutions
from blurcore.runs.card import metrics_of
from blurcore.runs.description import describe_run
from blurcore.serial import from_dict


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Print."""
    refuse_rest(rest)
    about = describe_run(args.run)
    here, reason = _here(args.run)
    if args.json:
        print(json.dumps(about | {"backend_here": here}, indent=1))
        return 0
    for name, value in _rows(about, f"{here or 'none'}{reason}"):
        print(f"{name:<12} {value}")
    return 0


def _here(run: Path) -> tuple[str | None, str]:
    """Return the backend that would work on a run here, None where none is installed, and a reason in brackets."""
    try:
        return choose_for_run(run, None)
    except BackendError as error:
        return None, f" ({error})"


def _rows(about: dict[str, Any], here: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table."""
    model, steps, shape = about["model"], about["steps"], about["image_shape"]
    count = about["parameters"]
    yield "run", about["run"]
    yield "process", _in_words(about["process"])
    yield (
        "data",
        ", ".join([about["data"]["kind"], *([] if shape is None else [" x ".join(map(str, shape))]), *_amount(about)]),
    )
    yield (
        "model",
        (
            f"U-Net, {model['base_channels']} x {tuple(model['channel_multipliers'])} channels, predicts {about['prediction']}, "
            + ("an unknown number of parameters" if count is None else f"{count:,} parameters")
        ),
    )
    with suppress(ConfigError):
        yield "sizes", from_dict(about["resolutions"], Resolutions).words
    yield "steps", f"{steps['done']:,} of {steps['planned']:,}"
    loss = about["loss"]
    yield "loss", "none yet" if loss is None else f"{loss['value']:.6g} at step {loss['step']:,}"
    kept = [f"{entry['step']:,} ({human_size(entry['bytes'])})" for entry in about["checkpoints"]]
    yield "checkpoints", ", ".join(kept) or "none"
    yield "size", human_size(about["bytes"])
    yield "backend", f"{about['backend']}, blurcore {about['version'] or 'unknown'}"
    yield "here", here
    yield "samples", ", ".join([*about["samples"], *about["pictures"]]) or "none"
    yield "calibrated", "yes" if about["calibrated"] else "no"
    yield "evaluation", ", ".join(map(str, metrics_of(about["evaluation"]))) or "none"


def _amount(about: dict[str, Any]) -> Iterator[str]:
    """Yield how many images there are, and what was left out."""
    if (count := about["images"]) is not None:
        yield f"{count:,} image{'' if count == 1 else 's'}"
    if left_out := about["left_out"]:
        yield f"{sum(left_out.values()):,} files left out ({in_words(left_out)})"


def _in_words(settings: dict[str, Any]) -> str:
    """Return a settings dictionary on one line, as it would be written in Python."""
    given = (f"{k}={_in_words(v) if isinstance(v, dict) else repr(v)}" for k, v in settings.items() if k != "kind")
    return f"{settings.get('kind', '')}({', '.join(given)})"


def human_size(count: int) -> str:
    """Return a number of bytes with a unit, such as 1.2 MB."""
    size, units = float(count), ("bytes", "KB", "MB", "GB", "TB")
    for unit in units[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{count} bytes"
        size /= 1000
    return f"{size:.3g} {units[-1]}"
