"""A run folder read for use: its network, samples drawn from it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from blurcore._typing import StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data.values import Samples, to_samples
from blurcore.engine import (
    SamplingPlan,
    condition,
    read_run,
    restore_prior,
)
from blurcore.measure import read_calibration
from blurcore.protocols import RunNetwork, Watcher
from blurcore.resolution import restrict
from blurcore_jax.devices import pick_devices, processes
from blurcore_jax.layout import from_layout
from blurcore_jax.model import abstract_model
from blurcore_jax.sampler import Network, grid_axes, sample


def load_run(folder: StrPath) -> tuple[RunConfig, Any, Any, tuple[int, ...], Any, int]:
    """Return configuration, network with the averaged weights (on the host), shape (*grid, C), kept prior and step of a run.

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, no complete checkpoint, or one that does not fit the configuration.
    """
    config, checkpoint = read_run(folder)
    image_shape = tuple(checkpoint.state["image_shape"])
    graphdef, shapes = abstract_model(config, image_shape)
    params = from_layout(shapes, checkpoint.groups["ema"], what="averaged weights")
    return config, graphdef, params, image_shape, checkpoint.groups.get("prior"), checkpoint.step


def sample_run(
    folder: StrPath,
    settings: SampleConfig,
    *,
    device: str = "auto",
    progress: bool = True,
    watch: Watcher | None = None,
) -> Samples:
    """Draw images from a run's averaged weights, whichever backend trained them.

    Parameters
    ----------
    folder
        The run folder; nothing else is needed.
    settings
        Solver, steps, number, seed.
    device
        "auto", a platform or a device of JAX (:func:`blurcore_jax.devices.pick_devices`).
    progress
        Show a progress bar on stderr.
    watch
        Called with the states on the way; :data:`blurcore.protocols.Watcher`.

    Returns
    -------
    Samples
        `images` uint8 (num_samples, *grid, C); `finite` says of each whether it is one.

    Raises
    ------
    ConfigError, CheckpointError, ArgumentError
        The folder holds no run or no complete checkpoint; sampler or device are not for it.
    """
    with processes():
        devices = pick_devices(device)
        config, graphdef, params, image_shape, kept, _ = load_run(folder)
        prior = restore_prior(config, settings, image_shape, kept)
        x0_error = read_calibration(folder) if settings.solver.needs_calibration else None
        plan = SamplingPlan(config, settings, image_shape, axes=grid_axes(image_shape), x0_error=x0_error)
        network = Network(graphdef, params)
        draws = sample(plan, network, prior=prior, devices=devices, progress=progress, watch=watch)
    return to_samples(draws, config.data.values)


def run_network(folder: StrPath, *, device: str = "auto") -> RunNetwork:
    """Return a run's network with the averaged weights, as a function of NumPy arrays.

    Parameters
    ----------
    folder, device
        As for :func:`sample_run`; of several devices the first of this process computes.

    Raises
    ------
    ConfigError, CheckpointError, ArgumentError
        As :func:`sample_run`.
    """
    where = next(d for d in pick_devices(device) if d.process_index == jax.process_index())
    config, graphdef, params, image_shape, _, step = load_run(folder)
    params = jax.device_put(params, where)

    @jax.jit
    def network(params: Any, z: jax.Array, cond: jax.Array) -> jax.Array:
        return nnx.merge(graphdef, params)(z, cond).astype(jnp.float32)

    @jax.jit
    def product(params: Any, z: jax.Array, cond: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        output, pull = jax.vjp(lambda x: network(params, x, cond), z)
        return output, pull(v)[0]

    def of_time(t: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        process = restrict(config.process, image_shape[:-1], grid)
        return np.asarray(condition(process, np.asarray(t, np.float32), config.model.embedding), np.float32)

    def call(z: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.asarray(network(params, np.asarray(z, np.float32), of_time(t, z.shape[1:-1])))

    def vjp(z: np.ndarray, t: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = product(params, np.asarray(z, np.float32), of_time(t, z.shape[1:-1]), np.asarray(v, np.float32))
        return np.asarray(found[0]), np.asarray(found[1])

    return RunNetwork(config, image_shape, step, call, vjp)
