"""A run's network as a `UNet2DModel`: the same function, step k being the time (k + 1) / 1000."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import blurcore as bc

torch: Any = pytest.importorskip("torch")
pytest.importorskip("diffusers")
conversion: Any = pytest.importorskip("blurcore.diffusers.conversion")
UNet: Any = pytest.importorskip("blurcore_torch.model").UNet

ONE_LEVEL = bc.ModelConfig(
    base_channels=8, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), norm_groups=4
)
CASES = {
    "one level": (ONE_LEVEL, [8, 8, 1]),
    "attention": (
        replace(ONE_LEVEL, channel_multipliers=(1, 2, 2), attention_levels=(1, 2), num_res_blocks=2),
        [8, 16, 3],
    ),
    "attention at the top": (
        replace(ONE_LEVEL, channel_multipliers=(1, 3), attention_levels=(0,), dropout=0.2),
        [6, 4, 2],
    ),
    "odd width": (replace(ONE_LEVEL, base_channels=9, norm_groups=3, channel_multipliers=(1, 2)), [4, 4, 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_both_networks_agree_at_every_step(name):
    config, shape = CASES[name]
    assert conversion.is_unet2d(config, shape, 1000)
    network = UNet(config, in_channels=shape[2], out_channels=shape[2], image_size=tuple(shape[:2])).eval().double()
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=source))
    weights = {k: p.detach().float().numpy() for k, p in network.named_parameters()}
    network = network.float()
    theirs = conversion.to_unet2d(config, shape, weights)
    k = torch.tensor([0, 1, 500, 998, 999])
    x = torch.randn(5, shape[2], *shape[:2], generator=source)
    with torch.no_grad():
        expected, got = network(x, (k + 1) / 1000), theirs(x, k).sample
    assert float(expected.std()) > 0.1
    # float32; the angle of step 999 is known to 6e-5, and its sine with it.
    np.testing.assert_allclose(got, expected, atol=3e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "shape", "steps"),
    [
        ({"patch_size": 2}, [8, 8, 1], 1000),
        ({"num_heads": 2}, [8, 8, 1], 1000),
        ({"num_classes": 3}, [8, 8, 1], 1000),
        ({"embedding": "log_snr"}, [8, 8, 1], 1000),
        ({"channel_multipliers": (2,)}, [8, 8, 1], 1000),
        ({}, [8, 1], 1000),
        ({}, [8, 8, 1], 1200),
    ],
    ids=str,
)
def test_what_is_no_such_model_is_seen(changes, shape, steps):
    assert not conversion.is_unet2d(replace(ONE_LEVEL, **changes), shape, steps)
