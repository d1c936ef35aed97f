"""Several processes under torchrun: two of them, with gloo, are one that accumulates; signals and crashes end both."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.errors import CheckpointError
from blurcore.runs import load_checkpoint, newest_checkpoint, write_config
from blurcore.runs.checkpoint import checkpoint_path
from blurcore.runs.folder import read_metrics

torch = pytest.importorskip("torch", reason="the processes under test are PyTorch's")
pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
STOPPED = 3  # step at which some runs change their number of processes


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Let this process have as many threads as each rank, by which the order of sums is decided, and their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def config() -> bc.RunConfig:
    return bc.RunConfig(
        seed=3,
        device="cpu",
        data=bc.Digits(flip=True),
        model=bc.ModelConfig(  # attention and a second level: what is sharded apart; dropout, whose masks must not repeat
            base_channels=8,
            channel_multipliers=(1, 2),
            num_res_blocks=1,
            attention_levels=(1,),
            dropout=0.2,
            norm_groups=4,
            num_classes=10,
        ),
        train=bc.TrainConfig(
            objective=bc.Denoising(prediction="v"),
            steps=5,
            batch_size=8,
            warmup_steps=2,
            learning_rate=1e-3,
            ema_decay=0.9,
            log_every=1,
            checkpoint_every=STOPPED,
            keep_checkpoints=10,
        ),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=2), num_samples=5, batch_size=2),
    )


def train(config: bc.RunConfig, folder: Path, *, resume: bool = False, **changes: Any) -> None:
    bc.get_backend("torch").train(replace(config, train=replace(config.train, **changes)), folder, resume=resume)


@pytest.fixture(scope="module")
def runs(config: bc.RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process with two and four parts, and all that two ranks do, in a folder."""
    folder = tmp_path_factory.mktemp("runs")
    write_config(config, folder / "config.toml")
    train(config, folder / "two_parts", accumulate=2)
    train(replace(config, resolution=bc.Nested(tolerance=0.05)), folder / "nested_parts", accumulate=2)
    train(config, folder / "four_parts", accumulate=4, evaluate_every=4, evaluate_samples=33)
    clear = replace(config, model=replace(config.model, dropout=0.0))  # masks would tell one process from two
    train(clear, folder / "steady")
    train(clear, folder / "one_then_two", steps=STOPPED, sharded_checkpoints=True)
    command = [*TORCHRUN, str(Path(__file__).with_name("two_ranks.py")), str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    (folder / "stderr.txt").write_text(done.stderr)
    assert (folder / "rank0.json").exists(), done.stderr
    return folder


def ranks(runs: Path) -> list[dict[str, Any]]:
    return [json.loads((runs / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run / "metrics.jsonl")]


def assert_close_runs(one: Path, other: Path) -> None:
    first, second = newest_checkpoint(one), newest_checkpoint(other)
    assert (first.step, first.groups.keys()) == (second.step, second.groups.keys())
    np.testing.assert_allclose(losses(one), losses(other), rtol=0, atol=1e-6)
    for group, arrays in first.groups.items():
        assert arrays.keys() == second.groups[group].keys()
        for name, value in arrays.items():
            np.testing.assert_allclose(second.groups[group][name], value, rtol=0, atol=1e-6, err_msg=f"{group}/{name}")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("two_parts", "fsdp"),
        ("two_parts", "fsdp_shards"),
        ("four_parts", "ddp"),
        ("nested_parts", "nested_ddp"),
        ("nested_parts", "nested_fsdp"),
    ],
)
def test_two_processes_are_one_that_accumulates(runs: Path, one: str, two: str) -> None:
    assert_close_runs(runs / one, runs / two)


def test_run_over_sizes_has_three(runs: Path) -> None:
    assert len(newest_checkpoint(runs / "nested_ddp").state["resolutions"]["sizes"]) == 3


def test_sharded_checkpoint_holds_a_part_of_each_process_and_no_pickle(runs: Path) -> None:
    checkpoint = checkpoint_path(runs / "fsdp_shards", 5)
    files = {path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file()}
    parts = {f"shards/shard-0000{i}-model-00001-of-00001.safetensors" for i in (1, 2)}
    assert files == {"manifest.json", "state.json", "shards.json", *parts}
    sizes = [(checkpoint / part).stat().st_size for part in parts]
    assert max(sizes) < 0.6 * sum(sizes)


def test_run_of_two_processes_resumes_in_one_from_parts_as_from_a_whole_checkpoint(
    config: bc.RunConfig, runs: Path, tmp_path: Path
) -> None:
    for name in ("fsdp", "fsdp_shards"):
        shutil.copytree(runs / name, tmp_path / name)
        shutil.rmtree(checkpoint_path(tmp_path / name, 5))
        train(config, tmp_path / name, resume=True)
    assert_close_runs(tmp_path / "fsdp", tmp_path / "fsdp_shards")


def test_run_of_one_process_resumes_in_two_from_its_parts(runs: Path) -> None:
    assert len(list((checkpoint_path(runs / "one_then_two", STOPPED) / "shards").iterdir())) == 1
    assert len(list((checkpoint_path(runs / "one_then_two", 5) / "shards").iterdir())) == 2
    assert_close_runs(runs / "steady", runs / "one_then_two")


@pytest.mark.parametrize("harm", ["flip", "remove", "add"])
def test_damaged_part_is_named_and_the_checkpoint_before_it_is_taken(
    runs: Path, tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs / "fsdp_shards", folder)
    part = next(iter((checkpoint_path(folder, 5) / "shards").glob("shard-00002*")))
    if harm == "flip":
        content = bytearray(part.read_bytes())
        content[-1] ^= 1
        part.write_bytes(content)
    elif harm == "remove":
        part.unlink()
    else:
        part = part.with_name("shard-00003-model-00001-of-00001.safetensors")
        part.write_bytes(b"more")
    with pytest.raises(CheckpointError, match=part.name):
        load_checkpoint(checkpoint_path(folder, 5))
    assert newest_checkpoint(folder).step == STOPPED
    assert part.name in caplog.text


def test_parts_of_another_network_are_refused_with_the_names(config: bc.RunConfig, runs: Path) -> None:
    from blurcore_torch.trainer import Trainer

    wider = replace(config, model=replace(config.model, base_channels=16))
    trainer = Trainer(wider, (8, 8, 1), torch.device("cpu"))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"model/first\.weight has shape \(8, 1, 3, 3\), not \(16, 1, 3, 3\)"):
        trainer.load_shards(checkpoint_path(runs / "fsdp_shards", 5) / "shards", 5)
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())


def test_curve_is_drawn_by_all_processes_and_measured_by_the_one_that_writes(runs: Path) -> None:
    """The weights are those of one process to rounding, which a pixel now and then turns into a level of grey."""
    curves = []
    for name in ("four_parts", "ddp"):
        lines = {line["step"]: line for line in read_metrics(runs / name / "metrics.jsonl")}
        assert [step for step, line in lines.items() if "spectrum_distance" in line] == [4]
        curves.append([lines[4][key] for key in ("frechet_distance_digits", "spectrum_distance")])
    assert curves[1] == pytest.approx(curves[0], rel=1e-2)


def test_samples_and_likelihoods_do_not_depend_on_the_number_of_processes(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, settings = str(runs / "ddp"), ["--device", "cpu", "--batch-size", "2"]
    both = json.loads((runs / "ddp" / "evaluation.json").read_text())
    assert (
        main(
            ["sample", run, "--num-samples", "5", "--times.num-steps", "3", "--out", str(tmp_path / "drawn"), *settings]
        )
        == 0
    )
    assert main(["evaluate", run, "--num-images", "5", "--num-steps", "4", *settings]) == 0
    words = [
        "--num-samples",
        "33",
        "--times.num-steps",
        "2",
        "--num-reference",
        "50",
        "--device",
        "cpu",
        "--batch-size",
        "8",
    ]
    assert main(["evaluate", run, *words]) == 0
    drawn = [np.load(folder / "drawn" / "samples.npz")["images"] for folder in (runs, tmp_path)]
    np.testing.assert_array_equal(*drawn)
    alone = json.loads((runs / "ddp" / "evaluation.json").read_text())
    of_samples = [found.pop("samples")["metrics"] for found in (both, alone)]
    assert alone == both
    # The features of the same images, in float32 products whose order depends on the number of threads.
    assert {name: values["value"] for name, values in of_samples[1].items()} == pytest.approx(
        {name: values["value"] for name, values in of_samples[0].items()}, rel=1e-4
    )
    first, second = ranks(runs)
    assert [seen[name] for seen in (first, second) for name in ("sample", "evaluate", "samples")] == [0] * 6
    assert second["printed"] == ""
    assert "evaluation.json" in first["printed"]


def test_batch_that_is_not_finite_in_one_process_is_skipped_by_both(runs: Path) -> None:
    skipped = {"loss is finite": False, "weights are the same": True, "step": 2}
    assert [seen["skipped"] for seen in ranks(runs)] == [skipped, skipped]


def test_signal_of_one_process_is_known_to_both(runs: Path) -> None:
    assert [seen["agreed"] for seen in ranks(runs)] == [15, 15]


def test_what_two_processes_cannot_do_is_refused_in_both(runs: Path) -> None:
    for seen in ranks(runs):
        assert seen["odd"] == (
            "train.batch_size must be a multiple of 2, for 2 processes that accumulate over 1 parts; got 9"
        )
        assert (seen["device"], seen["folder"]) == (2, 2)


def exit_codes(stderr: str) -> list[str]:
    """Return how the ranks ended, from torchrun's report."""
    return re.findall(r"exitcode  : (-?\d+)", stderr)


def test_process_that_is_killed_takes_the_other_with_it(runs: Path) -> None:
    stderr = (runs / "stderr.txt").read_text()
    assert sorted(exit_codes(stderr)) == ["-9", "1"], stderr
    assert "another process of this run has gone" in stderr


def workers(torchrun: int) -> dict[int, int]:
    """Return the process of each rank."""
    children = Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()
    variables = {int(pid): Path(f"/proc/{pid}/environ").read_text().split("\0") for pid in children}
    return {int(value[5:]): pid for pid, words in variables.items() for value in words if value.startswith("RANK=")}


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the ranks' processes are found in /proc")
def test_signal_to_one_process_stops_both_after_the_same_step(config: bc.RunConfig, tmp_path: Path) -> None:
    train = replace(config.train, steps=100_000, checkpoint_every=100_000, parallel="fsdp", sharded_checkpoints=True)
    write_config(replace(config, train=train), tmp_path / "config.toml")
    run = tmp_path / "run"
    command = [*TORCHRUN, "-m", "blurcore", "train", str(tmp_path / "config.toml"), "--out", str(run)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not (run / "metrics.jsonl").exists() or len(read_metrics(run / "metrics.jsonl")) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(workers(process.pid)[1], signal.SIGTERM)
    _, stderr = process.communicate(timeout=300)
    assert exit_codes(stderr) == ["143", "143"], stderr
    steps = re.findall(r"blurcore: error: SIGTERM after step (\d+)", stderr)
    assert len(steps) == 2
    assert len(set(steps)) == 1
    assert newest_checkpoint(run).step == int(steps[0])
