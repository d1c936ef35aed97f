"""How well a run restores: every method on every operator, on held-out images, against each other.

``python benchmarks/restoration.py RUN benchmarks/results`` asks ``blurcore restore RUN --simulate`` for each pair, once
``blurcore calibrate RUN`` has measured the network's error. All methods see the same observations, ours start from the same noise;
intervals are 95 % bootstrap intervals over images. Beside them stands azula's MMPS (Rozet et al. 2024) with its own DDPM sampler,
on the same network and observations, behind the adapter of examples/azula_sampling.py: it needs ``azula`` and a run of PyTorch.
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
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from paired import report

from blurcore.data.values import to_data, to_pixels
from blurcore.engine.restoring import RestoreConfig, observe_images, report_of, working_basis
from blurcore.restoration import Average, Blur, LowPass, Mask, Operator, Restrict

OPERATORS: dict[str, Operator] = {
    "Blur, sigma 1.5": Blur(sigma=1.5),
    "LowPass, 0.3": LowPass(cutoff=0.3),
    "Restrict, 1/2": Restrict(factor=2),
    "Average, 1/4": Average(factor=4),
    "Mask, centre": Mask(),
}
METHODS = ("Calibrated", "DDRM", "PiGDM", "DPS")
ITERATIONS = (1, 5)
"""Of azula's solver in each step; 1 is its default."""
NOISE = 0.05
Images = np.ndarray[Any, Any]


def restored(run: Path, operator: Operator, method: str, args: argparse.Namespace) -> dict[str, Any] | None:
    """Return images, truth and report of one pair; None where the method does not serve the operator."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["restore", str(run), "--simulate", "--num-images", str(args.num_images), "--out", folder]
        kind = type(operator).__name__
        words += ["--operator", kind, *settings_of(operator), "--method", method, "--noise", str(NOISE)]
        words += ["--device", args.device, "--times.num-steps", str(args.num_steps)]
        words += ["--num-samples", str(args.num_samples)]
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "blurcore", *words], capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return None
        if args.pictures is not None:
            args.pictures.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder, "grid.png"), args.pictures / f"{kind}-{method}.png".lower())
        with np.load(Path(folder, "restored.npz")) as arrays:
            images, truth = (arrays[name].astype(np.float64) for name in ("images", "truth"))
        about = json.loads(Path(folder, "restored.json").read_text(encoding="utf-8"))
        return {"images": images, "truth": truth, "consistency": about["consistency"], "seconds": seconds}


def settings_of(operator: Operator) -> list[str]:
    """Return the words of the settings that differ from their defaults."""
    given = [(f.name, getattr(operator, f.name)) for f in fields(operator) if getattr(operator, f.name) != f.default]
    return [word for name, value in given for word in (f"--operator.{name}", str(value))]


def by_azula(run: Path, operator: Operator, iterations: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return images, truth and consistency of azula's method on the observations that the others see."""
    import torch
    from azula.guidance import MMPSDenoiser
    from azula.linalg.covariance import IsotropicCovariance
    from azula.sample import DDPMSampler
    from azula_sampling import FrequencyDenoiser, FrequencySchedule
    from blurcore_torch.run import load_run

    config, model, *_ = load_run(run, torch.device("cpu"))
    process, values = config.process, config.data.values
    data = config.data.part("test").load()[: args.num_images]
    grid = data.shape[1:-1]
    basis = working_basis(process, grid)
    last, first = (operator.observation(basis, grid, axes=axes) for axes in ((1, 2), (-2, -1)))

    def observe(u: torch.Tensor) -> torch.Tensor:
        inner = u if basis == process.basis else basis.forward(process.basis.inverse(u, axes=(-2, -1)), axes=(-2, -1))
        return first.observe(inner)

    pictures = observe_images(last, to_data(data, values), noise=NOISE, seed=0, indices=range(len(data)))
    y = np.repeat(last.read(pictures.astype(np.float64)), args.num_samples, axis=0)
    y = torch.from_numpy(np.moveaxis(y, -1, 1)).float()
    schedule = FrequencySchedule(process, grid)
    network = FrequencyDenoiser(model, schedule, prediction=config.train.objective.prediction)
    start, parts = time.perf_counter(), []
    torch.manual_seed(0)
    for seen in y.split(64):
        denoiser = MMPSDenoiser(
            network, seen, observe, IsotropicCovariance(torch.tensor(NOISE**2)), iterations=iterations
        )
        sampler = DDPMSampler(denoiser, steps=args.num_steps, silent=True)
        u = sampler(sampler.init((len(seen), data.shape[-1], *grid)))
        parts.append(process.basis.inverse(u, axes=(-2, -1)))
    seconds = time.perf_counter() - start
    images = torch.cat(parts).movedim(1, -1).numpy().reshape(len(data), args.num_samples, *data.shape[1:])
    report = report_of(last, pictures, images, None, RestoreConfig(operator=operator, noise=NOISE), values)
    return {
        "images": to_pixels(images, values).astype(np.float64),
        "truth": data.astype(np.float64),
        "consistency": report["consistency"],
        "seconds": seconds,
    }


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
        for method in METHODS if args.only is None else ():
            if (found := restored(args.run, operator, method, args)) is not None:
                yield row_of(name, method, found)
        for iterations in ITERATIONS:
            yield row_of(name, f"MMPS of azula, {iterations}", by_azula(args.run, operator, iterations, args))


def row_of(operator: str, method: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a pair."""
    images, truth = found["images"], found["truth"]
    row = {
        "operator": operator,
        "method": method,
        "PSNR of samples, dB": interval(of_samples(decibels, images, truth)),
        "PSNR of their mean, dB": interval(decibels(images.mean(axis=1), truth)),
        "SSIM": interval(of_samples(similarity, images, truth)),
        "|Hx - y| / noise": found["consistency"],
        "seconds": found["seconds"],
    }
    print(row, flush=True)
    return row


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
    parser.add_argument("--only", choices=["azula"], help="leave out our own methods")
    args = parser.parse_args()
    report("restoration", list(rows(args)), args.out)


if __name__ == "__main__":
    main()
