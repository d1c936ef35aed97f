"""`blurcore export RUN --to FORM --out DIR`: a run in a form that others take."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace
from typing import Any

from blurcore.cli.settings import override
from blurcore.config import SampleConfig
from blurcore.errors import ConfigError
from blurcore.forms import Diffusers, Form
from blurcore.kinds import find_kind, unknown_setting
from blurcore.runs.config_file import read_config


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What is written."""

    form: Form = Diffusers()
    """In which form."""
    sample: SampleConfig = SampleConfig()
    """How samples are drawn, for a step of it; the run's own where nothing else is said."""


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Export."""
    kind = find_kind(args.to.replace("-", "_"), "form", path="--to")
    config = read_config(args.run / "config.toml")
    if not args.out.name:
        raise ConfigError(f"--out must end in the name of a folder; got {str(args.out)!r}")
    form: Any = kind()
    if args.license is not None:
        if "license" not in {field.name for field in fields(form)}:
            raise unknown_setting(kind, "license", path="--license")
        form = replace(form, license=args.license)
    chosen = override(Exported(form=form, sample=config.sample), rest, prog=f"blurcore export {args.run}")
    chosen.form.write_run(args.run, args.out, chosen.sample)
    print(f"{args.to}: {args.out}")
    return 0
