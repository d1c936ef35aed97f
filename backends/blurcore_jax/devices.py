"""Which devices a run takes: all of a platform, as a mesh over which a batch is spread, or a single one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from blurcore.errors import ArgumentError, RunStoppedError
from blurcore.protocols import Team

BATCH = "batch"
"""Name of the mesh's only axis."""
_PATIENCE = 30  # seconds without a sign of life, after which a process counts as gone and the others are ended


def join_processes() -> None:
    """Join the other processes of a run, where the environment names a coordinator (JAX_COORDINATOR_ADDRESS).

    JAX_NUM_PROCESSES and JAX_PROCESS_ID say how many there are and which this one is; without them JAX asks the
    cluster (Slurm, Open MPI, TPU pods). Nothing happens to a program that has called ``jax.distributed.initialize``.

    Raises
    ------
    ArgumentError
        The variables are no numbers, or JAX cannot join.
    """
    if "JAX_COORDINATOR_ADDRESS" not in os.environ or jax.distributed.is_initialized():
        return
    count, index = (os.environ.get(f"JAX_{name}") for name in ("NUM_PROCESSES", "PROCESS_ID"))
    try:
        jax.distributed.initialize(
            num_processes=None if count is None else int(count),
            process_id=None if index is None else int(index),
            heartbeat_timeout_seconds=_PATIENCE,
        )
    except (ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID must name a coordinator and a process of"
            f" its run; got {os.environ['JAX_COORDINATOR_ADDRESS']!r}, {count!r} and {index!r} ({error})"
        ) from None


@contextmanager
def processes() -> Iterator[Team]:
    """Join the other processes of a run, if the environment names any (:func:`join_processes`); they stay joined.

    Raises
    ------
    ArgumentError
        As :func:`join_processes`.
    RunStoppedError
        Another process has gone.
    """
    join_processes()
    size = jax.process_count()
    try:
        yield Team(jax.process_index(), size, total) if size > 1 else Team()
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # the second, where JAX dispatches a program
        reason = str(error).partition("\n")[0]
        if size == 1 or not any(word in reason for word in ("Gloo", "UNAVAILABLE")):
            raise
        raise RunStoppedError(f"another process of this run has gone ({reason})", exit_code=1) from error


def total(array: np.ndarray) -> np.ndarray:
    """Return the sum of an array over all processes; every process must call it."""
    words = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)  # JAX would round float64 to float32
    parts = multihost_utils.process_allgather(words)
    return np.sum([np.frombuffer(part.tobytes(), array.dtype).reshape(array.shape) for part in parts], axis=0)


def agree(number: int) -> int:
    """Return the maximum of a number over all processes; every process must call it."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def gather(array: jax.Array | np.ndarray) -> np.ndarray:
    """Gather an array that may be sharded over the devices of all processes; every process must call it, and gets the whole array."""
    if isinstance(array, np.ndarray) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def pick_devices(name: str) -> list[jax.Device]:
    """Return devices by name.

    Parameters
    ----------
    name
        "auto": all devices of the platform that JAX prefers; "cpu", "gpu", "cuda", "tpu": all of that platform, of all
        processes; "gpu:1": that one.

    Raises
    ------
    ArgumentError
        JAX has no such devices.
    """
    platform, _, index = name.partition(":")
    try:
        devices = jax.devices() if platform == "auto" else jax.devices(platform)
        return [devices[int(index)]] if index else devices
    except (RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(
            f"device must be auto, cpu, gpu or a device that JAX sees, such as cpu:0; got {name!r} ({reason})"
        ) from None


def make_mesh(devices: list[jax.Device], batch_size: int) -> Mesh:
    """Return a mesh of as many of the devices as divide the batch evenly.

    Raises
    ------
    ArgumentError
        There are several processes, all of which must take part, and their devices do not divide the batch.
    """
    count = next(n for n in range(len(devices), 0, -1) if batch_size % n == 0)
    if jax.process_count() > 1 and count < len(devices):
        raise ArgumentError(
            f"batch_size must be a multiple of the {len(devices)} devices of all processes; got {batch_size}"
        )
    return Mesh(np.array(devices[:count]), (BATCH,))


def split(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: its first axis spread over the mesh."""
    return NamedSharding(mesh, PartitionSpec(BATCH))


def whole(mesh: Mesh) -> NamedSharding:
    """Return the replicated sharding: every device has the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def spread(mesh: Mesh, tree: Any) -> Any:
    """Return the sharding of each array of a tree: split along its first axis that the mesh divides, replicated if there is none."""

    def one(array: Any) -> NamedSharding:
        axis = next((i for i, size in enumerate(array.shape) if size and size % mesh.size == 0), None)
        return whole(mesh) if axis is None else NamedSharding(mesh, PartitionSpec(*[None] * axis, BATCH))

    return jax.tree.map(one, tree)


def put(tree: Any, sharding: NamedSharding) -> Any:
    """Move host arrays, which every process holds in full, to the devices; each process moves its shards."""

    def one(value: Any) -> jax.Array:
        if jnp.issubdtype(getattr(value, "dtype", np.float32), jax.dtypes.prng_key):
            return jax.random.wrap_key_data(one(jax.random.key_data(value)), impl=jax.random.key_impl(value))
        return jax.make_array_from_callback(np.shape(value), sharding, _part_of(value))

    return jax.tree.map(one, tree)


def _part_of(value: Any) -> Callable[[Any], np.ndarray]:
    return lambda index: np.asarray(value)[index]
