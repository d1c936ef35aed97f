"""Training: one compiled step on a batch that is spread over the devices; the loop is blurcore.engine's.

The step is a pure function of (state, images, step number, learning rate, weight of the average). Its state is donated:
weights, average and moments are updated in place. Losses stay on the device until the loop asks for them, which it
does one step late, so that the host reads the next batch while the devices compute.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax
from jax.sharding import Mesh

from blurcore._typing import StrPath
from blurcore.config import ModelConfig, RunConfig, SampleConfig, TrainConfig
from blurcore.data.sources import MNIST
from blurcore.data.values import SCALES, Samples, to_samples
from blurcore.engine import (
    SamplingPlan,
    Stream,
    SubBatch,
    ema_decay,
    learning_rate,
    run_training,
    sub_batches,
)
from blurcore.errors import CheckpointError
from blurcore.measure import curve_of
from blurcore.runs.checkpoint import Arrays, require_training_state
from blurcore.starts import Prior
from blurcore_jax.devices import agree, gather, make_mesh, pick_devices, processes, put, split, spread, whole
from blurcore_jax.layout import from_layout, in_layout, layout_shapes, to_layout
from blurcore_jax.model import abstract_model, build_model
from blurcore_jax.random import key
from blurcore_jax.sampler import Network, grid_axes, sample

_MOMENTS = {"exp_avg": "mu", "exp_avg_sq": "nu"}  # PyTorch's names of Adam's state, which checkpoints have, and optax's


class State(NamedTuple):
    """The training state that a step updates."""

    params: Any
    ema: Any
    adam: optax.ScaleByAdamState


class Scalars(NamedTuple):
    """The scalars that change from step to step; traced, so that steps share one compiled program."""

    keys: Any
    step: Any
    learning_rate: Any
    ema_weight: Any


def _adam() -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


class Keys(NamedTuple):
    """The base random keys of training; each step folds in its number."""

    time: Any
    noise: Any
    dropout: Any


@lru_cache(maxsize=16)
def _initial(model: ModelConfig, precision: str, image_shape: tuple[int, ...]) -> Any:
    """Return the compiled function from a key to the weights."""
    config = RunConfig(model=model, train=TrainConfig(precision=precision))  # type: ignore[arg-type]

    @jax.jit
    def initial(key: jax.Array) -> Any:
        return nnx.state(build_model(config, image_shape, nnx.Rngs(params=key)), nnx.Param)

    return initial


def _essence(config: RunConfig) -> RunConfig:
    """Return the part of the configuration that the compiled step depends on."""
    train = config.train
    kept = TrainConfig(
        batch_size=train.batch_size,
        accumulate=train.accumulate,
        weight_decay=train.weight_decay,
        grad_clip=train.grad_clip,
        objective=train.objective,
        precision=train.precision,
        gradient_checkpointing=train.gradient_checkpointing,
        parallel=train.parallel,
    )
    return RunConfig(
        process=config.process,
        data=MNIST(values=config.data.values),
        model=config.model,
        train=kept,
        resolution=config.resolution,
    )


@lru_cache(maxsize=16)
def _compiled_step(graphdef: Any, config: RunConfig, grid: tuple[int, ...], mesh: Mesh) -> Any:
    """Return the compiled step, (State, uint8 images, labels, Scalars) -> (State, loss, norm of the gradient).

    It is one program, in which the network stands once for each size of images on `grid`.
    """
    span, axes = SCALES[config.data.values], grid_axes((*grid, 1))
    settings, accumulate = config.train, config.train.accumulate
    part = settings.batch_size // accumulate
    parts_by_size = sub_batches(config, grid, part // mesh.size)

    def loss_of(params: Any, sub: SubBatch, example: Any, label: jax.Array, dropout: jax.Array) -> jax.Array:
        network = nnx.merge(graphdef, params)
        output = network(
            example.z,
            example.condition,
            dropout if config.model.dropout else None,
            label if config.model.num_classes else None,
        )
        return (example.weight * sub.objective.loss(output.astype(jnp.float32), example.target)).sum() / part

    def of_part(params: Any, given: Any) -> tuple[jax.Array, Any]:
        """Return the mean loss of a part of the batch and its gradient: the sums of those of each size, one after the other."""
        found = [
            jax.value_and_grad(loss_of)(params, sub, example, label, dropout)
            for sub, (example, label, dropout) in zip(parts_by_size, given, strict=True)
        ]
        return jax.tree.map(lambda *values: sum(values[1:], values[0]), *found)

    def gradient(params: Any, parts: Any) -> tuple[jax.Array, Any]:
        """Return the mean loss and its gradient, part by part of the batch."""

        def add(total: Any, given: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, of_part(params, given)), None

        if accumulate == 1:
            return of_part(params, jax.tree.map(lambda v: v[0], parts))
        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        return jax.tree.map(lambda v: v / accumulate, lax.scan(add, zero, parts)[0])

    def of_size(sub: SubBatch, values: jax.Array) -> jax.Array:
        """Return the examples of a size, of every part. Every k-th image makes a part, which leaves each device its share of it."""
        by_device = values.reshape(mesh.size, -1, accumulate, *values.shape[1:])
        return by_device[:, sub.portion.rows].reshape(-1, *values.shape[1:])

    def in_parts(values: jax.Array) -> jax.Array:
        return jnp.moveaxis(values.reshape(-1, accumulate, *values.shape[1:]), 1, 0)

    def step(state: State, images: jax.Array, labels: jax.Array, now: Scalars) -> tuple[State, jax.Array, jax.Array]:
        x = images.astype(jnp.float32)
        if images.dtype == jnp.uint8:  # signals are in their range already
            x = x / span.divisor + span.low
        uniform = jax.random.uniform(jax.random.fold_in(now.keys.time, now.step), x.shape[:1], jnp.float32)
        of_noise, of_dropout = (jax.random.fold_in(k, now.step) for k in (now.keys.noise, now.keys.dropout))
        parts = []
        for i, sub in enumerate(parts_by_size):
            t = lax.with_sharding_constraint(sub.times(of_size(sub, uniform)), split(mesh))
            shape = (len(t), *sub.portion.size, x.shape[-1])
            own_noise, own_dropout = (jax.random.fold_in(k, i) if i else k for k in (of_noise, of_dropout))
            eps = lax.with_sharding_constraint(jax.random.normal(own_noise, shape, jnp.float32), split(mesh))
            example = sub.examples(sub.images(of_size(sub, x), axes=axes), t, eps, axes=axes)
            example = example._replace(condition=example.condition.astype(jnp.float32))
            masks = jax.random.split(own_dropout, accumulate)
            parts.append((*jax.tree.map(in_parts, (example, of_size(sub, labels))), masks))
        params = state.params
        if settings.parallel == "fsdp":  # spread between the steps, whole within one
            params = lax.with_sharding_constraint(params, jax.tree.map(lambda _: whole(mesh), params))
        loss, grads = gradient(params, tuple(parts))
        norm = optax.tree.norm(grads)
        if settings.grad_clip:
            scale = jnp.minimum(1.0, settings.grad_clip / (norm + 1e-6))
            grads = jax.tree.map(lambda g: g * scale, grads)
        updates, adam = _adam().update(grads, state.adam)
        params = jax.tree.map(
            lambda p, u: p - now.learning_rate * (u + settings.weight_decay * p), state.params, updates
        )
        ema = jax.tree.map(lambda a, p: a + now.ema_weight * (p - a), state.ema, params)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        new = jax.tree.map(lambda new, old: jnp.where(finite, new, old), State(params, ema, adam), state)
        if settings.parallel == "fsdp":
            new = lax.with_sharding_constraint(new, spread(mesh, new))
        return new, loss, norm

    kept = None if settings.parallel == "fsdp" else whole(mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=(kept, whole(mesh), whole(mesh)))


class Trainer:
    """The state of a run on the devices (a :class:`blurcore.engine.Trainer`)."""

    backend = "jax"
    rows = slice(None)  # each process is given the whole batch, and hands its devices their part

    def __init__(self, config: RunConfig, image_shape: tuple[int, ...], devices: list[jax.Device]) -> None:
        self.config, self.image_shape, self.devices = config, image_shape, devices
        self.mesh = make_mesh(devices, config.train.batch_size // config.train.accumulate)
        self.step = 0
        self.graphdef, _ = abstract_model(config, image_shape)

        initial = _initial(config.model, config.train.precision, image_shape)
        params = jax.device_get(initial(key(config.seed, Stream.WEIGHTS)))
        self.state = self._placed(State(params, params, jax.device_get(_adam().init(params))))
        keys = Keys(*(key(config.seed, stream) for stream in (Stream.TIME, Stream.NOISE, Stream.DROPOUT)))
        self.keys = put(keys, whole(self.mesh))
        self._step = _compiled_step(self.graphdef, _essence(config), image_shape[:-1], self.mesh)

    def _placed(self, state: State) -> State:
        """Return a state of host arrays on the devices: each has all of it, or its part (`train.parallel`)."""
        if self.config.train.parallel == "ddp":
            return put(state, whole(self.mesh))
        return jax.tree.map(put, state, spread(self.mesh, state))

    def train_step(self, images: np.ndarray, labels: np.ndarray | None = None) -> tuple[Any, Any]:
        """Dispatch one step and return its loss and norm, still on the device; see :class:`blurcore.engine.Trainer`."""
        settings = self.config.train
        now = Scalars(
            self.keys,
            np.int32(self.step),
            np.float32(learning_rate(settings, self.step)),
            np.float32(1 - ema_decay(settings, self.step)),
        )
        classes = np.zeros(len(images), np.int32) if labels is None else labels.astype(np.int32)
        batch = put((images, classes), split(self.mesh))
        self.state, loss, norm = self._step(self.state, *batch, now)
        self.step += 1
        return loss, norm

    def arrays(self) -> dict[str, Arrays]:
        """Return the whole state in the layout that the backends share; see :class:`blurcore.engine.Trainer`."""
        if self.config.train.parallel == "ddp" and jax.process_index() > 0:
            return {}  # the process that writes has it all
        return jax.tree.map(np.asarray, _groups(self.state, to_layout))

    def save_shards(self, path: Path) -> None:
        """Write each device's part of the state; see :class:`blurcore.engine.Trainer`."""
        from blurcore_jax.shards import write_shards

        write_shards(_groups_in_layout(self.state), path)

    def load_shards(self, path: Path, step: int) -> None:
        """Take over what :meth:`save_shards` wrote, by way of the host; see :class:`blurcore.engine.Trainer`."""
        from blurcore_jax.shards import read_shards

        self.load_arrays(read_shards(path), step)

    def load_arrays(self, groups: dict[str, Arrays], step: int) -> None:
        """Take over a saved state, whichever backend wrote it; see :class:`blurcore.engine.Trainer`."""
        require_training_state(layout_shapes(self.state.params), groups)
        params = from_layout(self.state.params, groups["model"], what="weights")
        ema = from_layout(self.state.ema, groups["ema"], what="averaged weights")
        adam = self._load_adam(groups["optimizer"])
        self.state = self._placed(State(params, ema, adam))
        self.step = step

    def _load_adam(self, arrays: Arrays) -> optax.ScaleByAdamState:
        if not arrays:  # PyTorch's optimiser has no state before its first step
            return jax.tree.map(gather, self.state.adam)
        counts = {float(value) for name, value in arrays.items() if name.endswith("/step")}
        if len(counts) != 1:
            raise CheckpointError(f"the optimiser of the checkpoint counts different steps: {sorted(counts)}")
        moments = {
            ours: from_layout(
                self.state.params,
                {name.removesuffix(f"/{theirs}"): v for name, v in arrays.items() if name.endswith(f"/{theirs}")},
                what=f"moments ({theirs})",
            )
            for theirs, ours in _MOMENTS.items()
        }
        return optax.ScaleByAdamState(count=np.array(int(counts.pop()), dtype=np.int32), **moments)

    def sample(self, settings: SampleConfig, prior: Prior | None) -> Samples:
        """Draw images with the averaged weights; see :class:`blurcore.engine.Trainer`."""
        plan = SamplingPlan(self.config, settings, self.image_shape, axes=grid_axes(self.image_shape))
        draws = sample(
            plan,
            Network(self.graphdef, self.state.ema),
            prior=prior,
            devices=list(self.mesh.devices.flat),
            progress=False,
        )
        return to_samples(draws, self.config.data.values)


def _groups(state: State, layout: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the groups of a checkpoint, parameters and moments in the layout that a function gives them."""
    optimizer = {}
    for theirs, ours in _MOMENTS.items():
        for name, value in layout(getattr(state.adam, ours)).items():
            optimizer[f"{name}/{theirs}"] = value
            optimizer[f"{name}/step"] = state.adam.count.astype(np.float32)
    return {"model": layout(state.params), "ema": layout(state.ema), "optimizer": optimizer}


@jax.jit
def _groups_in_layout(state: State) -> dict[str, Any]:
    return _groups(state, in_layout)


def train(config: RunConfig, folder: StrPath, *, resume: bool = False) -> None:
    """Train a model into a run folder, or go on with the one that is there; see :func:`blurcore.engine.run_training`."""
    with processes() as team:
        devices = pick_devices(config.device)
        run_training(
            config,
            folder,
            lambda config, image_shape: Trainer(config, image_shape, devices),
            resume=resume,
            leads=team.rank == 0,
            agree=agree if team.size > 1 else None,
            make_curve=curve_of,
        )
