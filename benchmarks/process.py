"""What the process costs beside the network: `python benchmarks/process.py [FOLDER]` (PyTorch, CPU).

Training: a step of blurring diffusion against the same step of standard diffusion written as one line. Sampling: what a
step adds to the network's call. Both with the network of the demo and, at 32 x 32 x 3, DDPM's of 35.7 M parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from blurcore_torch.model import UNet
from paired import compare, output_folder, report

import blurcore as bc
from blurcore.cli.demo import demo_config

PROCESS = bc.BlurringDiffusion()
NETWORKS = {
    "demo, 28 x 28 x 1, batch 32": (demo_config().model, (32, 1, 28, 28), 9),
    "35.7 M, 32 x 32 x 3, batch 4": (bc.MODEL_PRESETS["cifar10"], (4, 3, 32, 32), 5),
}


def standard_pair(x: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noisy data and eps of standard diffusion with the cosine schedule, as one would write it without us."""
    angle = (t * torch.pi / 2).view(-1, 1, 1, 1)
    return torch.cos(angle) * x + torch.sin(angle) * eps, eps


def training_step(
    model: UNet, x: torch.Tensor, pair: Callable[..., tuple[torch.Tensor, torch.Tensor]]
) -> Callable[[], Any]:
    """Return a call that does a forward and a backward pass."""

    def call() -> None:
        t = torch.rand(len(x))
        z, target = pair(x, t, torch.randn_like(x))
        model.zero_grad()
        (model(z, t) - target).square().mean().backward()

    return call


def training_row(name: str, model: UNet, x: torch.Tensor, pairs: int) -> dict[str, Any]:
    def blurring(x: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pair = bc.training_pair(PROCESS, x, t, eps)
        return pair.z, pair.target

    result = compare(training_step(model, x, blurring), training_step(model, x, standard_pair), pairs=pairs)
    return {
        "network": name,
        "what": "training step",
        "with ms": 1e3 * result.ours,
        "without ms": 1e3 * result.peer,
        "ratio": result.ratio,
    }


@torch.no_grad()
def sampling_row(name: str, model: UNet, x: torch.Tensor, pairs: int) -> dict[str, Any]:
    solver, t, s = bc.Ancestral(process=PROCESS), 0.5, 0.49
    state, noise, times = bc.SamplerState(PROCESS.basis.forward(x)), torch.randn_like(x), torch.full((len(x),), 0.5)

    def whole() -> None:
        z = PROCESS.basis.inverse(state.u)
        prediction = bc.predict(PROCESS, model(z, times), "eps", state.u, t)
        solver.step(state, prediction, t, s, noise)

    with torch.no_grad():
        result = compare(whole, lambda: model(x, times), pairs=pairs)
    return {
        "network": name,
        "what": "sampling step",
        "with ms": 1e3 * result.ours,
        "without ms": 1e3 * result.peer,
        "ratio": result.ratio,
    }


def main() -> None:
    """Measure, print, write."""
    rows = []
    for name, (config, shape, pairs) in NETWORKS.items():
        model = UNet(config, in_channels=shape[1], out_channels=shape[1], image_size=shape[2:])
        x = torch.randn(shape)
        rows += [training_row(name, model, x, pairs), sampling_row(name, model, x, pairs)]
    report("process", rows, output_folder())


if __name__ == "__main__":
    main()
