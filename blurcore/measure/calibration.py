r"""The network's own error in each frequency, measured once and kept in the run: what calibrated sampling adds (SPEC 9).

.. math:: e_t = E \, | \hat u_0(u_t, t) - u_0 |^2 \quad \text{per frequency, over training images, channels and noise.}

A few dozen times suffice if they are even in the log-SNR of the noise (:class:`blurcore.X0Error`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import blurcore.diffusion as diffusion
from blurcore._checks import require
from blurcore._typing import StrPath
from blurcore.data import Dataset, permutation
from blurcore.data.values import to_data
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.engine.sized_network import SizedNetwork
from blurcore.errors import CheckpointError, ConfigError, NotFiniteError, OutputError
from blurcore.protocols import RunNetwork
from blurcore.runs import newest_checkpoint
from blurcore.runs.progress import SamplingProgress
from blurcore.samplers import X0Error, log_snr_times, quadratic_times
from blurcore.starts import leaves_image

Array = np.ndarray[Any, Any]


def measure_x0_error(
    network: RunNetwork,
    data: Dataset,
    *,
    num_images: int = 512,
    num_times: int = 33,
    batch_size: int = 64,
    progress: bool = False,
) -> X0Error:
    """Return the mean squared error of the network's x0, per time and frequency.

    Parameters
    ----------
    network
        The network.
    data
        What it was trained on.
    num_images
        How many images to measure it on; each frequency's error is then known to about sqrt(2 / (images x channels)).
    num_times
        Where to measure it, at least 2 times.
    batch_size
        Images in one call.
    progress
        Show a progress bar on stderr.

    Raises
    ------
    ArgumentError
        A number is out of its range.
    ConfigError
        The network's process has no posterior to calibrate.
    """
    require(num_images >= 1, "num_images", num_images, "at least 1")
    require(num_times >= 2, "num_times", num_times, "at least 2")
    process = network.config.process
    if leaves_image(process, network.image_shape[:-1]):
        raise ConfigError(
            f"calibration is for processes that end in noise; {type(process).__name__} leaves an image at t = 1"
        )
    noise_schedule = getattr(process, "noise", None)
    try:
        times = log_snr_times(num_times - 1, noise_schedule)[::-1]  # type: ignore[arg-type]
    except Exception:  # its log-SNR is not finite
        times = quadratic_times(num_times - 1)[::-1]

    away = x0_away(network)
    (values,) = mean_over_images(
        network,
        data,
        times,
        lambda *example: (away(*example) ** 2,),
        num_images=num_images,
        batch_size=batch_size,
        progress=progress,
    )
    return X0Error(times=times, values=values)


def x0_away(network: RunNetwork) -> Callable[[Array, Array, float], Array]:
    """Return a function of data and noise (batch, *grid, C) and a time: the network's x0 less the data, in the process's basis."""
    model = SizedNetwork(network)
    process, axes = model.process, model.axes

    def away(x: Array, eps: Array, t: float) -> Array:
        u0 = process.basis.forward(x.astype(np.float64), axes=axes)
        m = diffusion.marginal_for(process, t, u0, axes=axes)
        u = m.alpha * u0 + m.sigma * process.basis.forward(eps.astype(np.float64), axes=axes)
        return model.guess(u, np.full(len(x), t)) - u0

    return away


def mean_over_images(
    network: RunNetwork,
    data: Dataset,
    times: Sequence[float],
    measure: Callable[[Array, Array, float], tuple[Array, ...]],
    *,
    num_images: int,
    batch_size: int,
    progress: bool,
) -> tuple[Array, ...]:
    """Return means over images, noise and channels of what is measured in each frequency, (times, *grid) each.

    Parameters
    ----------
    network, data, num_images, batch_size, progress
        As for :func:`measure_x0_error`.
    times
        Where to measure.
    measure
        measure(x, eps, t), for data and noise (batch, *grid, C): arrays of that shape.

    Raises
    ------
    NotFiniteError
        What is measured is not finite.
    """
    config = network.config
    chosen = permutation(len(data), config.seed, 0)[: min(num_images, len(data))]
    rows = []
    with SamplingProgress(len(chosen), len(times), show=progress) as bar:
        for i, t in enumerate(times):
            rng = np.random.default_rng(derived_seed(config.seed, Stream.CALIBRATION, i))
            total: Any = 0.0
            for first in range(0, len(chosen), batch_size):
                x = to_data(data[chosen[first : first + batch_size]], config.data.values)
                eps = rng.standard_normal(x.shape, dtype=np.float32)
                total = total + np.stack([values.mean(axis=-1).sum(axis=0) for values in measure(x, eps, t)])
                if not np.isfinite(total).all():
                    raise NotFiniteError(
                        f"what the network says of images {first} to {first + len(x) - 1} at t = {t:g} is not finite"
                    )
                bar.advance(len(x))
            rows.append(total / len(chosen))
    return tuple(np.stack(rows, axis=1))


def calibration_path(folder: StrPath) -> Path:
    """Return where the error that was measured for a run is stored."""
    return Path(folder) / "calibration.safetensors"


def calibrate_run(
    folder: StrPath, network: RunNetwork, *, num_images: int, num_times: int, progress: bool = True
) -> Path:
    """Measure the error on the run's training data, and store it in the run folder; returns the file.

    Raises
    ------
    ConfigError, DataError, ArgumentError
        As :func:`measure_x0_error`; the data are not there.
    OutputError
        The file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    data = network.config.data.load()
    found = measure_x0_error(network, data, num_images=num_images, num_times=num_times, progress=progress)
    path = calibration_path(folder)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    about = {"step": network.step, "images": min(num_images, len(data)), "data": data.fingerprint}
    try:
        save_file(
            {"times": np.array(found.times), "values": found.values}, partial, metadata={"about": json.dumps(about)}
        )
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:  # a full disk is either
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"the calibration cannot be written to {path}: {reason}") from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_calibration(folder: StrPath) -> X0Error:
    """Return the error that was measured for the run's newest checkpoint.

    Raises
    ------
    ConfigError
        It has not been measured, or for another step.
    CheckpointError
        The file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = calibration_path(folder)
    if not path.is_file():
        raise ConfigError(
            f"sample.solver CalibratedAncestral needs the network's error, measured once: blurcore calibrate {folder}"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["about"])
            times, values = file.get_tensor("times"), file.get_tensor("values")
        error = X0Error(times=tuple(times.tolist()), values=values)
        step = int(about["step"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise CheckpointError(f"the calibration {path} cannot be read: {problem}") from None
    newest = newest_checkpoint(folder, groups=()).step
    if step != newest:
        raise ConfigError(
            f"{path} was measured at step {step}, the run is at step {newest}: blurcore calibrate {folder}"
        )
    return error
