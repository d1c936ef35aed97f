"""diffusers is tested where PyTorch is, and where it is installed itself."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def one_thread(torch: ModuleType) -> Iterator[None]:
    """Skip without PyTorch; networks this small are faster on one thread, by far on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_unet(torch: ModuleType) -> Any:
    """Make a `UNet2DModel` with an output worth looking at."""
    diffusers = pytest.importorskip("diffusers")

    def make(size: int | tuple[int, int], channels: int = 3) -> Any:
        torch.manual_seed(0)
        return diffusers.UNet2DModel(
            sample_size=size,
            in_channels=channels,
            out_channels=channels,
            layers_per_block=1,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )

    return make
