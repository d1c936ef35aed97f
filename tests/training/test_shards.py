"""Checkpoints in parts, by one process, on every backend: what a whole one holds, readable by the other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import CheckpointError
from blurcore.runs import load_checkpoint, newest_checkpoint
from blurcore.runs.checkpoint import checkpoint_path


def short(config: bc.RunConfig, steps: int, **changes: Any) -> bc.RunConfig:
    return replace(config, train=replace(config.train, steps=steps, **changes))


def test_parts_hold_what_a_whole_checkpoint_holds(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    for name, sharded in (("whole", False), ("parts", True)):
        machine.train(short(config, 2, sharded_checkpoints=sharded), tmp_path / name)
    whole, parts = (newest_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert newest_checkpoint(tmp_path / "parts", reader=machine.name).groups == {}  # left to the backend
    assert parts.groups.keys() == whole.groups.keys()
    for group, arrays in whole.groups.items():
        assert arrays.keys() == parts.groups[group].keys()
        for name, value in arrays.items():
            np.testing.assert_array_equal(parts.groups[group][name], value, err_msg=f"{group}/{name}")


@pytest.mark.parametrize("first", [0, 1])
def test_sharded_run_of_one_backend_resumes_in_the_other(
    both: tuple[Any, Any], config: bc.RunConfig, tmp_path: Path, first: int
) -> None:
    writer, reader = both[first], both[1 - first]
    writer.train(short(config, 2, sharded_checkpoints=True), tmp_path / "run")
    before = newest_checkpoint(tmp_path / "run")
    assert reader.sample(tmp_path / "run", config.sample).shape == (4, 8, 8, 1)
    reader.train(short(config, 3, sharded_checkpoints=True), tmp_path / "run", resume=True)
    after = newest_checkpoint(tmp_path / "run")
    assert (before.state["backend"], after.state["backend"], after.step) == (writer.name, reader.name, 3)
    for name, value in before.groups["model"].items():  # a step of Adam from where the other was
        assert np.abs(after.groups["model"][name] - value).max() <= 1.01 * config.train.learning_rate, name


def test_parts_that_cannot_be_written_are_an_error_that_names_the_place(
    machine: Any, config: bc.RunConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CheckpointError, match=r"cannot write the parts of a checkpoint to .*file/parts"):
        machine.trainer(config, (8, 8, 1)).save_shards(tmp_path / "file" / "parts")


def test_parts_of_a_backend_that_writes_none_are_refused(machine: Any, config: bc.RunConfig, tmp_path: Path) -> None:
    machine.train(short(config, 1, sharded_checkpoints=True), tmp_path / "run")
    path = checkpoint_path(tmp_path / "run", 1)
    state = json.loads((path / "state.json").read_text()) | {"backend": "numpy"}
    (path / "state.json").write_text(json.dumps(state))
    manifest = json.loads((path / "manifest.json").read_text())
    content = (path / "state.json").read_bytes()
    manifest["state.json"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="said to be of numpy, which writes none"):
        load_checkpoint(path)
