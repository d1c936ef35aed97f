"""Sampling as one `lax.scan` around the core's solvers, with the state in frequency space.

The schedule's part of every step (the solver's coefficients, the marginals, what the network is shown of the time) is
worked out on the host, in float64, for all steps at once: the loop takes it from a table, so that float32 times never
enter a coefficient. Sample i follows from (seed, i) alone, whatever batch it is drawn in.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.sharding import Mesh

import blurcore as bc
from blurcore.config import RunConfig, SampleConfig, TrainConfig
from blurcore.engine import condition, solver_of, times_of, to_pixels
from blurcore.runs import newest_checkpoint, read_config
from blurcore.runs.progress import SamplingProgress
from blurcore.samplers import predict_at
from blurcore_jax.devices import gather, make_mesh, pick_devices, put, split, whole
from blurcore_jax.layout import from_layout
from blurcore_jax.model import UNet
from blurcore_jax.random import sample_keys

AXES = (1, 2)
_MAX_SEGMENT = 64  # steps between two updates of the progress bar


class Table(NamedTuple):
    """What the steps need of the schedule, each leaf of shape (number of network calls, ...)."""

    k: Any
    cond: Any
    marginal: Any
    coefficients: Any


def schedule_table(config: RunConfig, settings: SampleConfig, image_shape: tuple[int, int, int]) -> Table:
    """Return the table of all steps as NumPy arrays, worked out in float64 and rounded to float32."""
    process, shape = config.process, image_shape[:2]
    solver = solver_of(process, settings, axes=AXES)
    t, s = np.array(solver.stages(times_of(process, settings))).T
    coefficients = solver.coefficients(t, s, shape=shape)
    if getattr(coefficients, "noise", None) is not None:
        silent = (s == 0).reshape(-1, *[1] * len(shape))  # the last step adds no noise
        coefficients = coefficients._replace(noise=np.where(silent, 0.0, coefficients.noise))
    cond = condition(process, t, config.model.embedding)
    marginal = process.marginal(t, shape=shape)
    table = Table(np.arange(1, len(t) + 1), cond, marginal, coefficients)
    return jax.tree.map(lambda v: v.astype(np.int32 if v.dtype == np.int64 else np.float32), table)


def segment_length(calls: int) -> int:
    """Return how many network calls one compiled loop makes: a divisor, so that one compilation serves them all."""
    best = max(n for n in range(1, min(calls, _MAX_SEGMENT) + 1) if calls % n == 0)
    return best if best >= min(8, calls) else calls


@lru_cache(maxsize=16)
def _compiled(graphdef: Any, config: RunConfig, settings: SampleConfig) -> Any:
    """Return the compiled (start, loop, finish) for a network and settings; seeds and numbers of samples do not matter."""
    process = config.process
    solver = solver_of(process, settings, axes=AXES)

    def start(noise: Any, sigma: jax.Array, shape: tuple[int, ...]) -> Any:
        return solver.start(bc.align(sigma, ndim=4, axes=AXES) * _draw(noise, 0, shape))

    def step(params: Any, noise: Any, state: Any, row: Table) -> tuple[Any, None]:
        u = state.u
        marginal = type(row.marginal)(*(bc.align(c, ndim=u.ndim, axes=AXES) for c in row.marginal))
        z = process.basis.inverse(u, axes=AXES)
        output = nnx.merge(graphdef, params)(z, jnp.full(u.shape[:1], row.cond))
        prediction = predict_at(
            marginal, output.astype(jnp.float32), config.train.prediction, u, basis=process.basis, axes=AXES,
            clip=settings.clip,
        )  # fmt: skip
        drawn = _draw(noise, row.k, u.shape) if solver.uses_noise else None
        return solver.apply(row.coefficients, state, prediction, drawn), None

    def loop(params: Any, noise: Any, state: Any, rows: Table) -> Any:
        return lax.scan(partial(step, params, noise), state, rows)[0]

    def finish(state: Any) -> jax.Array:
        return process.basis.inverse(state.u, axes=AXES)

    return jax.jit(start, static_argnums=2), jax.jit(loop, donate_argnums=2), jax.jit(finish)


def _draw(noise: jax.Array, k: Any, shape: tuple[int, ...]) -> jax.Array:
    """Return standard normal noise in frequency space, where white noise is white too: drawn from keys, or handed in."""
    if not jnp.issubdtype(noise.dtype, jax.dtypes.prng_key):
        return noise[k]
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, k), shape[1:], jnp.float32))(noise)


def sample_batch(
    config: RunConfig, graphdef: Any, params: Any, noise: Any, *, shape: tuple[int, int, int, int],
    settings: SampleConfig, mesh: Mesh | None = None, bar: SamplingProgress | None = None, images: int | None = None,
) -> jax.Array:  # fmt: skip
    """Draw one batch from noise that the caller brings.

    Parameters
    ----------
    config
        The run's configuration: process, prediction and embedding are taken from it.
    graphdef, params
        The network, split by ``nnx.split``; maps (z_t, condition) to the prediction.
    noise
        Keys, (batch,), or standard normal numbers in frequency space, (calls + 1, batch, H, W, C): the start, then
        the noise of each network call (num_steps of them; heun: 2 num_steps - 1).
    shape
        (batch, H, W, C).
    settings
        Solver and steps.
    mesh
        Devices to spread the batch over; without one JAX places it.
    bar, images
        A progress bar, and how many of the batch's images it counts (all of them, if not given).

    Returns
    -------
    jax.Array
        (batch, H, W, C), float32, as the solver left it.
    """
    start, loop, finish = _compiled(graphdef, *_essence(config, settings))
    table = schedule_table(config, settings, shape[1:])
    sigma = config.process.marginal(1.0, shape=shape[1:3]).sigma.astype(np.float32)
    if mesh is not None:
        table, sigma = put(table, whole(mesh)), put(sigma, whole(mesh))
    state = start(noise, sigma, shape)
    calls = len(table.k)
    length = segment_length(calls)
    for first in range(0, calls, length):
        state = loop(params, noise, state, jax.tree.map(lambda v, i=first: v[i : i + length], table))
        if bar is not None:
            jax.block_until_ready(state)
            bar.advance((images or shape[0]) * length)
    return finish(state)


def _essence(config: RunConfig, settings: SampleConfig) -> tuple[RunConfig, SampleConfig]:
    """Return the settings without what does not change the compiled program."""
    train = TrainConfig(prediction=config.train.prediction)
    return (
        RunConfig(process=config.process, train=train),
        SampleConfig(sampler=settings.sampler, eta=settings.eta, order=settings.order, clip=settings.clip),
    )


def sample(
    config: RunConfig, graphdef: Any, params: Any, *, image_shape: tuple[int, int, int], settings: SampleConfig,
    devices: list[jax.Device], progress: bool,
) -> np.ndarray:  # fmt: skip
    """Draw samples.

    Parameters
    ----------
    config, graphdef, params, settings
        As for :func:`sample_batch`; `params` as host arrays or on the devices.
    image_shape
        (H, W, C).
    devices
        Each batch is spread over them, filled up where they do not divide it.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    ndarray
        (num_samples, H, W, C), float32, in [-1, 1] if `settings.clip`, else as the solver left it.
    """
    times = times_of(config.process, settings)
    calls = len(solver_of(config.process, settings, axes=AXES).stages(times))
    bc.check_markov(config.process, times[::-1], shape=image_shape[:2])
    batch = -(-min(settings.batch_size, settings.num_samples) // len(devices)) * len(devices)
    mesh = make_mesh(devices, batch)
    params = put(jax.device_get(params), whole(mesh))
    batches = []
    with SamplingProgress(settings.num_samples, calls, show=progress) as bar:
        for first in range(0, settings.num_samples, batch):
            # The last batch is filled up, so that one compilation serves any number of samples.
            noise = put(sample_keys(settings.seed, range(first, first + batch)), split(mesh))
            wanted = min(batch, settings.num_samples - first)
            draws = sample_batch(
                config, graphdef, params, noise, shape=(batch, *image_shape), settings=settings, mesh=mesh, bar=bar, images=wanted
            )  # fmt: skip
            batches.append(gather(draws)[:wanted])
    draws = np.concatenate(batches)
    return draws.clip(-1, 1) if settings.clip else draws


def build_model(config: RunConfig, image_shape: tuple[int, int, int], rngs: nnx.Rngs) -> UNet:
    """Return the network of a configuration for images (H, W, C)."""
    height, width, channels = image_shape
    dtype = jnp.bfloat16 if config.train.precision == "bf16" else jnp.float32
    return UNet(
        config.model, in_channels=channels, out_channels=channels, image_size=(height, width), dtype=dtype, rngs=rngs
    )


def abstract_model(config: RunConfig, image_shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """Return graph definition and parameters as shapes: nothing is computed."""
    return nnx.split(nnx.eval_shape(lambda: build_model(config, image_shape, nnx.Rngs(0))))


def load_run(folder: Path) -> tuple[RunConfig, Any, Any, tuple[int, int, int]]:
    """Return a run's configuration, its network with the averaged weights (on the host), and the image shape (H, W, C).

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, no complete checkpoint, or one that does not fit the configuration.
    """
    config = read_config(Path(folder) / "config.toml")
    checkpoint = newest_checkpoint(Path(folder))
    height, width, channels = checkpoint.state["image_shape"]
    graphdef, shapes = abstract_model(config, (height, width, channels))
    params = from_layout(shapes, checkpoint.groups["ema"], what="averaged weights")
    return config, graphdef, params, (height, width, channels)


def sample_run(folder: Path, settings: SampleConfig, *, device: str = "auto", progress: bool = True) -> np.ndarray:
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

    Returns
    -------
    ndarray
        uint8, (num_samples, H, W, C).

    Raises
    ------
    ConfigError, CheckpointError, ArgumentError
        The folder holds no run or no complete checkpoint; the device is not there.
    """
    devices = pick_devices(device)
    config, graphdef, params, image_shape = load_run(folder)
    return to_pixels(
        sample(config, graphdef, params, image_shape=image_shape, settings=settings, devices=devices, progress=progress)
    )
