"""A sampling step carried elsewhere draws what `blurcore sample` draws: torch.export, ONNX and jax.export, read afresh."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.data.values import to_samples
from blurcore.engine import SamplingPlan
from blurcore.runs import read_config

FORMS = {"torch-export": "torch", "onnx": "torch", "jax-export": "jax"}
SOLVERS = {"second order": ["DPMSolverPP"], "two calls a step": ["Heun"], "random": ["Ancestral"]}
NUM = 3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step with classes, by whichever backend is there."""
    folder = tmp_path_factory.mktemp("carry") / "run"
    config = bc.RunConfig(
        seed=3,
        device="cpu",
        data=bc.Digits(),
        model=bc.ModelConfig(
            base_channels=8,
            channel_multipliers=(1,),
            num_res_blocks=1,
            attention_levels=(0,),
            norm_groups=4,
            num_classes=10,
        ),
        train=bc.TrainConfig(objective=bc.Denoising(prediction="v"), steps=1, batch_size=4, sample_every=0),
        sample=bc.SampleConfig(times=bc.Uniform(num_steps=4), num_samples=NUM, batch_size=NUM, label=3, guidance=2.0),
    )
    from blurcore.errors import BackendError
    from blurcore.registry import choose_backend

    try:
        machine: Any = bc.get_backend(choose_backend())
    except BackendError as error:
        pytest.skip(str(error))
    machine.train(config, folder)
    return folder


def load(form: str, path: Path) -> Any:
    """Return a program, read afresh, as a function of NumPy arrays."""
    if form == "torch-export":
        torch: Any = pytest.importorskip("torch")
        program = torch.export.load(path).module()
        return lambda *inputs: [v.detach().numpy() for v in program(*(torch.from_numpy(np.asarray(v)) for v in inputs))]
    if form == "onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
        names = [entry.name for entry in session.get_inputs()]
        return lambda *inputs: session.run(None, dict(zip(names, map(np.asarray, inputs), strict=True)))
    pytest.importorskip("jax")
    from jax import export as jax_export

    exported = jax_export.deserialize(bytearray(path.read_bytes()))
    narrow = {np.dtype(np.int64): np.int32}
    return lambda *inputs: [
        np.asarray(v)
        for v in exported.call(*(np.asarray(v, narrow.get(np.asarray(v).dtype, np.asarray(v).dtype)) for v in inputs))
    ]


def drawn(backend: str, folder: Path, settings: bc.SampleConfig, noise: np.ndarray) -> np.ndarray:
    """Return what a backend draws from given noise (calls + 1, n, *grid, C), of labels 3."""
    config = read_config(folder / "config.toml")
    labels = np.full(noise.shape[1], 3)
    if backend == "torch":
        torch: Any = pytest.importorskip("torch")
        from blurcore_torch.run import load_run
        from blurcore_torch.sampler import grid_axes, sample_batch

        network, shape = load_run(folder, torch.device("cpu"))[1:3]
        plan = SamplingPlan(config, settings, shape, axes=grid_axes(shape))
        given = torch.from_numpy(np.moveaxis(noise, -1, 2).copy())
        return sample_batch(plan, network, lambda k: given[k], bc.engine.Batch(labels=labels)).movedim(1, -1).numpy()
    pytest.importorskip("jax")
    from blurcore_jax.run import load_run as load_jax
    from blurcore_jax.sampler import Network, sample_batch
    from blurcore_jax.sampler import grid_axes as axes_of

    _, graphdef, params, shape, *_ = load_jax(folder)
    plan = SamplingPlan(config, settings, shape, axes=axes_of(shape))
    return np.asarray(
        sample_batch(plan, Network(graphdef, params), noise, bc.engine.Batch(labels=labels.astype(np.int32)))
    )


@pytest.mark.parametrize(
    ("form", "solver"), [(f, s) for f in FORMS for s in SOLVERS if (f, s) != ("onnx", "two calls a step")]
)
def test_program_draws_what_the_backend_draws(form: str, solver: str, run: Path, tmp_path: Path) -> None:
    pytest.importorskip(FORMS[form])
    if form == "onnx":
        pytest.importorskip("onnxscript")
    words = ["export", str(run), "--to", form, "--out", str(tmp_path / "out")]
    assert main([*words, "--sample.solver", *SOLVERS[solver], "--sample.times.num-steps", "4"]) == 0
    about = json.loads((tmp_path / "out" / "step.json").read_text())
    program = load(form, tmp_path / "out" / about["program"])
    settings = replace(read_config(run / "config.toml").sample, solver=bc.find_kind(SOLVERS[solver][0], "solver")())
    shape = tuple(about["image_shape"])
    noise = np.random.default_rng(0).standard_normal((about["steps"] + 1, NUM, *shape)).astype(np.float32)

    first = about["layout"] == "channels first"
    to, back = ((-1, 1), (1, -1)) if first else ((0, 0), (0, 0))
    basis, axes = bc.DCT(), (2, 3) if first else (1, 2)
    given = [np.moveaxis(part, *to).copy() for part in noise]
    state = [np.asarray(basis.inverse(about["first_sigma"] * given[0], axes=axes), np.float32)]
    state += [np.zeros_like(state[0])] * (len(about["outputs"]) - 1)
    for k in range(about["steps"]):
        more = {"label": np.full(NUM, 3, np.int64), "noise": given[k + 1]}
        extra = [more[name] for name in about["inputs"] if name in more]
        state = program(*state, np.int64(k), *extra)
    found = np.moveaxis(state[0], *back)
    np.testing.assert_allclose(found, drawn(FORMS[form], run, settings, noise), rtol=0, atol=1e-5)
    assert to_samples(found, "symmetric").images.shape == (NUM, *shape)


def test_code_of_the_page_draws_with_onnx_runtime(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_code: Any
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "--to", "onnx", "--out", "program", "--sample.times.num-steps", "4"]) == 0
    names = run_code(Path(__file__).parents[2] / "docs" / "carry.md")
    low, high = names["about"]["range"]
    assert names["images"].shape == (16, 1, 8, 8)
    assert np.isfinite(names["images"]).all()
    assert low < names["images"].mean() < high


@pytest.mark.parametrize("form", FORMS)
def test_exported_network_equals_the_runs(form: str, run: Path, tmp_path: Path) -> None:
    pytest.importorskip(FORMS[form])
    if form == "onnx":
        pytest.importorskip("onnxscript")
    out = tmp_path / "out"
    assert main(["export", str(run), "--to", form, "--out", str(out), "--form.part", "network"]) == 0
    about = json.loads((out / "network.json").read_text())
    assert about["inputs"] == ["z", "condition", "label"]
    z = np.random.default_rng(1).standard_normal((5, *about["image_shape"])).astype(np.float32)
    times, none = np.full(5, 0.4, np.float32), np.full(5, 10, np.int64)
    program = load(form, out / about["program"])
    if about["layout"] == "channels first":
        found = np.moveaxis(np.asarray(program(np.moveaxis(z, -1, 1).copy(), times, none)).reshape(5, 1, 8, 8), 1, -1)
    else:
        found = np.asarray(program(z, times, none)).reshape(z.shape)
    machine: Any = bc.get_backend(FORMS[form])
    np.testing.assert_allclose(found, machine.network(run, device="cpu").call(z, times), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "nonsense"], "--to must be one of Diffusers, HubFolder, JaxExport, ONNX, TorchExport"),
        (["--to", "onnx", "--license", "mit"], "unknown setting --license, a setting of Diffusers and HubFolder"),
        (["--to", "hub-folder", "--sample.guidance", "3"], "sample must be left as the run has it"),
        (["--to", "torch-export", "--sample.solver", "AdaptiveODE"], "sample.solver must be one of fixed steps"),
        (["--to", "torch-export", "--sample.start", "Image", "--sample.start.path", "x"], "sample.start"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(
    words: list[str], message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert main(["export", str(run), "--out", str(tmp_path / "out"), *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
