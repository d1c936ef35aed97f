"""JAX as a backend of blurcore."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blurcore._typing import StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data.values import Samples
from blurcore.operations import CORE, CoreOperations
from blurcore.protocols import RunNetwork, Team, Watcher
from blurcore.runs.checkpoint import Arrays


class JaxBackend:
    """JAX on every device that it sees; float64 where `jax_enable_x64` is on."""

    name = "jax"
    operations: CoreOperations = CORE

    @property
    def description(self) -> str:
        """Library and version."""
        return f"JAX {jax.__version__}"

    def devices(self) -> tuple[str, ...]:
        """Return the devices, such as "cpu:0"."""
        return tuple(f"{d.platform}:{d.id}" for d in jax.devices())

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Return the real floating dtypes that the configuration allows."""
        del device
        wide = ("float64",) if jax.config.read("jax_enable_x64") else ()
        return (*wide, "float32", "bfloat16", "float16")

    def asarray(self, values: np.ndarray, *, dtype: str, device: str) -> jax.Array:
        """Return an array on the device."""
        platform, _, index = device.partition(":")
        return jax.device_put(jnp.asarray(values, dtype=dtype), jax.devices(platform)[int(index or 0)])

    def to_numpy(self, array: jax.Array) -> np.ndarray:
        """Return NumPy float64."""
        return np.asarray(array).astype(np.float64)

    def derivative(self, f: Callable[[jax.Array], jax.Array], t: jax.Array) -> jax.Array:
        """Return df/dt by forward-mode differentiation."""
        return jax.jvp(f, (t,), (jnp.ones_like(t),))[1]

    def processes(self, device: str = "auto") -> AbstractContextManager[Team]:
        """Join the processes that the environment names; see :func:`blurcore_jax.devices.processes`."""
        from blurcore_jax.devices import processes

        del device  # they have each other's
        return processes()

    def read_shards(self, path: Path) -> dict[str, Arrays]:
        """Return the groups of a sharded checkpoint, whole; see :func:`blurcore_jax.shards.read_shards`."""
        from blurcore_jax.shards import read_shards

        return read_shards(path)

    def train(self, config: RunConfig, folder: StrPath, *, resume: bool = False) -> None:
        """Train into a run folder; see :func:`blurcore_jax.trainer.train`."""
        from blurcore_jax.trainer import train

        train(config, folder, resume=resume)

    def sample(
        self,
        folder: StrPath,
        settings: SampleConfig,
        *,
        device: str = "auto",
        progress: bool = True,
        watch: Watcher | None = None,
    ) -> Samples:
        """Draw images from a run; see :func:`blurcore_jax.run.sample_run`."""
        from blurcore_jax.run import sample_run

        return sample_run(folder, settings, device=device, progress=progress, watch=watch)

    def network(self, folder: StrPath, *, device: str = "auto") -> RunNetwork:
        """Return a run's network; see :func:`blurcore_jax.run.run_network`."""
        from blurcore_jax.run import run_network

        return run_network(folder, device=device)

    def export(self, folder: StrPath, settings: SampleConfig, path: StrPath, *, form: str, part: str) -> dict[str, Any]:
        """Write a run as a program that needs no blurcore; see :func:`blurcore_jax.program.export`."""
        from blurcore_jax.program import export

        return export(folder, settings, path, form=form, part=part)


BACKEND = JaxBackend()
"""The entry point's object."""
