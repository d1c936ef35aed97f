"""Peak memory of a training step and of sampling, ours and the peers': `python benchmarks/memory.py [FOLDER]` (CPU).

Each number comes from a process of its own: the largest resident set while it trains on a batch of 128, or samples 256
images in batches of 64, less what it holds before its first step, when all libraries and the network are loaded.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from paired import output_folder, report

BATCH = 128
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "blurcore": ("blurcore", {"batch_size": BATCH}),
    "blurcore, gradient_checkpointing": ("blurcore", {"batch_size": BATCH, "gradient_checkpointing": True}),
    "diffusers": ("diffusers", {}),
    "diffusers, gradient checkpointing": ("diffusers", {"checkpointing": True}),
    "denoising-diffusion-pytorch, our levels": ("denoising-diffusion-pytorch", {}),
}
SAMPLING = ("blurcore", "diffusers", "denoising-diffusion-pytorch, our levels")
MIB = 2**20


def peak() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def child(what: str, case: str) -> None:
    """Do one thing and say how much it took."""
    import time

    import peers

    name, settings = CASES[case]
    contender = peers.make(name, **settings)
    before, start = peak(), time.perf_counter()
    if what == "training":
        contender.train_step(peers.images(BATCH))
    else:
        for _ in range(4):
            contender.sample(64, 1)
    print(json.dumps({"before": before, "after": peak(), "seconds": time.perf_counter() - start}))


def measure(what: str, case: str) -> dict[str, Any]:
    """Return a row."""
    run = subprocess.run(
        [sys.executable, __file__, "--child", what, case],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(run.stdout.splitlines()[-1])
    return {
        "what": what,
        "case": case,
        "peak MiB": said["after"] / MIB,
        "beyond the idle process MiB": (said["after"] - said["before"]) / MIB,
        "seconds": said["seconds"],
    }


def main() -> None:
    """Measure, print, write."""
    if "--child" in sys.argv:
        child(*sys.argv[-2:])
        return
    rows = [measure("training", case) for case in CASES] + [measure("sampling", case) for case in SAMPLING]
    report("memory", rows, output_folder())


if __name__ == "__main__":
    main()
