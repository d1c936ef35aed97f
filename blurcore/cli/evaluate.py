"""`blurcore evaluate RUN --likelihood discrete`: bits for each dimension of held-out images."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from blurcore.cli.settings import machinery, override, show_help
from blurcore.config import EvaluateConfig
from blurcore.errors import ConfigError
from blurcore.runs import newest_checkpoint, read_config
from blurcore.serial import to_dict

if TYPE_CHECKING:
    from blurcore.engine import Terms


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Evaluate, print a table, write evaluation.json."""
    if args.help:
        return show_help("evaluate", EvaluateConfig())
    if args.run is None:
        raise ConfigError("evaluate needs a run folder: blurcore evaluate RUN --likelihood discrete")
    settings = override(EvaluateConfig(), rest, prog=f"blurcore evaluate {args.run}")
    config = read_config(args.run / "config.toml")

    from blurcore.data import load
    from blurcore.engine import evaluate, restore_prior

    data = load(replace(config.data, split=settings.split))
    images = data[: min(settings.num_images, len(data))]
    backend = machinery(args.backend or config.backend)
    with backend.processes(args.device) as team:
        network = backend.network(args.run, device=args.device)
        prior = restore_prior(config.process, network.image_shape[:-1], newest_checkpoint(args.run).groups.get("prior"))
        terms = evaluate(network, images, settings, prior=prior, processes=team, progress=team.rank == 0)
        if team.rank == 0:
            print(
                f"{settings.likelihood} likelihood of {len(images)} images ({data.name}, {settings.split}), bits/dim at most:"
            )
            _report(terms, network.step, settings, args.run / "evaluation.json")
    return 0


def _report(terms: Terms, step: int, settings: EvaluateConfig, path: Path) -> None:
    """Print the table and write the file."""
    result = {}
    for name in (*terms._fields, "total"):
        values = getattr(terms, name)
        error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
        result[name] = {"mean": float(values.mean()), "standard_error": error}
        print(f"  {name:<15} {values.mean():9.4f}" + (f" +- {error:.4f}" if error is not None else ""))
    about = {"step": step, "images": len(terms.total), "settings": to_dict(settings), "bits_per_dim": result}
    try:
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except OSError as error_:
        raise ConfigError(f"cannot write {path}: {error_.strerror or error_}") from None
    print(f"written: {path}")
