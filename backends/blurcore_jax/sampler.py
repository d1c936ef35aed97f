"""Sampling as a compiled loop over the blocks of a plan, with the state in frequency space.

The plan has worked out the schedule's part of every step in float64: float32 times never enter a coefficient. Sample i
follows from (seed, i) alone, whatever batch it is drawn in.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.sharding import Mesh

import blurcore as bc
from blurcore.engine import (
    ALONE,
    Batch,
    Draw,
    SamplingPlan,
    condition,
    draws_of,
    first_states,
    sample_labels,
)
from blurcore.engine.steps import LinearStep, OpenStep, on_arrays
from blurcore.objectives import path_for
from blurcore.protocols import Watcher
from blurcore.runs.progress import SamplingProgress
from blurcore.starts import Prior
from blurcore_jax.devices import gather, make_mesh, put, split, whole
from blurcore_jax.ode import integrate
from blurcore_jax.random import sample_keys


def grid_axes(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of the grid in a batch (B, *grid, C), for data (*grid, C)."""
    return tuple(range(1, len(image_shape)))


class Network(NamedTuple):
    """A network, split by ``nnx.split``: maps (z_t, condition) to the prediction."""

    graphdef: Any
    params: Any
    mesh: Mesh | None = None  # that the parameters are on; without one JAX places what goes with them


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


class Guidance(NamedTuple):
    """Class labels and the scale of classifier-free guidance."""

    weight: float
    num_classes: int


@lru_cache(maxsize=16)
def _loop(
    graphdef: Any,
    step: LinearStep | OpenStep,
    guidance: Guidance,
    grid: tuple[int, ...],
    whole: tuple[int, ...],
    watched: bool,
) -> Any:
    """Return the compiled loop over a block: one program for all steps of a structure, however many and of whatever schedule.

    `whole` are the sizes of all images, whose noise has the first frequencies that those of `grid` are given.
    """
    basis, axes = step.basis, step.axes
    cut = (slice(None), *(slice(0, m) for m in grid))

    def loop(params: Any, labels: Any, noise: Any, state: Any, block: Any, first: Any, count: Any) -> Any:
        values, index, conditions, scales = block
        rows = step.expand(values, index, grid, state.u.ndim)
        network = nnx.merge(graphdef, params)

        def body(j: Any, carried: Any) -> Any:
            state, seen = carried
            row, cond, scale = jax.tree.map(lambda v: v[j], (rows, conditions, scales))
            z = basis.inverse(state.u, axes=axes)
            shown = z if scale is None else z / scale
            output = guided(network, shown, jnp.full(z.shape[:1], cond), labels, guidance).astype(jnp.float32)
            drawn = _draw(noise, first + j + 1, (len(z), *whole, z.shape[-1]))[cut] if step.uses_noise else None
            seen = None if seen is None else seen.at[j].set(z)
            return step.take(row, state, output, drawn), seen

        seen = jnp.zeros((len(conditions), *state.u.shape), state.u.dtype) if watched else None
        return lax.fori_loop(0, count, body, (state, seen))

    return jax.jit(loop, donate_argnums=3)


@partial(jax.jit, static_argnames="shape")
def _start(noise: Any, sigma: jax.Array, states: jax.Array | None, shape: tuple[int, ...]) -> jax.Array:
    u = sigma * _draw(noise, 0, shape)
    return u if states is None else u + states


@partial(jax.jit, static_argnames=("basis", "axes"))
def _finish(u: jax.Array, *, basis: Any, axes: tuple[int, ...]) -> jax.Array:
    return basis.inverse(u, axes=axes)


@lru_cache(maxsize=16)
def _adaptive(
    graphdef: Any,
    objective: Any,
    clip: Any,
    embedding: str,
    tolerance: float,
    first: float,
    guidance: Guidance,
    axes: tuple[int, ...],
) -> Any:
    """Return the compiled integration of an adaptive solver, from the first state to the last."""
    process = objective.process

    def solve(params: Any, labels: Any, u: Any) -> Any:
        network = nnx.merge(graphdef, params)

        def predict(u: jax.Array, t: jax.Array) -> Any:
            z, cond = process.basis.inverse(u, axes=axes), condition(process, t.reshape(1), embedding)[0]
            output = guided(network, z, jnp.full(z.shape[:1], cond), labels, guidance).astype(jnp.float32)
            return objective.predict(path_for(objective, t, u, axes=axes), output, u, axes=axes, clip=clip)

        return integrate(process, predict, u, axes=axes, tolerance=tolerance, first=first)

    return jax.jit(solve)


def guided(network: Any, z: jax.Array, cond: jax.Array, labels: Any, guidance: Guidance) -> jax.Array:
    """Return the network's output, with classifier-free guidance if a scale is set (Ho & Salimans 2022, equation 6)."""
    if guidance.num_classes == 0:
        return network(z, cond)
    if guidance.weight in (0.0, 1.0):
        return network(z, cond, None, labels)
    both = jnp.concatenate([labels, jnp.full_like(labels, guidance.num_classes)])
    said = network(jnp.concatenate([z, z]), jnp.concatenate([cond, cond]), None, both)
    with_label, without = jnp.split(said, 2)
    return without + guidance.weight * (with_label - without)


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


def sample_batch(plan: SamplingPlan, network: Network, noise: Any, batch: Batch = ALONE) -> jax.Array:
    """Draw one batch from noise that the caller brings.

    Parameters
    ----------
    plan
        How.
    network
        The network.
    noise
        Keys (:class:`Blend`), or standard normal numbers in frequency space, (calls + 1, batch, *grid, C): the start, then
        the noise of each network call (num_steps of them; heun: 2 num_steps - 1).
    batch
        First states, labels and callbacks.

    Returns
    -------
    jax.Array
        (batch, *grid, C), float32, as the solver left it.
    """
    axes, basis, mesh, config = plan.axes, plan.process.basis, network.mesh, plan.config
    place = (lambda tree: tree) if mesh is None else (lambda tree: put(tree, whole(mesh)))
    guidance = Guidance(plan.settings.guidance, config.model.num_classes)
    shape = (len(noise.start if isinstance(noise, Blend) else noise[0]), *plan.image_shape)
    u = _start(noise, place(bc.align(plan.first_sigma, ndim=len(shape), axes=axes)), batch.states, shape)
    tell = batch.watch or (lambda k, x: None)
    show = (lambda k, x: None) if batch.watch is None else (lambda k, x: tell(k, gather(x)))
    if plan.adaptive:
        solve = _adaptive(
            network.graphdef,
            cast(Any, plan.objective),
            plan.clip,
            config.model.embedding,
            cast(Any, plan.solver).tolerance,
            plan.times[0],
            guidance,
            axes,
        )
        show(0, _finish(u, basis=basis, axes=axes))
        u = solve(network.params, batch.labels, u)
        batch.step_done(1)
    else:
        state: Any = None
        for number in range(len(plan.smaller) + 1):
            part, state = plan.enter(number, state, u, place)
            index = None if part.index is None else place(part.index.astype(np.int32))
            for block in part.blocks():
                # copies, because what is donated must not be one array twice
                state = jax.tree.map(jnp.copy, block.step.start(state)) if block.first == part.first else state
                loop = _loop(network.graphdef, block.step, guidance, part.grid, plan.grid, batch.watch is not None)
                count = len(block.conditions)
                tables = (block.values, block.conditions, block.scales)
                values, conditions, scales = place(on_arrays(partial(_filled, length=part.length), tables))
                numbers = place((np.int32(block.first), np.int32(count)))
                rows = (values, index, conditions, scales)
                state, seen = loop(network.params, batch.labels, noise, state, rows, *numbers)
                for j in range(count if batch.watch is not None else 0):
                    show(block.first + j, plan.whole(seen[j], part))
                jax.block_until_ready(state)  # so that the bar says what has been done
                batch.step_done(count)
        u = state.u
    x = _finish(u, basis=basis, axes=axes)
    show(plan.calls, x)
    return x


def _advance(bar: SamplingProgress, images: int, calls: int) -> None:
    bar.advance(images * calls)


def _tell(watch: Watcher, first: int, wanted: int, k: int, x: np.ndarray) -> None:
    watch(first, k, x[:wanted])


def _filled(rows: np.ndarray, length: int) -> np.ndarray:
    """Return rows with zeros after them, so that blocks of all lengths are of one shape."""
    return np.concatenate([rows, np.zeros((length - len(rows), *rows.shape[1:]), rows.dtype)])


def sample(
    plan: SamplingPlan,
    network: Network,
    *,
    prior: Prior | None,
    devices: list[jax.Device],
    progress: bool,
    watch: Watcher | None = None,
) -> np.ndarray:
    """Draw samples.

    Parameters
    ----------
    plan
        How; its settings say how many, and from which seed.
    network
        The network; its parameters as host arrays or on the devices.
    prior
        What sampling starts from beside noise; None for a process that ends in noise.
    devices
        Each batch is spread over them, filled up where they do not divide it.
    progress
        Show a progress bar on stderr.
    watch
        Called for every batch with the states on the way: :data:`blurcore.protocols.Watcher`.

    Returns
    -------
    ndarray
        (num_samples, *grid, C), float32, in the range of the data if `settings.clip` is on, else as the solver left it.
    """
    config, settings = plan.config, plan.settings
    size = -(-min(settings.batch_size, settings.num_samples) // len(devices)) * len(devices)
    mesh = make_mesh(devices, size)
    network = Network(network.graphdef, put(jax.tree.map(gather, network.params), whole(mesh)), mesh)
    batches = []
    with SamplingProgress(settings.num_samples, plan.calls, show=progress and jax.process_index() == 0) as bar:
        for first in range(0, settings.num_samples, size):
            # The last batch is filled up, so that one compilation serves any number of samples.
            draws = draws_of(settings, range(first, first + size))
            labels = sample_labels(config, settings, range(first, first + size))
            wanted = min(size, settings.num_samples - first)
            batch = Batch(
                states=put(first_states(prior, settings.seed, draws), split(mesh)),
                labels=None if labels is None else put(labels.astype(np.int32), split(mesh)),
                step_done=partial(_advance, bar, wanted),
                watch=None if watch is None else partial(_tell, watch, first, wanted),
            )
            noise = put(noise_of(settings.seed, draws), split(mesh))
            batches.append(gather(sample_batch(plan, network, noise, batch))[:wanted])
    result = np.concatenate(batches)
    if plan.clip is None:
        return result
    return plan.clip.data(
        np.where(np.isfinite(result), result, np.float32(np.nan))
    )  # an infinity must not look like white
