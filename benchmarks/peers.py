"""The same network, of 35.7 M parameters at 32 x 32 x 3, trained and sampled by us, by diffusers and by denoising-diffusion-pytorch.

Each side is what its users run: ours the trainer of `blurcore train`, whole, with the average of the weights; diffusers
the loop of its unconditional training example; denoising-diffusion-pytorch the loop of its `Trainer`. Peers are spared
what is not theirs to pay: reading images, the average of the weights. diffusers' network is ours, layer by layer;
denoising-diffusion-pytorch's has other blocks, and comes in two shapes: with our levels, at the width whose number of
parameters is nearest to ours; and as it is by default, with as many parameters as ours by chance, most of them in small,
deep layers, so that it does a third of the multiplications.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import blurcore as bc

SHAPE = (32, 32, 3)
NAMES = ("blurcore", "diffusers", "denoising-diffusion-pytorch")


@dataclass(frozen=True)
class Contender:
    """One training step on uint8 images (B, H, W, C), which returns the loss, and n samples in so many steps, (n, C, H, W)."""

    parameters: int
    gflop: float  # of the network's forward pass, for one image
    train_step: Callable[[np.ndarray[Any, Any]], float]
    sample: Callable[[int, int], Any]


def make(name: str, device: str = "cpu", **settings: Any) -> Contender:
    """Return a contender by name; `settings` go to its maker."""
    makers = {"blurcore": ours, "diffusers": diffusers_unet, "denoising-diffusion-pytorch": lucidrains}
    return makers[name](torch.device(device), **settings)


def config_of(**train: Any) -> bc.RunConfig:
    """Return the configuration of ours: the preset without dropout, a blurring process."""
    model = replace(bc.MODEL_PRESETS["cifar10"], dropout=0.0)
    return bc.RunConfig(model=model, train=bc.TrainConfig(warmup_steps=0, learning_rate=1e-4, **train))


def ours(device: torch.device, **train: Any) -> Contender:
    from blurcore_torch.sampler import sample
    from blurcore_torch.trainer import Trainer

    from blurcore.engine import SamplingPlan

    config = config_of(**train)
    trainer = Trainer(config, SHAPE, device)

    def draw(count: int, steps: int) -> torch.Tensor:
        settings = bc.SampleConfig(times=bc.Uniform(num_steps=steps), num_samples=count, batch_size=count)
        plan = SamplingPlan(config, settings, SHAPE, axes=(-2, -1))
        return sample(plan, trainer.ema, prior=None, device=device, progress=False)

    return Contender(*_size(trainer.model), lambda images: trainer.train_step(images)[0], draw)


def diffusers_unet(device: torch.device, *, checkpointing: bool = False, precision: str = "float32") -> Contender:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    model = UNet2DModel(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        block_out_channels=(128, 256, 256, 256),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        downsample_padding=0,
        attention_head_dim=None,
        flip_sin_to_cos=False,
        freq_shift=1,
    ).to(device)
    if checkpointing:
        model.enable_gradient_checkpointing()
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)

    def loss(x: torch.Tensor) -> torch.Tensor:
        noise = torch.randn_like(x)
        times = torch.randint(0, 1000, (len(x),), device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            said = model(scheduler.add_noise(x, noise, times), times).sample
        return F.mse_loss(said.float(), noise)

    pipeline = DDPMPipeline(model, scheduler)
    pipeline.set_progress_bar_config(disable=True)

    def draw(count: int, steps: int) -> Any:
        return pipeline(batch_size=count, num_inference_steps=steps, output_type="np").images

    return Contender(*_size(model), partial(_step, model, optimizer, loss, device), draw)


LUCIDRAINS = {"ours": (144, (1, 2, 2, 2)), "own": (64, (1, 2, 4, 8))}


def lucidrains(device: torch.device, *, precision: str = "float32", shape: str = "ours") -> Contender:
    with _torchvision_stands_in():
        from denoising_diffusion_pytorch.denoising_diffusion_pytorch import GaussianDiffusion, Unet

    width, multipliers = LUCIDRAINS[shape]
    model = Unet(dim=width, dim_mults=multipliers, flash_attn=True)
    diffusion = GaussianDiffusion(model, image_size=32, timesteps=1000, auto_normalize=False).to(device)
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))

    def loss(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            result: torch.Tensor = diffusion(x)
        return result

    def draw(count: int, steps: int) -> Any:
        short = GaussianDiffusion(model, image_size=32, timesteps=steps, auto_normalize=False).to(device)
        with torch.inference_mode():
            return short.p_sample_loop((count, 3, 32, 32))

    return Contender(*_size(model), partial(_step, diffusion, optimizer, loss, device), draw)


def _step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    images: np.ndarray[Any, Any],
) -> float:
    """Take a step as both packages' loops do: backward, clipping to norm 1, optimiser; the loss is read, as they log it."""
    model.train()
    x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
    loss = loss_of(x)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def _size(model: torch.nn.Module) -> tuple[int, float]:
    """Return the number of parameters, and the arithmetic of a forward pass for one image, 10^9 operations."""
    place = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros((1, 3, 32, 32), device=place), torch.zeros(1, device=place))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 1e9


@contextmanager
def _torchvision_stands_in() -> Iterator[None]:
    """Let the peer import torchvision, by which it reads and writes image files, where it is not installed.

    It is not wherever PyTorch is the CPU build: PyPI's torchvision is built for CUDA and fails beside it.
    """
    names = ("torchvision", "torchvision.transforms", "torchvision.utils")
    absent = {name: ModuleType(name) for name in names if importlib.util.find_spec("torchvision") is None}
    sys.modules.update(absent)
    for name in list(absent)[1:]:
        setattr(absent["torchvision"], name.rpartition(".")[2], absent[name])
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def images(count: int) -> np.ndarray[Any, Any]:
    """Return images to train on, of noise, which takes the time that any others take."""
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8)
