"""What a process costs beside standard diffusion with the same network: a training step and a call in sampling, in pairs by turns.

Of the whole loop, not of the network alone; seconds are those of this process's cores, whoever else works on the machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import blurcore as bc
from benchmarks.evidence.rows import main_row, settings_for
from benchmarks.evidence.trials import Trial, config_of, data_of
from benchmarks.paired import compare
from blurcore.engine import fit_prior
from blurcore.engine.nesting import choose_sizes

TRAINING_PAIRS, SAMPLING_PAIRS = 15, 5
SAMPLES = 16


@dataclass(frozen=True)
class Runner:
    """A trial's trainer, its batch of images, and its sampler of question 1."""

    trainer: Any
    batch: np.ndarray[Any, Any]
    settings: bc.SampleConfig
    prior: Any
    calls: int

    @classmethod
    def of(cls, trial: Trial) -> Runner:
        """Return that of a trial."""
        from blurcore_torch.devices import pick_device
        from blurcore_torch.trainer import Trainer

        data = data_of(trial).load()
        config = choose_sizes(config_of(trial), data)
        row, calls = main_row(trial)
        settings = settings_for(row, config.process, calls, count=SAMPLES, seed=0, error=None)
        trainer = Trainer(config, data.image_shape, pick_device("cpu"))
        batch = np.asarray(data[: config.train.batch_size])
        return cls(trainer, batch, settings, fit_prior(config, data), calls)

    def train(self) -> None:
        """Take a training step."""
        float(self.trainer.train_step(self.batch)[0])

    def sample(self) -> None:
        """Draw some images."""
        self.trainer.sample(self.settings, self.prior)


def cost(trial: Trial) -> dict[str, float]:
    """Return the ratios of seconds to those of standard diffusion: `training`, of a step, and `sampling`, of a call."""
    own, standard = (Runner.of(one) for one in (trial, replace(trial, process="standard")))
    clock = time.process_time
    training = compare(own.train, standard.train, pairs=TRAINING_PAIRS, clock=clock)
    sampling = compare(own.sample, standard.sample, pairs=SAMPLING_PAIRS, clock=clock)
    return {
        "training": round(training.ratio, 3),
        "training_s_per_image": training.ours / len(own.batch),
        "sampling": round(sampling.ratio * standard.calls / own.calls, 3),
    }
