"""Sampling as one `lax.scan` around the core's solvers, with the state in frequency space.

The schedule's part of every step (the solver's coefficients, the marginals, what the network is shown of the time) is
worked out on the host, in float64, for all steps at once: the loop takes it from a table, so that float32 times never
enter a coefficient. Sample i follows from (seed, i) alone, whatever batch it is drawn in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from blurcore._typing import StrPath
from blurcore.config import DataConfig, ModelConfig, RunConfig, SampleConfig, TrainConfig
from blurcore.data.values import Samples, to_samples
from blurcore.engine import (
    Draw,
    Prior,
    check_sampling,
    clip_of,
    condition,
    draws_of,
    first_states,
    objective_of,
    read_calibration,
    restore_prior,
    sample_labels,
    solver_of,
    times_of,
)
from blurcore.protocols import RunNetwork, Watcher
from blurcore.runs import newest_checkpoint, read_config
from blurcore.runs.progress import SamplingProgress
from blurcore_jax.devices import gather, make_mesh, pick_devices, processes, put, split, whole
from blurcore_jax.layout import from_layout
from blurcore_jax.model import UNet
from blurcore_jax.ode import integrate
from blurcore_jax.random import sample_keys

_MAX_SEGMENT = 64  # steps between two updates of the progress bar


def grid_axes(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of the grid in a batch (B, *grid, C), for data (*grid, C)."""
    return tuple(range(1, len(image_shape)))


class Programs(NamedTuple):
    """What is compiled: the first state, some steps of a solver, the whole way for an adaptive one, the way back to data."""

    start: Any
    loop: Any
    solve: Any
    finish: Any


class Blend(NamedTuple):
    """Where the noise of each sample of a batch comes from: keys (B,), and, if samples are blends, a second one and weights."""

    start: Any
    steps: Any
    other: Any = None
    weights: Any = None  # (B, 2)


def noise_of(seed: int, draws: Sequence[Draw]) -> Blend:
    """Return the keys of a batch; sample i follows from (seed, i) alone."""
    start, steps, other = (
        sample_keys(seed, [getattr(draw, name) for draw in draws]) for name in ("start", "noise", "other")
    )
    if all(draw.way == 0 for draw in draws):
        return Blend(start, steps)
    return Blend(start, steps, other, np.array([draw.weights for draw in draws], np.float32))


class Table(NamedTuple):
    """What the steps need of the schedule, each leaf of shape (number of network calls, ...)."""

    k: Any
    cond: Any
    marginal: Any
    coefficients: Any


def schedule_table(
    config: RunConfig, settings: SampleConfig, image_shape: tuple[int, ...], x0_error: bc.X0Error | None = None
) -> Table:
    """Return the table of all steps as NumPy arrays, worked out in float64 and rounded to float32."""
    process, shape = config.process, image_shape[:-1]
    solver = solver_of(config, settings, axes=grid_axes(image_shape), x0_error=x0_error)
    t, s = np.array(solver.stages(times_of(process, settings))).T
    coefficients = solver.coefficients(t, s, shape=shape)
    if getattr(coefficients, "noise", None) is not None and not settings.last_noise:
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
def _compiled(
    graphdef: Any, config: RunConfig, settings: SampleConfig, x0_error: bc.X0Error | None, axes: tuple[int, ...], watched: bool
) -> Any:  # fmt: skip
    """Return the compiled programs for a network and settings; seeds and numbers of samples do not matter."""
    basis, objective = config.process.basis, objective_of(config)
    solver, clip = solver_of(config, settings, axes=axes, x0_error=x0_error), clip_of(config.data, settings)

    def start(noise: Any, sigma: jax.Array, states: jax.Array | None, shape: tuple[int, ...]) -> Any:
        u = bc.align(sigma, ndim=len(shape), axes=axes) * _draw(noise, 0, shape)
        return solver.start(u if states is None else u + states)

    def predict(params: Any, labels: Any, u: jax.Array, z: jax.Array, cond: jax.Array, marginal: Any) -> Any:
        network = nnx.merge(graphdef, params)
        output = _guided(network, z, jnp.full(u.shape[:1], cond), labels, settings.guidance, config.model.num_classes)
        return objective.predict(marginal, output.astype(jnp.float32), u, axes=axes, clip=clip)

    def step(params: Any, labels: Any, noise: Any, state: Any, row: Table) -> tuple[Any, Any]:
        u = state.u
        marginal = type(row.marginal)(*(bc.align(c, ndim=u.ndim, axes=axes) for c in row.marginal))
        z = basis.inverse(u, axes=axes)
        prediction = predict(params, labels, u, z, row.cond, marginal)
        drawn = _draw(noise, row.k, u.shape) if solver.uses_noise else None
        return solver.apply(row.coefficients, state, prediction, drawn), (z if watched else None)

    def loop(params: Any, labels: Any, noise: Any, state: Any, rows: Table) -> Any:
        return lax.scan(partial(step, params, labels, noise), state, rows)

    def solve(params: Any, labels: Any, state: Any) -> Any:
        def at(u: jax.Array, t: jax.Array) -> Any:
            cond = condition(config.process, t.reshape(1), config.model.embedding)[0]
            return predict(
                params, labels, u, basis.inverse(u, axes=axes), cond, bc.marginal_for(config.process, t, u, axes=axes)
            )

        return solver.start(integrate(config.process, at, state.u, axes=axes, tolerance=settings.tolerance))

    def finish(state: Any) -> jax.Array:
        return basis.inverse(state.u, axes=axes)

    return Programs(jax.jit(start, static_argnums=3), jax.jit(loop, donate_argnums=3), jax.jit(solve), jax.jit(finish))


def _guided(network: Any, z: jax.Array, cond: jax.Array, labels: Any, guidance: float, num_classes: int) -> jax.Array:
    """Return what the network says: plain, or with classifier-free guidance (Ho & Salimans 2022, equation 6)."""
    if num_classes == 0:
        return network(z, cond)
    if guidance in (0.0, 1.0):
        return network(z, cond, None, labels)
    both = jnp.concatenate([labels, jnp.full_like(labels, num_classes)])
    said = network(jnp.concatenate([z, z]), jnp.concatenate([cond, cond]), None, both)
    with_label, without = jnp.split(said, 2)
    return without + guidance * (with_label - without)


def _draw(noise: Any, k: Any, shape: tuple[int, ...]) -> jax.Array:
    """Return standard normal noise in frequency space, where white noise is white too: drawn from keys, or handed in."""
    if not isinstance(noise, Blend):
        return noise[k]

    def normal(keys: Any) -> jax.Array:
        return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, k), shape[1:], jnp.float32))(keys)

    # k is a Python 0 for the initial state, and traced after it.
    own = normal(noise.start if isinstance(k, int) else noise.steps)
    if noise.other is None:
        return own
    near, far = (noise.weights[:, j].reshape(-1, *[1] * (len(shape) - 1)) for j in (0, 1))
    return near * own + far * normal(noise.other)


def sample_batch(
    config: RunConfig, graphdef: Any, params: Any, noise: Any, *, shape: tuple[int, ...], settings: SampleConfig,
    states: Any = None, x0_error: bc.X0Error | None = None, mesh: Mesh | None = None, bar: SamplingProgress | None = None,
    images: int | None = None, labels: Any = None, watch: Callable[[int, np.ndarray], None] | None = None,
) -> jax.Array:  # fmt: skip
    """Draw one batch from noise that the caller brings.

    Parameters
    ----------
    config
        The run's configuration: process, prediction and embedding are taken from it.
    graphdef, params
        The network, split by ``nnx.split``; maps (z_t, condition) to the prediction.
    noise
        Keys (:class:`Blend`), or standard normal numbers in frequency space, (calls + 1, batch, *grid, C): the start, then
        the noise of each network call (num_steps of them; heun: 2 num_steps - 1).
    shape
        (batch, *grid, C).
    settings
        Solver and steps.
    states
        Noise-free first states in frequency space, (batch, *grid, C); None for zeros.
    x0_error
        What the calibrated sampler wants to know of the network.
    mesh
        Devices to spread the batch over; without one JAX places it.
    bar, images
        A progress bar, and how many of the batch's images it counts (all of them, if not given).
    labels
        Classes, (batch,); None for a network without.
    watch
        Called with k and the state after k network calls, in data space.

    Returns
    -------
    jax.Array
        (batch, *grid, C), float32, as the solver left it.
    """
    axes = grid_axes(shape[1:])
    run = _compiled(graphdef, *_essence(config, settings), x0_error, axes, watch is not None)
    sigma = config.process.marginal(1.0, shape=shape[1:-1]).sigma.astype(np.float32)
    if mesh is not None:
        sigma = put(sigma, whole(mesh))
    state = run.start(noise, sigma, states, shape)
    show = (lambda k, x: None) if watch is None else lambda k, x: watch(k, gather(x))
    advance = (lambda calls: None) if bar is None else lambda calls: bar.advance((images or shape[0]) * calls)
    if settings.sampler == "ode":
        show(0, run.finish(state))
        state, calls = run.solve(params, labels, state), 1
        advance(calls)
    else:
        table = schedule_table(config, settings, shape[1:], x0_error)
        calls = len(table.k)
        table = table if mesh is None else put(table, whole(mesh))
        length = segment_length(calls)
        for first in range(0, calls, length):
            state, seen = run.loop(
                params, labels, noise, state, jax.tree.map(lambda v, i=first: v[i : i + length], table)
            )
            for j in range(length if watch is not None else 0):
                show(first + j, seen[j])
            jax.block_until_ready(state)  # so that the bar says what has been done
            advance(length)
    x = run.finish(state)
    show(calls, x)
    return x


def _essence(config: RunConfig, settings: SampleConfig) -> tuple[RunConfig, SampleConfig]:
    """Return the settings without what does not change the compiled program."""
    train = TrainConfig(prediction=config.train.prediction)
    kept = SampleConfig(
        sampler=settings.sampler, eta=settings.eta, order=settings.order, delta=settings.delta, clip=settings.clip,
        clip_quantile=settings.clip_quantile, tolerance=settings.tolerance,
        guidance=settings.guidance,
    )  # fmt: skip
    # The embedding is the network's own, but for the adaptive solver, which works it out from the time.
    model = ModelConfig(embedding=config.model.embedding, num_classes=config.model.num_classes)
    return RunConfig(process=config.process, data=DataConfig(values=config.data.values), model=model, train=train), kept


def sample(
    config: RunConfig, graphdef: Any, params: Any, *, image_shape: tuple[int, ...], settings: SampleConfig, prior: Prior | None,
    devices: list[jax.Device], progress: bool, x0_error: bc.X0Error | None = None, watch: Watcher | None = None,
) -> np.ndarray:  # fmt: skip
    """Draw samples.

    Parameters
    ----------
    config, graphdef, params, settings
        As for :func:`sample_batch`; `params` as host arrays or on the devices.
    image_shape
        (*grid, C).
    prior
        What sampling starts from beside noise; None for a process that ends in noise.
    devices
        Each batch is spread over them, filled up where they do not divide it.
    progress
        Show a progress bar on stderr.
    x0_error
        As for :func:`sample_batch`.
    watch
        Called for every batch with the states on the way: :data:`blurcore.protocols.Watcher`.

    Returns
    -------
    ndarray
        (num_samples, *grid, C), float32, in the range of the data if `settings.clip` is on, else as the solver left it.
    """
    grid = image_shape[:-1]
    check_sampling(config, settings, grid, x0_error)
    times = times_of(config.process, settings)
    calls = len(solver_of(config, settings, axes=grid_axes(image_shape), x0_error=x0_error).stages(times))
    bc.check_markov(config.process, times[::-1], shape=grid)
    calls = 1 if settings.sampler == "ode" else calls
    batch = -(-min(settings.batch_size, settings.num_samples) // len(devices)) * len(devices)
    mesh = make_mesh(devices, batch)
    params = put(jax.tree.map(gather, params), whole(mesh))
    batches = []
    with SamplingProgress(settings.num_samples, calls, show=progress and jax.process_index() == 0) as bar:
        for first in range(0, settings.num_samples, batch):
            # The last batch is filled up, so that one compilation serves any number of samples.
            draws = draws_of(settings, range(first, first + batch))
            noise = put(noise_of(settings.seed, draws), split(mesh))
            labels = sample_labels(config, settings, range(first, first + batch))
            labels = None if labels is None else put(labels.astype(np.int32), split(mesh))
            states = put(first_states(prior, settings.seed, draws), split(mesh))
            wanted = min(batch, settings.num_samples - first)
            x = sample_batch(
                config, graphdef, params, noise, shape=(batch, *image_shape), settings=settings, states=states,
                x0_error=x0_error, mesh=mesh, bar=bar, images=wanted, labels=labels,
                watch=None if watch is None else lambda k, x, i=first, n=wanted: watch(i, k, x[:n]),
            )  # fmt: skip
            batches.append(gather(x)[:wanted])
    clip, result = clip_of(config.data, settings), np.concatenate(batches)
    if clip is None:
        return result
    return clip.data(np.where(np.isfinite(result), result, np.float32(np.nan)))  # an infinity must not look like white


def build_model(config: RunConfig, image_shape: tuple[int, ...], rngs: nnx.Rngs) -> UNet:
    """Return the network of a configuration for data (*grid, C)."""
    *grid, channels = image_shape
    dtype = jnp.bfloat16 if config.train.precision == "bf16" else jnp.float32
    return UNet(
        config.model, in_channels=channels, out_channels=channels, image_size=tuple(grid), dtype=dtype, rngs=rngs,
        gradient_checkpointing=config.train.gradient_checkpointing,
    )  # fmt: skip


def abstract_model(config: RunConfig, image_shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return graph definition and parameters as shapes: nothing is computed."""
    return nnx.split(nnx.eval_shape(lambda: build_model(config, image_shape, nnx.Rngs(0))))


def load_run(folder: StrPath) -> tuple[RunConfig, Any, Any, tuple[int, ...], Prior | None]:
    """Return a run's configuration, its network with the averaged weights (on the host), the data's shape, and its prior.

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, no complete checkpoint, or one that does not fit the configuration.
    """
    config = read_config(Path(folder) / "config.toml")
    checkpoint = newest_checkpoint(folder)
    image_shape = tuple(checkpoint.state["image_shape"])
    graphdef, shapes = abstract_model(config, image_shape)
    params = from_layout(shapes, checkpoint.groups["ema"], what="averaged weights")
    prior = restore_prior(config.process, image_shape[:-1], checkpoint.groups.get("prior"))
    return config, graphdef, params, image_shape, prior


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
        config, graphdef, params, image_shape, prior = load_run(folder)
        draws = sample(
            config, graphdef, params, image_shape=image_shape, settings=settings, prior=prior, devices=devices, progress=progress,
            x0_error=read_calibration(folder) if settings.sampler == "calibrated" else None, watch=watch,
        )  # fmt: skip
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
    config, graphdef, params, image_shape, _ = load_run(folder)
    params = jax.device_put(params, where)

    @jax.jit
    def network(params: Any, z: jax.Array, cond: jax.Array) -> jax.Array:
        return nnx.merge(graphdef, params)(z, cond).astype(jnp.float32)

    @jax.jit
    def product(params: Any, z: jax.Array, cond: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        output, pull = jax.vjp(lambda x: network(params, x, cond), z)
        return output, pull(v)[0]

    def of_time(t: np.ndarray) -> np.ndarray:
        return condition(config.process, np.asarray(t, np.float32), config.model.embedding).astype(np.float32)

    def call(z: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.asarray(network(params, np.asarray(z, np.float32), of_time(t)))

    def vjp(z: np.ndarray, t: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = product(params, np.asarray(z, np.float32), of_time(t), np.asarray(v, np.float32))
        return np.asarray(found[0]), np.asarray(found[1])

    return RunNetwork(config, image_shape, newest_checkpoint(folder).step, call, vjp)
