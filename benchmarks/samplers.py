"""What each sampler makes of a trained network: spectrum and Frechet distance to real images, against steps.

    python benchmarks/samplers.py RUN [--num-samples 256] [--steps 10 20 50 100] [--out docs/sampler_quality.json]

The run must be of blurring or Gaussian diffusion, and calibrated (`blurcore calibrate RUN`). Two distances to the training
images, both of `blurcore.metrics`: of the spectra, in decibels, and Frechet's of the features `dct` (no Inception network is
involved: this is not FID). The last row is what as many held-out images of the test split have.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import blurcore as bc
from blurcore.metrics import Observation, compare_observed, get_features, observe
from blurcore.runs import read_config

EVEN, LOG_SNR = bc.Uniform(), bc.LogSNR()
SAMPLERS: dict[str, dict[str, Any]] = {
    "ancestral": {"solver": bc.Ancestral()},
    "ancestral, upper variance": {"solver": bc.Ancestral(variance="upper")},
    "ddim": {"solver": bc.DDIM()},
    "ddim, log-SNR": {"solver": bc.DDIM(), "times": LOG_SNR},
    "dpm_solver_pp 2M, log-SNR": {"solver": bc.DPMSolverPP(), "times": LOG_SNR},
    "dpm_solver_pp 3M, log-SNR": {"solver": bc.DPMSolverPP(order=3), "times": LOG_SNR},
    "dpm_solver_sde 2M, log-SNR": {"solver": bc.DPMSolverSDE(), "times": LOG_SNR},
    "euler, log-SNR": {"solver": bc.Euler(), "times": LOG_SNR},
    "heun, log-SNR (two calls a step)": {"solver": bc.Heun(), "times": LOG_SNR},
    "calibrated": {"solver": bc.CalibratedAncestral()},
    "calibrated, log-SNR": {"solver": bc.CalibratedAncestral(), "times": LOG_SNR},
    "calibrated, noise in the last step": {"solver": bc.CalibratedAncestral(), "last_noise": True},
    "calibrated, log-SNR, noise in the last step": {
        "solver": bc.CalibratedAncestral(),
        "times": LOG_SNR,
        "last_noise": True,
    },
}


def distances(images: np.ndarray, real: Observation) -> tuple[float, float]:
    """Return both distances of images to real ones."""
    found = compare_observed(observe(images, real.by), real, metrics=("spectrum", "frechet"))
    return found["spectrum_distance"].value, found["frechet_distance"].value


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--num-samples", type=int, default=256)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20, 50, 100])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    config = read_config(args.run / "config.toml")
    backend, real = bc.get_backend(config.backend), observe(config.data.load(), get_features("dct"))
    base = bc.SampleConfig(num_samples=args.num_samples, batch_size=64)
    rows: dict[str, list[tuple[float, float]]] = {}
    for name, own in SAMPLERS.items():
        for steps in args.steps:
            settings = replace(base, **({"times": EVEN} | own))
            settings = replace(settings, times=settings.times.with_steps(steps))
            rows.setdefault(name, []).append(distances(backend.sample(args.run, settings, progress=False).images, real))
        print(f"| {name} | " + " | ".join(f"{s:.2f} / {f:.1f}" for s, f in rows[name]) + " |", flush=True)
    held_out = distances(config.data.part("test").load()[: args.num_samples], real)
    print(f"| held-out images | {held_out[0]:.2f} / {held_out[1]:.1f} |")
    if args.out is not None:
        about = {
            "date": date.today().isoformat(),
            "machine": platform.processor() or platform.machine(),
            "samples": args.num_samples,
        }
        args.out.write_text(
            json.dumps({"about": about, "steps": args.steps, "rows": rows, "held_out": held_out}, indent=1)
        )


if __name__ == "__main__":
    main()
