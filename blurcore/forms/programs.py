"""Forms without blurcore: a network, or a sampling step with it, as one file, and what is to be known of it as JSON beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, final

from blurcore._typing import StrPath
from blurcore.config import SampleConfig
from blurcore.errors import ConfigError
from blurcore.protocols import Exporter
from blurcore.registry import get_backend
from blurcore.runs.config_file import read_config
from blurcore.runs.hub import refuse_full, write_whole

Part = Literal["step", "network"]


@dataclass(frozen=True, kw_only=True)
class _Program:
    """A form that a backend writes as one file."""

    part: Part = "step"
    """A sampling step with its network, or the network alone."""

    backend: ClassVar[str]
    form: ClassVar[str]
    suffix: ClassVar[str]

    def write_run(self, run: StrPath, out: StrPath, sample: SampleConfig) -> None:
        """Let the backend write the program, and the JSON beside it; see :meth:`Form.write_run`."""
        read_config(Path(run) / "config.toml")
        refuse_full(Path(out))
        backend = get_backend(self.backend)
        if not isinstance(backend, Exporter):
            raise ConfigError(f"backend {self.backend!r} cannot write programs")
        program = f"{self.part}{self.suffix}"

        def write(folder: Path) -> None:
            about = backend.export(run, sample, folder / program, form=self.form, part=self.part)
            text = json.dumps({"program": program, **about}, indent=1)
            (folder / f"{self.part}.json").write_text(text + "\n", encoding="utf-8")

        write_whole(Path(out), write)


@final
@dataclass(frozen=True, kw_only=True)
class TorchExport(_Program):
    """A program of `torch.export` (.pt2), for PyTorch alone."""

    backend, form, suffix = "torch", "torch-export", ".pt2"


@final
@dataclass(frozen=True, kw_only=True)
class ONNX(_Program):
    """A model for ONNX Runtime and others (.onnx; extra `onnx`)."""

    backend, form, suffix = "torch", "onnx", ".onnx"


@final
@dataclass(frozen=True, kw_only=True)
class JaxExport(_Program):
    """A program of `jax.export` (.jax), for JAX alone."""

    backend, form, suffix = "jax", "jax-export", ".jax"
