"""What the process costs beside the network: `python benchmarks/process.py [FOLDER]` (PyTorch, CPU).

Training: a step of blurring diffusion against the same step of standard diffusion written as one line. Sampling: what a
step does beside the network's call, against that call. Both with the network of the demo and, at 32 x 32 x 3, DDPM's of
35.7 M parameters. The number of transforms is counted, not believed: the paper's recipe has five a sampling step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from blurcore_torch.model import UNet
from paired import compare, output_folder, report

import blurcore as bc
from blurcore.cli.demo import demo_config

PROCESS = bc.BlurringDiffusion()
NETWORKS = {
    "demo, 28 x 28 x 1, batch 32": (demo_config().model, (32, 1, 28, 28), 15),
    "35.7 M, 32 x 32 x 3, batch 4": (bc.MODEL_PRESETS["cifar10"], (4, 3, 32, 32), 9),
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

    ours = training_step(model, x, blurring)
    result = compare(ours, training_step(model, x, standard_pair), pairs=pairs)
    return {
        "network": name,
        "what": "training step: blurring / standard diffusion",
        "ours ms": 1e3 * result.ours,
        "peer ms": 1e3 * result.peer,
        "ratio": result.ratio,
        "transforms": count_transforms(ours),
    }


@torch.no_grad()
def sampling_row(name: str, model: UNet, x: torch.Tensor, pairs: int) -> dict[str, Any]:
    solver, t, s = bc.Ancestral(process=PROCESS), 0.5, 0.49
    state, noise, times = bc.SamplerState(PROCESS.basis.forward(x)), torch.randn_like(x), torch.full((len(x),), 0.5)

    @torch.no_grad()
    def beside_the_network() -> None:
        PROCESS.basis.inverse(state.u)
        solver.step(state, bc.predict(PROCESS, x, "eps", state.u, t), t, s, noise)

    @torch.no_grad()
    def network() -> None:
        model(x, times)

    result = compare(beside_the_network, network, pairs=pairs)
    return {
        "network": name,
        "what": "sampling step: transforms and update / network",
        "ours ms": 1e3 * result.ours,
        "peer ms": 1e3 * result.peer,
        "ratio": result.ratio,
        "transforms": count_transforms(beside_the_network),
    }


def count_transforms(call: Callable[[], Any]) -> int:
    """Return how often a call goes to frequency space or back."""
    with patch.object(bc.DCT, "_transform", autospec=True, side_effect=bc.DCT._transform) as transform:
        call()
    return transform.call_count


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
