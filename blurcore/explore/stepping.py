"""Samples of a run, drawn on the server by the run's backend, whose states the page steps through as they come."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from blurcore._typing import StrPath
from blurcore.config import SampleConfig
from blurcore.data import as_images
from blurcore.data.grid import make_grid
from blurcore.data.values import to_pixels
from blurcore.engine import SamplingPlan, restore_sizes
from blurcore.errors import ArgumentError, BlurcoreError, ConfigError
from blurcore.figures.canvas import name_of
from blurcore.protocols import Machinery
from blurcore.runs import newest_checkpoint, read_config

Array = np.ndarray[Any, Any]

_KEPT = 4
_MAX_SAMPLES = 16
_MAX_STEPS = 1000
_MAX_BYTES = 2**28  # of the states of a sample
_SMALLEST = 64  # pixels of an image's side on the page


@dataclass
class Sample:
    """Some images on their way: the states so far, as pixels, and how it ended."""

    settings: SampleConfig
    times: tuple[float, ...]
    calls: int
    states: list[Array] = field(default_factory=list)
    done: bool = False
    error: str | None = None

    def caption(self, step: int) -> str:
        """Return the time of a state where every step has one, else the number of network calls."""
        if len(self.times) == self.calls + 1:
            return f"t = {self.times[step]:.3f}"
        return f"call {step} of {self.calls}"


class Stepper:
    """Draws samples of one run, one after the other, each in a thread of its own; the last four are kept.

    Parameters
    ----------
    folder
        The run folder.
    backend
        What draws; the run's own as a rule.
    device
        Where.

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, or no complete checkpoint.
    """

    def __init__(self, folder: StrPath, backend: Machinery, *, device: str = "auto") -> None:
        self.folder, self.backend, self.device = Path(folder), backend, device
        config = read_config(self.folder / "config.toml")
        checkpoint = newest_checkpoint(self.folder, groups=())
        self.config = restore_sizes(config, checkpoint.state)
        self.step, self.image_shape = checkpoint.step, tuple(checkpoint.state["image_shape"])
        self._samples: dict[int, Sample] = {}
        self._lock = threading.Lock()

    def about(self) -> dict[str, Any]:
        """Return the description of the run that the page shows."""
        sample = self.config.sample
        return {
            "name": self.folder.resolve().name,
            "process": name_of(self.config.process),
            "step": self.step,
            "solver": type(sample.solver).__name__,
            "num_steps": sample.times.num_steps,
            "data": type(self.config.data).__name__,
            "max_steps": _MAX_STEPS,
            "max_samples": _MAX_SAMPLES,
        }

    def begin(self, *, seed: object, num_steps: object, num_samples: object) -> int:
        """Begin to draw, and return the sample's number.

        Raises
        ------
        ArgumentError, ConfigError
            A number is out of its range, or the run cannot be sampled so.
        BusyError
            The last sample is not done yet.
        """
        for name, value, low, high in (
            ("seed", seed, 0, 2**31 - 1),
            ("num_steps", num_steps, 1, _MAX_STEPS),
            ("num_samples", num_samples, 1, _MAX_SAMPLES),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ArgumentError(f"{name} must be a whole number from {low} to {high}; got {value!r:.60}")
        sizes: Any = (num_steps, num_samples, seed)
        steps, count, number = sizes
        times = self.config.sample.times.with_steps(steps)
        settings = replace(self.config.sample, batch_size=count, num_samples=count, seed=number, times=times)
        sample = self._prepare(settings)
        with self._lock:
            if any(not other.done for other in self._samples.values()):
                raise BusyError("a sample is being drawn; wait until it is done")
            number = max(self._samples, default=0) + 1
            self._samples[number] = sample
            for old in sorted(self._samples)[:-_KEPT]:
                del self._samples[old]
        threading.Thread(target=self._draw, args=(sample,), name=f"blurcore-sample-{number}", daemon=True).start()
        return number

    def _prepare(self, settings: SampleConfig) -> Sample:
        error = None
        if settings.solver.needs_calibration:
            from blurcore.measure import read_calibration

            error = read_calibration(self.folder)
        axes = tuple(range(1 - len(self.image_shape), 0))
        plan = SamplingPlan(self.config, settings, self.image_shape, axes=axes, x0_error=error)
        size = (plan.calls + 1) * settings.num_samples * math.prod(self.image_shape)
        if size > _MAX_BYTES:
            raise ArgumentError(
                f"num_steps and num_samples must be such that all states fit in {_MAX_BYTES} bytes; these take {size}"
            )
        return Sample(settings, plan.times, plan.calls)

    def _draw(self, sample: Sample) -> None:
        lost: list[int] = []

        def keep(first: int, calls: int, x: Array) -> None:
            del first
            if not np.isfinite(x).all():
                lost.append(calls)
            sample.states.append(to_pixels(x, self.config.data.values))

        try:
            self.backend.sample(self.folder, sample.settings, device=self.device, progress=False, watch=keep)
            if lost:
                sample.error = f"the samples are not finite after {lost[0]} network calls"
        except BlurcoreError as error:
            sample.error = str(error)
        except Exception as error:  # in a thread of its own it would be lost; the page says it
            sample.error = f"{type(error).__name__}: {error}"
        finally:
            sample.done = True

    def progress(self, number: object) -> dict[str, Any]:
        """Return how far a sample is."""
        sample = self._sample(number)
        return {
            "states": len(sample.states),
            "total": sample.calls + 1,
            "done": sample.done,
            "error": sample.error,
            "captions": [sample.caption(k) for k in range(sample.calls + 1)],
        }

    def frame(self, number: object, step: object) -> Array:
        """Return a state as one picture, uint8 (H, W, C).

        Raises
        ------
        ArgumentError
            There is no such sample, or it is not that far.
        """
        states = self._sample(number).states
        if not isinstance(step, int) or not 0 <= step < len(states):
            raise ArgumentError(f"step must be from 0 to {len(states) - 1}, as far as the sample is; got {step!r:.60}")
        images, columns = as_images(states[step])
        scale = max(1, -(-_SMALLEST // images.shape[1]))
        return make_grid(images, columns, scale=scale)

    def _sample(self, number: object) -> Sample:
        with self._lock:
            sample = self._samples.get(number) if isinstance(number, int) else None
        if sample is None:
            raise ArgumentError(f"sample must be one of the last {_KEPT}; got {number!r:.60}")
        return sample


class BusyError(ConfigError):
    """One sample at a time."""
