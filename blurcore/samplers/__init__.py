"""Solvers, one a file: each a pure `step` from time t to s < t in frequency space (SPEC 7).

The loop, the device and the noise belong to the caller. A step needs what the network said at t, as x0 and as eps,
both in frequency space (:func:`predict`), so that one network call costs one inverse and one forward transform.
"""

from blurcore.samplers._base import (
    Coefficients,
    LinearStepper,
    Prediction,
    SamplerState,
    Solver,
    Stepper,
    predict,
    predict_at,
)
from blurcore.samplers.ancestral import Ancestral
from blurcore.samplers.calibrated import CalibratedAncestral, X0Error
from blurcore.samplers.clipping import Clip
from blurcore.samplers.cold import ColdImproved, ColdNaive
from blurcore.samplers.ddim import DDIM
from blurcore.samplers.dpm_solver_pp import DPMSolverPP
from blurcore.samplers.dpm_solver_sde import DPMSolverSDE
from blurcore.samplers.euler import Euler
from blurcore.samplers.grids import check_times, log_snr_times, quadratic_times, uniform_times
from blurcore.samplers.heat import InverseHeat
from blurcore.samplers.heun import Heun

SOLVERS = {
    "ancestral": Ancestral,
    "calibrated": CalibratedAncestral,
    "cold_improved": ColdImproved,
    "cold_naive": ColdNaive,
    "ddim": DDIM,
    "dpm_solver_pp": DPMSolverPP,
    "dpm_solver_sde": DPMSolverSDE,
    "euler": Euler,
    "heun": Heun,
    "inverse_heat": InverseHeat,
}
"""The solvers by name. All are made of a process alone but "calibrated", which wants a table of the network's errors."""

__all__ = [
    "DDIM", "SOLVERS", "Ancestral", "CalibratedAncestral", "Clip", "Coefficients", "ColdImproved", "ColdNaive", "DPMSolverPP",
    "DPMSolverSDE", "Euler", "Heun", "InverseHeat", "LinearStepper", "Prediction", "SamplerState", "Solver", "Stepper",
    "X0Error", "check_times", "log_snr_times", "predict", "predict_at", "quadratic_times", "uniform_times",
]  # fmt: skip
