"""What a form is asked."""

from __future__ import annotations

from typing import Protocol

from blurcore._typing import StrPath
from blurcore.config import SampleConfig


class Form(Protocol):
    """A form of a run for others to use: a kind under the role ``form``."""

    def write_run(self, run: StrPath, out: StrPath, sample: SampleConfig) -> None:
        """Write a run to a folder that is not there or is empty.

        Parameters
        ----------
        run
            The run folder.
        out
            The folder to write.
        sample
            Solver, times, clipping and guidance; the run's own, where the user says nothing else.

        Raises
        ------
        ConfigError, CheckpointError
            `run` is no run folder, `out` is not empty, or the run has no such form.
        """
        ...
