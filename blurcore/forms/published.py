"""Forms for the Hub and for diffusers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import final

from blurcore._typing import StrPath
from blurcore.config import SampleConfig
from blurcore.errors import ConfigError
from blurcore.runs.config_file import read_config
from blurcore.samplers import Uniform


@final
@dataclass(frozen=True, kw_only=True)
class Diffusers:
    """A saved pipeline of diffusers."""

    license: str = "unknown"
    """Licence of the weights, as the Hub names it."""

    def write_run(self, run: StrPath, out: StrPath, sample: SampleConfig) -> None:
        """Write the pipeline; see :meth:`Form.write_run`."""
        from blurcore.diffusers.run_pipeline import export_pipeline

        config = read_config(Path(run) / "config.toml")
        _require_own(sample, config.sample)
        even = Uniform(num_steps=sample.times.num_steps)
        if sample.solver.scheduler is None or sample.times.times(config.process) != even.times(config.process):
            print(
                "note: the pipeline takes ancestral steps on an even grid of times; the sampler and the grid of the run stay behind",
                file=sys.stderr,
            )
        export_pipeline(run, out, license_id=self.license)


@final
@dataclass(frozen=True, kw_only=True)
class HubFolder:
    """Weights, model card and picture, for huggingface_hub.upload_folder."""

    license: str = "unknown"
    """Licence of the weights, as the Hub names it."""

    def write_run(self, run: StrPath, out: StrPath, sample: SampleConfig) -> None:
        """Write the folder; see :meth:`Form.write_run`."""
        from blurcore.runs.hub import export_hub_folder

        _require_own(sample, read_config(Path(run) / "config.toml").sample)
        export_hub_folder(run, out, license_id=self.license)


def _require_own(sample: SampleConfig, own: SampleConfig) -> None:
    if sample != own:
        raise ConfigError("sample must be left as the run has it for this form, which keeps the run's own settings")
