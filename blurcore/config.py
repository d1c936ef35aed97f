"""What a run is made of: frozen, keyword-only dataclasses of Python scalars, the only configuration there is.

The same keys serve every backend. They are read from TOML, overridden by flags, and written back, resolved, into
the run folder (:mod:`blurcore.runs`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from blurcore._checks import make_plain, require, require_finite
from blurcore.processes import BlurringDiffusion, ColdDiffusion, GaussianDiffusion, HeatDissipation, SpectralProcess
from blurcore.samplers.grids import check_times

ProcessConfig = BlurringDiffusion | GaussianDiffusion | HeatDissipation | ColdDiffusion | SpectralProcess
PredictionKind = Literal["eps", "v", "x0", "residual"]
SamplerName = Literal[
    "ancestral", "calibrated", "ddim", "dpm_solver_pp", "dpm_solver_sde", "euler", "heun", "ode", "inverse_heat", "cold_naive",
    "cold_improved",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Images, as a data set of uint8 arrays (H, W, C)."""

    name: Literal["mnist", "photos", "digits", "membrane", "brain", "folder", "array"] = "mnist"
    """mnist: 5,000 digits, 28 x 28; photos: colour crops, 32 x 32; digits: 8 x 8; membrane: a recording, 64 samples each; brain:
    patches of a scan, 8 x 16 x 16; folder: image files; array: .npy or .npz."""
    path: str | None = None
    """Where the images are, for `folder` and `array`."""
    dims: Literal[1, 2, 3] = 2
    """Axes of the grid of an `array`: 1 signals, 2 images, 3 volumes or clips."""
    image_size: tuple[int, int] | None = None
    """(height, width) to resize and crop to; the natural size where not given (required for `folder`)."""
    channels: Literal[1, 3] | None = None
    """1 (grey) or 3 (RGB); the natural number where not given (folder: 3)."""
    bits: int | None = None
    """Bits of a pixel of an `array`, and of pictures of more than 8 in a `folder`: 2^bits - 1 is white. Not given: 8 for uint8, 16
    for uint16, 1 for bool, what the file says for pictures."""
    split: Literal["train", "test", "all"] = "train"
    """Part of the set; folders and arrays have only `all`, which `train` also means there."""
    values: Literal["symmetric", "unit"] = "symmetric"
    """Numbers that pixels become: [-1, 1], or [0, 1] as in inverse heat dissipation, to which a sigma of 0.01 refers there."""
    strict: bool = False
    """Stop where an image of a `folder` cannot be read (exit code 1, all are named), instead of leaving it out."""
    flip: bool = False
    """Mirror every other image at random, left to right (photographs, never digits)."""

    def __post_init__(self) -> None:
        make_plain(self)
        if self.image_size is not None:
            require(len(self.image_size) == 2, "image_size", self.image_size, "two numbers, (height, width)")
            require(min(self.image_size) >= 1, "image_size", self.image_size, "at least 1 x 1")
        yours = self.name in ("folder", "array")
        require(not yours or bool(self.path), "data.path", self.path, f"a path, because data.name = {self.name!r}")
        require(
            self.bits is None or yours, "data.bits", self.bits,
            f"not given for data.name = {self.name!r}, which has 8; it is for 'folder' and 'array'",
        )  # fmt: skip
        require(self.bits is None or 1 <= self.bits <= 32, "data.bits", self.bits, "from 1 to 32")


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
            min(widths) >= 1 and self.base_channels >= 1 and all(w % self.norm_groups == 0 for w in [self.base_channels, *widths]),
            "base_channels", self.base_channels, f"positive, with every width a multiple of norm_groups = {self.norm_groups}",
        )  # fmt: skip
        require(self.patch_size >= 1, "patch_size", self.patch_size, "at least 1")
        require(self.num_res_blocks >= 1, "num_res_blocks", self.num_res_blocks, "at least 1")
        levels = len(self.channel_multipliers)
        require(
            all(0 <= i < levels for i in self.attention_levels),
            "attention_levels", self.attention_levels, f"levels from 0 to {levels - 1}",
        )  # fmt: skip
        require(
            self.num_heads >= 1 and all(widths[i] % self.num_heads == 0 for i in self.attention_levels),
            "num_heads", self.num_heads, "a divisor of the width of each level with attention",
        )  # fmt: skip
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
    prediction: PredictionKind = "eps"
    """What the network predicts; residual: inverse heat dissipation's, the image one level less blurred minus the one it sees."""
    levels: int = 0
    """Train at the times k / levels, k = 1 .. levels, only (DDPM: 1000); 0: at all times. Heat dissipation has its own."""
    label_dropout: float = 0.1
    """Share of the images whose label a conditional network does not see, so that it learns to do without (Ho & Salimans 2022)."""
    prior_components: int = 1
    """Gaussians in the mixture that is fitted to the blurred training data, where cold diffusion starts."""
    times: Literal["uniform", "antithetic", "low_discrepancy"] = "low_discrepancy"
    """How the times of a batch are drawn: independent; in pairs (t, 1 - t); one random offset of an even grid."""
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
            "prior_components",
            "log_every",
            "checkpoint_every",
            "keep_checkpoints",
            "evaluate_samples",
        ):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("levels", "warmup_steps", "sample_every", "evaluate_every", "num_workers"):
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

    sampler: SamplerName = "ancestral"
    """ancestral: the paper's; calibrated: with the network's own error per frequency (`blurcore calibrate RUN` first); ddim;
    dpm_solver_pp, multistep, and its random form dpm_solver_sde; euler, heun and the adaptive ode, on the probability-flow
    ODE; inverse_heat; cold_naive and cold_improved, for cold diffusion."""
    num_steps: int = 250
    """Steps, each of which calls the network once (heun: twice)."""
    grid: Literal["uniform", "quadratic", "log_snr"] = "uniform"
    """Where the steps end: evenly in time, ever closer towards the data, or evenly in the noise schedule's log-SNR."""
    times: tuple[float, ...] | None = None
    """A grid of your own, falling from 1 to 0, in the place of `grid` and `num_steps`."""
    variance: Literal["posterior", "upper"] = "posterior"
    """Ancestral sampling's variance: the posterior's (DDPM's "fixed small"), or the forward step's ("fixed large")."""
    tolerance: float = 1e-3
    """Relative and absolute error that `ode` allows itself in a step."""
    delta: float | None = None
    """Noise of inverse_heat's steps; 1.25 sigma where not given."""
    last_noise: bool = False
    """Add noise in the last step too, as in every other."""
    eta: float = 0.0
    """DDIM's noise: 0 deterministic, 1 ancestral."""
    order: int = 2
    """Order of the multistep solvers: 1 to 3 for dpm_solver_pp (2 is known as 2M), 1 or 2 for dpm_solver_sde."""
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
        for name in ("num_steps", "num_samples", "batch_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(0.0 <= self.eta <= 1.0, "eta", self.eta, "in [0, 1]")
        highest = 2 if self.sampler == "dpm_solver_sde" else 3
        require(1 <= self.order <= highest, "order", self.order, f"from 1 to {highest} for {self.sampler}")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        if self.delta is not None:
            require_finite("delta", self.delta)
            require(self.delta >= 0, "delta", self.delta, "0 or more")
        require_finite("tolerance", self.tolerance)
        require(self.tolerance > 0, "tolerance", self.tolerance, "positive")
        require_finite("guidance", self.guidance)
        require(self.guidance >= 0, "guidance", self.guidance, "0 or more")
        require(self.label is None or self.label >= 0, "label", self.label, "0 or more")
        if self.times is not None:
            check_times(self.times)
            require(self.times[0] == 1.0, "times[0]", self.times[0], "1, where sampling starts")
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
    process: ProcessConfig = field(default_factory=BlurringDiffusion)
    """The diffusion process."""
    data: DataConfig = field(default_factory=DataConfig)
    """The images."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
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
    ODE, with a bound for the bins of the pixels. A run that predicts the residual has inverse heat dissipation's own bound,
    level by level, under the name discrete."""
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
