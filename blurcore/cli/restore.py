"""`blurcore restore RUN IMAGES`: samples of what was observed through a blur, a mask, fewer pixels, with a run as what is known."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blurcore.cli.settings import machinery_of, override, show_help
from blurcore.errors import ConfigError
from blurcore.runs.config_file import read_config

if TYPE_CHECKING:
    import numpy as np

    from blurcore.engine.restoring import RestoreConfig

    Array = np.ndarray[Any, Any]


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Restore."""
    from blurcore.engine.restoring import RestoreConfig

    if args.help:
        return show_help("restore", RestoreConfig(), rest)
    if args.run is None or (args.images is None and not args.simulate):
        raise ConfigError(
            "restore needs a run folder and images: blurcore restore RUN IMAGES; with --simulate, the run's own"
        )
    config = read_config(args.run / "config.toml")
    settings = override(RestoreConfig(), rest, prog=f"blurcore restore {args.run}")
    if args.num_images < 1:
        raise ConfigError(f"--num-images must be at least 1; got {args.num_images}")

    from blurcore.data.values import to_data
    from blurcore.engine.restoring import (
        check_restoring,
        needs_spectrum,
        needs_table,
        observe_images,
        restore_images,
        spectrum_of,
        undecided,
        working_basis,
    )
    from blurcore.measure.calibration import read_calibration

    folder = args.out if args.out is not None else args.run / "restored" / _name(settings)
    network = machinery_of(args.run, args.backend).network(args.run, device=args.device)
    observation = check_restoring(network, settings)
    grid = network.image_shape[:-1]
    images, source = _images(args, config, network.image_shape)
    wanted = grid if args.simulate else observation.seen
    if images.shape[1:-1] != wanted:
        more = "" if args.simulate else "; --simulate takes whole images and degrades them first"
        raise ConfigError(
            f"IMAGES must be of the size {wanted} for {settings.operator!r} and this run; got {images.shape[1:-1]}{more}"
        )
    table = read_calibration(args.run) if needs_table(network, settings) else None
    spectrum = None
    if needs_spectrum(network, settings):
        spectrum = spectrum_of(config.data.load(), working_basis(config.process, grid), config.data.values)
    known = undecided(network, settings, table=table, spectrum=spectrum)
    pictures = to_data(images, config.data.values)
    truth = pictures if args.simulate else None
    if args.simulate:
        pictures = observe_images(
            observation, pictures, noise=settings.noise, seed=settings.seed, indices=range(len(images))
        )
    print(f"images: {len(images)} of {source}")
    restored = restore_images(network, pictures, settings, observation, known, progress=True)
    _write(folder, settings, network.step, observation, pictures, restored, truth, config.data.values)
    return 0


def _name(settings: RestoreConfig) -> str:
    """Return the folder name that identifies a set of restorations."""
    parts = [
        type(settings.operator).__name__,
        type(settings.method).__name__,
        settings.times.num_steps,
        f"seed{settings.seed}",
    ]
    return "-".join(map(str, parts)).lower()


def _images(args: argparse.Namespace, config: Any, image_shape: tuple[int, ...]) -> tuple[Array, str]:
    """Return uint8 images (n, *grid, C) and where they are from: those that are named, or held-out ones of the run's data."""
    if args.images is None:
        split = "test" if config.data.has_test_part else "all"
        data = config.data.part(split).load()
        return data[: args.num_images], data.source
    from blurcore.data.opening import open_images

    data = open_images(args.images, image_shape, name="IMAGES")
    channels = image_shape[-1]
    if data.image_shape[-1] != channels:
        raise ConfigError(f"IMAGES must have {channels} channels, as the run's; got {data.image_shape[-1]}")
    return data[: args.num_images], data.source


def _write(
    folder: Path,
    settings: RestoreConfig,
    step: int,
    observation: Any,
    pictures: Array,
    restored: Array,
    truth: Array | None,
    values: Any,
) -> None:
    """Write restorations, numbers and picture, and say where."""
    import numpy as np

    from blurcore.data import save_grid
    from blurcore.data.pictures import save_samples
    from blurcore.data.values import to_pixels
    from blurcore.engine.restoring import report_of
    from blurcore.runs.files import replace_text
    from blurcore.serial import to_dict

    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"observed": to_pixels(pictures, values), "images": to_pixels(restored, values)}
    arrays |= {} if truth is None else {"truth": to_pixels(truth, values)}
    np.savez_compressed(folder / "restored.npz", **arrays)  # type: ignore[arg-type]
    report = report_of(observation, pictures, restored, truth, settings, values)
    about = {"step": step, "settings": to_dict(settings), **report}
    replace_text(folder / "restored.json", json.dumps(about, indent=1) + "\n")
    print(f"restored: {folder / 'restored.npz'} (uint8, {restored.shape})")
    for name, value in report.items():
        print(f"  {name}: {value:.4g}")
    rows, picture = _rows(arrays, restored.shape[2:]), folder / "grid.png"
    across = len(rows) // len(restored)
    if restored.ndim == 5:
        save_grid(rows[: 16 * across], picture, columns=across, scale=max(1, 64 // restored.shape[3]))
        print(f"grid: {picture}")
    elif save_samples(rows, picture):
        print(f"grid: {picture}")


def _rows(arrays: dict[str, Array], shape: tuple[int, ...]) -> Array:
    """Return the pictures of all rows, one after another, (n, *grid, C); a smaller observation with its pixels enlarged."""
    import numpy as np

    observed = arrays["observed"]
    for axis, size in enumerate(shape[:-1], start=1):
        observed = np.repeat(observed, size // observed.shape[axis], axis=axis)
    parts = [observed[:, None], arrays["images"]]
    if "truth" in arrays:
        parts.append(arrays["truth"][:, None])
    rows: Array = np.concatenate(parts, axis=1).reshape(-1, *shape)
    return rows
