"""`blurcore figure overview`, `snr` and `sampler-error`."""

from __future__ import annotations

import argparse

from blurcore.cli.settings import refuse_rest
from blurcore.errors import ConfigError

_SUFFIXES = (".png", ".svg", ".pdf")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Draw."""
    refuse_rest(rest)
    if args.out.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--out must end in one of {', '.join(_SUFFIXES)}; got {str(args.out)!r}")
    if args.figure == "overview":
        from blurcore.figures.overview import draw_overview, load_picture

        picture = load_picture(args.image, size=args.size)
        draw_overview(picture, args.out, columns=args.columns, sigma_blur_max=args.sigma_blur_max, seed=args.seed)
    elif args.figure == "sampler-error":
        from blurcore.figures.sampler_error import draw_sampler_error

        if min(args.steps) < 1:
            raise ConfigError(f"--steps must be at least 1 each; got {min(args.steps)}")
        print(draw_sampler_error(args.out, table=args.table, steps=tuple(args.steps), size=args.size))
    else:
        from blurcore.figures.snr import draw_snr

        draw_snr(args.out, size=args.size, sigma_blur_max=args.sigma_blur_max)
    print(args.out)
    return 0
