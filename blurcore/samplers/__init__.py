"""Solvers, one a file: each a pure `step` from time t to s < t in frequency space (SPEC 7).

The loop, the device and the noise belong to the caller. A step needs what the network said at t, as x0 and as eps,
both in frequency space (:func:`predict`), so that one network call costs one inverse and one forward transform.
"""

from blurcore.samplers._base import (
    Coefficients,
    Context,
    LinearStepper,
    Prediction,
    Predicts,
    SamplerState,
    Scheduler,
    Solver,
    Stepper,
    predict,
    predict_at,
)
from blurcore.samplers.adaptive import AdaptiveODE
from blurcore.samplers.ancestral import Ancestral
from blurcore.samplers.calibrated import CalibratedAncestral, X0Error
from blurcore.samplers.clipping import Clip
from blurcore.samplers.cold_rules import ColdImproved, ColdNaive
from blurcore.samplers.ddim import DDIM
from blurcore.samplers.dpm_solver_pp import DPMSolverPP
from blurcore.samplers.dpm_solver_sde import DPMSolverSDE
from blurcore.samplers.euler import Euler
from blurcore.samplers.grids import (
    Given,
    LogSNR,
    Quadratic,
    Times,
    Uniform,
    check_times,
    log_snr_times,
    quadratic_times,
    uniform_times,
)
from blurcore.samplers.heun import Heun
from blurcore.samplers.inverse_heat import InverseHeat

SOLVERS = {
    cls.__name__: cls
    for cls in (
        Ancestral,
        CalibratedAncestral,
        DDIM,
        DPMSolverPP,
        DPMSolverSDE,
        Euler,
        Heun,
        AdaptiveODE,
        InverseHeat,
        ColdNaive,
        ColdImproved,
    )
}
"""The solvers that a configuration can name."""
TIMES = {cls.__name__: cls for cls in (Uniform, Quadratic, LogSNR, Given)}
"""The grids of times that a configuration can name."""

__all__ = [
    "DDIM",
    "SOLVERS",
    "TIMES",
    "AdaptiveODE",
    "Ancestral",
    "CalibratedAncestral",
    "Clip",
    "Coefficients",
    "ColdImproved",
    "ColdNaive",
    "Context",
    "DPMSolverPP",
    "DPMSolverSDE",
    "Euler",
    "Given",
    "Heun",
    "InverseHeat",
    "LinearStepper",
    "LogSNR",
    "Prediction",
    "Predicts",
    "Quadratic",
    "SamplerState",
    "Scheduler",
    "Solver",
    "Stepper",
    "Times",
    "Uniform",
    "X0Error",
    "check_times",
    "log_snr_times",
    "predict",
    "predict_at",
    "quadratic_times",
    "uniform_times",
]
