"""What is counted on the way, and where it is written."""

from __future__ import annotations

import importlib
import logging
import math
import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from blurcore.config import TrainConfig
from blurcore.engine.schedule import learning_rate
from blurcore.engine.tensorboard import rewind
from blurcore.errors import CheckpointError, ConfigError
from blurcore.runs import RunFolder
from blurcore.runs.files import replace_text
from blurcore.serial import to_dict

_log = logging.getLogger(__name__)


@dataclass
class Totals:
    """Totals of losses and gradients since the last line of metrics, and over the whole run."""

    loss: float = 0.0
    grad_norm: float = 0.0
    count: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0

    def add(self, loss: float, norm: float) -> None:
        """Count a step by its loss and the norm of its gradient; one that is not finite was skipped."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.loss += loss
            self.grad_norm += norm
            self.count += 1
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1
            _log.warning("a step was skipped: its loss (%g) or the norm of its gradient (%g) is not finite", loss, norm)

    def to_dict(self) -> dict[str, Any]:
        """Return the totals for a checkpoint."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Totals:
        """Return the totals of a checkpoint.

        Raises
        ------
        CheckpointError
            A number is missing, unknown, or none.
        """
        names = {field.name: type(field.default) for field in fields(cls)}
        if values.keys() != names.keys() or any(type(values[name]) is not kind for name, kind in names.items()):
            raise CheckpointError(
                f"the totals of the checkpoint must be {', '.join(names)}, all numbers; got {values!r}"
            )
        return cls(**values)


def summary_writer() -> Any:
    """Return the class that writes TensorBoard's files; refused as :func:`_package` says."""
    return _package("tensorboardX", asked_by="tensorboard").SummaryWriter


def wandb_module() -> Any:
    """Return Weights & Biases; refused as :func:`_package` says."""
    return _package("wandb", asked_by="wandb")


def _package(name: str, *, asked_by: str) -> Any:
    """Return a package that a setting of `train` asks for; the extra that brings it has the setting's name.

    Raises
    ------
    ConfigError
        It is not installed; says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError(f"train.{asked_by} needs {name}; try: pip install 'blurcore[{asked_by}]'") from None


def _start_tensorboard(folder: Path, kept: int | None) -> Any:
    """Return a writer of TensorBoard's files; a run that goes on goes back to its step, in the files and where they are shown."""
    writer = summary_writer()
    if kept is None:
        return writer(str(folder))
    rewind(folder, kept)
    # Its files are named after the second: one of a run that is resumed within it must not take the place of the first.
    return writer(str(folder), purge_step=kept + 1, filename_suffix=f".{kept + 1}")


def _start_wandb(run: RunFolder) -> Any:
    """Return a run of Weights & Biases, in RUN/wandb; one that is resumed goes on under its old number.

    Raises
    ------
    ConfigError
        It cannot be started: nobody is logged in, or there is no network.
    """
    wandb, number = wandb_module(), run.path / "wandb" / "run-id"
    number.parent.mkdir(exist_ok=True)
    if not number.exists():
        replace_text(number, secrets.token_hex(4))
    try:
        started = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "blurcore"),
            name=os.environ.get("WANDB_NAME", run.path.name),
            id=number.read_text(encoding="utf-8"),
            resume="allow",
            dir=str(run.path),
            config=to_dict(run.config),
            settings=wandb.Settings(console="off"),  # stdout is ours
        )
    except wandb.Error as error:
        raise ConfigError(
            f"train.wandb: Weights & Biases does not start ({error}); WANDB_MODE=offline writes into the run folder alone"
        ) from None
    started.define_metric("train/*", step_metric="step")  # a resumed run goes back to its checkpoint
    return started


class Scalars:
    """Metrics as JSON lines, and for TensorBoard or W&B where asked for; nowhere without a run folder.

    Parameters
    ----------
    run
        The run folder.
    settings
        What is asked for.
    num_images
        How many images the run trains on.
    kept
        The last step whose scalars stay, of a run that goes on.
    """

    def __init__(
        self, run: RunFolder | None, settings: TrainConfig, *, num_images: int, kept: int | None = None
    ) -> None:
        self._run, self._num_images = run, num_images
        self._writer: Any = None
        self._wandb: Any = None
        if run is None:
            return
        if settings.wandb:  # first, because it may refuse
            self._wandb = _start_wandb(run)
        if settings.tensorboard:
            self._writer = _start_tensorboard(run.path / "tensorboard", kept)

    def write(
        self, totals: Totals, settings: TrainConfig, step: int, *, seconds: float, distances: dict[str, float]
    ) -> Totals:
        """Write the means since the last line and what samples were found to be, and return totals that start anew."""
        count = max(1, totals.count)
        values = {
            "loss": totals.loss / count if totals.count else math.nan,
            "grad_norm": totals.grad_norm / count if totals.count else math.nan,
            "learning_rate": learning_rate(settings, step - 1),
            "images_per_s": settings.batch_size * totals.count / max(seconds, 1e-9),
            "skipped": totals.skipped,
            **distances,
        }
        if self._run is not None:
            self._run.log(step=step, images=self._num_images, **values)
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"train/{name}", value, step)
        if self._wandb is not None:
            self._wandb.log({"step": step, **{f"train/{name}": value for name, value in values.items()}})
        return Totals(skipped=totals.skipped, skipped_in_a_row=totals.skipped_in_a_row)

    def __enter__(self) -> Scalars:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if exception[0] is None else 1)
