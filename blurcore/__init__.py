"""Diffusion processes in frequency space, for NumPy, PyTorch and JAX arrays.

Blurring diffusion, standard Gaussian diffusion, inverse heat dissipation and cold diffusion are one kernel that is
affine and diagonal in frequency:

    q(u_t | u_0) = N(alpha_t u_0, sigma_t^2),    alpha_t = a_t ((1 - d_min) exp(-lambda tau_t) + d_min).

Everything public is here; importing it loads neither torch nor jax.
"""

from blurcore._arrays import align
from blurcore.config import (
    MODEL_PRESETS,
    DataConfig,
    EvaluateConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    TrainConfig,
)
from blurcore.diffusion import (
    Posterior,
    Transition,
    check_markov,
    diffuse,
    log_snr,
    marginal_for,
    posterior,
    sde,
    transition,
)
from blurcore.losses import TrainingPair, check_prediction, draw_times, simple_loss, training_pair
from blurcore.objectives import Denoising, HeatReversal, Objective, Restoration
from blurcore.prediction import convert
from blurcore.processes import (
    PROCESSES,
    SDE,
    BlurringDiffusion,
    ColdDiffusion,
    Difference,
    GaussianDiffusion,
    HeatDissipation,
    Marginal,
    Process,
)
from blurcore.registry import available, get_backend, names
from blurcore.samplers import (
    DDIM,
    Ancestral,
    CalibratedAncestral,
    Clip,
    ColdImproved,
    ColdNaive,
    DPMSolverPP,
    DPMSolverSDE,
    Euler,
    Heun,
    InverseHeat,
    Prediction,
    SamplerState,
    Solver,
    X0Error,
    check_times,
    log_snr_times,
    predict,
    quadratic_times,
    uniform_times,
)
from blurcore.schedules import (
    BlurSchedule,
    ConstantSigma,
    CosineLogSNR,
    LinearBeta,
    LogLinear,
    NoBlur,
    NoiseSchedule,
    Sin,
    SinSquared,
)
from blurcore.serial import from_dict, to_dict
from blurcore.transforms import DCT, DST, Basis, Dense, Identity, RealFourier

__version__ = "0.1.0"

__all__ = [
    "DCT",
    "DDIM",
    "DST",
    "MODEL_PRESETS",
    "PROCESSES",
    "SDE",
    "Ancestral",
    "Basis",
    "BlurSchedule",
    "BlurringDiffusion",
    "CalibratedAncestral",
    "Clip",
    "ColdDiffusion",
    "ColdImproved",
    "ColdNaive",
    "ConstantSigma",
    "CosineLogSNR",
    "DPMSolverPP",
    "DPMSolverSDE",
    "DataConfig",
    "Denoising",
    "Dense",
    "Difference",
    "Euler",
    "EvaluateConfig",
    "GaussianDiffusion",
    "HeatDissipation",
    "HeatReversal",
    "Heun",
    "Identity",
    "InverseHeat",
    "LinearBeta",
    "LogLinear",
    "Marginal",
    "ModelConfig",
    "NoBlur",
    "NoiseSchedule",
    "Objective",
    "Posterior",
    "Prediction",
    "Process",
    "RealFourier",
    "Restoration",
    "RunConfig",
    "SampleConfig",
    "SamplerState",
    "Sin",
    "SinSquared",
    "Solver",
    "TrainConfig",
    "TrainingPair",
    "Transition",
    "X0Error",
    "__version__",
    "align",
    "available",
    "check_markov",
    "check_prediction",
    "check_times",
    "convert",
    "diffuse",
    "draw_times",
    "from_dict",
    "get_backend",
    "log_snr",
    "log_snr_times",
    "marginal_for",
    "names",
    "posterior",
    "predict",
    "quadratic_times",
    "sde",
    "simple_loss",
    "to_dict",
    "training_pair",
    "transition",
    "uniform_times",
]
