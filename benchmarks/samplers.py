"""What each sampler makes of a trained network: spectrum and Frechet distance to real images, against steps.

    python benchmarks/samplers.py RUN [--num-samples 256] [--steps 10 20 50 100] [--out docs/sampler_quality.json]

The run must be of blurring or Gaussian diffusion, and calibrated (`blurcore calibrate RUN`). Two distances to the training
images: `spectrum`, the root mean square over bands of 64 neighbouring frequencies of log10(power / power of the data); and
`Frechet`, between Gaussians fitted to the 36 lowest DCT coefficients of each channel (no Inception network is involved:
this is not FID). The last row is what as many held-out images of the test split have.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.linalg

import blurcore as bc
from blurcore.data import load
from blurcore.data.values import to_data
from blurcore.runs import read_config

SAMPLERS = {
    "ancestral": {},
    "ancestral, upper variance": {"sampler": "ancestral", "variance": "upper"},
    "ddim": {},
    "ddim, log-SNR": {"sampler": "ddim", "grid": "log_snr"},
    "dpm_solver_pp 2M, log-SNR": {"sampler": "dpm_solver_pp", "grid": "log_snr"},
    "dpm_solver_pp 3M, log-SNR": {"sampler": "dpm_solver_pp", "grid": "log_snr", "order": 3},
    "dpm_solver_sde 2M, log-SNR": {"sampler": "dpm_solver_sde", "grid": "log_snr"},
    "euler, log-SNR": {"sampler": "euler", "grid": "log_snr"},
    "heun, log-SNR (two calls a step)": {"sampler": "heun", "grid": "log_snr"},
    "calibrated": {},
    "calibrated, log-SNR": {"sampler": "calibrated", "grid": "log_snr"},
    "calibrated, noise in the last step": {"sampler": "calibrated", "last_noise": True},
    "calibrated, log-SNR, noise in the last step": {"sampler": "calibrated", "grid": "log_snr", "last_noise": True},
}


def coefficients(images: np.ndarray) -> np.ndarray:
    """Return the DCT coefficients of uint8 images (n, H, W, C)."""
    return scipy.fft.dctn(to_data(images, "symmetric").astype(float), axes=(1, 2), norm="ortho")


def band_power(u: np.ndarray) -> np.ndarray:
    """Return the mean power of bands of about 64 neighbouring frequencies."""
    shape = u.shape[1:3]
    order = np.argsort(bc.DCT().eigenvalues(shape).ravel(), kind="stable")
    power = (u**2).mean(axis=(0, 3)).ravel()[order]
    return np.array([part.mean() for part in np.array_split(power, max(1, len(order) // 64))])


def frechet(u: np.ndarray, v: np.ndarray) -> float:
    """Return the Frechet distance of Gaussians fitted to the 36 lowest coefficients of each channel."""
    a, b = (w[:, :6, :6].reshape(len(w), -1) for w in (u, v))
    means, covariances = (a.mean(axis=0), b.mean(axis=0)), (np.cov(a.T), np.cov(b.T))
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root))


def distances(images: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Return both distances of images to coefficients of real ones."""
    u = coefficients(images)
    return float(np.sqrt(np.mean(np.log10(band_power(u) / band_power(real)) ** 2))), frechet(u, real)


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--num-samples", type=int, default=256)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20, 50, 100])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    config = read_config(args.run / "config.toml")
    backend, real = bc.get_backend(config.backend), coefficients(load(config.data)[:])
    base = bc.SampleConfig(num_samples=args.num_samples, batch_size=64)
    rows: dict[str, list[tuple[float, float]]] = {}
    for name, own in SAMPLERS.items():
        for steps in args.steps:
            settings = replace(base, num_steps=steps, **({"sampler": name} | own))
            rows.setdefault(name, []).append(distances(backend.sample(args.run, settings, progress=False), real))
        print(f"| {name} | " + " | ".join(f"{s:.3f} / {f:.1f}" for s, f in rows[name]) + " |", flush=True)
    held_out = distances(load(replace(config.data, split="test"))[: args.num_samples], real)
    print(f"| held-out images | {held_out[0]:.3f} / {held_out[1]:.1f} |")
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
