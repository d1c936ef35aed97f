"""`blurcore completion SHELL`: made by shtab from the parser."""

from __future__ import annotations

import argparse

from blurcore.cli.parser import build_parser
from blurcore.cli.settings import refuse_rest


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Print the script."""
    refuse_rest(rest)
    import shtab

    print(shtab.complete(build_parser(), shell=args.shell))
    return 0
