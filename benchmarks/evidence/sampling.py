"""Samples of trained runs, and the numbers of the protocol that they have against the training images."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from PIL import Image

import blurcore as bc
from benchmarks.evidence.rows import CANDIDATE, Row, needs_error, settings_for, solver_for, times_for
from benchmarks.evidence.trials import Trial, data_of
from blurcore.config import EvaluateConfig
from blurcore.data import Source
from blurcore.data.values import Samples, to_samples
from blurcore.engine import objective_of, restore_prior
from blurcore.errors import ConfigError
from blurcore.measure import evaluate, read_calibration
from blurcore.measure.calibration import calibrate_run
from blurcore.metrics import Observation, compare_observed, get_features, observe
from blurcore.runs import newest_checkpoint, read_config

FEATURES = ("digits", "dct")
PRIMARY = {"digits": "digits", "photos": "dct", "cifar10": "dct"}
SHOWN = 64


@lru_cache(maxsize=4)
def reference(data: Source, features: str) -> Observation:
    """Return the training images, looked at."""
    return observe(data.load(), get_features(features))


def measure(images: np.ndarray[Any, Any], trial: Trial) -> dict[str, float]:
    """Return the metrics of the protocol of uint8 images (n, H, W, C); those that want more images than these are left out."""
    found: dict[str, float] = {}
    for features in FEATURES:
        real = reference(data_of(trial), features)
        own = observe(images, real.by)
        primary = PRIMARY[trial.data] == features
        names = ["kid", *(["precision_recall", "spectrum"] if primary else [])]
        names += ["frechet"] if len(images) > own.features.shape[1] else []
        for name, estimate in compare_observed(own, real, metrics=names).items():
            plain = name in ("precision", "recall", "spectrum_distance")
            found[name if plain else f"{name}_{features}"] = float(f"{estimate.value:.5g}")
    return found


def held_out(trial: Trial, count: int) -> dict[str, float]:
    """Return the numbers of as many held-out images."""
    images = data_of(trial).part("test").load()
    return {"samples": min(count, len(images)), **measure(np.asarray(images[:count]), trial)}


def sample(trial: Trial, folder: Path, row: Row, calls: int, *, count: int) -> dict[str, Any]:
    """Draw, keep a picture of the first, measure."""
    error = None
    if needs_error(row):
        calibrate(folder)
        error = read_calibration(folder)
    start = process_time()
    if row.solver == CANDIDATE:
        drawn = draw_by_hand(folder, row, calls, count=count, seed=trial.seed, error=error)
    else:
        config = read_config(folder / "config.toml")
        settings = settings_for(row, config.process, calls, count=count, seed=trial.seed, error=error)
        settings = replace(settings, start=config.sample.start)  # the one that the run keeps
        drawn = bc.get_backend("torch").sample(folder, settings, progress=False)
    seconds = process_time() - start
    images = drawn.images[drawn.finite]
    picture = folder.parent / "pictures" / f"{trial.name} {row.name} {calls}.png"
    picture.parent.mkdir(exist_ok=True)
    save_grid(drawn.images[:SHOWN], picture)
    found: dict[str, Any] = {
        "samples": count,
        "not_finite": int((~drawn.finite).sum()),
        "processor_s": round(seconds, 2),
    }
    return found | (measure(images, trial) if len(images) > 4 else {})


def draw_by_hand(folder: Path, row: Row, calls: int, *, count: int, seed: int, error: bc.X0Error | None) -> Samples:
    """Draw samples of a run by a solver that is not in the package, in NumPy but for the network."""
    network = bc.get_backend("torch").network(folder)
    process, objective, axes = network.config.process, objective_of(network.config), (1, 2)
    solver = replace(solver_for(row, process, error), axes=axes)
    parts = []
    for first in range(0, count, 64):
        shape = (min(64, count - first), *network.image_shape)
        rng = np.random.default_rng([seed, first])
        sigma = bc.marginal_for(process, 1.0, np.zeros(shape), axes=axes).sigma
        state = solver.start(sigma * rng.standard_normal(shape))
        for t, s in solver.stages(times_for(row, process, calls, error)):
            z = process.basis.inverse(state.u, axes=axes)
            output = network.call(z.astype(np.float32), np.full(len(z), t, np.float32)).astype(np.float64)
            marginal = bc.marginal_for(process, t, state.u, axes=axes)
            prediction = objective.predict(marginal, output, state.u, axes=axes)
            draws = solver.uses_noise and (s > 0 or row.last_noise)
            state = solver.step(state, prediction, t, s, rng.standard_normal(shape) if draws else None)
        parts.append(process.basis.inverse(state.u, axes=axes))
    return to_samples(np.concatenate(parts), network.config.data.values)


def save_grid(images: np.ndarray[Any, Any], path: Path, columns: int = 16) -> None:
    """Write images side by side."""
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(path)


def calibrate(folder: Path) -> None:
    """Measure the network's error, as `blurcore calibrate` does, where that has not been done."""
    try:
        read_calibration(folder)
    except ConfigError:
        network = bc.get_backend("torch").network(folder)
        calibrate_run(folder, network, num_images=512, num_times=33, progress=False)


def bits(trial: Trial, folder: Path, *, count: int = 64) -> dict[str, Any]:
    """Return bits/dim of held-out images, with their standard error."""
    network = bc.get_backend("torch").network(folder)
    prior = restore_prior(
        network.config,
        network.config.sample,
        network.image_shape,
        newest_checkpoint(folder, groups=("prior",)).groups.get("prior"),
    )
    images = np.asarray(data_of(trial).part("test").load()[:count])
    total = evaluate(network, images, EvaluateConfig(num_images=count), prior=prior).total
    return {
        "images": len(total),
        "bits_per_dim": float(total.mean()),
        "standard_error": float(total.std(ddof=1) / len(total) ** 0.5),
    }
