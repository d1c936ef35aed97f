"""How far 1000 steps in float32 stray from the same steps in float64: `python benchmarks/drift.py [FOLDER]`.

Same start, same noise, same weights; images of 16 x 24. The denoiser is the exact one of a mixture of two Gaussians, on each
library, or a U-Net with weights that say something, on PyTorch. Drift is the distance of the final images over their
size (both root mean square), and for the worst pixel of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from blurcore_torch.model import UNet
from paired import output_folder, report

import blurcore as bc
from blurcore import oracle

STEPS, SHAPE = 1000, (8, 1, 16, 24)
BLURRING = bc.BlurringDiffusion()
RUNS: dict[str, bc.Solver] = {
    "blurring, ancestral": bc.Ancestral(process=BLURRING),
    "blurring, ddim": bc.DDIM(process=BLURRING),
    "blurring, dpm_solver_pp": bc.DPMSolverPP(process=BLURRING),
    "gaussian, ancestral": bc.Ancestral(process=bc.GaussianDiffusion()),
    "gaussian, heun": bc.Heun(process=bc.GaussianDiffusion()),
}
MAKE: dict[str, Callable[[np.ndarray, str], Any]] = {
    "numpy": lambda x, dtype: x.astype(dtype),
    "torch": lambda x, dtype: torch.from_numpy(x).to(getattr(torch, dtype)),
    "jax": lambda x, dtype: jax.numpy.asarray(x, dtype),
}
Predict = Callable[[bc.Process, Any, float], bc.Prediction[Any]]


def final(solver: bc.Solver, predict: Predict, make: Callable[[np.ndarray], Any]) -> np.ndarray:
    """Return the images that a run of 1000 steps ends in."""
    rng, process = np.random.default_rng(0), solver.process
    times = bc.uniform_times(STEPS)
    state = solver.start(make(rng.standard_normal(SHAPE)))
    for t, s in solver.stages(times):
        noise = rng.standard_normal(SHAPE)
        noise = make(noise) if solver.uses_noise and s > 0 else None
        state = solver.step(state, predict(process, state.u, t), t, s, noise)
    return np.asarray(process.basis.inverse(state.u), np.float64)


def mixture(make: Callable[[np.ndarray], Any]) -> Predict:
    """Return the exact prediction for data of two kinds, whose spectra fall like those of images."""
    lam = bc.DCT().eigenvalues(SHAPE[2:])[None]
    means, weights = np.random.default_rng(1).standard_normal((2, *lam.shape)) / (1 + 10 * lam), np.ones(2)
    known = {
        "weights": make(weights),
        "means": make(means),
        "variances": make(np.stack([0.01 / (lam + 0.01), 0.02 / (lam + 0.1)])),
    }

    def predict(process: bc.Process, u: Any, t: float) -> bc.Prediction[Any]:
        m = bc.marginal_for(process, t, u)
        return oracle.exact_prediction(oracle.mixture_denoiser(u, marginal=m, **known), u, m)

    return predict


def network(dtype: torch.dtype) -> Predict:
    """Return the prediction of a small U-Net that says v, none of whose weights is zero."""
    config = bc.MODEL_PRESETS["tiny"]
    unet = UNet(config, in_channels=1, out_channels=1, image_size=SHAPE[2:]).requires_grad_(False).eval()
    source = torch.Generator().manual_seed(0)
    for p in unet.parameters():
        p.add_(0.1 * torch.randn(p.shape, generator=source))
    unet = unet.to(dtype)

    def predict(process: bc.Process, u: Any, t: float) -> bc.Prediction[Any]:
        said = unet(process.basis.inverse(u), torch.full(SHAPE[:1], t))
        return bc.predict(process, said, "v", u, t)

    return predict


def main() -> None:
    """Measure, print, write."""
    cases: list[tuple[str, str, Callable[[str], Predict]]] = [
        (library, "mixture, exact", lambda dtype, make=make: mixture(lambda x: make(x, dtype)))
        for library, make in MAKE.items()
    ]
    cases.append(("torch", "U-Net", lambda dtype: network(getattr(torch, dtype))))
    rows = []
    with jax.enable_x64(True):
        for name, solver in RUNS.items():
            for library, denoiser, predict in cases:
                if library == "jax" and name != "blurring, ancestral":  # one is enough: eager JAX takes a minute for it
                    continue
                single, double = (
                    final(solver, predict(dtype), lambda x, d=dtype, m=MAKE[library]: m(x, d))
                    for dtype in ("float32", "float64")
                )
                error, size = single - double, float(np.sqrt(np.mean(double**2)))
                rows.append(
                    {
                        "run": name,
                        "library": library,
                        "denoiser": denoiser,
                        "steps": STEPS,
                        "size": size,
                        "drift": float(np.sqrt(np.mean(error**2))) / size,
                        "worst pixel": float(np.abs(error).max()) / size,
                    }
                )
    report("drift", rows, output_folder())


if __name__ == "__main__":
    main()
