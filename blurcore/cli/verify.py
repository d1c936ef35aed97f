"""`blurcore verify`; its options are in :mod:`blurcore.verify.command`."""

from __future__ import annotations

import argparse

from blurcore.verify.command import main


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Verify."""
    return main([*rest, "--help"] if args.help else rest)
