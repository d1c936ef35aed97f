"""What a run is made of: frozen, keyword-only dataclasses of Python scalars, the only configuration there is.

The same keys serve every backend. They are read from TOML, overridden by flags, and written back, resolved, into
the run folder (:mod:`blurcore.runs`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from blurcore._checks import make_plain, require, require_finite
from blurcore.data.source import Source
from blurcore.data.sources import MNIST
from blurcore.objectives import Denoising, Objective
from blurcore.processes import BlurringDiffusion, Process
from blurcore.resolution import Full, Resolution
from blurcore.samplers import Ancestral, Solver, Times, Uniform
from blurcore.starts import Start


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """U-Net of the paper's kind (Ho et al. 2020, appendix B): the defaults are the CIFAR-10 network of 35.7 M parameters."""

    base_channels: int = 128
    """Channels of the first level; a multiple of `norm_groups`."""
    channel_multipliers: tuple[int, ...] = (1, 2, 2, 2)
    """Channels of each level, in units of `base_channels`; each level after the first halves the image."""
    patch_size: int = 1
    """Pixels of a side that are folded into channels before the first convolution, and unfolded after the last."""
    num_res_blocks: int = 2
    """Residual blocks in each level of the encoder (the decoder has one more)."""
    attention_levels: tuple[int, ...] = (1,)
    """Levels with self-attention: level i works at H / 2^i x W / 2^i (level 1 of a 32 x 32 image: 16 x 16)."""
    num_heads: int = 1
    """Heads of each attention block."""
    dropout: float = 0.1
    """Dropout rate inside the residual blocks, in [0, 1)."""
    norm_groups: int = 32
    """Groups of the group normalisation."""
    num_classes: int = 0
    """Classes that the data are labelled with, 0 .. num_classes - 1, for conditional generation; 0: unconditional."""
    embedding: Literal["time", "log_snr"] = "time"
    """What the sinusoidal embedding shows the network: t, or the log-SNR of the DC frequency."""

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.norm_groups >= 1, "norm_groups", self.norm_groups, "at least 1")
        require(
            len(self.channel_multipliers) >= 1, "channel_multipliers", self.channel_multipliers, "one entry a level"
        )
        widths = [self.base_channels * m for m in self.channel_multipliers]
        require(
            min(widths) >= 1
            and self.base_channels >= 1
            and all(w % self.norm_groups == 0 for w in [self.base_channels, *widths]),
            "base_channels",
            self.base_channels,
            f"positive, with every width a multiple of norm_groups = {self.norm_groups}",
        )
        require(self.patch_size >= 1, "patch_size", self.patch_size, "at least 1")
        require(self.num_res_blocks >= 1, "num_res_blocks", self.num_res_blocks, "at least 1")
        levels = len(self.channel_multipliers)
        require(
            all(0 <= i < levels for i in self.attention_levels),
            "attention_levels",
            self.attention_levels,
            f"levels from 0 to {levels - 1}",
        )
        require(
            self.num_heads >= 1 and all(widths[i] % self.num_heads == 0 for i in self.attention_levels),
            "num_heads",
            self.num_heads,
            "a divisor of the width of each level with attention",
        )
        require(0.0 <= self.dropout < 1.0, "dropout", self.dropout, "in [0, 1)")
        require(self.num_classes >= 0, "num_classes", self.num_classes, "0 or more")


MODEL_PRESETS: dict[str, ModelConfig] = {
    "cifar10": ModelConfig(),
    "small": ModelConfig(
        base_channels=32,
        channel_multipliers=(1, 2, 2),
        num_res_blocks=1,
        attention_levels=(2,),
        dropout=0.0,
        norm_groups=8,
    ),
    "tiny": ModelConfig(
        base_channels=8, channel_multipliers=(1, 2), num_res_blocks=1, attention_levels=(1,), dropout=0.0, norm_groups=4
    ),
}
"""Named networks: `cifar10` is DDPM's (35.7 M parameters), `small` trains on a CPU in minutes, `tiny` serves tests."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Optimisation: the paper's simple loss, AdamW, warm-up, clipping, an exponential moving average of the weights."""

    steps: int = 500_000
    """Optimiser steps."""
    batch_size: int = 128
    """Images of one optimiser step, over all accumulation parts."""
    accumulate: int = 1
    """Parts that a batch is split into, to save memory; a divisor of `batch_size`."""
    learning_rate: float = 2e-4
    """Peak learning rate, reached after the warm-up."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or a half cosine down to zero at the last step."""
    warmup_steps: int = 5_000
    """Steps of linear warm-up."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    grad_clip: float = 1.0
    """Largest global norm of the gradient; 0 switches clipping off."""
    ema_decay: float = 0.9999
    """Decay of the moving average of the weights, warmed up as min(decay, (1 + step) / (10 + step))."""
    objective: Objective = field(default_factory=Denoising)
    """What the network is trained to predict, and at which times. Denoising: eps, v or x0 of a process with noise; HeatReversal:
    inverse heat dissipation's, the image one level less blurred minus the one it sees; Restoration: the image, without noise."""
    label_dropout: float = 0.1
    """Share of the images whose label a conditional network does not see, so that it learns to do without (Ho & Salimans 2022)."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16: the network computes in bfloat16; weights, coefficients and the loss stay in float32."""
    compile: bool = False
    """Compile the network (torch.compile); JAX always compiles the whole step."""
    gradient_checkpointing: bool = False
    """Save memory: keep for the backward pass what passes between the blocks of the network, and work out the rest again."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Where several devices train one model: each has all of it (data parallel), or weights, average and optimiser are spread
    over them (fully sharded). One device has all of it either way."""
    sharded_checkpoints: bool = False
    """Each process writes its own part of a checkpoint (torch.distributed.checkpoint, orbax); off: one gathers and writes it all."""
    num_workers: int = 0
    """Threads that read and decode the coming batches; 0 reads in the training loop."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""
    sample_every: int = 0
    """Steps between two sample grids; 0: only at the end."""
    evaluate_every: int = 0
    """Steps between two evaluations of samples drawn with the averaged weights, as `sample` says: their distances to the training
    images (docs/evaluation.md) go into metrics.jsonl; 0: never."""
    evaluate_samples: int = 256
    """Samples of each evaluation; more than the features have dimensions, 32 for images."""
    checkpoint_every: int = 1_000
    """Steps between two checkpoints; one is always written at the end and when a signal stops the run."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints to keep."""
    tensorboard: bool = False
    """Write the scalars for TensorBoard too, into RUN/tensorboard (needs the extra `tensorboard`)."""
    wandb: bool = False
    """Send the scalars to Weights & Biases too, by way of RUN/wandb (needs the extra `wandb`; WANDB_MODE=offline: do not send)."""

    def __post_init__(self) -> None:
        make_plain(self)
        for name in (
            "steps",
            "batch_size",
            "accumulate",
            "log_every",
            "checkpoint_every",
            "keep_checkpoints",
            "evaluate_samples",
        ):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("warmup_steps", "sample_every", "evaluate_every", "num_workers"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("learning_rate", "weight_decay", "grad_clip", "ema_decay"):
            require_finite(name, getattr(self, name))
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(
            self.batch_size % self.accumulate == 0,
            "accumulate",
            self.accumulate,
            f"a divisor of batch_size = {self.batch_size}",
        )
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "positive")
        require(0.0 <= self.label_dropout <= 1.0, "label_dropout", self.label_dropout, "in [0, 1]")
        require(0.0 <= self.ema_decay < 1.0, "ema_decay", self.ema_decay, "in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Sampling: the solver and its grid."""

    solver: Solver = field(default_factory=Ancestral)
    """How a step is taken. CalibratedAncestral takes the network's own error per frequency (`blurcore calibrate RUN` first)."""
    times: Times = field(default_factory=Uniform)
    """Where the steps end, and how many there are."""
    start: Start | None = None
    """What sampling starts from beside noise. Not given: noise alone, or, where the process leaves an image at t = 1, blurred
    training images (BlurredData). It is fitted in training, and kept in every checkpoint."""
    last_noise: bool = False
    """Add noise in the last step too, as in every other."""
    num_samples: int = 64
    """Images to draw."""
    batch_size: int = 64
    """Images in one batch; it does not change the samples."""
    seed: int = 0
    """Sample i depends on (seed, i) alone."""
    label: int | None = None
    """Class of all samples of a conditional network; not given: the classes in turn."""
    guidance: float = 1.0
    """Classifier-free guidance w, network = without label + w (with label - without): 1 is the plain conditional network, 0
    the unconditional one; any other calls the network on twice the batch."""
    vary: Literal["all", "noise", "start", "interpolation"] = "all"
    """What tells samples apart: all; noise: they share the initial state; start: they share the noise of the steps;
    interpolation: they go from sample 0 to sample 1, start and noise together."""
    clip: Literal["off", "static", "dynamic"] = "off"
    """Bring the predicted image into its range in each step (one more transform pair): by clipping, or by dynamic
    thresholding. For processes without blur: early in a blurring process the image holds the errors of frequencies that
    are all but gone, and clipping spreads them."""
    clip_quantile: float = 0.995
    """Quantile of the magnitudes that dynamic thresholding brings into the range, in (0, 1]."""

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("num_samples", "batch_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require_finite("guidance", self.guidance)
        require(self.guidance >= 0, "guidance", self.guidance, "0 or more")
        require(self.label is None or self.label >= 0, "label", self.label, "0 or more")
        require(0.0 < self.clip_quantile <= 1.0, "clip_quantile", self.clip_quantile, "in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run does."""

    seed: int = 0
    """Seed of the weights, the order of the data, the times and the noise."""
    backend: str = "auto"
    """A name of `blurcore.available()`; auto: the one that trained the run, if it is installed, else torch, else jax."""
    device: str = "auto"
    """`auto` takes the accelerator where there is one."""
    process: Process = field(default_factory=BlurringDiffusion)
    """The diffusion process."""
    data: Source = field(default_factory=MNIST)
    """Where the images come from."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    resolution: Resolution = field(default_factory=Full)
    """On which sizes of images the network is trained and sampled. Full: the whole one; Nested: on smaller ones while the frequencies
    that they lack are dead."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Optimisation."""
    sample: SampleConfig = field(default_factory=SampleConfig)
    """Sampling."""

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.seed >= 0, "seed", self.seed, "0 or more")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Likelihood of held-out images under a run's model."""

    likelihood: Literal["discrete", "continuous", "ode"] = "discrete"
    """discrete: the bound of a chain of `num_steps` steps; continuous: its limit; ode: the density of the probability-flow
    ODE, with a bound for the bins of the pixels. A run that was trained by HeatReversal has inverse heat dissipation's own
    bound, level by level, under the name discrete."""
    num_images: int = 64
    """How many images, from the start of the split."""
    split: Literal["train", "test", "all"] = "test"
    """Part of the data set."""
    num_steps: int = 1000
    """discrete: steps; continuous: times at which the integrand of each image is looked at."""
    probes: int = 1
    """ode: random vectors of Hutchinson's estimate of the divergence, for each image; 0: the exact trace, of all dimensions."""
    tolerance: float = 1e-3
    """ode: relative and absolute error of a step."""
    batch_size: int = 32
    """Images in one batch."""
    seed: int = 0
    """Seed of the noise and the probes."""

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("num_images", "num_steps", "batch_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("probes", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require_finite("tolerance", self.tolerance)
        require(self.tolerance > 0, "tolerance", self.tolerance, "positive")
