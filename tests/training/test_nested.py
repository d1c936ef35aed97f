"""Training over sizes, on both backends: which images, for how much, once compiled, the same after a break, and from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.resolution import Resolutions, portions, shrink
from blurcore.runs import newest_checkpoint, write_config
from blurcore.runs.folder import read_metrics

SIZES = Resolutions(sizes=((8, 8), (4, 4), (2, 2)), since=(0.0, 0.3, 0.45))


@pytest.fixture
def nested(config: bc.RunConfig) -> bc.RunConfig:
    train = replace(config.train, batch_size=16, accumulate=2, steps=4, checkpoint_every=2)
    return replace(config, train=train, resolution=bc.Nested(found=SIZES))


def test_loss_is_that_of_each_size_on_its_rows(machine: Any, nested: bc.RunConfig) -> None:
    """A network that says nothing yet, and x0: the loss is the mean square of the low-passed data, whatever the time and noise."""
    train = replace(nested.train, objective=bc.Denoising(prediction="x0"))
    trainer = machine.trainer(replace(nested, train=train), (8, 8, 1))
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    x, expected = images / 127.5 - 1, 0.0
    parts = (x[:8], x[8:]) if machine.name == "torch" else (x[::2], x[1::2])
    for part in parts:
        for portion in portions(SIZES, 8, overlap=0.05):
            u = shrink(bc.DCT().forward(part[portion.rows], axes=(1, 2)), portion.size, axes=(1, 2))
            expected += portion.weight * np.sum(np.mean(u**2, axis=(1, 2, 3))) / 16
    assert float(trainer.train_step(images)[0]) == pytest.approx(expected, rel=1e-5)


def test_torch_compiles_one_program_for_each_size(
    nested: bc.RunConfig, torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `train.compile` asks Inductor for, counted, and run as it is."""
    compiled: list[tuple[int, ...]] = []
    honest = torch.compile

    def count(graph: Any, given: list[Any]) -> Any:
        compiled.append(next(tuple(v.shape) for v in given if v.ndim == 4 and v.shape[1] == 1 and v.shape[0] < 8))
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda network, **more: honest(network, backend=count, **more))
    from blurcore_torch.trainer import Trainer

    torch._dynamo.reset()
    trainer = Trainer(replace(nested, train=replace(nested.train, compile=True)), (8, 8, 1), torch.device("cpu"))
    for seed in range(3):
        trainer.train_step(np.random.default_rng(seed).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8))
    assert sorted(shape[2:] for shape in compiled) == [(2, 2), (4, 4), (8, 8)]


def test_jax_has_each_size_once_in_its_one_program(
    nested: bc.RunConfig, jax: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flax")
    from blurcore_jax.devices import pick_devices
    from blurcore_jax.model import UNet
    from blurcore_jax.trainer import Trainer

    traced, honest = [], UNet.__call__
    monkeypatch.setattr(
        UNet, "__call__", lambda self, z, *rest: (traced.append(z.shape[1:3]), honest(self, z, *rest))[1]
    )
    train = replace(nested.train, weight_decay=1e-7)  # which no other test has: this program is not compiled already
    trainer = Trainer(replace(nested, train=train), (8, 8, 1), pick_devices("cpu")[:1])
    for seed in range(3):
        trainer.train_step(np.random.default_rng(seed).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8))
    assert trainer._step._cache_size() == 1
    assert sorted(set(traced)) == [(2, 2), (4, 4), (8, 8)]
    assert len(traced) == len(set(traced))


def test_resumed_run_has_the_sizes_and_bits_of_the_unbroken_one(
    machine: Any, nested: bc.RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(nested, resolution=bc.Nested(tolerance=0.05))
    machine.train(config, tmp_path / "steady")
    machine.train(replace(config, train=replace(config.train, steps=2)), tmp_path / "run")
    monkeypatch.setattr(bc.Nested, "choose", None)  # nothing is worked out again
    machine.train(config, tmp_path / "run", resume=True)
    one, other = (newest_checkpoint(tmp_path / name) for name in ("steady", "run"))
    assert one.state["resolutions"] == other.state["resolutions"]
    assert one.state["resolutions"]["sizes"] == [[8, 8], [4, 4], [2, 2]]
    for group, arrays in one.groups.items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, other.groups[group][name], err_msg=f"{group}/{name}")
    losses = [[line["loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl")] for name in ("steady", "run")]
    assert losses[0] == losses[1]
    assert np.isfinite(losses).all()


def test_run_over_sizes_goes_through_the_commands(
    machine: Any, config: bc.RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(
        config, train=replace(config.train, steps=2), sample=replace(config.sample, times=bc.Uniform(num_steps=8))
    )
    write_config(config, tmp_path / "config.toml")
    run, backend = str(tmp_path / "run"), ["--backend", machine.name, "--device", "cpu"]
    words = ["--resolution", "nested", "--resolution.tolerance", "0.05", "--out", run]
    assert main(["train", str(tmp_path / "config.toml"), *words, *backend]) == 0
    assert "sizes: 8 x 8, 4 x 4 from t = " in capsys.readouterr().err
    assert 'kind = "Nested"' in (tmp_path / "run" / "config.toml").read_text()
    assert main(["info", run]) == 0
    assert "sizes        8 x 8, 4 x 4 from t = " in capsys.readouterr().out
    assert main(["sample", run, "--film", *backend]) == 0
    assert main(["calibrate", run, "--num-images", "8", "--num-times", "3", *backend[:2]]) == 0
    restore = ["restore", run, "--simulate", "--method", "PiGDM", "--num-images", "2", "--num-samples", "1"]
    assert main([*restore, "--times.num-steps", "3", "--out", str(tmp_path / "restored"), *backend]) == 0
    assert main(["evaluate", run, "--num-images", "3", "--num-steps", "8", *backend]) == 0
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())["bits_per_dim"]
    assert found["dropped"]["mean"] > 0
    capsys.readouterr()
    if find_spec("huggingface_hub"):  # an exported run keeps its sizes
        assert main(["export", run, "--to", "hub-folder", "--out", str(tmp_path / "hub")]) == 0
        assert main(["info", str(tmp_path / "hub")]) == 0
        assert "sizes        8 x 8, 4 x 4 from t = " in capsys.readouterr().out
    if find_spec("diffusers") and find_spec("torch"):
        assert main(["export", run, "--to", "diffusers", "--out", str(tmp_path / "pipeline")]) == 2
        assert "resolution must be of one size for --to diffusers" in capsys.readouterr().err
    for command, message in (
        (["sample", run, "--solver", "AdaptiveODE"], "sample.solver must take the steps of a grid of times"),
        (
            ["evaluate", run, "--likelihood", "ode"],
            "likelihood must be discrete or continuous for a network over sizes",
        ),
    ):
        assert main([*command, *backend]) == 2
        assert message in capsys.readouterr().err
