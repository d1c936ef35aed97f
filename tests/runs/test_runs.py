"""What `blurcore train` refuses, and what its run folder goes through, with a trainer of plain NumPy."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import blurcore as bc
import blurcore.engine.loop as loop
from blurcore.config import TrainConfig
from blurcore.engine.log import Scalars, Totals
from blurcore.errors import CheckpointError
from blurcore.runs import load_checkpoint, newest_checkpoint, read_config
from blurcore.runs.checkpoint import checkpoint_path, complete_checkpoints
from blurcore.runs.description import describe_run
from blurcore.runs.folder import read_metrics

Train = Callable[..., tuple[int, str]]


def steps_of(run: Path) -> list[int]:
    return [line["step"] for line in read_metrics(run / "metrics.jsonl")]


def test_resuming_where_there_is_nothing_is_a_mistake(train: Train, tmp_path: Path) -> None:
    code, says = train("--resume")
    assert (code, "there is nothing to resume in" in says, (tmp_path / "run").exists()) == (2, True, False)
    assert train()[0] == 0
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    code, says = train("--resume")
    assert (code, "it has no checkpoint" in says) == (2, True)


def test_new_run_in_the_folder_of_another_is_a_mistake(train: Train, tmp_path: Path) -> None:
    assert train()[0] == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    code, says = train()
    assert (code, "is not empty: resume the run that is there" in says) == (2, True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_resuming_with_another_configuration_lists_what_differs(train: Train) -> None:
    assert train()[0] == 0
    code, says = train("--resume", "--seed", "7", "--train.batch-size", "2")
    assert (code, "seed: 0 -> 7; train.batch_size: 4 -> 2" in says) == (2, True)


def test_resuming_on_changed_data_lists_what_differs(train: Train, tmp_path: Path) -> None:
    assert train()[0] == 0
    images = np.load(tmp_path / "images.npy")
    images[3, 0, 0] ^= 1
    np.save(tmp_path / "images.npy", images)
    code, says = train("--resume")
    assert code == 1
    assert "the data set ArrayFile has changed" in says
    assert "data: '" in says
    assert "image_shape" not in says
    np.save(tmp_path / "images.npy", images[:, :2])
    assert "image_shape: [4, 4, 1] -> [2, 4, 1]; data: '" in train("--resume")[1]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("refusal", ["data", "labels", "wandb"])
def test_resume_that_is_refused_changes_no_file(
    train: Train, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    """Whatever refuses it, and however late: what the run says of itself is what made it."""
    images, labels = np.load(tmp_path / "images.npy"), np.arange(10) % 3
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "data.npz", images=255 - images, labels=labels)
    np.savez(tmp_path / "labels.npz", images=images, labels=labels[::-1])
    np.savez(tmp_path / "wandb.npz", images=images, labels=labels)
    words = ["--model.num-classes", "3", "--data.path"]
    assert train(*words, str(tmp_path / "a.npz"))[0] == 0
    before = tree(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "wandb", _Wandb(starts=False))
    words += [str(tmp_path / f"{refusal}.npz"), "--resume", "--train.steps", "12"]
    code, says = train(*words, *(["--train.wandb"] if refusal == "wandb" else []))
    reason = {"data": "data: '", "labels": "labels: '", "wandb": "does not start"}[refusal]
    assert (code in (1, 2), reason in says) == (True, True), says
    after = tree(tmp_path / "run")
    assert {k: v for k, v in after.items() if not k.startswith("wandb")} == before
    assert train(*words[:-4], str(tmp_path / "a.npz"), "--resume", "--train.steps", "12")[0] == 0


@pytest.mark.parametrize("existing", [True, False])
def test_run_that_fails_before_its_first_checkpoint_leaves_nothing_in_the_way(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    if existing:
        (tmp_path / "run").mkdir()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "wandb", _Wandb(starts=False))
        assert train("--train.wandb")[0] == 2
        patch.setattr("blurcore.runs.writer.save_checkpoint", _fails)
        assert train()[0] == 1
    assert (tmp_path / "run").exists() == existing
    assert train()[0] == 0


def _fails(*_: Any, **__: Any) -> None:
    raise CheckpointError("the disk is full")


def test_folder_may_be_a_string(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import blurcore.cli.train

    monkeypatch.chdir(tmp_path)
    blurcore.cli.train.machinery("dummy").train(read_config("config.toml"), "a/b")
    assert newest_checkpoint("a/b").step == load_checkpoint("a/b/checkpoints/step-00000008").step == 8
    assert describe_run("a/b")["steps"]["done"] == 8


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_file_system_without_locks_is_warned_of_and_usable(
    train: Train, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    monkeypatch.setattr("fcntl.flock", _raises(number))
    assert train()[0] == 0
    assert "has no locks" in caplog.text
    for held in (errno.EACCES, errno.EAGAIN):
        monkeypatch.setattr("fcntl.flock", _raises(held))
        code, says = train("--resume")
        assert (code, "another process is writing" in says) == (1, True)


def _raises(number: int) -> Callable[..., None]:
    def call(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES])
def test_file_system_that_does_not_sync_folders_is_trained_on(
    train: Train, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    sync = os.fsync

    def files_alone(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            _raises(number)()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", files_alone)
    assert train()[0] == 0
    monkeypatch.setattr(os, "fsync", _raises(errno.EIO))  # lost data are another matter
    assert train("--resume", "--train.steps", "10")[0] != 0


def test_run_killed_before_its_first_checkpoint_interval_is_resumed_from_its_start(
    program: Any, train: Train, tmp_path: Path
) -> None:
    run = program("step", "--train.checkpoint-every", "1000")
    run.send(signal.SIGKILL)
    assert run.ends(go_on=False)[0] == -signal.SIGKILL
    assert newest_checkpoint(tmp_path / "run").step == 0
    assert train("--resume")[0] == 0
    assert steps_of(tmp_path / "run") == list(range(1, 9))


def test_second_run_in_a_folder_is_refused_and_a_dead_one_leaves_its_lock(
    program: Any, train: Train, tmp_path: Path
) -> None:
    run = program("step")
    code, says = train("--resume")
    assert (code, "another process is writing to" in says) == (1, True)
    run.send(signal.SIGKILL)
    run.ends(go_on=False)
    assert train("--resume")[0] == 0


def test_full_disk_ends_the_run_with_the_checkpoint_before_it(train: Train, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of this kind are POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # the moments of step 6 need 24,000
    try:
        code, says = train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1
    assert "cannot write the checkpoint" in says
    assert "step-00000006: " in says
    assert "it needs 24032 bytes" in says
    assert newest_checkpoint(tmp_path / "run").step == 4
    assert [p.name for p in (tmp_path / "run" / "checkpoints").glob(".*")] == []
    assert train("--resume")[0] == 0
    assert steps_of(tmp_path / "run") == list(range(1, 9))


def test_folder_beneath_a_file_is_refused_before_the_first_step(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(loop._Loop, "run", lambda *_: pytest.fail("it trained"))
    code, says = train("--out", str(tmp_path / "file" / "run"))
    assert (code, "--out must be a folder that can be written" in says, "Not a directory" in says) == (2, True, True)


@pytest.mark.skipif(sys.platform != "linux", reason="a read-only mount, by unshare")
def test_read_only_folder_is_refused_before_the_first_step(train: Train, config_file: Path, tmp_path: Path) -> None:
    assert train("--train.steps", "2")[0] == 0
    run = tmp_path / "run"
    words = f"{sys.executable} {Path(__file__).with_name('conftest.py')} step train {config_file} --out {run} --resume"
    mount = f"mount --bind {run} {run} && mount -o remount,bind,ro {run} && exec {words}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"this system lets nobody mount: {done.stderr}")
    assert (done.returncode, done.stdout) == (2, "")  # it never came to a step, where it would have said so
    assert "--out must be a folder that can be written" in done.stderr
    assert "Read-only file system" in done.stderr


def test_configuration_survives_a_resume_that_cannot_write_it(train: Train, tmp_path: Path) -> None:
    assert train()[0] == 0
    before = (tmp_path / "run" / "config.toml").read_bytes()
    resource = pytest.importorskip("resource", reason="limits of this kind are POSIX")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        code, says = train("--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (code, "cannot write to the run folder" in says) == (2, True)
    assert (tmp_path / "run" / "config.toml").read_bytes() == before


@pytest.mark.parametrize("harm", ["flip", "truncate"])
def test_damaged_checkpoint_is_named_set_aside_and_written_anew(
    train: Train, config_file: Path, tmp_path: Path, harm: str
) -> None:
    assert train("--train.keep-checkpoints", "1", "--train.steps", "6")[0] == 0
    assert train("--resume", "--train.keep-checkpoints", "2")[0] == 0
    run = tmp_path / "run"
    file = checkpoint_path(run, 8) / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content if harm == "flip" else content[:-10])
    command = [sys.executable, str(Path(__file__).with_name("conftest.py")), "nowhere", "train", str(config_file)]
    done = subprocess.run(
        [*command, "--out", str(run), "--resume", "--train.keep-checkpoints", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"the checkpoint file {file} " in done.stderr
    assert "falling back to the checkpoint of step 6" in done.stderr
    assert "damaged-step-00000008" in done.stderr
    assert [path.name for path in complete_checkpoints(run)] == ["step-00000008"]
    assert newest_checkpoint(run).step == 8
    assert steps_of(run) == list(range(1, 9))


def test_run_whose_checkpoints_are_all_damaged_fails_and_names_the_files(train: Train, tmp_path: Path) -> None:
    assert train()[0] == 0
    for path in complete_checkpoints(tmp_path / "run"):
        (path / "model.safetensors").unlink()
    code, says = train("--resume")
    assert code == 1
    assert says.count("model.safetensors cannot be read: No such file") == 2


@pytest.mark.parametrize("totals", [{}, {"loss": 0.0}, "all", {"extra": 1.0}])
def test_totals_of_another_kind_are_refused(train: Train, tmp_path: Path, totals: Any) -> None:
    assert train()[0] == 0
    path = checkpoint_path(tmp_path / "run", 8)
    state = json.loads((path / "state.json").read_text())
    wrong = dict.fromkeys(state["totals"], "1") if totals == "all" else totals
    text = json.dumps(state | {"totals": state["totals"] | wrong if "extra" in wrong else wrong}).encode()
    (path / "state.json").write_bytes(text)
    import hashlib

    manifest = json.loads((path / "manifest.json").read_text())
    manifest["state.json"] = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))
    code, says = train("--resume")
    assert (code, "the totals of the checkpoint must be loss, grad_norm, count" in says) == (1, True)


def test_metrics_cut_anywhere_are_read_and_no_step_appears_twice(train: Train, tmp_path: Path) -> None:
    assert train("--train.steps", "5")[0] == 0
    metrics = tmp_path / "run" / "metrics.jsonl"
    whole = metrics.read_bytes()
    for cut in range(len(whole) - 40, len(whole) - 1):  # as a full disk or a crash leaves it
        metrics.write_bytes(whole[:cut])
        assert steps_of(tmp_path / "run") == [1, 2, 3, 4]
    *before, last = whole.splitlines(keepends=True)
    metrics.write_bytes(b"".join(before[:2]) + last[:20] + b"\n\xff\xfe\n7\n" + b"".join(before[2:]) + last[:-9])
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4]
    assert train("--resume")[0] == 0
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4, 6, 7, 8]  # the line of step 5 is lost
    assert len(metrics.read_bytes().splitlines()) == 7


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Let the batches of some steps, from `first` on and before `end`, hold a NaN."""

    def poison(first: int, end: int) -> None:
        load = bc.ArrayFile.load

        def bad(source: bc.ArrayFile) -> Any:
            data = load(source)
            whole, count = type(data).__getitem__, iter(range(1000))

            class Poisoned(type(data)):  # type: ignore[misc]
                def __getitem__(self, indices: Any) -> np.ndarray:
                    batch = whole(self, indices).astype(np.float32)
                    if first <= next(count) < end:
                        batch[0, 0] = np.nan
                    return batch

            data.__class__ = Poisoned
            return data

        monkeypatch.setattr(bc.ArrayFile, "load", bad)

    return poison


def test_steps_that_are_not_finite_are_counted_and_training_continues(
    train: Train, poisoned: Callable[[int, int], None], tmp_path: Path
) -> None:
    poisoned(3, 6)
    assert train("--train.checkpoint-every", "1", "--train.keep-checkpoints", "100")[0] == 0
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["skipped"] for line in lines] == [0, 0, 0, 1, 2, 3, 3, 3]
    assert [line["loss"] is None for line in lines] == [False] * 3 + [True] * 3 + [False] * 2
    # None is written while steps are being skipped; the one that was due then comes after the next good step.
    assert [path.name[-1] for path in complete_checkpoints(tmp_path / "run")] == ["0", "1", "2", "3", "7", "8"]


def test_checkpoint_due_in_a_skipped_step_is_written_after_the_next_good_one(
    train: Train, poisoned: Callable[[int, int], None], tmp_path: Path
) -> None:
    poisoned(3, 4)
    assert train("--train.checkpoint-every", "4", "--train.keep-checkpoints", "100")[0] == 0
    assert [path.name[-1] for path in complete_checkpoints(tmp_path / "run")] == ["0", "5", "8"]


def test_steps_that_are_not_finite_in_a_row_stop_the_run_and_keep_the_last_good_checkpoint(
    train: Train, poisoned: Callable[[int, int], None], tmp_path: Path
) -> None:
    poisoned(3, 100)
    code, says = train("--train.checkpoint-every", "1", "--train.keep-checkpoints", "1", "--train.steps", "50")
    assert code == 3
    assert "not finite for 10 steps in a row, up to step 13; the last good checkpoint is that of step 3" in says
    assert "Traceback" not in says
    assert newest_checkpoint(tmp_path / "run").step == 3


def test_tensorboard_that_is_missing_is_asked_for_before_there_is_a_folder(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    code, says = train("--train.tensorboard")
    assert (code, "pip install 'blurcore[tensorboard]'" in says) == (2, True)
    assert not (tmp_path / "run").exists()
    code, says = train()
    assert (code, "tensorboard" in says.lower()) == (0, False)
    assert os.listdir(tmp_path / "run" / "samples") == ["step-00000008.png"]


def test_tensorboard_goes_back_with_a_run_that_was_killed(
    program: Any, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = pytest.importorskip("tensorboardX.proto.event_pb2", reason="TensorBoard's own reader of its files")

    def scalars() -> list[tuple[int, float]]:
        found = []
        for path in sorted((tmp_path / "run" / "tensorboard").iterdir()):
            content = path.read_bytes()
            while content:
                size = int.from_bytes(content[:8], "little")
                event = protocol.Event.FromString(content[12 : 12 + size])
                found += [(event.step, v.simple_value) for v in event.summary.value if v.tag == "train/loss"]
                content = content[16 + size :]
        return found

    # As on a fast machine: the run goes on within the second in which it began.
    monkeypatch.setattr("tensorboardX.event_file_writer.time", SimpleNamespace(time=lambda: 1e9))
    assert train("--train.tensorboard", "--train.steps", "7")[0] == 0
    torn = next((tmp_path / "run" / "tensorboard").iterdir())
    torn.write_bytes(torn.read_bytes() + b"\0" * 5)  # a kill leaves a part of a record
    shutil.rmtree(checkpoint_path(tmp_path / "run", 7))  # as if it had been killed before it came to that
    assert train("--train.tensorboard", "--resume")[0] == 0
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [step for step, _ in scalars()] == [line["step"] for line in metrics] == list(range(1, 9))
    np.testing.assert_allclose([loss for _, loss in scalars()], [line["loss"] for line in metrics], rtol=1e-6)


def test_wandb_that_is_missing_is_asked_for_before_there_is_a_folder(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, says = train("--train.wandb")
    assert (code, "pip install 'blurcore[wandb]'" in says) == (2, True)
    assert not (tmp_path / "run").exists()
    code, says = train()
    assert (code, "wandb" in says.lower()) == (0, False)


class _Wandb(ModuleType):
    """Stands in for Weights & Biases: notes what it is told, or does not start."""

    class Error(Exception):
        """As in wandb."""

    def __init__(self, *, starts: bool = True) -> None:
        super().__init__("wandb")
        self.starts, self.told, self.lines, self.ends = starts, [], [], []

    def Settings(self, **settings: Any) -> dict[str, Any]:
        return settings

    def init(self, **about: Any) -> Any:
        if not self.starts:
            raise self.Error("No API key configured")
        self.told.append(about)
        return SimpleNamespace(
            define_metric=lambda *names, **settings: None,
            log=self.lines.append,
            finish=lambda exit_code: self.ends.append(exit_code),
        )


def test_wandb_gets_the_metrics_and_a_resumed_run_has_the_same_identifier(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = _Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert train("--train.wandb", "--train.steps", "4")[0] == 0
    assert train("--train.wandb", "--train.steps", "6", "--resume")[0] == 0
    first, second = wandb.told
    assert (first["project"], first["name"], first["resume"]) == ("mine", "run", "allow")
    assert first["id"] == second["id"] != ""
    assert (first["config"]["train"]["steps"], second["config"]["train"]["steps"]) == (4, 6)
    written = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in wandb.lines] == [line["step"] for line in written] != []
    assert [line["train/loss"] for line in wandb.lines] == [line["loss"] for line in written]
    assert wandb.ends == [0, 0]


def test_wandb_that_does_not_start_is_an_error_that_names_the_offline_mode(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", _Wandb(starts=False))
    code, says = train("--train.wandb")
    assert code == 2
    assert "No API key configured" in says
    assert "WANDB_MODE=offline" in says
    assert "Traceback" not in says


@pytest.mark.slow
def test_real_wandb_writes_into_the_run_folder_without_network(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert train("--train.wandb", "--train.steps", "4")[0] == 0
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))


def test_first_line_names_the_backend_and_that_of_the_checkpoint(
    train: Train, monkeypatch: pytest.MonkeyPatch, trainer: Any
) -> None:
    code, said = train("--train.steps", "4")
    assert (code, said.partition(" on 10 images, ")[0]) == (0, "training with dummy")
    monkeypatch.setattr(trainer, "backend", "other")
    code, said = train("--resume")
    assert (code, said.partition(" on 10 images, ")[0]) == (0, "training with other, where dummy did before,")
    code, said = train("--resume")
    assert (code, said.partition(" on 10 images, ")[0]) == (0, "training with other")


def test_batches_have_the_labels_of_their_images_also_after_a_resume(
    train: Train, monkeypatch: pytest.MonkeyPatch, trainer: Any, tmp_path: Path
) -> None:
    """Each image is its own label, painted all over; a label of 10 says nothing."""
    images = np.broadcast_to(np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1), (10, 4, 4, 1))
    np.savez(tmp_path / "labelled.npz", images=images, labels=np.arange(10))
    seen: list[tuple[list[int], list[int]]] = []
    step = trainer.train_step

    def watched(self: Any, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        seen.append((images[:, 0, 0, 0].tolist(), labels.tolist()))
        return step(self, images)

    monkeypatch.setattr(trainer, "train_step", watched)
    words = ("--data.path", str(tmp_path / "labelled.npz"), "--model.num-classes", "10")
    assert train(*words, "--train.steps", "5")[0] == 0
    assert train(*words, "--resume")[0] == 0
    assert len(seen) == 8
    told = [pair for images, labels in seen for pair in zip(images, labels, strict=True) if pair[1] != 10]
    assert len(told) >= 16
    assert all(image == label for image, label in told)
    assert sorted(image for images, _ in seen[:5] for image in images) == sorted([*range(10), *range(10)])
    assert sorted(seen[0][0] + seen[1][0] + seen[2][0][:2]) == list(range(10))


def test_line_of_metrics_has_the_means_since_the_last_one_and_the_rate_of_its_own_step() -> None:
    lines = []
    folder: Any = SimpleNamespace(log=lambda **values: lines.append(values))
    settings, totals = TrainConfig(batch_size=4, warmup_steps=10, learning_rate=1.0), Totals()
    for loss in (1.0, 2.0, float("nan"), 6.0):
        totals.add(loss, 2 * loss)
    with Scalars(folder, settings, num_images=1) as scalars:
        scalars.write(totals, settings, 4, seconds=2.0, distances={})
    assert lines == [
        {"step": 4, "images": 1, "loss": 3.0, "grad_norm": 6.0, "learning_rate": 0.4, "images_per_s": 6.0, "skipped": 1}
    ]
