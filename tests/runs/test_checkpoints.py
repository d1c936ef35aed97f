"""Checkpoints under kills, full disks, damage and forgery; no framework is needed for any of it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blurcore.errors import CheckpointError
from blurcore.runs import load_checkpoint, newest_checkpoint, save_checkpoint
from blurcore.runs.checkpoint import (
    checkpoint_path,
    complete_checkpoints,
    require_training_state,
    set_aside_after,
)
from blurcore.runs.files import replace_text
from blurcore.runs.shards import adopt_shards, check_shards
from blurcore.runs.writer import CheckpointWriter

HARM = Path(__file__).with_name("harm.py")
spec = importlib.util.spec_from_file_location("harm", HARM)
harm: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
spec.loader.exec_module(harm)  # type: ignore[union-attr]
made, hidden = harm.made, harm.hidden

posix = pytest.mark.skipif(os.name == "nt", reason="fork and kill")


def steps(run: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in complete_checkpoints(run)]


def suffered(name: str, run: Path, number: int, *before: str) -> dict[str, Any]:
    """Run a harm in a process of its own, and return what it found."""
    command = [*before, sys.executable, str(HARM), name, str(run), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if before and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip(f"this system lets nobody mount: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@posix
def test_save_killed_at_random_fifty_times_never_loses_the_checkpoint_before(tmp_path: Path) -> None:
    found = suffered("at_random", tmp_path / "run", 50)
    assert found["in_a_save"] >= 25


@posix
@pytest.mark.parametrize("second", [1, 2], ids=["same step", "next step"])
def test_save_that_dies_before_any_of_its_file_operations_leaves_a_checkpoint(tmp_path: Path, second: int) -> None:
    found = suffered("at_each_operation", tmp_path / "run", second)
    assert found["deaths"] >= 15


def test_old_checkpoints_go_and_damaged_later_ones_do_not_push_them_out(tmp_path: Path) -> None:
    for step in range(5):
        save_checkpoint(tmp_path, made(step), keep=2)
    assert steps(tmp_path) == [3, 4]
    (checkpoint_path(tmp_path, 4) / "ema.safetensors").write_bytes(b"")
    assert newest_checkpoint(tmp_path).step == 3
    save_checkpoint(tmp_path, made(2), keep=1)
    assert newest_checkpoint(tmp_path).step == 3
    set_aside_after(tmp_path, 3)
    assert steps(tmp_path) == [2, 3]
    assert (tmp_path / "checkpoints" / "damaged-step-00000004").is_dir()


@posix
def test_checkpoint_that_does_not_fit_on_the_disk_names_path_and_bytes(tmp_path: Path) -> None:
    import resource

    save_checkpoint(tmp_path, made(1), keep=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(
            CheckpointError,
            match=rf"cannot write the checkpoint {tmp_path}.*step-00000002: .*it needs 1200000 bytes, \d+ are free, a file may have 100000",
        ):
            save_checkpoint(tmp_path, made(2, size=100_000), keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert newest_checkpoint(tmp_path).step == 1
    assert hidden(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a file system of its own, by unshare")
def test_full_file_system_is_reported_and_the_old_checkpoint_stays(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec "$@"'
    apart = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    found = suffered("on_full_disk", tmp_path / "run", 1_000_000, *apart)
    assert "step-00000002: " in found["error"]
    assert "No space left on device" in found["error"]
    assert "it needs 12000000 bytes" in found["error"]
    assert (found["step"], found["left"]) == (1, [])


def written(run: Path, *steps: int, wait: bool = False, fails: bool = False) -> None:
    """Write checkpoints in the background."""
    with CheckpointWriter(run, keep=1) as writer:
        for step in steps:
            writer.save(made(step))
        if wait:
            writer.wait()
            pytest.fail("the writer says nothing")
        if fails:
            raise ZeroDivisionError


@pytest.mark.parametrize(
    ("steps", "wait"), [((1, 2), False), ((1,), True), ((1,), False)], ids=["next save", "wait", "end"]
)
def test_writer_reports_a_failed_save_at_the_next_call(tmp_path: Path, steps: tuple[int, ...], wait: bool) -> None:
    (tmp_path / "checkpoints").write_text("a file in the way")
    with pytest.raises(CheckpointError, match="step-00000001"):
        written(tmp_path, *steps, wait=wait)


def test_writer_does_not_hide_the_error_that_ends_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "checkpoints").write_text("a file in the way")
    with pytest.raises(ZeroDivisionError):
        written(tmp_path, 1, fails=True)
    assert "step-00000001" in caplog.text


def forge(path: Path, name: str, content: bytes) -> None:
    """Replace a file of a checkpoint, and let the manifest say so."""
    manifest = json.loads((path / "manifest.json").read_text())
    (path / name).write_bytes(content)
    manifest[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.marker),)


def header(size: int, text: bytes = b"") -> bytes:
    """Return the start of a safetensors file that claims a header of so many bytes."""
    return size.to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        header(2**62),
        header(100, b"{}"),
        header(10**8, b" " * 1000),
        b"",
        header(74, b'{"weight": {"dtype": "F32", "shape": [1000000000], "data_offsets": [0, 4]}}'[:74]),
    ],
    ids=["huge header", "short file", "long header", "empty", "shape without data"],
)
def test_forged_safetensors_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = save_checkpoint(tmp_path, made(1), keep=1)
    forge(path, "model.safetensors", content)
    with pytest.raises(CheckpointError, match=r"the checkpoint file .*model\.safetensors cannot be read"):
        load_checkpoint(path)


def test_pickle_called_safetensors_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, made(1), keep=1)
    marker = tmp_path / "payload-ran"
    forge(path, "ema.safetensors", pickle.dumps(Payload(marker)))
    with pytest.raises(CheckpointError, match=r"ema\.safetensors cannot be read"):
        load_checkpoint(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()  # it would have shown


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("[]", "must hold a JSON object; it holds a list"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"../state.json": {"bytes": 0, "sha256": ""}}', "names '../state.json', which is outside"),
        ('{"/etc/hostname": {"bytes": 0, "sha256": ""}}', "names '/etc/hostname', which is outside"),
        ('{"..": {"bytes": 0, "sha256": ""}}', "names '..', which is outside"),
        ('{"state.json": 3}', "must have bytes and sha256 for 'state.json'; it has 3"),
        ('{"state.json": {"bytes": "3", "sha256": ""}}', "must have bytes and sha256"),
        ("{}", "must name state.json, model.safetensors, ema.safetensors, optimizer.safetensors"),
    ],
)
def test_invalid_manifest_is_refused(tmp_path: Path, manifest: str, says: str) -> None:
    path = save_checkpoint(tmp_path, made(1), keep=1)
    (path / "manifest.json").write_text(manifest)
    with pytest.raises(CheckpointError, match=r"manifest\.json") as error:
        load_checkpoint(path)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "has format 2; this version reads format 1"),
        ({"format": None}, "has format None"),
        ({"step": "1"}, r"must have step \(int\)"),
        ({"step": True}, r"must have step \(int\)"),
        ({"step": -1}, "must have a step of 0 or more"),
        ({"image_shape": [8, 0, 1]}, "an image_shape of positive integers"),
        ({"totals": None, "data": 3}, r"must have data \(str\), totals \(dict\)"),
    ],
)
def test_state_with_other_kinds_of_values_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = save_checkpoint(tmp_path, made(1), keep=1)
    state = json.loads((path / "state.json").read_text())
    forge(path, "state.json", json.dumps(state | changes).encode())
    with pytest.raises(CheckpointError, match=rf"state\.json .*{says}"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", ["step", "image_shape", "data", "totals", "backend"])
def test_state_that_lacks_a_key_is_refused(tmp_path: Path, name: str) -> None:
    path = save_checkpoint(tmp_path, made(1), keep=1)
    state = json.loads((path / "state.json").read_text())
    del state[name]
    forge(path, "state.json", json.dumps(state).encode())
    with pytest.raises(CheckpointError, match=rf"state\.json must have {name}"):
        load_checkpoint(path)


def test_arrays_that_do_not_fit_are_listed_for_all_groups_together() -> None:
    shapes = {"a": (2,), "b": (3,)}
    good = {"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)}
    adam = {f"{name}/{moment}": good[name] for name in good for moment in ("exp_avg", "exp_avg_sq")}
    adam |= {f"{name}/step": np.zeros((), np.float32) for name in good}
    require_training_state(shapes, {"model": good, "ema": good, "optimizer": adam})
    require_training_state(shapes, {"model": good, "ema": good, "optimizer": {}})
    with pytest.raises(CheckpointError) as error:
        require_training_state(
            shapes,
            {
                "model": {"a": np.zeros((2, 1), np.float32), "c": good["a"]},
                "ema": {"a": np.zeros(2, np.int64), "b": good["b"]},
                "optimizer": adam | {"b/step": np.zeros(3, np.float32)},
            },
        )
    for problem in (
        "model: missing b",
        "model: unexpected c",
        "model: a has shape (2, 1), not (2,)",
        "ema: a has dtype int64, not float32",
        "optimizer: b/step has shape (3,), not ()",
    ):
        assert problem in str(error.value)


def test_damaged_part_of_a_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a").write_bytes(b"content")
    adopt_shards(tmp_path / "parts", tmp_path)
    assert check_shards(tmp_path) == tmp_path / "shards"
    (tmp_path / "shards" / "a").write_bytes(b"Content")
    with pytest.raises(CheckpointError, match="a does not have its hash"):
        check_shards(tmp_path)


def test_file_is_replaced_and_not_written_over(tmp_path: Path) -> None:
    """Another name of the old file keeps what was in it: whoever reads meanwhile sees the one or the other, whole."""
    file, other = tmp_path / "config.toml", tmp_path / "other"
    file.write_text("old", encoding="utf-8")
    os.link(file, other)
    replace_text(file, "new")
    assert (file.read_text(encoding="utf-8"), other.read_text(encoding="utf-8")) == ("new", "old")


def test_groups_that_are_not_asked_for_are_neither_read_nor_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, made(4), keep=1)
    (path,) = complete_checkpoints(tmp_path)
    for name in ("model", "optimizer"):
        (path / f"{name}.safetensors").write_bytes(b"damaged")
    opened: list[str] = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda file, *a, **k: (opened.append(file.name), real(file, *a, **k))[1])
    found = newest_checkpoint(tmp_path, groups=("ema", "prior"))
    assert set(found.groups) == {"ema"}
    assert not {"model.safetensors", "optimizer.safetensors"} & set(opened)
    assert newest_checkpoint(tmp_path, groups=()).groups == {}
    with pytest.raises(CheckpointError, match=r"model\.safetensors has 7 bytes"):
        load_checkpoint(path)
