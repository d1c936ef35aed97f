r"""The network of a run as a plain `UNet2DModel` of diffusers, where that is the same function.

Both are DDPM's U-Net. What differs is names, and that diffusers counts steps from 0: step k is the time :math:`(k + 1) / 1000`, which
the network sees as k + 1. The sinusoids of k + 1 are those of k, rotated by :math:`\omega`, so the first dense layer takes the
rotation over:

.. math::
    \sin((k + 1)\omega) = \cos\omega \sin k\omega + \sin\omega \cos k\omega, \qquad
    \cos((k + 1)\omega) = \cos\omega \cos k\omega - \sin\omega \sin k\omega .
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DModel

from blurcore.config import ModelConfig
from blurcore.engine.unet import NORM_EPS, plan_levels, sinusoid_frequencies

STEPS = 1000
"""Steps of training at which the two embeddings have one scale."""

_PLACES = (
    (r"embedding\.0", "time_embedding.linear_1"),
    (r"embedding\.2", "time_embedding.linear_2"),
    ("first", "conv_in"),
    ("last_norm", "conv_norm_out"),
    ("last", "conv_out"),
    (r"middle\.before", "mid_block.resnets.0"),
    (r"middle\.after", "mid_block.resnets.1"),
    (r"middle\.attention", "mid_block.attentions.0"),
    (r"(\w+_blocks\.\d+)\.blocks", r"\1.resnets"),
    (r"(\w+_blocks\.\d+)\.attention", r"\1.attentions"),
    (r"(\w+_blocks\.\d+)\.down", r"\1.downsamplers.0.conv"),
    (r"(\w+_blocks\.\d+)\.up", r"\1.upsamplers.0.conv"),
)
_LAYERS = {
    "embed": "time_emb_proj",
    "shortcut": "conv_shortcut",
    "norm": "group_norm",
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "out": "to_out.0",
}


def is_unet2d(config: ModelConfig, image_shape: list[int], num_train_timesteps: int) -> bool:
    """Whether a network is a `UNet2DModel`: of images, without patches and classes, and told of the time in DDPM's steps."""
    return (
        len(image_shape) == 3
        and num_train_timesteps == STEPS
        and config.patch_size == config.num_heads == config.channel_multipliers[0] == 1
        and config.num_classes == 0
        and config.embedding == "time"
        and config.base_channels >= 4
    )


def to_unet2d(config: ModelConfig, image_shape: list[int], weights: Mapping[str, np.ndarray[Any, Any]]) -> UNet2DModel:
    """Return the model, in evaluation mode; `weights` are those of a network for which :func:`is_unet2d` holds."""
    levels = plan_levels(config)
    model = UNet2DModel(
        sample_size=tuple(image_shape[:2]),
        in_channels=image_shape[2],
        out_channels=image_shape[2],
        freq_shift=1,
        flip_sin_to_cos=False,
        down_block_types=tuple("AttnDownBlock2D" if v.attend else "DownBlock2D" for v in levels),
        up_block_types=tuple("AttnUpBlock2D" if v.attend else "UpBlock2D" for v in reversed(levels)),
        block_out_channels=tuple(v.width for v in levels),
        layers_per_block=config.num_res_blocks,
        downsample_padding=0,
        dropout=config.dropout,
        attention_head_dim=None,
        norm_num_groups=config.norm_groups,
        norm_eps=NORM_EPS,
    )
    state = {_renamed(name, len(levels)): torch.from_numpy(np.array(w)) for name, w in weights.items()}
    for name, weight in state.items():
        if re.search(r"\.to_\w+(\.0)?\.weight$", name):
            state[name] = weight.flatten(1)  # a convolution of one pixel
    first = "time_embedding.linear_1.weight"
    state[first] = _rotated(state[first], config.base_channels)
    model.load_state_dict(state)
    model.eval()
    return model


def _renamed(name: str, num_levels: int) -> str:
    """Return diffusers' name of a weight."""
    name = name.replace("encoder.", "down_blocks.")
    name = re.sub(r"^decoder\.(\d+)", lambda m: f"up_blocks.{num_levels - 1 - int(m[1])}", name)
    for pattern, place in _PLACES:
        name, found = re.subn(f"^{pattern}(?=\\.)", place, name)
        if found:
            break
    *path, layer, kind = name.split(".")
    inside = "resnets" in path or "attentions" in path
    return ".".join([*path, _LAYERS.get(layer, layer) if inside else layer, kind])


def _rotated(weight: torch.Tensor, width: int) -> torch.Tensor:
    """Return the first dense layer's weights for the sinusoids of the step before."""
    omega = torch.tensor(sinusoid_frequencies(width), dtype=torch.float64)
    half = len(omega)
    sines, cosines, rest = weight.double().split([half, half, width % 2], dim=1)
    turned = (sines * omega.cos() - cosines * omega.sin(), sines * omega.sin() + cosines * omega.cos(), rest)
    return torch.cat(turned, dim=1).to(weight.dtype)
