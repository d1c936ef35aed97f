r"""The U-Net of the paper's kind: that of DDPM (Ho et al. 2020, appendix B), an embedding of the time added in each block.

.. math::
    e &= \mathrm{silu}(W_2\,\mathrm{silu}(W_0\,s(c) + b_0) + b_2 + y_{\mathrm{label}}), \qquad
    s(c) = [\sin(c\,\omega_k)]_k \oplus [\cos(c\,\omega_k)]_k, \qquad \omega_k = 10^{-4k/(K-1)} \\
    \mathrm{block}(x) &= \mathrm{shortcut}(x) + \mathrm{conv_2}(\mathrm{drop}(\mathrm{silu}(\mathrm{norm_2}(
        \mathrm{conv_1}(\mathrm{silu}(\mathrm{norm_1}(x))) + \mathrm{embed}(e))))) \\
    \mathrm{attention}(x) &= x + \mathrm{out}(\mathrm{softmax}(q^\top k / \sqrt{d})\,v), \qquad
        (q, k, v) = (\mathrm{query}, \mathrm{key}, \mathrm{value})(\mathrm{norm}(x))

Data flow, for L levels of R residual blocks; level i works at 1 / 2^i of the image's size (after `patch_size`)::

    x       = first(fold(x));  skips = [x]                          fold: p x p pixels into channels, (c, row, column)
    encoder   for level 0 .. L-1:  R x (block, attention; push)     then `down` and push, but for the last level
    middle    before, attention, after
    decoder   for level L-1 .. 0:  R + 1 x (block(x (+) pop), attention)    then `up`, but for level 0
    out     = unfold(last(silu(last_norm(x))))

`down` is a 3 x 3 convolution of stride 2 after one row of zeros below and one column to the right (TensorFlow's
"SAME"); `up` doubles each pixel and convolves 3 x 3. All other convolutions are 3 x 3 with one pixel of zeros around,
or 1 x 1 (`shortcut`, only where the channels change; `query`, `key`, `value`, `out`). Group norms add 1e-6 to the variance.

Keys of the state dict, on which checkpoints and other backends rely; each is followed by `.weight` and `.bias`::

    embedding.{0,2}                                      dense layers, (features out, features in)
    labels                                               (num_classes + 1, features), without bias, if there are classes
    first, last                                          convolutions, (channels out, channels in, rows, columns)
    encoder.{level}.blocks.{i}.BLOCK                     i = 0 .. R - 1
    encoder.{level}.attention.{i}.ATTENTION              in the levels with attention
    encoder.{level}.down                                 in all levels but the last
    middle.before.BLOCK  middle.attention.ATTENTION  middle.after.BLOCK
    decoder.{level}.blocks.{i}.BLOCK                     i = 0 .. R, in the order of evaluation; {level} as in the encoder
    decoder.{level}.attention.{i}.ATTENTION              in the levels with attention
    decoder.{level}.up                                   in all levels but the first
    last_norm

    BLOCK:      norm1 conv1 embed norm2 conv2 [shortcut]
    ATTENTION:  norm query key value out

Weights are drawn as DDPM draws them: uniform, of variance 1 / ((fan in + fan out) / 2); biases, and the weights of
`conv2`, `out` and `last`, are zero, so that each block starts as its shortcut and the network as the constant 0.

References
----------
.. [1] Ho, Jain, Abbeel (2020), Denoising Diffusion Probabilistic Models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from blurcore.config import ModelConfig, RunConfig
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.engine.unet import (
    LOG_SNR_RANGE,
    NORM_EPS,
    ZERO_AT_START,
    check_model,
    check_size,
    plan_levels,
    sinusoid_frequencies,
    size_multiple,
)
from blurcore.errors import ArgumentError


class UNet(nn.Module):
    """Predict noise, data or v from noisy images and their time condition.

    Parameters
    ----------
    config
        Widths, depth, attention, dropout, embedding.
    in_channels, out_channels
        Channels of the images and of the prediction.
    image_size
        (H, W) of the images, or the sizes of 1 or 3 axes (signals, volumes); each a multiple of `multiple`, that is of
        patch_size * 2^(levels - 1).
    seed
        Seed of the weights, which depend on nothing else beside the configuration and the channels: not on the device
        or the default dtype (but for rounding), and the global generators are neither used nor moved.
    gradient_checkpointing
        Keep for the backward pass what passes between the blocks alone, and work out the rest again there: the same
        gradient to the last bit, in less memory and more time.

    Attributes
    ----------
    multiple : int
        What the height and width of an image must be multiples of.

    Raises
    ------
    ArgumentError
        The image size does not halve as often as there are levels, or the widths do not fit the embedding or heads.

    Notes
    -----
    For several image sizes under torch.compile say ``dynamic=False``: PyTorch 2.13's Inductor cannot order the symbolic
    strides of the convolutions that a second size brings.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        in_channels: int,
        out_channels: int,
        image_size: tuple[int, ...],
        seed: int = 0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = gradient_checkpointing
        self.in_channels, self.out_channels = in_channels, out_channels
        self.multiple = size_multiple(config)
        check_model(config, in_channels, out_channels, image_size)
        self.dims = len(image_size)
        with torch.device("meta"):  # shapes only: the layers draw no numbers of their own
            folded = config.patch_size**self.dims
            self._build(in_channels * folded, out_channels * folded)
        self.to_empty(device=torch.get_default_device())
        self.initialise(seed)

    def _build(self, in_channels: int, out_channels: int) -> None:
        config, dims = self.config, self.dims
        levels = plan_levels(config)
        self.sinusoids = Sinusoids(config.base_channels)
        embedding = 4 * config.base_channels
        self.embedding = nn.Sequential(
            nn.Linear(config.base_channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        if config.num_classes:  # one more than there are: the last says nothing
            self.labels = nn.Embedding(config.num_classes + 1, embedding)
        self.first = _conv(dims, in_channels, config.base_channels)
        self.encoder = nn.ModuleList(
            _Level(
                dims, v.encoder, v.width, config, attend=v.attend, down=_downsample(dims, v.width) if v.down else None
            )
            for v in levels
        )
        self.middle = _Middle(dims, levels[-1].width, config)
        self.decoder = nn.ModuleList(
            _Level(dims, v.decoder, v.width, config, attend=v.attend, up=_upsample(dims, v.width) if v.up else None)
            for v in levels
        )
        channels = levels[0].width
        self.last_norm = _norm(channels, config)
        self.last = _conv(dims, channels, out_channels)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Set all weights to what `seed` gives, on the CPU in float32, whatever the device and dtype of the model."""
        generator = torch.Generator(device="cpu").manual_seed(seed)
        linear: tuple[type[Any], ...] = (*_CONVOLUTIONS.values(), nn.Linear)
        for name, layer in self.named_modules():
            if isinstance(layer, nn.GroupNorm):
                layer.reset_parameters()
            elif isinstance(layer, linear):
                weight = torch.empty(layer.weight.shape, dtype=torch.float32, device="cpu")
                fan_average = weight[0, 0].numel() * (weight.shape[0] + weight.shape[1]) / 2
                limit = math.sqrt(3.0 / fan_average)
                weight.uniform_(-limit, limit, generator=generator)
                if name.split(".")[-1] in ZERO_AT_START:
                    weight.zero_()
                layer.weight.copy_(weight)
                layer.bias.zero_()
            elif isinstance(layer, nn.Embedding):
                layer.weight.zero_()

    def forward(self, x: Tensor, cond: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction.

        Parameters
        ----------
        x
            Noisy data, (B, in_channels, *sizes), sizes that are multiples of `multiple`.
        cond
            (B,): the time in [0, 1] (embedding "time"), or the log-SNR of the DC frequency, infinite or not ("log_snr").
        label
            (B,), whole numbers: the classes, num_classes for none of them, which is what None means.

        Returns
        -------
        Tensor
            (B, out_channels, *sizes), device of x, dtype of the weights (under autocast: its dtype).

        Raises
        ------
        ArgumentError
            H or W is no multiple of `multiple`, or the shapes of x and cond are not these.
        """
        if x.ndim != 2 + self.dims or x.shape[1] != self.in_channels or cond.shape != x.shape[:1]:
            sides = {1: "L", 2: "H, W", 3: "D, H, W"}[self.dims]
            raise ArgumentError(
                f"x must be (B, {self.in_channels}, {sides}) and cond (B,); got {tuple(x.shape)} and {tuple(cond.shape)}"
            )
        check_size(self.config, *x.shape[2:])
        embedding = self._embed(cond, label)
        patch = self.config.patch_size
        h = self.first(_fold(x, patch) if patch > 1 else x)
        skips = [h]
        for level in self.encoder:
            for block, attention in zip(level.blocks, level.attention, strict=True):
                h = self._through(_attended, block, attention, embedding, h)
                skips.append(h)
            if level.down is not None:
                h = level.down(h)
                skips.append(h)
        h = self.middle(h, embedding)
        for level in reversed(self.decoder):
            for block, attention in zip(level.blocks, level.attention, strict=True):
                beside = [skips.pop()]
                if not self._saves_memory():  # what has been joined need not be kept apart
                    h, beside = torch.cat([h, *beside], dim=1), []
                h = self._through(_attended, block, attention, embedding, h, *beside)
            if level.up is not None:
                h = self._through(level.up, h)
        h = self._through(self._project, h)
        return _unfold(h, patch) if patch > 1 else h

    def _saves_memory(self) -> bool:
        return self.gradient_checkpointing and torch.is_grad_enabled()

    def _through(self, part: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """Run a part of the network, with activation checkpointing if configured."""
        if not self._saves_memory():
            return part(*inputs)
        masks = self.config.dropout > 0  # the only thing random here
        output: Tensor = checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=masks)
        return output

    def _project(self, h: Tensor) -> Tensor:
        return self.last(_silu(self.last_norm(h)))

    def _embed(self, cond: Tensor, label: Tensor | None) -> Tensor:
        """Return e of the module's formula, (B, 4 base_channels): sinusoids in float32, layers in the weights' dtype."""
        cond = cond.float()
        scaled = 1000.0 * cond if self.config.embedding == "time" else scale_log_snr(cond)
        with torch.autocast(cond.device.type, enabled=False):  # bfloat16 does not tell neighbouring times apart
            e = self.embedding(self.sinusoids(scaled).to(self.embedding[0].weight.dtype))
            if self.config.num_classes:
                none = torch.full(cond.shape, self.config.num_classes, device=cond.device)
                e = e + self.labels(none if label is None else label)
            return F.silu(e)


def _attended(block: nn.Module, attention: nn.Module, embedding: Tensor, *inputs: Tensor) -> Tensor:
    """Run a residual block, and the attention after it, on one tensor or on two beside each other."""
    h = torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]
    return attention(block(h, embedding))


def _silu(x: Tensor) -> Tensor:
    """Return SiLU, in place where no gradient is recorded, to save memory. The input must not be used afterwards."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, + embedding, norm, SiLU, dropout, conv; plus a shortcut."""

    def __init__(self, dims: int, channels: int, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.norm1 = _norm(channels, config)
        self.conv1 = _conv(dims, channels, width)
        self.embed = nn.Linear(4 * config.base_channels, width)
        self.norm2 = _norm(width, config)
        self.conv2 = _conv(dims, width, width)
        self.shortcut = _conv(dims, channels, width, kernel=1) if channels != width else nn.Identity()
        self.dropout = config.dropout

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (B, channels, *space) to (B, width, *space); `embedding` is (B, 4 base_channels), after its SiLU."""
        shift = self.embed(embedding)
        h = self.conv1(_silu(self.norm1(x))) + shift.reshape(*shift.shape, *[1] * (x.ndim - 2))
        h = F.dropout(_silu(self.norm2(h)), self.dropout, self.training)
        return self.shortcut(x) + self.conv2(h)


class Attention(nn.Module):
    """Self-attention over all pixels, as a residual branch; head j has the j-th run of channels / num_heads channels."""

    def __init__(self, dims: int, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.norm = _norm(channels, config)
        self.query, self.key, self.value, self.out = (_conv(dims, channels, channels, kernel=1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, *space) to the same shape."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, pixels, channels)
        q, k, v = (
            _pointwise(project, tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + _pointwise(self.out, mixed).transpose(1, 2).unflatten(2, x.shape[2:])


class Sinusoids(nn.Module):
    r"""Sines, then cosines, of a number at K = width // 2 frequencies from 1 down to 1 / 10000, in float32.

    The frequencies are computed in float64, so that every backend starts from the same table, and they stay in float32
    when the model is cast. An odd width ends in a zero.

    Parameters
    ----------
    width
        Number of features, at least 2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("frequencies", self._table(None), persistent=False)
        self.frequencies: Tensor

    def _table(self, device: torch.device | None) -> Tensor:
        values = sinusoid_frequencies(self.width)
        return torch.tensor(values, dtype=torch.float32, device=device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Sinusoids:
        super()._apply(fn, recurse)  # moves and casts; then the table anew, in float32
        self.frequencies = self._table(self.frequencies.device)
        return self

    def forward(self, values: Tensor) -> Tensor:
        """Map (B,) to (B, width); `values` on the scale of DDPM's steps, 0 .. 1000."""
        angles = values.float()[:, None] * self.frequencies
        return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, self.width % 2))


class _Level(nn.Module):
    """The residual blocks of one level, each followed by attention if configured, and the down- or upsampling layer."""

    def __init__(
        self,
        dims: int,
        inputs: tuple[int, ...],
        width: int,
        config: ModelConfig,
        *,
        attend: bool,
        down: nn.Module | None = None,
        up: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(dims, c, width, config) for c in inputs)
        self.attention = nn.ModuleList(Attention(dims, width, config) if attend else nn.Identity() for _ in inputs)
        self.down, self.up = down, up


class _Middle(nn.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, dims: int, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.before = ResidualBlock(dims, width, width, config)
        self.attention = Attention(dims, width, config)
        self.after = ResidualBlock(dims, width, width, config)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.after(self.attention(self.before(x, embedding)), embedding)


_CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def _conv(dims: int, channels: int, width: int, *, kernel: int = 3) -> nn.Module:
    return _CONVOLUTIONS[dims](channels, width, kernel, padding=kernel // 2)


def _fold(x: Tensor, patch: int) -> Tensor:
    """Fold patches into channels, ordered (c, row, column): `pixel_unshuffle` along any number of axes."""
    b, c, *sizes = x.shape
    parts = x.reshape(b, c, *(n for size in sizes for n in (size // patch, patch)))
    inner, outer = range(3, 2 + 2 * len(sizes), 2), range(2, 2 + 2 * len(sizes), 2)
    return parts.permute(0, 1, *inner, *outer).reshape(b, -1, *(size // patch for size in sizes))


def _unfold(x: Tensor, patch: int) -> Tensor:
    """Undo :func:`_fold`."""
    b, c, *sizes = x.shape
    dims = len(sizes)
    parts = x.reshape(b, c // patch**dims, *[patch] * dims, *sizes)
    order = (axis for k in range(dims) for axis in (2 + dims + k, 2 + k))
    return parts.permute(0, 1, *order).reshape(b, c // patch**dims, *(size * patch for size in sizes))


def _norm(channels: int, config: ModelConfig) -> nn.GroupNorm:
    return nn.GroupNorm(config.norm_groups, channels, eps=NORM_EPS)


def _pointwise(conv: nn.Module, tokens: Tensor) -> Tensor:
    """Apply a convolution of one pixel to (B, pixels, channels): the layout that fused attention kernels want."""
    return F.linear(tokens, conv.weight.flatten(1), conv.bias)


class _Down:
    """Halve the size: a convolution of stride 2, after zeros at the far end of each axis."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1) * (x.ndim - 2)))  # type: ignore[misc]


class _Up:
    """Double the size: each pixel twice along each axis, then a convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))  # type: ignore[misc]


# Convolutions themselves, so that their weights have the keys of one.
_DOWN = {dims: type(f"_Down{dims}d", (_Down, conv), {}) for dims, conv in _CONVOLUTIONS.items()}
_UP = {dims: type(f"_Up{dims}d", (_Up, conv), {}) for dims, conv in _CONVOLUTIONS.items()}


def _downsample(dims: int, width: int) -> nn.Module:
    return _DOWN[dims](width, width, 3, stride=2)


def _upsample(dims: int, width: int) -> nn.Module:
    return _UP[dims](width, width, 3, padding=1)


def scale_log_snr(log_snr: Tensor) -> Tensor:
    """Map a log-SNR, infinite ends included, to the scale of DDPM's steps: clip(20 - log_snr, 0, 40) * 25.

    0 is clean data (20 and above), 1000 is noise (-20 and below); shape and dtype are kept.
    """
    clipped = log_snr.clamp(-LOG_SNR_RANGE, LOG_SNR_RANGE)
    return (LOG_SNR_RANGE - clipped) * (1000.0 / (2 * LOG_SNR_RANGE))


def num_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def build_model(config: RunConfig, image_shape: tuple[int, ...]) -> UNet:
    """Return the network of a configuration for data (*grid, C), its weights drawn from the run's seed."""
    *grid, channels = image_shape
    seed = derived_seed(config.seed, Stream.WEIGHTS)
    return UNet(
        config.model,
        in_channels=channels,
        out_channels=channels,
        image_size=tuple(grid),
        seed=seed,
        gradient_checkpointing=config.train.gradient_checkpointing,
    )
