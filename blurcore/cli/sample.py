"""`blurcore sample RUN`: images from a run folder, which is all that is needed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blurcore.cli.settings import machinery_of, override, show_help
from blurcore.config import SampleConfig
from blurcore.errors import ConfigError, NotFiniteError
from blurcore.kinds import short_name
from blurcore.runs.config_file import read_config

if TYPE_CHECKING:
    from blurcore.data.values import Samples
    from blurcore.figures.film import Film


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Sample."""
    if args.run is None:
        if args.help:
            return show_help("sample", SampleConfig(), rest)
        raise ConfigError("sample needs a run folder: blurcore sample RUN")
    config = read_config(args.run / "config.toml")
    if args.help:
        return show_help("sample", config.sample, rest)
    settings = override(config.sample, rest, prog=f"blurcore sample {args.run}")

    from blurcore.engine import times_between
    from blurcore.figures.film import Film
    from blurcore.runs.checkpoint import newest_checkpoint
    from blurcore.runs.drawn import files_of, other_set, place_for, record_of
    from blurcore.runs.files import require_file

    folder = args.out
    if folder is None:
        folder = args.run / "samples" / "-".join(str(part) for part in _parts(settings))
    else:
        config.data.refuse_inside(folder)
    film = Film(config.data.values) if args.film else None
    if settings.start is not None:
        shape = tuple(newest_checkpoint(args.run, groups=()).state["image_shape"])
        first = times_between(config, settings, shape)[0]
        print(f"start: {type(settings.start).__name__}, at t = {first:.4g}")
    backend = machinery_of(args.run, args.backend)
    record = record_of(args.run, settings, backend=backend.name, device=args.device)
    if args.out is not None and (other := other_set(folder, record)):
        raise ConfigError(f"--out must be a folder without a set of other samples; {folder} has one, with {other}")
    for path in files_of(place_for(folder, record)):
        require_file("a file of the samples", path)
    with backend.processes(args.device) as team:
        samples = backend.sample(args.run, settings, device=args.device, watch=film)
        if team.rank == 0:
            if other := other_set(folder, record):
                print(f"{folder} stays: it holds a set with {other}")
            _write(samples, film, place_for(folder, record), record)
    return 0


def _write(samples: Samples, film: Film | None, folder: Path, record: dict[str, Any]) -> None:
    """Write what has been drawn, then the pictures, which may fail, and say where.

    Raises
    ------
    NotFiniteError
        No sample is finite; the set is written, the pictures are not.
    """
    from blurcore.data import save_samples
    from blurcore.runs.drawn import write_record

    images = samples.images

    write_record(folder, record)
    _save(folder / "samples.npz", **samples._asdict())
    print(f"images: {folder / 'samples.npz'} (uint8, {images.shape})")
    if samples.lost:
        print(f"not finite: {samples.lost}")
    if not samples.finite.any():
        raise NotFiniteError(f"no sample is finite, so that there is no picture; {folder / 'samples.npz'} is written")
    scale = 1 if images.ndim == 3 else max(1, 64 // images.shape[-2])  # curves have a size of their own
    if save_samples(images, folder / "grid.png", scale=scale):
        print(f"grid: {folder / 'grid.png'}")
    if film is not None and film.save(folder / "film.webp", scale=scale):
        print(f"film: {folder / 'film.webp'}")


def _save(path: Path, **arrays: Any) -> None:
    """Write a .npz that is whole or absent."""
    import numpy as np

    partial = path.with_name(f".{path.stem}.partial.npz")
    try:
        np.savez_compressed(partial, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _parts(settings: SampleConfig) -> list[str | int]:
    """Return the parts of the folder name that identify a set of samples."""
    parts: list[str | int] = [short_name(settings.solver)]
    if settings.start is not None:
        parts.append(short_name(settings.start))
    if settings.label is not None:
        parts.append(f"label{settings.label}")
    if settings.guidance != 1:
        parts.append(f"guidance{settings.guidance:g}")
    if settings.clip != "off":
        parts.append(settings.clip)
    parts += [f"{type(settings.times).__name__}{settings.times.num_steps}", f"seed{settings.seed}"]
    return parts if settings.vary == "all" else [*parts, settings.vary]
