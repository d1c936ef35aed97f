"""`blurcore fit RUN-or-DATA`: the settings of a blurring process that fit the data, as lines of a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from blurcore.cli.data import source_of
from blurcore.cli.settings import refuse_rest
from blurcore.data import Source
from blurcore.errors import ConfigError
from blurcore.measure.fitting import SHARE, Fit, data_variance, fit_spectrum
from blurcore.runs.config_file import read_config
from blurcore.serial import to_dict


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Measure, draw if asked, and print."""
    refuse_rest(rest)
    if args.num_images < 2:
        raise ConfigError(f"--num-images must be at least 2; got {args.num_images}")
    if not 0 < args.share < 1:
        raise ConfigError(f"--share must be in (0, 1), such as {SHARE}; got {args.share}")
    source = _source(args.source)
    data = source.load()
    found = fit_spectrum(
        data_variance(data, values=source.values, num_images=args.num_images), values=source.values, share=args.share
    )
    if args.figure is not None:
        from blurcore.figures.fitted import draw_fit

        draw_fit(found, args.figure, title=f"{type(source).__name__}: {data.source}")
    print(fragment(source, found), end="")
    return 0


def _source(place: Path) -> Source:
    """Return the data of a run, or those that a path or a name stands for."""
    if (place / "config.toml").is_file():
        return read_config(place / "config.toml").data
    return source_of(str(place))


def fragment(source: Source, found: Fit) -> str:
    """Return the lines of a configuration that trains a blurring process which fits the data."""
    import tomli_w

    def rounded(values: tuple[float, ...]) -> list[float]:
        return [float(f"{value:.3g}") for value in values]

    lines: dict[str, Any] = {
        "data": to_dict(source),
        "process": {
            "kind": "BlurringDiffusion",
            "min_scale": float(f"{found.min_scale:.3g}"),
            "blur": {"kind": "SinSquared", "sigma_blur_max": float(f"{found.sigma_blur_max:.3g}")},
        },
        "train": {"objective": {"kind": "Denoising", "prediction": "F", "sigma_data": rounded(found.sigma_data)}},
    }
    noise = ", ".join(f"{value:.3g}" for value in found.noise_spectrum)
    return f"{tomli_w.dumps(lines)}\n# noise with the data's spectrum (EqualSNR, examples/equal_snr.py): spectrum = [{noise}]\n"
