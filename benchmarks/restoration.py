"""How well a run restores: every method on every operator, on held-out images, against each other.

``python benchmarks/restoration.py RUN benchmarks/results`` asks ``blurcore restore RUN --simulate`` for each pair, once
``blurcore calibrate RUN`` has measured the network's error. All methods see the same observations and start from the same noise;
intervals are 95 % bootstrap intervals over images.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from paired import report

OPERATORS = {
    "Blur, sigma 1.5": ("Blur", "--operator.sigma", "1.5"),
    "LowPass, 0.3": ("LowPass", "--operator.cutoff", "0.3"),
    "Restrict, 1/2": ("Restrict", "--operator.factor", "2"),
    "Average, 1/4": ("Average", "--operator.factor", "4"),
    "Mask, centre": ("Mask",),
}
METHODS = {
    "Calibrated": ("Calibrated",),
    "DDRM": ("DDRM",),
    "PiGDM": ("PiGDM",),
    "DPS": ("DPS",),
}
NOISE = 0.05
Images = np.ndarray[Any, Any]


def restored(
    run: Path, operator: tuple[str, ...], method: tuple[str, ...], args: argparse.Namespace
) -> dict[str, Any] | None:
    """Return images, truth and report of one pair; None where the method does not serve the operator."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["restore", str(run), "--simulate", "--num-images", str(args.num_images), "--out", folder]
        words += ["--operator", *operator, "--method", *method, "--noise", str(NOISE), "--device", args.device]
        words += ["--times.num-steps", str(args.num_steps), "--num-samples", str(args.num_samples)]
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "blurcore", *words], capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return None
        if args.pictures is not None:
            args.pictures.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder, "grid.png"), args.pictures / f"{operator[0]}-{method[0]}.png".lower())
        with np.load(Path(folder, "restored.npz")) as arrays:
            images, truth = (arrays[name].astype(np.float64) for name in ("images", "truth"))
        about = json.loads(Path(folder, "restored.json").read_text(encoding="utf-8"))
        return {"images": images, "truth": truth, "consistency": about["consistency"], "seconds": seconds}


def decibels(images: Images, truth: Images) -> Images:
    """Return PSNR of each image, (n,)."""
    error = ((images - truth) ** 2).mean(axis=tuple(range(1, truth.ndim)))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-6))


def similarity(images: Images, truth: Images) -> Images:
    """Return SSIM of each image, (n,)."""
    from skimage.metrics import structural_similarity

    return np.array(
        [structural_similarity(a, b, data_range=255, channel_axis=-1) for a, b in zip(images, truth, strict=True)]
    )


def interval(values: Images) -> str:
    """Return a mean with its 95 % bootstrap interval over images."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def of_samples(measure: Callable[[Images, Images], Images], images: Images, truth: Images) -> Images:
    """Return a measure of single restorations, averaged over those of an image, (n,)."""
    return np.mean([measure(images[:, j], truth) for j in range(images.shape[1])], axis=0)


def rows(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each pair."""
    for name, operator in OPERATORS.items():
        for method, words in METHODS.items():
            found = restored(args.run, operator, words, args)
            if found is None:
                continue
            images, truth = found["images"], found["truth"]
            row = {
                "operator": name,
                "method": method,
                "PSNR of samples, dB": interval(of_samples(decibels, images, truth)),
                "PSNR of their mean, dB": interval(decibels(images.mean(axis=1), truth)),
                "SSIM": interval(of_samples(similarity, images, truth)),
                "|Hx - y| / noise": found["consistency"],
                "seconds": found["seconds"],
            }
            print(row, flush=True)
            yield row


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--num-images", type=int, default=64)
    parser.add_argument("--num-samples", type=int, default=4)
    parser.add_argument("--num-steps", type=int, default=50)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    report("restoration", list(rows(args)), args.out)


if __name__ == "__main__":
    main()
