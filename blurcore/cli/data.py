"""`blurcore data SOURCE`: what a data set is understood as, before anything is trained on it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blurcore.cli.settings import override, show_help
from blurcore.data import Dataset, Loader, Source, permutation, save_samples
from blurcore.data.sources import MNIST, Folder
from blurcore.errors import ConfigError
from blurcore.kinds import find_kind, kinds_of
from blurcore.serial import to_dict

WORKERS = (0, 2, 4)
"""Numbers of threads that reading is timed with, for :data:`SECONDS` each, in batches of :data:`BATCH`."""
SECONDS = 1.0
BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown."""

    data: Source
    """Where the images come from."""


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Print what is found, and save a grid of images."""
    if args.help:
        return show_help("data", Shown(data=MNIST()), rest)
    if args.source is None:
        raise ConfigError("data needs a path or the name of a kind: blurcore data FOLDER, blurcore data MNIST")
    chosen = any(word.partition("=")[0] in ("--data", "--data.kind") for word in rest)
    settings = override(
        Shown(data=source_of(str(args.source), chosen=chosen)), rest, prog=f"blurcore data {args.source}"
    )
    data = settings.data.load()
    for name, value in _rows(settings.data, data):
        print(f"{name:<12} {value}", flush=True)
    shown = permutation(len(data), seed=0, epoch=0)[: args.num_images]
    if save_samples(data[np.sort(shown)], args.out):
        print(f"{'picture':<12} {args.out}: {len(shown)} images")
    for workers in WORKERS:
        print(f"{'reads':<12} {images_per_second(data, workers):,.0f} images/s with {workers} workers", flush=True)
    print(f"\n{_fragment(settings.data)}")
    return 0


def source_of(words: str, *, chosen: bool = False) -> Source:
    """Return the source that a path or the name of a kind stands for.

    Parameters
    ----------
    words
        A path, or a name such as "MNIST".
    chosen
        The kind is named elsewhere, and `words` are its path.

    Raises
    ------
    ConfigError
        There is nothing of that name, or no kind recognises it.
    """
    place = Path(words).expanduser()
    if chosen:
        return Folder(path=words)  # whose path the kind that is chosen takes over
    if place.exists():
        found = [cls for cls in kinds_of("data").values() if getattr(cls, "recognises", lambda _: False)(place)]
        if not found:
            raise ConfigError(
                f"SOURCE must be of a form that is recognised, or its kind be named by --data; got {words!r}"
            )
        source: Source = found[-1](path=words)
        return source
    cls = find_kind(words, "data", path="SOURCE, if it is no path that exists,")
    try:
        named: Source = cls()
    except TypeError:
        raise ConfigError(
            f"SOURCE must be a path for {cls.__name__}: blurcore data PATH --data {cls.__name__}"
        ) from None
    return named


def _rows(source: Source, data: Dataset) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table."""
    yield "kind", type(source).__name__
    yield "source", data.source
    yield "images", f"{len(data):,}, {' x '.join(map(str, data.image_shape))}"
    yield "labels", _labels_in_words(data)
    yield "test part", "yes" if source.has_test_part else "none"
    part = data[np.sort(permutation(len(data), seed=0, epoch=0)[:1000])].astype(np.float64)
    yield "pixels", f"mean {part.mean():.1f}, standard deviation {part.std():.1f}, of 0 to 255"
    yield "fingerprint", data.fingerprint


def _labels_in_words(data: Dataset) -> str:
    labels = data.labels()
    if labels is None:
        return "none"
    counts = np.unique(labels, return_counts=True)[1]
    return f"{len(counts)} classes from {labels.min()} to {labels.max()}, {counts.min():,} to {counts.max():,} images in each"


def images_per_second(data: Dataset, num_workers: int, *, seconds: float = SECONDS) -> float:
    """Return how many images a loader reads in a second, shuffled."""
    with Loader(data, batch_size=BATCH, seed=0, num_workers=num_workers) as loader:
        batches = iter(loader)
        next(batches)
        start, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - start) < seconds:
            count += len(next(batches)[1])
        return count / passed


def _fragment(source: Source) -> str:
    """Return the lines of a configuration file that select this source."""
    import tomli_w

    return tomli_w.dumps({"data": to_dict(source)}).strip()
