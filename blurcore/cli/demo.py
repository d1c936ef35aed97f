"""`blurcore demo`: verify, draw, train, sample, on digits that ship in a package, in minutes on a CPU."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from blurcore.cli.settings import default_folder, machinery, refuse_rest
from blurcore.config import ModelConfig, RunConfig, SampleConfig, TrainConfig
from blurcore.data.sources import MNIST
from blurcore.errors import ConfigError
from blurcore.objectives import Denoising
from blurcore.protocols import Machinery
from blurcore.registry import AUTO, choose_backend
from blurcore.runs.files import is_occupied
from blurcore.samplers import Uniform

_SHOWN = 64  # digits in each grid


def demo_config(*, seed: int = 0, steps: int = 2000, backend: str = AUTO) -> RunConfig:
    """Return the demo's configuration: the paper's process and a network that two CPU cores train in minutes.

    It predicts the image itself, not the paper's eps: in so few steps an error in eps stays visible, because the image is
    that error divided by alpha, which falls to 7e-6 here. PyTorch's bfloat16 is faster than its float32 on CPUs, XLA's is not.
    """
    return RunConfig(
        seed=seed,
        backend=backend,
        data=MNIST(),
        model=ModelConfig(
            base_channels=16,
            channel_multipliers=(1, 2, 4),
            num_res_blocks=1,
            attention_levels=(2,),
            dropout=0.0,
            norm_groups=8,
        ),
        train=TrainConfig(
            steps=steps,
            batch_size=32,
            learning_rate=2e-3,
            schedule="cosine",
            warmup_steps=min(100, steps // 10),
            ema_decay=0.995,
            objective=Denoising(prediction="x0"),
            precision="bf16" if backend == "torch" else "float32",
            log_every=50,
            checkpoint_every=500,
        ),
        sample=SampleConfig(num_samples=_SHOWN, times=Uniform(num_steps=100), batch_size=_SHOWN, seed=seed),
    )


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Run the demo; 1 if a verification fails."""
    refuse_rest(rest)
    if args.steps is not None and args.steps < 1:
        raise ConfigError(f"--steps must be at least 1; got {args.steps}")
    if args.seed < 0:
        raise ConfigError(f"--seed must be 0 or more; got {args.seed}")
    began = time.monotonic()
    folder = args.out if args.out is not None else default_folder("demo")
    if is_occupied(folder):
        raise ConfigError(f"{folder} is not empty; choose another --out")
    backend = choose_backend(args.backend)
    trainer = machinery(backend)
    config = demo_config(seed=args.seed, backend=backend)
    if args.steps is not None:
        config = demo_config(seed=args.seed, backend=backend, steps=args.steps)

    if not _verify():
        return 1
    pictures = _draw_figures(folder)
    print("3/4 training a blurring diffusion model on 4,500 digits", file=sys.stderr)
    trainer.train(config, folder / "run")
    print("4/4 sampling", file=sys.stderr)
    pictures += _sample(folder, config, trainer)

    print(f"done in {time.monotonic() - began:.0f} s; the pictures:")
    for picture in pictures:
        print(f"  {picture}")
    print(f"the run: {folder / 'run'} (more samples: blurcore sample {folder / 'run'})")
    return 0


def _verify() -> bool:
    from blurcore.verify import verify

    print("1/4 verifying the process on every backend", file=sys.stderr)
    report = verify(quick=True)
    failed = [result for result in report.results if not result.passed]
    print(f"verified: {len(report.results) - len(failed)} of {len(report.results)} checks passed")
    for result in failed:
        print(
            f"failed: {result.identity.name} on {result.backend} {result.dtype}: error {result.error:.2e}, bound {result.bound:.2e}",
            file=sys.stderr,
        )
    return report.passed


def _draw_figures(folder: Path) -> list[Path]:
    from blurcore.figures.overview import draw_overview, load_picture
    from blurcore.figures.snr import draw_snr

    print("2/4 drawing the figures", file=sys.stderr)
    overview, snr = folder / "overview.png", folder / "snr.png"
    draw_overview(load_picture(None, size=128), overview)
    draw_snr(snr)
    return [overview, snr]


def _sample(folder: Path, config: RunConfig, trainer: Machinery) -> list[Path]:
    from blurcore.data import save_grid

    drawn = trainer.sample(folder / "run", config.sample)
    samples, real = folder / "samples.png", folder / "real.png"
    save_grid(drawn.images, samples, columns=8, scale=3)
    save_grid(config.data.part("test").load()[:_SHOWN], real, columns=8, scale=3)
    return [samples, real]
