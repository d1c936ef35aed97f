"""`blurcore sample RUN`: images from a run folder, which is all that is needed."""

from __future__ import annotations

import argparse

from blurcore.cli.settings import machinery, override, show_help
from blurcore.config import SampleConfig
from blurcore.errors import ConfigError
from blurcore.runs.config import read_config


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Sample."""
    if args.run is None:
        if args.help:
            return show_help("sample", SampleConfig())
        raise ConfigError("sample needs a run folder: blurcore sample RUN")
    config = read_config(args.run / "config.toml")
    if args.help:
        return show_help("sample", config.sample)
    settings = override(config.sample, rest, prog=f"blurcore sample {args.run}")

    import numpy as np

    from blurcore.data import save_samples
    from blurcore.figures.film import Film

    film = Film(config.data.values) if args.film else None
    images = machinery(args.backend or config.backend).sample(args.run, settings, device=args.device, watch=film)

    name = "-".join(str(part) for part in _parts(settings))
    folder = args.out if args.out is not None else args.run / "samples" / name
    folder.mkdir(parents=True, exist_ok=True)
    scale = 1 if images.ndim == 3 else max(1, 64 // images.shape[-2])  # curves have a size of their own
    save_samples(images, folder / "grid.png", scale=scale)
    np.savez_compressed(folder / "samples.npz", images=images)
    print(f"grid: {folder / 'grid.png'}")
    if film is not None:
        film.save(folder / "film.webp", scale=scale)
        print(f"film: {folder / 'film.webp'}")
    print(f"images: {folder / 'samples.npz'} (uint8, {images.shape})")
    return 0


def _parts(settings: SampleConfig) -> list[str | int]:
    """Return what tells one set of samples from another, for the name of its folder."""
    parts: list[str | int] = [settings.sampler]
    if settings.sampler == "ddim" and settings.eta:
        parts.append(f"eta{settings.eta:g}")
    if settings.sampler == "ancestral" and settings.variance != "posterior":
        parts.append(settings.variance)
    if settings.sampler.startswith("dpm_solver"):
        parts.append(f"order{settings.order}")
    if settings.label is not None:
        parts.append(f"label{settings.label}")
    if settings.guidance != 1:
        parts.append(f"guidance{settings.guidance:g}")
    if settings.clip != "off":
        parts.append(settings.clip)
    if settings.grid != "uniform":
        parts.append(settings.grid)
    parts += [settings.num_steps, f"seed{settings.seed}"]
    return parts if settings.vary == "all" else [*parts, settings.vary]
