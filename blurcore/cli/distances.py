"""Samples against real images, for `blurcore evaluate`: those of a run, drawn here, or any two sets of images."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from blurcore._checks import require
from blurcore.cli.evaluate import write_evaluation
from blurcore.cli.settings import machinery_of, override
from blurcore.data import ArrayDataset, Dataset, FolderDataset
from blurcore.data.arrays import read_array
from blurcore.data.values import Samples
from blurcore.errors import ArgumentError, ConfigError, DataError, NotFiniteError
from blurcore.metrics import (
    METRICS,
    Estimate,
    Features,
    InceptionFeatures,
    Observation,
    View,
    band_frequencies,
    check_metrics,
    check_shapes,
    compare_observed,
    decibels,
    default_features,
    get_features,
    observe,
)
from blurcore.metrics.bootstrap import CONFIDENCE
from blurcore.metrics.neighbours import NEIGHBOURS
from blurcore.registry import get_backend
from blurcore.runs import newest_checkpoint, read_config
from blurcore.runs.files import require_file
from blurcore.runs.progress import ImageProgress
from blurcore.serial import to_dict

Array = np.ndarray[Any, Any]

NUM_SAMPLES = 512
"""Samples of a run where no number is asked for."""
RESAMPLES = 200
"""Resamples of the bootstrap where no number is asked for; none for FID, each of which takes many seconds."""


def compare_run(args: argparse.Namespace, rest: list[str]) -> int:
    """Draw samples of a run and compare them with its data."""
    config = read_config(args.run / "config.toml")
    paths = _files_of(args)
    default = replace(config.sample, num_samples=NUM_SAMPLES, **({} if args.seed is None else {"seed": args.seed}))
    settings = override(default, rest, prog=f"blurcore evaluate {args.run}")
    split: Any = args.split or "train"
    if args.dims is not None:
        raise ConfigError("--dims is for --samples and --reference; a run knows its axes")
    data = config.data.part(split).load()
    reference, metrics = _limited(data, args), _metrics(args)
    features = _features(args, data.image_shape)
    dim = _check(args, metrics, features, (settings.num_samples, len(reference)), reference)
    backend = machinery_of(args.run, args.backend)
    with backend.processes(args.device) as team:
        samples = backend.sample(args.run, settings, device=args.device)
        if team.rank == 0:
            step = newest_checkpoint(args.run, groups=()).step
            print(
                f"samples: {len(samples.images)} of step {step} ({type(settings.solver).__name__}, {settings.times.num_steps} steps)"
            )
            images = _finite(samples, args, metrics, (len(reference), dim))
            print(f"reference: {len(reference)} images ({data.name}, {split})")
            found = _compared(args, metrics, features, images, reference, seed=settings.seed)
            about = {
                "step": step,
                "not_finite": len(samples.images) - len(images),
                "split": split,
                "reference": data.source,
                "settings": to_dict(settings),
            }
            _write({"samples": about | found}, paths)
    return 0


def _files_of(args: argparse.Namespace) -> list[Path]:
    """Return the files that are written: that of --json, and that of the run, which may be closed where the other is asked for.

    Raises
    ------
    ConfigError
        There would be none.
    """
    named, own = [] if args.json is None else [args.json], args.run / "evaluation.json"
    try:
        require_file("the evaluation of the run", own)
    except ConfigError as error:
        if not named:
            raise ConfigError(f"{error}; --json FILE writes elsewhere") from None
        print(f"not written into the run: {error}", file=sys.stderr)
        return named
    return [*named, own]


def compare_folders(args: argparse.Namespace) -> int:
    """Compare two sets of images."""
    for name in ("split", "backend"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name} is for runs; --samples and --reference are sets of images already")
    sets = [_open(f"--{name}", getattr(args, name), args.dims or 2) for name in ("samples", "reference")]
    metrics = _metrics(args)
    rgb = 3 if {data.image_shape[-1] for data in sets} == {1, 3} and len(sets[0].image_shape) == 3 else None
    shapes = [(*data.image_shape[:-1], rgb or data.image_shape[-1]) for data in sets]
    check_shapes(shapes[0], shapes[1])
    samples, reference = View(sets[0], channels=rgb), _limited(sets[1], args, channels=rgb)
    features = _features(args, shapes[1])
    _check(args, metrics, features, (len(samples), len(reference)), reference)
    for name, data in zip(("samples", "reference"), sets, strict=True):
        print(f"{name}: {data.source}")
    found = _compared(args, metrics, features, samples, reference, seed=args.seed or 0)
    about = {"source": sets[0].source, "reference": sets[1].source}
    _write({"samples": about | found}, [] if args.json is None else [args.json])
    return 0


def _metrics(args: argparse.Namespace) -> tuple[str, ...]:
    return METRICS if args.metrics is None else tuple(name.strip() for name in args.metrics.split(","))


def _limited(data: Dataset, args: argparse.Namespace, *, channels: int | None = None) -> View:
    if args.num_reference is not None and args.num_reference < 1:
        raise ConfigError(f"--num-reference must be at least 1; got {args.num_reference}")
    return View(data, limit=args.num_reference, channels=channels)


def _open(option: str, path: Path, dims: int) -> Dataset:
    """Open a folder of images, one that `blurcore sample` has written, or a NumPy file."""
    drawn = path / "samples.npz"
    try:
        if path.is_dir() and not drawn.is_file():
            if dims != 2:
                raise ConfigError(f"--dims must be 2 for a folder of images, {str(path)!r}; got {dims}")
            return FolderDataset(path, image_size=None, channels=None, strict=True)
        file = drawn if path.is_dir() else path
        if not file.is_file():
            raise ConfigError(
                f"{option} must be a folder of images, or a .npy or .npz file, that exists; got {str(path)!r}"
            )
        images, source = read_array(str(file), dims=dims)
        return ArrayDataset(images, source=source)
    except DataError as error:
        raise type(error)(f"{option}: {error}") from None


def _features(args: argparse.Namespace, image_shape: tuple[int, ...]) -> Features:
    """Return the features named by the settings; a user's may be a module in the working folder."""
    if args.inception_weights is not None:
        if args.features not in (None, "inception"):
            raise ConfigError(f"--inception-weights are for the features inception; got --features {args.features}")
        return InceptionFeatures(args.inception_weights, lambda path: _torch().inception(path, device=args.device))
    with _working_folder_first():
        return get_features(args.features or default_features(image_shape))


def _torch() -> Any:
    """Return the backend that has FID's network, imported once the weights are known to be the right ones."""
    return get_backend("torch")


@contextmanager
def _working_folder_first() -> Iterator[None]:
    """Put the working folder on the import path, as `python -m` does."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _check(
    args: argparse.Namespace, metrics: tuple[str, ...], features: Features, counts: tuple[int, int], reference: View
) -> int:
    """Check, before samples are drawn, that they can be compared and written; return the features' dimensions."""
    dim: int = observe(reference[0:1], features).features.shape[1]
    check_metrics(metrics, counts, dim, neighbours=_neighbours(args))
    if args.bootstrap is not None and (args.bootstrap < 0 or args.bootstrap == 1):
        raise ConfigError(f"--bootstrap must be 0 or at least 2; got {args.bootstrap}")
    if args.seed is not None and args.seed < 0:
        raise ConfigError(f"--seed must be 0 or more; got {args.seed}")
    if args.json is not None and not args.json.absolute().parent.is_dir():
        raise ConfigError(f"--json must be a file in a folder that exists; got {str(args.json)!r}")
    return dim


def _finite(samples: Samples, args: argparse.Namespace, metrics: tuple[str, ...], reference: tuple[int, int]) -> Array:
    """Return the samples that are finite, and say how many are not; `reference` is its number of images and of dimensions.

    Raises
    ------
    NotFiniteError
        Too few are left for the metrics.
    """
    images = samples.images[samples.finite]
    if samples.lost:
        print(f"not finite: {samples.lost}, and left out")
        try:
            check_metrics(metrics, (len(images), reference[0]), reference[1], neighbours=_neighbours(args))
            require(len(images) > 0, "samples", 0, "at least one that is finite")
        except ArgumentError as error:
            raise NotFiniteError(f"{samples.lost}, and too few are left: {error}") from None
    return images


def _neighbours(args: argparse.Namespace) -> int:
    return NEIGHBOURS if args.neighbours is None else int(args.neighbours)


def _compared(
    args: argparse.Namespace, metrics: tuple[str, ...], features: Features, samples: Any, reference: View, *, seed: int
) -> dict[str, Any]:
    """Compare, print the table, and return the record."""
    resamples = args.bootstrap
    if resamples is None:
        resamples = 0 if isinstance(features, InceptionFeatures) else RESAMPLES
    with ImageProgress("comparing", len(samples) + len(reference), show=True) as bar:
        seen = [observe(images, features, step_done=bar.advance) for images in (samples, reference)]
    found = compare_observed(*seen, metrics=metrics, neighbours=_neighbours(args), bootstrap=resamples, seed=seed)
    print(f"features: {features.name}, {seen[0].features.shape[1]} dimensions")
    _print(found)
    result: dict[str, Any] = {
        "num_samples": len(samples),
        "num_reference": len(reference),
        "features": features.name,
        "neighbours": _neighbours(args),
        "bootstrap": resamples,
        "confidence": CONFIDENCE,
        "metrics": {name: estimate._asdict() for name, estimate in found.items()},
    }
    return result | ({"spectrum": _spectrum(*seen)} if "spectrum" in metrics else {})


def _print(found: dict[str, Estimate]) -> None:
    for name, estimate in found.items():
        between = "" if estimate.low is None else f"   [{estimate.low:.4f}, {estimate.high:.4f}]"
        unit = " dB" if name == "spectrum_distance" else ""
        print(f"  {name:<18} {estimate.value:10.4f}{unit:<3}{between}".rstrip())


def _spectrum(samples: Observation, reference: Observation) -> dict[str, list[float]]:
    """Return both spectra, band by band."""
    levels = [decibels(seen.power.mean(axis=0)) for seen in (samples, reference)]
    frequency = band_frequencies(samples.image_shape[:-1])
    columns = zip(("frequency", "samples_db", "reference_db"), (frequency, *levels), strict=True)
    return {name: np.round(values, 4).tolist() for name, values in columns}


def _write(found: dict[str, Any], paths: list[Path]) -> None:
    for path in paths:
        write_evaluation(path, found)
