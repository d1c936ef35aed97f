"""What every backend's trainer and sampler share: seeds, schedules, metrics, the training loop. No framework, no model.

A backend brings a :class:`Trainer` (one step, its state as arrays, samples) and hands it to :func:`run_training`.
"""

from blurcore.engine.loop import Trainer, check_config, run_training
from blurcore.engine.metrics import Totals
from blurcore.engine.sampling import condition, solver_of, times_of, to_pixels
from blurcore.engine.schedule import ema_decay, learning_rate
from blurcore.engine.seeds import Stream, derived_seed

__all__ = [
    "Stream", "Totals", "Trainer", "check_config", "condition", "derived_seed", "ema_decay", "learning_rate", "run_training",
    "solver_of", "times_of", "to_pixels",
]  # fmt: skip
