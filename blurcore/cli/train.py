"""`blurcore train CONFIG.toml`: file first, then flags."""

from __future__ import annotations

import argparse

from blurcore.cli.settings import choose_for_run, default_folder, machinery, override, show_help
from blurcore.config import RunConfig
from blurcore.errors import ConfigError
from blurcore.registry import choose_backend
from blurcore.runs.config_file import read_config


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Train, or go on training."""
    default = read_config(args.config) if args.config is not None else RunConfig()
    if args.help:
        return show_help("train", default, rest)
    if args.config is None:
        raise ConfigError("train needs a configuration: blurcore train CONFIG.toml (there are some in configs/)")
    if args.resume and args.out is None:
        raise ConfigError("--resume needs --out RUN, the folder of the run to go on with")
    config = override(default, ["--data.strict", *rest] if args.strict else rest, prog=f"blurcore train {args.config}")
    folder = args.out if args.out is not None else default_folder(args.config.stem)
    goes_on = args.resume and (folder / "config.toml").is_file()
    name = choose_for_run(folder, config.backend)[0] if goes_on else choose_backend(config.backend)
    backend = machinery(name)
    with backend.processes(config.device) as team:
        if team.size > 1 and args.out is None:
            raise ConfigError(f"{team.size} processes that train one model need one folder: --out RUN")
        backend.train(config, folder, resume=args.resume)
        if team.rank == 0:
            print(f"run: {folder}")
            print(f"samples: {folder / 'samples'}")
    return 0
