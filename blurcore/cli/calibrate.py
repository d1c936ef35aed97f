"""`blurcore calibrate RUN`: measure the network's error in each frequency, for calibrated sampling."""

from __future__ import annotations

import argparse

from blurcore.cli.settings import machinery_of, refuse_rest
from blurcore.errors import ConfigError
from blurcore.runs.files import require_file


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Measure and store."""
    refuse_rest(rest)
    for name, least in (("num_images", 1), ("num_times", 2)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least {least}; got {getattr(args, name)}")
    from blurcore.measure.calibration import calibrate_run, calibration_path

    require_file("the calibration of the run", calibration_path(args.run))
    network = machinery_of(args.run, args.backend).network(args.run, device=args.device)
    path = calibrate_run(args.run, network, num_images=args.num_images, num_times=args.num_times)
    print(f"calibration: {path}")
    return 0
