"""What every backend's trainer and sampler share: seeds, schedules, metrics, the training loop. No framework, no model.

A backend brings a :class:`Trainer` (one step, its state as arrays, samples) and hands it to :func:`run_training`.
"""

from blurcore.engine.calibration import calibrate_run, measure_x0_error, read_calibration
from blurcore.engine.draws import Draw, draws_of, first_states, sample_labels
from blurcore.engine.evaluation import Terms, evaluate
from blurcore.engine.loop import Trainer, check_config, run_training
from blurcore.engine.metrics import Totals
from blurcore.engine.plan import ALONE, Batch, SamplingPlan, walk
from blurcore.engine.priors import Prior, fit_prior, restore_prior
from blurcore.engine.sampling import check_sampling, clip_of, condition, objective_of, solver_of, times_of
from blurcore.engine.schedule import ema_decay, learning_rate
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.engine.spectral_loss import SpectralLoss, measure_spectral_loss, octave_bands

__all__ = [
    "ALONE", "Batch", "Draw", "Prior", "SamplingPlan", "SpectralLoss", "Stream", "Terms", "Totals", "Trainer", "calibrate_run",
    "check_config", "check_sampling", "clip_of", "condition", "derived_seed", "draws_of", "ema_decay", "evaluate",
    "first_states", "fit_prior", "learning_rate", "measure_spectral_loss", "measure_x0_error", "objective_of", "octave_bands",
    "read_calibration", "restore_prior", "run_training", "sample_labels", "solver_of", "times_of", "walk",
]  # fmt: skip
