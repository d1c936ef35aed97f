"""What each of two ranks does for tests/torch/test_distributed.py, in one launch, `torchrun two_ranks.py FOLDER`; then one dies."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blurcore_torch import distributed
from blurcore_torch.trainer import Trainer

import blurcore as bc
from blurcore.cli import main
from blurcore.errors import ArgumentError
from blurcore.runs import read_config

WAYS: dict[str, dict[str, Any]] = {
    "ddp": {"accumulate": 2, "evaluate_every": 4, "evaluate_samples": 33},
    "fsdp": {"parallel": "fsdp"},
    "fsdp_shards": {"parallel": "fsdp", "sharded_checkpoints": True, "gradient_checkpointing": True},
}


def skipped(config: bc.RunConfig, rank: int) -> dict[str, Any]:
    """Take a step whose batch is not finite in rank 1 alone."""
    trainer = Trainer(config, (8, 8, 1), torch.device("cpu"))
    images = np.random.default_rng(rank).random((4, 8, 8, 1), dtype=np.float32)
    trainer.train_step(images, np.zeros(4, np.int64))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    loss, _ = trainer.train_step(np.full_like(images, np.nan) if rank == 1 else images, np.zeros(4, np.int64))
    same = all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    return {"loss is finite": bool(np.isfinite(loss)), "weights are the same": same, "step": trainer.step}


def run(folder: Path, team: Any) -> dict[str, Any]:
    """Do it all, and return what this rank saw."""
    config = read_config(folder / "config.toml")
    backend = bc.get_backend("torch")
    for name, changes in WAYS.items():
        backend.train(replace(config, train=replace(config.train, **changes)), folder / name)
    nested = replace(config, resolution=bc.Nested(tolerance=0.05))
    for parallel in ("ddp", "fsdp"):
        shared = replace(config.train, parallel=parallel)
        backend.train(replace(nested, train=shared), folder / f"nested_{parallel}")
    clear = replace(config, model=replace(config.model, dropout=0.0))
    shards = replace(config.train, parallel="fsdp", sharded_checkpoints=True)
    backend.train(replace(clear, train=shards), folder / "one_then_two", resume=True)
    seen: dict[str, Any] = {"skipped": skipped(config, team.rank), "agreed": distributed.agree(15 if team.rank else 0)}
    try:
        backend.train(replace(config, train=replace(config.train, batch_size=9)), folder / "odd")
    except ArgumentError as error:
        seen["odd"] = str(error)
    printed = StringIO()
    with redirect_stdout(printed):
        settings = ["--num-samples", "5", "--times.num-steps", "3", "--batch-size", "2"]
        seen["sample"] = main(
            ["sample", str(folder / "ddp"), "--device", "cpu", "--out", str(folder / "drawn"), *settings]
        )
        settings = ["--num-images", "5", "--num-steps", "4", "--batch-size", "2"]
        seen["evaluate"] = main(["evaluate", str(folder / "ddp"), "--device", "cpu", *settings])
        settings = ["--num-samples", "33", "--times.num-steps", "2", "--batch-size", "8", "--num-reference", "50"]
        seen["samples"] = main(["evaluate", str(folder / "ddp"), "--device", "cpu", *settings])
        seen["device"] = main(["sample", str(folder / "ddp"), "--device", "cuda:0"])
        seen["folder"] = main(["train", str(folder / "config.toml")])
    return seen | {"printed": printed.getvalue()}


if __name__ == "__main__":
    where = Path(sys.argv[1])
    with distributed.processes("cpu") as team:
        (where / f"rank{team.rank}.json").write_text(json.dumps(run(where, team)))
        distributed.agree(0)
        if team.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's: this rank shall see for itself
        distributed.agree(0)
