"""Which devices a run takes: all of a platform, as a mesh over which a batch is spread, or a single one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from blurcore.errors import ArgumentError

BATCH = "batch"
"""Name of the mesh's only axis."""


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
    """Return the sharding of what every device has whole: weights, tables."""
    return NamedSharding(mesh, PartitionSpec())


def put(tree: Any, sharding: NamedSharding) -> Any:
    """Move host arrays that every process has whole to the devices, each process its part of them."""
    return jax.tree.map(lambda value: jax.make_array_from_callback(np.shape(value), sharding, _part_of(value)), tree)


def _part_of(value: Any) -> Callable[[Any], np.ndarray]:
    return lambda index: np.asarray(value)[index]
