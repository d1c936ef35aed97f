"""The U-Net of `blurcore_torch.model`, whose docstring has its formulas and its keys, in Flax NNX: channels last.

A pure function of (weights, images, condition, key): dropout takes its key as an argument and there is no other state,
so that ``nnx.split(model)`` gives a graph definition and parameters alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from blurcore.config import ModelConfig, RunConfig
from blurcore.engine.unet import LOG_SNR_RANGE, NORM_EPS, check_model, check_size, plan_levels, sinusoid_frequencies
from blurcore.errors import ArgumentError

_uniform = jax.nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")  # DDPM's
_zeros = jax.nn.initializers.zeros


class UNet(nnx.Module):
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
    dtype
        What convolutions and dense layers compute in (bfloat16 on accelerators); weights are float32, and so is the
        embedding of the time.
    gradient_checkpointing
        Keep for the backward pass what passes between the blocks alone, and work out the rest again there, which takes
        less memory and more time.
    rngs
        Where the weights come from.

    Raises
    ------
    ArgumentError
        The image size does not halve as often as there are levels, or the widths do not fit the embedding or heads.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        in_channels: int,
        out_channels: int,
        image_size: tuple[int, ...],
        dtype: Any = jnp.float32,
        gradient_checkpointing: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.config, self.dtype = config, dtype
        self.gradient_checkpointing = gradient_checkpointing
        self.in_channels, self.out_channels = in_channels, out_channels
        check_model(config, in_channels, out_channels, image_size)
        self.dims = len(image_size)
        make = _Layers(config, self.dims, dtype, rngs)
        channels, folded = config.base_channels, config.patch_size**self.dims
        self.embedding = nnx.Sequential(
            make.dense(channels, 4 * channels, dtype=jnp.float32),
            jax.nn.silu,
            make.dense(4 * channels, 4 * channels, dtype=jnp.float32),
        )
        if config.num_classes:  # one more than there are: the last says nothing
            self.labels = nnx.Embed(config.num_classes + 1, 4 * channels, embedding_init=_zeros, rngs=rngs)
        self.first = make.conv(in_channels * folded, channels)
        levels = plan_levels(config)
        self.encoder = nnx.List(
            [
                _Level(
                    level.encoder,
                    level.width,
                    make,
                    attend=level.attend,
                    down=_down(level.width, make) if level.down else None,
                )
                for level in levels
            ]
        )
        self.middle = _Middle(levels[-1].width, make)
        self.decoder = nnx.List(
            [
                _Level(
                    level.decoder,
                    level.width,
                    make,
                    attend=level.attend,
                    up=make.conv(level.width, level.width) if level.up else None,
                )
                for level in levels
            ]
        )
        channels = levels[0].width
        self.last_norm = make.norm(channels)
        self.last = make.conv(channels, out_channels * folded, init=_zeros)

    def __call__(
        self, x: jax.Array, cond: jax.Array, key: jax.Array | None = None, label: jax.Array | None = None
    ) -> jax.Array:
        """Return the prediction.

        Parameters
        ----------
        x
            Noisy data, (B, *sizes, in_channels), sizes that are multiples of `multiple`.
        cond
            (B,): the time in [0, 1] (embedding "time"), or the log-SNR of the DC frequency, infinite or not ("log_snr").
        key
            For dropout; None switches it off.
        label
            (B,), whole numbers: the classes, num_classes for none of them, which is what None means.

        Returns
        -------
        jax.Array
            (B, *sizes, out_channels), of `dtype`.

        Raises
        ------
        ArgumentError
            H or W is no multiple of `multiple`, or the shapes of x and cond are not these.
        """
        if x.ndim != 2 + self.dims or x.shape[-1] != self.in_channels or cond.shape != x.shape[:1]:
            sides = {1: "L", 2: "H, W", 3: "D, H, W"}[self.dims]
            raise ArgumentError(
                f"x must be (B, {sides}, {self.in_channels}) and cond (B,); got {tuple(x.shape)} and {tuple(cond.shape)}"
            )
        check_size(self.config, *x.shape[1:-1])
        keys = _keys(key)
        embedding = self._embed(cond, label)
        h = self.first(_fold(x.astype(self.dtype), self.config.patch_size))
        skips = [h]
        for level in self.encoder:
            for block, attention in zip(level.blocks, level.attention, strict=True):
                h = self._through(_attended, (block, attention), embedding, keys(), h)
                skips.append(h)
            if level.down is not None:
                h = level.down(h)
                skips.append(h)
        h = self.middle(h, embedding, keys)
        for level in reversed(list(self.decoder)):
            for block, attention in zip(level.blocks, level.attention, strict=True):
                h = self._through(_attended, (block, attention), embedding, keys(), h, skips.pop())
            if level.up is not None:
                h = self._through(lambda up, h: up(_double(h)), level.up, h)
        h = self._through(lambda parts, h: parts[1](jax.nn.silu(parts[0](h))), (self.last_norm, self.last), h)
        return _unfold(h, self.config.patch_size)

    def _through(self, part: Callable[..., jax.Array], layers: Any, *inputs: Any) -> jax.Array:
        """Run a part of the network, with activation checkpointing if configured."""
        output: jax.Array = (nnx.remat(part) if self.gradient_checkpointing else part)(layers, *inputs)
        return output

    def _embed(self, cond: jax.Array, label: jax.Array | None) -> jax.Array:
        """Return e of the formula, (B, 4 base_channels), in float32: bfloat16 does not tell neighbouring times apart."""
        cond = cond.astype(jnp.float32)
        scaled = 1000.0 * cond if self.config.embedding == "time" else scale_log_snr(cond)
        e = self.embedding(sinusoids(scaled, self.config.base_channels))
        if self.config.num_classes:
            e = e + self.labels(jnp.full(cond.shape, self.config.num_classes) if label is None else label)
        return jax.nn.silu(e)


def _attended(layers: Any, embedding: jax.Array, key: jax.Array | None, *inputs: jax.Array) -> jax.Array:
    """Run a residual block, and the attention after it if there is any, on one array or on two beside each other."""
    block, attention = layers
    h = block(jnp.concatenate(inputs, axis=-1) if len(inputs) > 1 else inputs[0], embedding, key)
    return h if attention is None else attention(h)


class ResidualBlock(nnx.Module):
    """norm, SiLU, conv, + embedding, norm, SiLU, dropout, conv; plus a shortcut."""

    def __init__(self, channels: int, width: int, make: _Layers) -> None:
        self.norm1 = make.norm(channels)
        self.conv1 = make.conv(channels, width)
        self.embed = make.dense(4 * make.config.base_channels, width)
        self.norm2 = make.norm(width)
        self.dropout = nnx.Dropout(make.config.dropout)
        self.conv2 = make.conv(width, width, init=_zeros)
        self.shortcut = make.conv(channels, width, kernel=1) if channels != width else None

    def __call__(self, x: jax.Array, embedding: jax.Array, key: jax.Array | None) -> jax.Array:
        """Map (B, H, W, channels) to (B, H, W, width); `embedding` is (B, 4 base_channels), after its SiLU."""
        h = self.conv1(jax.nn.silu(self.norm1(x))) + jnp.expand_dims(self.embed(embedding), tuple(range(1, x.ndim - 1)))
        h = self.dropout(jax.nn.silu(self.norm2(h)), deterministic=key is None, rngs=key)
        return (x if self.shortcut is None else self.shortcut(x)) + self.conv2(h)


class Attention(nnx.Module):
    """Self-attention over all pixels, as a residual branch; head j has the j-th run of channels / num_heads channels."""

    def __init__(self, channels: int, make: _Layers) -> None:
        self.heads = make.config.num_heads
        self.norm = make.norm(channels)
        self.query, self.key, self.value = (make.conv(channels, channels, kernel=1) for _ in range(3))
        self.out = make.conv(channels, channels, kernel=1, init=_zeros)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (B, H, W, channels) to the same shape."""
        h = self.norm(x)
        split = (x.shape[0], math.prod(x.shape[1:-1]), self.heads, x.shape[-1] // self.heads)
        q, k, v = (project(h).reshape(split) for project in (self.query, self.key, self.value))
        return x + self.out(jax.nn.dot_product_attention(q, k, v).reshape(x.shape))


class _Layers:
    """Makes layers with the configuration's groups, dtype and source of randomness."""

    def __init__(self, config: ModelConfig, dims: int, dtype: Any, rngs: nnx.Rngs) -> None:
        self.config, self.dims, self.dtype, self.rngs = config, dims, dtype, rngs

    def conv(
        self,
        channels: int,
        width: int,
        *,
        kernel: int = 3,
        strides: int = 1,
        padding: Any = "SAME",
        init: Callable[..., jax.Array] = _uniform,
    ) -> nnx.Conv:
        return nnx.Conv(
            channels,
            width,
            (kernel,) * self.dims,
            strides,
            padding=padding,
            dtype=self.dtype,
            kernel_init=init,
            rngs=self.rngs,
        )

    def dense(self, features: int, width: int, *, dtype: Any = None) -> nnx.Linear:
        return nnx.Linear(features, width, dtype=dtype or self.dtype, kernel_init=_uniform, rngs=self.rngs)

    def norm(self, channels: int) -> nnx.GroupNorm:
        # The fast variance, E[x^2] - E[x]^2, loses digits where the mean is large.
        return nnx.GroupNorm(
            channels,
            self.config.norm_groups,
            epsilon=NORM_EPS,
            dtype=self.dtype,
            use_fast_variance=False,
            rngs=self.rngs,
        )


class _Level(nnx.Module):
    """The residual blocks of one level, each followed by attention if configured, and the down- or upsampling layer."""

    def __init__(
        self,
        inputs: tuple[int, ...],
        width: int,
        make: _Layers,
        *,
        attend: bool,
        down: nnx.Conv | None = None,
        up: nnx.Conv | None = None,
    ) -> None:
        self.blocks = nnx.List([ResidualBlock(c, width, make) for c in inputs])
        self.attention = nnx.List([Attention(width, make) if attend else None for _ in inputs])
        self.down, self.up = down, up


def _down(width: int, make: _Layers) -> nnx.Conv:
    """Halve the size: a convolution of stride 2, after zeros at the far end of each axis."""
    return make.conv(width, width, strides=2, padding=((0, 1),) * make.dims)


class _Middle(nnx.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, width: int, make: _Layers) -> None:
        self.before = ResidualBlock(width, width, make)
        self.attention = Attention(width, make)
        self.after = ResidualBlock(width, width, make)

    def __call__(self, x: jax.Array, embedding: jax.Array, keys: Callable[[], jax.Array | None]) -> jax.Array:
        return self.after(self.attention(self.before(x, embedding, keys())), embedding, keys())


def sinusoids(values: jax.Array, width: int) -> jax.Array:
    """Map (B,) to (B, width): sines, then cosines, at width // 2 frequencies from 1 down to 1 / 10000, in float32.

    The frequencies are worked out in float64, so that every backend starts from the same table; an odd width ends in a
    zero. `values` are on the scale of DDPM's steps, 0 .. 1000.
    """
    table = np.array(sinusoid_frequencies(width), dtype=np.float32)
    angles = values[:, None] * table
    return jnp.pad(jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1), ((0, 0), (0, width % 2)))


def scale_log_snr(log_snr: jax.Array) -> jax.Array:
    """Map a log-SNR, infinite ends included, to the scale of DDPM's steps: clip(20 - log_snr, 0, 40) * 25."""
    clipped = jnp.clip(log_snr, -LOG_SNR_RANGE, LOG_SNR_RANGE)
    return (LOG_SNR_RANGE - clipped) * (1000.0 / (2 * LOG_SNR_RANGE))


def _keys(key: jax.Array | None) -> Callable[[], jax.Array | None]:
    """Return a source of keys, one for each dropout in order of evaluation; of None if there is no key."""
    count = iter(range(10**6))
    return lambda: None if key is None else jax.random.fold_in(key, next(count))


def _double(x: jax.Array) -> jax.Array:
    """Repeat each pixel along each axis."""
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, 2, axis=axis)
    return x


def _fold(x: jax.Array, patch: int) -> jax.Array:
    """Fold patches into channels, ordered (c, row, column)."""
    if patch == 1:
        return x
    b, *sizes, c = x.shape
    parts = x.reshape(b, *(n for size in sizes for n in (size // patch, patch)), c)
    outer, inner = range(1, 2 * len(sizes), 2), range(2, 1 + 2 * len(sizes), 2)
    return parts.transpose(0, *outer, parts.ndim - 1, *inner).reshape(b, *(size // patch for size in sizes), -1)


def _unfold(x: jax.Array, patch: int) -> jax.Array:
    """Undo :func:`_fold`."""
    if patch == 1:
        return x
    b, *sizes, c = x.shape
    dims = len(sizes)
    parts = x.reshape(b, *sizes, c // patch**dims, *[patch] * dims)
    order = (axis for k in range(dims) for axis in (1 + k, 2 + dims + k))
    return parts.transpose(0, *order, 1 + dims).reshape(b, *(size * patch for size in sizes), -1)


def build_model(config: RunConfig, image_shape: tuple[int, ...], rngs: nnx.Rngs) -> UNet:
    """Return the network of a configuration for data (*grid, C)."""
    *grid, channels = image_shape
    dtype = jnp.bfloat16 if config.train.precision == "bf16" else jnp.float32
    return UNet(
        config.model,
        in_channels=channels,
        out_channels=channels,
        image_size=tuple(grid),
        dtype=dtype,
        rngs=rngs,
        gradient_checkpointing=config.train.gradient_checkpointing,
    )


def abstract_model(config: RunConfig, image_shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return graph definition and parameters as shapes: nothing is computed."""
    return nnx.split(nnx.eval_shape(lambda: build_model(config, image_shape, nnx.Rngs(0))))
