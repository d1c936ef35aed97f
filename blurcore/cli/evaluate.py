"""`blurcore evaluate`: a run's samples, or any set of images, against real ones; and the likelihood of held-out images."""

from __future__ import annotations

import argparse
import json
import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blurcore.cli.settings import machinery_of, override, refuse_rest, show_help
from blurcore.config import EvaluateConfig, SampleConfig
from blurcore.errors import ConfigError, NotFiniteError, OutputError
from blurcore.runs import newest_checkpoint, read_config
from blurcore.runs.files import replace_text, require_file
from blurcore.serial import to_dict

if TYPE_CHECKING:
    from blurcore.measure import Terms

_OF_SAMPLES = (
    "samples",
    "reference",
    "metrics",
    "features",
    "inception_weights",
    "neighbours",
    "bootstrap",
    "num_reference",
    "dims",
    "json",
)
"""Options that the likelihood does not have."""


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Evaluate, print a table, write what was found."""
    of_likelihood = args.likelihood is not None or args.num_images is not None
    if args.help:
        return show_help("evaluate", EvaluateConfig() if of_likelihood else SampleConfig(), rest)
    if of_likelihood:
        return _likelihood(args, rest)
    from blurcore.cli.distances import compare_folders, compare_run

    if args.samples is None and args.reference is None:
        if args.run is None:
            raise ConfigError("evaluate needs a run folder, blurcore evaluate RUN, or --samples DIR --reference DIR")
        return compare_run(args, rest)
    refuse_rest(rest)
    if args.samples is None or args.reference is None or args.run is not None:
        raise ConfigError(
            "evaluate takes a run folder, or --samples DIR together with --reference DIR, and not a part of both"
        )
    return compare_folders(args)


def write_evaluation(path: Path, part: dict[str, Any]) -> None:
    """Add the results to a file of evaluations, keeping those of others."""
    found: Any = {}
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
    try:
        replace_text(path, json.dumps({**(found if isinstance(found, dict) else {}), **part}, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
    print(f"written: {path}")


def _likelihood(args: argparse.Namespace, rest: list[str]) -> int:
    """Print and write the likelihood of held-out images."""
    if args.run is None:
        raise ConfigError("evaluate needs a run folder: blurcore evaluate RUN --likelihood discrete")
    for name in _OF_SAMPLES:
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} is for samples; the likelihood does not take it")
    require_file("the evaluation of the run", args.run / "evaluation.json")
    config = read_config(args.run / "config.toml")
    given = {name: getattr(args, name) for name in ("likelihood", "num_images", "split", "seed")}
    default = EvaluateConfig(split="test" if config.data.has_test_part else "all")
    default = replace(default, **{name: value for name, value in given.items() if value is not None})
    settings = override(default, rest, prog=f"blurcore evaluate {args.run}")

    from blurcore.engine import restore_prior
    from blurcore.measure import evaluate

    data = config.data.part(settings.split).load()
    images = data[: min(settings.num_images, len(data))]
    backend = machinery_of(args.run, args.backend)
    with backend.processes(args.device) as team:
        network = backend.network(args.run, device=args.device)
        prior = restore_prior(
            config,
            config.sample,
            network.image_shape[:-1],
            newest_checkpoint(args.run, groups=("prior",)).groups.get("prior"),
        )
        terms = evaluate(network, images, settings, prior=prior, processes=team, progress=team.rank == 0)
        if team.rank == 0:
            print(
                f"{settings.likelihood} likelihood of {len(images)} images ({data.name}, {settings.split}), bits/dim at most:"
            )
            if not config.data.has_test_part:
                print(f"  ({data.name} has no test part: the run was trained on these images)")
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
    if lost := int((~np.isfinite(terms.total)).sum()):
        raise NotFiniteError(
            f"the likelihood of {lost:,} of {len(terms.total):,} images is not finite; it is not written"
        )
    about = {"step": step, "images": len(terms.total), "settings": to_dict(settings), "bits_per_dim": result}
    write_evaluation(path, about)
