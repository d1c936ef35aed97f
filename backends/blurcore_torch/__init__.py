"""PyTorch: arrays on any device, a U-Net, a trainer and a sampler. `BACKEND` is the entry point's object."""

from blurcore_torch.backend import BACKEND

__all__ = ["BACKEND"]
