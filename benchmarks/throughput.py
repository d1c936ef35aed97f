"""Images per second in training and in sampling against the peers: `python benchmarks/throughput.py [FOLDER] [--device cuda]`.

On a CPU float32, all as it is by default. On a GPU ours with bfloat16, channels last and `torch.compile`, against what
the peers do by default; their own bfloat16 is measured too. The last table shows that both learn alike: the loss of ours
and of diffusers' on the same images, with the same network and optimiser.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import peers
from paired import compare, report

Cases = dict[str, tuple[str, dict[str, Any]]]

ON_CPU: Cases = {
    "diffusers": ("diffusers", {}),
    "denoising-diffusion-pytorch, our levels": ("denoising-diffusion-pytorch", {}),
    "denoising-diffusion-pytorch, its own shape": ("denoising-diffusion-pytorch", {"shape": "own"}),
}
ON_GPU: Cases = {**ON_CPU, "diffusers, bf16": ("diffusers", {"precision": "bf16"})}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    gpu = args.device != "cpu"
    batch, count, steps, pairs = (128, 64, 50, 15) if gpu else (4, 8, 4, 5)
    settings = {"precision": "bf16", "compile": True} if gpu else {}
    ours = peers.make("blurcore", args.device, batch_size=batch, **settings)
    images, rows = peers.images(batch), []
    for peer, (name, choices) in (ON_GPU if gpu else ON_CPU).items():
        theirs = peers.make(name, args.device, **choices)
        training = compare(partial(ours.train_step, images), partial(theirs.train_step, images), pairs=pairs)
        sampling = compare(partial(ours.sample, count, steps), partial(theirs.sample, count, steps), pairs=pairs)
        for what, result, work in (("training", training, batch), ("sampling", sampling, count * steps)):
            rows.append(
                {
                    "what": f"{what}, batch {batch if what == 'training' else count}",
                    "peer": peer,
                    "our images/s": work / result.ours,
                    "their images/s": work / result.peer,
                    "speed-up": 1 / result.ratio,
                    "our M parameters": ours.parameters / 1e6,
                    "theirs": theirs.parameters / 1e6,
                    "our GFLOP/image": ours.gflop,
                    "their GFLOP/image": theirs.gflop,
                }
            )
    report(f"throughput-{args.device}", rows, args.folder)


if __name__ == "__main__":
    main()
