"""PyTorch as a backend of blurcore."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blurcore._typing import StrPath
from blurcore.config import RunConfig, SampleConfig
from blurcore.data.values import Samples
from blurcore.operations import CORE, CoreOperations
from blurcore.protocols import RunNetwork, Team, Watcher
from blurcore.runs.checkpoint import Arrays

_DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchBackend:
    """PyTorch on the CPU and on every GPU that it sees."""

    name = "torch"
    operations: CoreOperations = CORE

    @property
    def description(self) -> str:
        """Library and version."""
        return f"PyTorch {torch.__version__}"

    def devices(self) -> tuple[str, ...]:
        """Return "cpu" and the CUDA devices."""
        return ("cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())))

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Return the real floating dtypes; all devices that `devices` lists have them."""
        del device
        return tuple(_DTYPES)

    def asarray(self, values: np.ndarray, *, dtype: str, device: str) -> torch.Tensor:
        """Return a tensor on the device."""
        return torch.tensor(np.asarray(values), dtype=_DTYPES[dtype], device=device)

    def to_numpy(self, array: torch.Tensor) -> np.ndarray:
        """Return NumPy float64."""
        return array.detach().to("cpu", torch.float64).numpy()

    def derivative(self, f: Callable[[torch.Tensor], torch.Tensor], t: torch.Tensor) -> torch.Tensor:
        """Return df/dt by forward-mode differentiation."""
        return torch.func.jvp(f, (t,), (torch.ones_like(t),))[1]

    def processes(self, device: str = "auto") -> AbstractContextManager[Team]:
        """Join the processes that torchrun has started; see :func:`blurcore_torch.distributed.processes`."""
        from blurcore_torch.distributed import processes

        return processes(device)

    def read_shards(self, path: Path) -> dict[str, Arrays]:
        """Return the groups of a sharded checkpoint, whole; see :func:`blurcore_torch.shards.read_shards`."""
        from blurcore_torch.shards import read_shards

        return read_shards(path)

    def train(self, config: RunConfig, folder: StrPath, *, resume: bool = False) -> None:
        """Train into a run folder; see :func:`blurcore_torch.trainer.train`."""
        from blurcore_torch.trainer import train

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
        """Draw images from a run; see :func:`blurcore_torch.run.sample_run`."""
        from blurcore_torch.run import sample_run

        return sample_run(folder, settings, device=device, progress=progress, watch=watch)

    def network(self, folder: StrPath, *, device: str = "auto") -> RunNetwork:
        """Return a run's network; see :func:`blurcore_torch.run.run_network`."""
        from blurcore_torch.run import run_network

        return run_network(folder, device=device)

    def inception(self, weights: StrPath, *, device: str = "auto") -> Callable[[np.ndarray], np.ndarray]:
        """Return the network that FID is defined by; see :func:`blurcore_torch.inception.inception`."""
        from blurcore_torch.inception import inception

        return inception(weights, device=device)

    def export(self, folder: StrPath, settings: SampleConfig, path: StrPath, *, form: str, part: str) -> dict[str, Any]:
        """Write a run as a program that needs no blurcore; see :func:`blurcore_torch.program.export`."""
        from blurcore_torch.program import export

        return export(folder, settings, path, form=form, part=part)


BACKEND = TorchBackend()
"""The entry point's object."""
