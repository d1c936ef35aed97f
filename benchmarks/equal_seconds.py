"""Equal seconds: standard diffusion, blurring, and blurring over sizes by two networks: `python -m benchmarks.equal_seconds FOLDER`.

Colour photographs, 32 x 32, x0, three seeds, one thread. Standard diffusion takes `STEPS` steps, the others as many as fit into the same
processor seconds, by the cost of a step measured in pairs by turns. Then 256 samples of 50 ancestral steps each, from the averaged weights.
Beside the network of the package, which every size enters at its first level, stands one that is entered and left at the level that
fits (`Entered`). Lines are added to `equal-seconds.jsonl`; what is there is not done again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any
from unittest import mock

import blurcore_torch.model as networks
import numpy as np
import torch
from blurcore_torch.devices import pick_device
from blurcore_torch.trainer import Trainer
from torch import Tensor, nn

import blurcore as bc
from benchmarks.evidence.ledger import Ledger
from benchmarks.paired import compare
from blurcore.cli import main as blurcore
from blurcore.engine.nesting import choose_sizes
from blurcore.engine.unet import plan_levels
from blurcore.metrics import compare_observed, get_features, observe
from blurcore.runs import write_config

STEPS, SEEDS, SAMPLES, CALLS, PAIRS = 600, (1, 2, 3), 256, 50, 7
MODEL = replace(bc.MODEL_PRESETS["small"], base_channels=16, norm_groups=8, dropout=0.0)
VARIANTS = ("standard", "full", "nested", "entered")


class Entered(networks.UNet):
    """A U-Net that an image of half the size enters and leaves one level further down, by convolutions of its own; the rest is shared."""

    def _build(self, in_channels: int, out_channels: int) -> None:
        super()._build(in_channels, out_channels)
        levels = plan_levels(self.config)
        above = [level.width for level in levels[:-1]]  # what `down` gives to the level below
        self.firsts = nn.ModuleList(networks._conv(self.dims, in_channels, width) for width in above)
        self.last_norms = nn.ModuleList(networks._norm(level.width, self.config) for level in levels[1:])
        self.lasts = nn.ModuleDict(  # named "last", as initialise sets layers of that name to zero
            {
                str(i): nn.ModuleDict({"last": networks._conv(self.dims, v.width, out_channels)})
                for i, v in enumerate(levels[1:])
            }
        )

    def place(self, x: Tensor) -> int:
        """Return the level at which an image is entered: sizes are 32, 16 and 8."""
        return {32: 0, 16: 1, 8: 2}[x.shape[-1]]

    def forward(self, x: Tensor, cond: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction; see :class:`UNet`."""
        place = self.place(x)
        embedding = self._embed(cond, label)
        h = self.first(x) if place == 0 else self.firsts[place - 1](x)
        skips = [h]
        for level in list(self.encoder)[place:]:
            for block, attention in zip(level.blocks, level.attention, strict=True):
                skips.append(h := attention(block(h, embedding)))
            if level.down is not None:
                skips.append(h := level.down(h))
        h = self.middle(h, embedding)
        for i, level in reversed(list(enumerate(self.decoder))[place:]):
            for block, attention in zip(level.blocks, level.attention, strict=True):
                h = attention(block(torch.cat([h, skips.pop()], dim=1), embedding))
            if level.up is not None and i > place:
                h = level.up(h)
        if place == 0:
            return self._project(h)
        return self.lasts[str(place - 1)]["last"](nn.functional.silu(self.last_norms[place - 1](h)))


@contextmanager
def network_of(variant: str) -> Iterator[None]:
    """Let runs have the network of a variant."""
    if variant != "entered":
        yield
        return
    with mock.patch.object(networks, "UNet", Entered):
        yield


def config_of(variant: str, seed: int, steps: int) -> bc.RunConfig:
    """Return the configuration of a run."""
    return bc.RunConfig(
        seed=seed,
        process=bc.GaussianDiffusion() if variant == "standard" else bc.BlurringDiffusion(),
        data=bc.Photos(),
        model=MODEL,
        train=bc.TrainConfig(
            steps=steps,
            batch_size=64,
            learning_rate=1e-3,
            schedule="cosine",
            warmup_steps=50,
            ema_decay=0.99,
            checkpoint_every=steps,
            log_every=max(1, steps // 10),
            objective=bc.Denoising(prediction="x0"),
        ),
        sample=bc.SampleConfig(
            solver=bc.Ancestral(), times=bc.Uniform(num_steps=CALLS), num_samples=SAMPLES, seed=seed
        ),
        resolution=bc.Nested() if variant in ("nested", "entered") else bc.Full(),
    )


def seconds_of_a_step(variant: str) -> float:
    """Return the processor seconds of a training step beside those of standard diffusion."""
    data = bc.Photos().load()
    batch = np.asarray(data[:64])

    def step_of(name: str) -> Any:
        with network_of(name):
            trainer = Trainer(choose_sizes(config_of(name, 0, STEPS), data), data.image_shape, pick_device("cpu"))
        return lambda: float(trainer.train_step(batch)[0])

    return compare(step_of(variant), step_of("standard"), pairs=PAIRS, clock=process_time).ratio


def run(variant: str, seed: int, ratio: float) -> dict[str, Any]:
    """Train for the seconds of standard diffusion, sample, compare."""
    steps = round(STEPS / ratio)
    with tempfile.TemporaryDirectory() as folder, network_of(variant):
        place = Path(folder)
        config = config_of(variant, seed, steps)
        write_config(config, place / "config.toml")
        start = process_time()
        if blurcore(["train", str(place / "config.toml"), "--out", str(place / "run"), "--device", "cpu"]):
            raise RuntimeError("training failed")
        trained, start = process_time() - start, process_time()
        drawn = bc.get_backend("torch").sample(place / "run", config.sample, progress=False)
        sampled = process_time() - start
    features = get_features("dct")
    found = compare_observed(
        observe(drawn.images[drawn.finite], features),
        observe(bc.Photos().load(), features),
        metrics=["frechet", "kid", "spectrum"],
    )
    return {
        "variant": variant,
        "seed": seed,
        "cost_of_a_step": ratio,
        "steps": steps,
        "training_s": round(trained, 1),
        "sampling_s": round(sampled, 1),
        **{name: float(f"{estimate.value:.4g}") for name, estimate in found.items()},
    }


def main() -> None:
    """Work off the list."""
    torch.set_num_threads(1)
    ledger = Ledger(Path(sys.argv[1]) / "equal-seconds.jsonl")
    ratios = {line["variant"]: line["cost_of_a_step"] for line in ledger.lines()} | {"standard": 1.0}
    for seed in SEEDS:
        for variant in VARIANTS:
            job = f"{variant}, seed {seed}"
            if job in ledger.done():
                continue
            if variant not in ratios:
                ratios[variant] = round(seconds_of_a_step(variant), 4)
            print(ledger.add(job, **run(variant, seed, ratios[variant])), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
