"""PyTorch generators for the derived seeds of :mod:`blurcore.engine.seeds`."""

from __future__ import annotations

import torch

from blurcore.engine import Stream, derived_seed


def generator(device: torch.device, seed: int, stream: Stream, *index: int) -> torch.Generator:
    """Return a generator on a device, seeded for one draw."""
    return torch.Generator(device=device).manual_seed(derived_seed(seed, stream, *index))
