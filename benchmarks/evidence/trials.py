"""What is trained: a process on a data set, at a scale, from a seed (PROTOCOL.md, "Networks, budgets, scales")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import blurcore as bc
from blurcore.config import MODEL_PRESETS, ModelConfig, RunConfig, SampleConfig, TrainConfig
from blurcore.data import Source
from blurcore.objectives import Denoising, HeatReversal, Restoration
from blurcore.resolution import Full, Nested
from blurcore.samplers import DDIM, ColdImproved, InverseHeat, Solver, Uniform
from blurcore.starts import Mixture

ScaleName = Literal["hour", "day", "gpu"]
NOISY = ("standard", "blur1", "blur10", "blur20")
"""The processes that end in noise."""
PROCESSES = (*NOISY, "heat", "cold", "nested")
SHARE_OF_CHOICE: dict[ScaleName, float] = {"hour": 0.5, "day": 0.25, "gpu": 0.25}
"""How much of the budget the runs have that choose the prediction."""
SEEDS = (1, 2, 3)
CHOOSING_SEED = 0
"""Seed of the runs that choose the prediction, and count for nothing else."""
LEVELS = 100
"""Of heat dissipation and cold diffusion."""
BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run that is trained."""

    data: Literal["digits", "photos", "cifar10"]
    process: str
    seed: int
    scale: ScaleName = "hour"
    prediction: str = "v"
    share: float = 1.0
    """Share of the scale's budget of images."""
    path: str | None = None
    """Where the images of `cifar10` are."""

    @property
    def name(self) -> str:
        """Folder of the run, and its name in the ledger."""
        own = "" if self.process in ("heat", "cold") else f"-{self.prediction}"
        part = "" if self.share == 1.0 else f"-{self.share:g}"
        return f"{self.scale}-{self.data}-{self.process}{own}{part}-seed{self.seed}"


def process_of(name: str, side: int) -> bc.Process:
    """Return a process by its name in the protocol, its blur scaled from 32 pixels to the side of the image."""
    unit = side / 32
    if name == "standard":
        return bc.GaussianDiffusion()
    if name == "heat":
        return bc.HeatDissipation(sigma=0.01, blur=_levels(unit))
    if name == "cold":
        return bc.ColdDiffusion(blur=_levels(unit))
    widest = {"blur1": 1.0, "blur10": 10.0, "blur20": 20.0, "nested": 20.0}[name]
    return bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=widest * unit))


def _levels(unit: float) -> bc.LogLinear:
    return bc.LogLinear(sigma_blur_min=0.5 * unit, sigma_blur_max=20.0 * unit, num_levels=LEVELS)


def data_of(trial: Trial) -> Source:
    """Return the data of a trial: inverse heat dissipation has pixels in [0, 1]."""
    values = "unit" if trial.process == "heat" else "symmetric"
    if trial.data == "cifar10":
        return bc.ArrayFile(path=trial.path or "", values=values)
    return (bc.MNIST if trial.data == "digits" else bc.Photos)(values=values)


def side_of(trial: Trial) -> int:
    """Return the side of the images."""
    return 28 if trial.data == "digits" else 32


def images_of(trial: Trial) -> int:
    """Return how many images a run sees in training."""
    full = {"hour": 32_000, "day": 512_000 if trial.data == "digits" else 256_000, "gpu": 128 * 500_000}[trial.scale]
    return round(full * trial.share)


def model_of(trial: Trial) -> ModelConfig:
    """Return the network, the same for all processes of a scale and a data set."""
    if trial.scale == "gpu":
        return MODEL_PRESETS["cifar10"]
    width = 16 if trial.scale == "hour" else 32 if trial.data == "digits" else 48
    return ModelConfig(
        base_channels=width,
        channel_multipliers=(1, 2),
        num_res_blocks=1,
        attention_levels=(1,),
        dropout=0.0,
        norm_groups=8,
        patch_size=2,
    )


def config_of(trial: Trial) -> RunConfig:
    """Return the configuration that `blurcore train` is given."""
    gpu = trial.scale == "gpu"
    batch = 128 if gpu else BATCH
    steps = images_of(trial) // batch
    own: dict[str, Any] = {"objective": Denoising(prediction=cast(Any, trial.prediction))}
    if trial.process == "heat":
        own = {"objective": HeatReversal()}
    if trial.process == "cold":
        own = {"objective": Restoration(levels=LEVELS)}
    train = TrainConfig(
        steps=steps,
        batch_size=batch,
        learning_rate=2e-4 if gpu else 1e-3,
        schedule="constant" if gpu else "cosine",
        warmup_steps=5000 if gpu else 100,
        ema_decay=0.9999 if gpu else 0.999,
        precision="bf16" if gpu else "float32",
        log_every=max(1, steps // 60),
        checkpoint_every=max(1, steps // 4),
        keep_checkpoints=4,
        **own,
    )
    sample = SampleConfig(solver=DDIM(), times=Uniform(num_steps=50), num_samples=16)
    if trial.process in ("heat", "cold"):
        solver: Solver = InverseHeat() if trial.process == "heat" else ColdImproved()
        sample = replace(sample, times=Uniform(num_steps=LEVELS), solver=solver)
    if trial.process == "cold":
        sample = replace(sample, start=Mixture(components=10))
    return RunConfig(
        seed=trial.seed,
        process=process_of(trial.process, side_of(trial)),
        data=data_of(trial),
        model=model_of(trial),
        train=train,
        sample=sample,
        resolution=Nested() if trial.process == "nested" else Full(),
    )
