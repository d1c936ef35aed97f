"""`blurcore export RUN --to diffusers|hub-folder --out DIR`: a run in the form that others take."""

from __future__ import annotations

import argparse
import sys

from blurcore.cli.settings import refuse_rest
from blurcore.errors import ConfigError
from blurcore.runs.config import read_config


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Export."""
    refuse_rest(rest)
    sample = read_config(args.run / "config.toml").sample
    if not args.out.name:
        raise ConfigError(f"--out must end in the name of a folder; got {str(args.out)!r}")
    if args.to == "diffusers":
        from blurcore.diffusers.export import export_pipeline

        if sample.sampler not in ("ancestral", "inverse_heat") or sample.grid != "uniform" or sample.times is not None:
            print(
                "note: the pipeline takes ancestral steps on an even grid of times; the sampler and the grid of the run stay behind",
                file=sys.stderr,
            )
        export_pipeline(args.run, args.out, license_id=args.license)
    else:
        from blurcore.runs.hub import export_hub_folder

        export_hub_folder(args.run, args.out, license_id=args.license)
    print(f"{args.to}: {args.out}")
    return 0
