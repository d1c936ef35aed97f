"""The scripts for clusters in `examples/cluster`, run or read as a cluster would, with no cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import blurcore as bc
from blurcore.cli.parser import build_parser
from blurcore.cli.settings import override
from blurcore.runs import newest_checkpoint, read_config, write_config

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "examples" / "cluster"


def settings_of(words: list[str]) -> tuple[Any, bc.RunConfig]:
    """Return what `blurcore` makes of its words: the options of `train`, and the configuration with its flags."""
    args, rest = build_parser().parse_known_args(words)
    assert args.command == "train"
    return args, override(read_config(ROOT / args.config), rest, prog="blurcore train")


def submit(
    script: str, tmp_path: Path, words: list[str], srun: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a Slurm script with a `scontrol` that knows one host, and an `srun` of our own."""
    for name, body in (("scontrol", 'test "$*" = "show hostnames node[1-2]" && echo localhost'), ("srun", srun)):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    slurm = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": "7", "PATH": path, **variables}
    return subprocess.run(
        ["bash", str(CLUSTER / script), *words],
        env={**os.environ, **slurm},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.nightly  # test_distributed.py trains in two processes every day
def test_slurm_script_of_torch_trains_in_two_processes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    config = bc.RunConfig(
        device="cpu",
        data=bc.Digits(),
        model=bc.MODEL_PRESETS["tiny"],
        train=bc.TrainConfig(objective=bc.Denoising(prediction="v"), steps=100, batch_size=4, warmup_steps=2),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=2), num_samples=2),
    )
    write_config(config, tmp_path / "config.toml")
    done = submit(
        "torch.slurm",
        tmp_path,
        [str(tmp_path / "config.toml"), str(tmp_path / "run"), "--train.steps", "2"],
        'exec "$@"',
        SLURM_NNODES="1",
        SLURM_GPUS_ON_NODE="2",
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stderr
    checkpoint = newest_checkpoint(tmp_path / "run", reader="torch")
    assert checkpoint.step == 2
    assert checkpoint.shards is not None
    assert len(list(checkpoint.shards.iterdir())) == 2


def test_slurm_script_of_jax_has_valid_arguments(tmp_path: Path) -> None:
    words = ["configs/cifar10_blurring.toml", "RUN", "--resume"]
    done = submit("jax.slurm", tmp_path, words, 'echo "$JAX_COORDINATOR_ADDRESS"; printf "%s\\n" "$@"')
    assert done.returncode == 0, done.stderr
    address, program, *said = done.stdout.splitlines()
    assert (address, program) == ("localhost:29500", "blurcore")
    args, config = settings_of(said)
    assert (args.out, args.resume) == (Path("RUN"), True)
    assert (config.backend, config.train.parallel, config.train.sharded_checkpoints) == ("jax", "fsdp", True)


@pytest.mark.parametrize("script", ["torch.slurm", "jax.slurm"])
def test_slurm_script_warns_the_run_in_time(script: str) -> None:
    text = (CLUSTER / script).read_text()
    (warning,) = re.findall(r"^#SBATCH --signal=TERM@(\d+)$", text, re.MULTILINE)
    kills = re.findall(r"TORCH_ELASTIC_SHUTDOWN_TIMEOUT=(\d+)", text)
    assert all(60 <= int(seconds) < int(warning) for seconds in kills)
    assert bool(kills) == (script == "torch.slurm")


def jobs() -> dict[str, dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    documents = list(yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text()))
    services = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "Service"}
    found = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "Job"}
    for name, job in found.items():  # the pods find one another by NAME-INDEX.SERVICE
        assert services[name] == {"clusterIP": "None", "selector": {"job-name": name}}
        pod = job["template"]["spec"]
        assert (job["completionMode"], pod["subdomain"], job["completions"]) == ("Indexed", name, job["parallelism"])
        (container,) = pod["containers"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    return found


def container_of(job: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the words of a job's only container, and its variables."""
    (container,) = job["template"]["spec"]["containers"]
    return [*container["command"], *container["args"]], {entry["name"]: entry for entry in container["env"]}


def test_kubernetes_manifest_of_torch_has_valid_arguments() -> None:
    run = pytest.importorskip("torch.distributed.run")
    job = jobs()["blurcore"]
    (program, *words), variables = container_of(job)
    assert program == "torchrun"
    words = [word.replace("$(JOB_COMPLETION_INDEX)", "1") for word in words]  # as the kubelet does in the second pod
    given = run.get_args_parser().parse_args(words)
    assert (given.nnodes, given.module, given.training_script) == (str(job["completions"]), True, "blurcore")
    assert (given.node_rank, given.master_addr) == (1, "blurcore-0.blurcore")
    args, config = settings_of(given.training_script_args)
    assert str(args.out).startswith("/runs/")
    assert (config.backend, config.train.parallel, config.train.sharded_checkpoints) == ("torch", "fsdp", True)
    grace = job["template"]["spec"]["terminationGracePeriodSeconds"]
    assert 60 <= int(variables["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]["value"]) < grace
    assert config.train.batch_size % (int(given.nproc_per_node) * int(given.nnodes)) == 0


def test_kubernetes_manifest_of_jax_has_valid_arguments() -> None:
    job = jobs()["blurcore-jax"]
    (program, *words), variables = container_of(job)
    args, config = settings_of(words)
    assert program == "blurcore"
    assert str(args.out).startswith("/runs/")
    assert (config.backend, config.train.parallel) == ("jax", "fsdp")
    assert variables["JAX_COORDINATOR_ADDRESS"]["value"] == "blurcore-jax-0.blurcore-jax:29500"
    assert variables["JAX_NUM_PROCESSES"]["value"] == str(job["completions"])
    where = variables["JAX_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert where == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
