"""The plan of the U-Net (Ho et al. 2020, appendix B): widths, skips and checks, the same in every framework.

What is computed, and under which keys its weights are saved, is stated in `blurcore_torch.model`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from blurcore.config import ModelConfig
from blurcore.errors import ArgumentError

LOG_SNR_RANGE = 20.0
"""The embedding shows log-SNRs of [-20, 20]; beyond, and at infinity, it stays what it is at the end."""
NORM_EPS = 1e-6
"""Added to the variance by group norms: DDPM's, which is TensorFlow's default."""
ZERO_AT_START = ("conv2", "out", "last")
"""Layers whose weights start as zero: the last convolution of each residual branch, and of the network."""


class LevelPlan(NamedTuple):
    """One resolution: the width of its blocks, what each of them gets, and the ways out."""

    width: int
    attend: bool
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    down: bool
    up: bool


def plan_levels(config: ModelConfig) -> list[LevelPlan]:
    """Return the levels from the full resolution down; `decoder` counts the skip that is joined to each block's input."""
    widths = [config.base_channels * m for m in config.channel_multipliers]
    last = len(widths) - 1
    skips, encoder, channels = [config.base_channels], [], config.base_channels
    for i, width in enumerate(widths):
        encoder.append((channels, *[width] * (config.num_res_blocks - 1)))
        skips += [width] * (config.num_res_blocks + (i < last))
        channels = width
    decoder: list[tuple[int, ...]] = []
    for width in reversed(widths):
        decoder.append(tuple(c + skips.pop() for c in (channels, *[width] * config.num_res_blocks)))
        channels = width
    return [
        LevelPlan(width, i in config.attention_levels, encoder[i], decoder[last - i], down=i < last, up=i > 0)
        for i, width in enumerate(widths)
    ]


def size_multiple(config: ModelConfig) -> int:
    """Return what each side of the data must be a multiple of."""
    return config.patch_size << (len(config.channel_multipliers) - 1)


def check_size(config: ModelConfig, *sizes: int) -> None:
    """Refuse an image that does not halve as often as there are levels, with a size that does.

    Raises
    ------
    ArgumentError
        A side is no multiple of :func:`size_multiple`.
    """
    multiple = size_multiple(config)
    if min(sizes) < 1 or any(side % multiple for side in sizes):
        near = tuple(multiple * max(1, round(side / multiple)) for side in sizes)
        raise ArgumentError(
            f"image_size must be multiples of {multiple} (patch_size {config.patch_size},"
            f" {len(config.channel_multipliers)} levels), such as {near}; got {sizes}"
        )


def check_model(config: ModelConfig, in_channels: int, out_channels: int, image_size: tuple[int, ...]) -> None:
    """Refuse, before any weight is made, what the network cannot be built for.

    Raises
    ------
    ArgumentError
        The image size does not halve as often as there are levels, or the widths do not fit the embedding or heads.
    """
    if len(image_size) not in (1, 2, 3) or min(in_channels, out_channels) < 1:
        raise ArgumentError(
            "a U-Net needs image_size = (height, width), or the sizes of 1 or 3 axes, and at least 1 channel in and out;"
            f" got image_size {image_size}, in_channels {in_channels}, out_channels {out_channels}"
        )
    check_size(config, *image_size)
    if config.base_channels < 2:
        raise ArgumentError(
            f"base_channels must be at least 2, for a sine and a cosine of the time; got {config.base_channels}"
        )
    attending = [level.width for level in plan_levels(config) if level.attend]
    for width in (*attending, config.base_channels * config.channel_multipliers[-1]):
        if width % config.num_heads:
            raise ArgumentError(
                f"num_heads must divide the width of each level with attention, and of the last level,"
                f" whose middle block has it always; got {config.num_heads} for a width of {width}"
            )


def sinusoid_frequencies(width: int) -> list[float]:
    """Return the width // 2 frequencies of the embedding, from 1 down to 1 / 10000, in float64."""
    half = width // 2
    return [math.exp(-math.log(10000.0) * k / max(half - 1, 1)) for k in range(half)]
