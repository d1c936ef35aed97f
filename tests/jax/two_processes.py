"""What each of two processes does for tests/jax/test_devices.py: draw, evaluate, add up; then the second one dies."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
from blurcore_jax.devices import agree, processes

from blurcore.cli import main

run, out = sys.argv[1:]
with processes() as team:
    # Ninths of 16 digits, which float32 would not hold; and as many bytes as an odd number of words.
    numbers = np.arange(3.0) / 9 + team.rank
    seen = {"total": team.total(numbers).tolist(), "agreed": agree(15 if team.rank else 0)}
    settings = ["--device", "cpu", "--batch-size", "2"]
    seen["sample"] = main(
        ["sample", run, "--num-samples", "5", "--times.num-steps", "3", "--out", f"{out}/drawn", *settings]
    )
    seen["evaluate"] = main(["evaluate", run, "--num-images", "5", "--num-steps", "4", *settings])
    words = ["--num-samples", "33", "--times.num-steps", "3", "--num-reference", "50", "--bootstrap", "0"]
    seen["samples"] = main(["evaluate", run, *words, *settings])
    Path(out, f"process{team.rank}.json").write_text(json.dumps(seen))
    agree(0)
    if team.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    agree(0)
