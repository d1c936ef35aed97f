"""What every backend's trainer and sampler share: seeds, schedules, metrics, the training loop. No framework, no model.

A backend brings a :class:`Trainer` (one step, its state as arrays, samples) and hands it to :func:`run_training`.
"""

from blurcore.engine.draws import Draw, draws_of, first_states, sample_labels
from blurcore.engine.log import Totals
from blurcore.engine.loop import Trainer, check_config, run_training
from blurcore.engine.nesting import read_run, restore_sizes
from blurcore.engine.plan import ALONE, Batch, SamplingPlan, walk
from blurcore.engine.priors import fit_prior, restore_prior, start_of
from blurcore.engine.sampling import (
    check_sampling,
    clip_of,
    condition,
    objective_of,
    solver_of,
    times_between,
    times_of,
)
from blurcore.engine.schedule import ema_decay, learning_rate
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.engine.sub_batches import SubBatch, sub_batches

__all__ = [
    "ALONE",
    "Batch",
    "Draw",
    "SamplingPlan",
    "Stream",
    "SubBatch",
    "Totals",
    "Trainer",
    "check_config",
    "check_sampling",
    "clip_of",
    "condition",
    "derived_seed",
    "draws_of",
    "ema_decay",
    "first_states",
    "fit_prior",
    "learning_rate",
    "objective_of",
    "read_run",
    "restore_prior",
    "restore_sizes",
    "run_training",
    "sample_labels",
    "solver_of",
    "start_of",
    "sub_batches",
    "times_between",
    "times_of",
    "walk",
]
