"""The processes that the tests of the reference run over."""

import pytest

COSINE = {"kind": "CosineLogSNR", "log_snr_min": -10.0, "log_snr_max": 10.0}
LINEAR = {"kind": "LinearBeta", "beta_start": 1e-4, "beta_end": 0.02, "num_steps": 1000}
SIN_SQUARED = {"kind": "SinSquared", "sigma_blur_max": 20.0}
LOG_LINEAR = {"kind": "LogLinear", "sigma_blur_min": 0.5, "sigma_blur_max": 24.0, "num_levels": 200}
DCT = {"kind": "DCT"}

NOISY = {
    "blurring": {
        "kind": "BlurringDiffusion",
        "noise": COSINE,
        "blur": SIN_SQUARED,
        "min_scale": 0.001,
        "basis": DCT,
    },
    "blurring, sin, linear beta, DST": {
        "kind": "BlurringDiffusion",
        "noise": LINEAR,
        "blur": {"kind": "Sin", "sigma_blur_max": 3.0},
        "min_scale": 0.01,
        "basis": {"kind": "DST"},
    },
    "blurring, periodic": {
        "kind": "BlurringDiffusion",
        "noise": COSINE,
        "blur": {"kind": "Sin", "sigma_blur_max": 2.0},
        "min_scale": 0.001,
        "basis": {"kind": "RealFourier"},
    },
    "gaussian, cosine": {"kind": "GaussianDiffusion", "noise": COSINE},
    "gaussian, linear beta": {"kind": "GaussianDiffusion", "noise": LINEAR},
    "heat": {
        "kind": "HeatDissipation",
        "sigma": 0.01,
        "blur": {"kind": "LogLinear", "sigma_blur_min": 0.5, "sigma_blur_max": 2.0, "num_levels": 20},
        "basis": DCT,
    },
}
COLD = {"kind": "ColdDiffusion", "blur": SIN_SQUARED, "min_scale": 0.0, "basis": DCT}
HEAT_CIFAR = {"kind": "HeatDissipation", "sigma": 0.01, "blur": LOG_LINEAR, "basis": DCT}


@pytest.fixture(params=NOISY, ids=lambda name: name.replace(", ", "-").replace(" ", "_"))
def process(request: pytest.FixtureRequest) -> dict:
    return NOISY[request.param]


@pytest.fixture
def blurring() -> dict:
    return NOISY["blurring"]


@pytest.fixture
def heat() -> dict:
    return NOISY["heat"]


@pytest.fixture
def heat_cifar() -> dict:
    return HEAT_CIFAR


@pytest.fixture
def cold() -> dict:
    return COLD
