"""`blurcore export --to diffusers`: the pipeline of a run draws what `blurcore sample` draws from the same noise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.errors import ArgumentError
from blurcore.runs import Checkpoint, RunFolder, newest_checkpoint, save_checkpoint

torch: Any = pytest.importorskip("torch")
diffusers: Any = pytest.importorskip("diffusers")
bd: Any = pytest.importorskip("blurcore.diffusers")
pipeline_of: Any = pytest.importorskip("blurcore.diffusers.run_pipeline").pipeline_of

HEAT = bc.HeatDissipation(sigma=0.05, blur=bc.LogLinear(num_levels=4, sigma_blur_max=4.0))
BASE = bc.RunConfig(
    seed=3,
    device="cpu",
    data=bc.Digits(),
    model=bc.ModelConfig(
        base_channels=8, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), norm_groups=4
    ),
    train=bc.TrainConfig(objective=bc.Denoising(prediction="v"), steps=1, batch_size=4),
    sample=bc.SampleConfig(times=bc.Uniform(num_steps=4), num_samples=2, batch_size=2),
)


def configured(
    process: Any = None, *, model: dict[str, Any] | None = None, data: Any = None, **train: Any
) -> bc.RunConfig:
    return replace(
        BASE,
        process=process or bc.BlurringDiffusion(),
        model=replace(BASE.model, **(model or {})),
        data=data or BASE.data,
        train=replace(BASE.train, **train),
    )


def sampled(config: bc.RunConfig, **sample: Any) -> bc.RunConfig:
    return replace(config, sample=replace(config.sample, **sample))


RUNS = {
    "blurring v": configured(),
    "blurring eps": configured(objective=bc.Denoising(prediction="eps")),
    "gaussian x0, clipped": sampled(
        configured(bc.GaussianDiffusion(), objective=bc.Denoising(prediction="x0")), clip="static"
    ),
    "gaussian x0, thresholds": sampled(
        configured(bc.GaussianDiffusion(), objective=bc.Denoising(prediction="x0")), clip="dynamic"
    ),
    "linear betas, 1000 levels": configured(
        bc.GaussianDiffusion(noise=bc.LinearBeta()), objective=bc.Denoising(prediction="x0", levels=1000)
    ),
    "log-SNR shown, patches": configured(model={"embedding": "log_snr", "patch_size": 2}),
    "heat, residual": sampled(
        configured(HEAT, objective=bc.HeatReversal(), data=replace(BASE.data, values="unit")), solver=bc.InverseHeat()
    ),
    "heat, data": sampled(configured(HEAT, objective=bc.Denoising(prediction="x0")), solver=bc.InverseHeat(delta=0.1)),
    "heat, ancestral": configured(HEAT, objective=bc.Denoising(prediction="x0")),
    "signals": configured(data=bc.Membrane()),
    "classes": configured(model={"num_classes": 10}),
}


def make_run(config: bc.RunConfig, folder: Path) -> Path:
    """Write the run folder of a network none of whose weights is zero, without training it."""
    from blurcore_torch.model import build_model

    from blurcore.engine import fit_prior

    data = config.data.load()
    model = build_model(config, data.image_shape)
    rng = np.random.default_rng(0)
    weights = {
        name: (p.detach().numpy() + 0.05 * rng.standard_normal(tuple(p.shape))).astype(np.float32)
        for name, p in model.named_parameters()
    }
    prior = fit_prior(config, data)
    groups = {"model": weights, "ema": weights, "optimizer": {}, **({} if prior is None else {"prior": prior.arrays()})}
    state = {"image_shape": list(data.image_shape), "data": "", "totals": {}, "backend": "torch"}
    with RunFolder(folder, config, resume=False):
        save_checkpoint(folder, Checkpoint(1, groups, state), keep=1)
    return folder


def by_blurcore(run: Path, noise: Any, states: np.ndarray | None, labels: np.ndarray | None) -> Any:
    """Return what the sampler of a run makes of noise in data space, in [0, 1]."""
    from blurcore_torch.run import load_run
    from blurcore_torch.sampler import sample_batch

    from blurcore.data.values import SCALES
    from blurcore.engine import Batch, SamplingPlan, clip_of

    config, network, shape, *_ = load_run(run, torch.device("cpu"))
    axes = tuple(range(1 - len(shape), 0))
    plan = SamplingPlan(config, config.sample, shape, axes=axes)
    x = sample_batch(
        plan,
        network,
        lambda k: config.process.basis.forward(noise[k], axes=axes),
        Batch(states=states, labels=labels),
    )
    scale = SCALES[config.data.values]
    clip = clip_of(config.data, config.sample)
    return (((x if clip is None else clip.data(x)) - scale.low) / (scale.high - scale.low)).clamp(0, 1)


@pytest.mark.parametrize("name", RUNS)
def test_exported_run_draws_what_the_run_draws_from_the_same_noise(name, tmp_path, capsys):
    config = RUNS[name]
    run = make_run(config, tmp_path / "run")
    out = tmp_path / "pipeline"
    assert main(["export", str(run), "--to", "diffusers", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"diffusers: {out}\n"
    diffusers.utils.logging.disable_progress_bar()
    pipeline = diffusers.DiffusionPipeline.from_pretrained(out)
    pipeline.set_progress_bar_config(disable=True)

    checkpoint = newest_checkpoint(run)
    grid, channels = checkpoint.state["image_shape"][:-1], checkpoint.state["image_shape"][-1]
    source = torch.Generator().manual_seed(0)
    noise = [torch.randn(2, channels, *grid, generator=source) for _ in range(5)]
    axes = tuple(range(-len(grid), 0))
    states, labels = None, None
    latents = config.process.basis.inverse(
        config.process.marginal(1.0, shape=tuple(grid), like=noise[0]).sigma
        * config.process.basis.forward(noise[0], axes=axes),
        axes=axes,
    )
    if isinstance(pipeline, bd.HeatDissipationPipeline):
        u = pipeline.prior.draw(2, torch.Generator().manual_seed(5))
        states = u.movedim(1, -1).numpy()
        latents = latents + config.process.basis.inverse(u, axes=axes)
    more: dict[str, Any] = {}
    if config.model.num_classes:
        labels = np.array([3, 7])
        more["class_labels"] = torch.from_numpy(labels)
    if isinstance(pipeline, bd.BlurringPipeline):
        got = pipeline(2, generator=_after(noise), output_type="pt", latents=latents, **more).images
    else:  # its start is the generator's first draw
        images = pipeline(2, generator=torch.Generator().manual_seed(0), num_inference_steps=4, output_type="np").images
        got = np.moveaxis(images, -1, 1)
    expected = by_blurcore(run, noise, states, labels)
    assert float(expected.std()) > 0.02
    # float32; DDPMPipeline starts from noise 2.3e-5 stronger.
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_class_labels_may_be_anything_that_holds_whole_numbers(tmp_path):
    run = make_run(RUNS["classes"], tmp_path / "run")
    pipeline = pipeline_of(run)
    pipeline.set_progress_bar_config(disable=True)

    def draw(labels: Any) -> Any:
        settings = {"num_inference_steps": 2, "output_type": "pt", "class_labels": labels}
        return pipeline(2, generator=torch.Generator().manual_seed(0), **settings).images

    expected = draw(torch.tensor([3, 7]))
    for given in (
        [3, 7],
        (3, 7),
        np.array([3, 7]),
        np.array([3, 7], np.uint8),
        torch.tensor([3, 7], dtype=torch.int32),
    ):
        assert torch.equal(draw(given), expected)
    assert torch.equal(draw(3), draw([3, 3]))
    assert torch.equal(draw(10), draw(None))
    z, t = torch.zeros(2, 1, 8, 8), torch.tensor(5)
    assert torch.equal(pipeline.unet(z, t, [3, 7]).sample, pipeline.unet(z, t, torch.tensor([3, 7])).sample)
    wrong = {
        "from 0 to 9, or 10 for no class; got 11": [3, 11],
        "got -1": [-1, 2],
        "must be 2, one for each sample": [1, 2, 3],
        "must be whole numbers": [1.0, 2.0],
        "got 'cat'": "cat",
        r"the shape \(2, 1\)": [[1], [2]],
    }
    for message, labels in wrong.items():
        for call in (draw, lambda labels: pipeline.unet(z, t, labels)):
            with pytest.raises(ArgumentError, match=message):
                call(labels)
    other = pipeline_of(make_run(RUNS["log-SNR shown, patches"], tmp_path / "other"))
    with pytest.raises(ArgumentError, match="class_labels must be None for a network without classes"):
        other.unet(z, t, [1, 2])


def _after(noise: list[Any]) -> Any:
    """Return a generator that has drawn the start already."""
    source = torch.Generator().manual_seed(0)
    torch.randn(noise[0].shape, generator=source)
    return source


def test_pipeline_and_network_are_those_of_diffusers_where_they_can_be(tmp_path):
    kinds = {
        "blurring v": ("DDPMPipeline", "UNet2DModel"),
        "log-SNR shown, patches": ("DDPMPipeline", "RunUNet"),
        "heat, residual": ("HeatDissipationPipeline", "RunUNet"),
        "classes": ("BlurringPipeline", "RunUNet"),
        "signals": ("BlurringPipeline", "RunUNet"),
    }
    for name, (pipeline, network) in kinds.items():
        run = make_run(RUNS[name], tmp_path / f"run {name}")
        out = tmp_path / name
        assert main(["export", str(run), "--to", "diffusers", "--out", str(out)]) == 0
        index = json.loads((out / "model_index.json").read_text())
        assert (index["_class_name"], index["unet"][1]) == (pipeline, network)
        suffixes = {path.suffix for path in out.rglob("*") if path.is_file()}
        assert suffixes <= {".json", ".md", ".safetensors", ".png"}


@pytest.mark.parametrize("name", ["heat, residual", "blurring v"])
def test_usage_on_the_card_works_as_it_stands(name, tmp_path, monkeypatch, run_code):
    run = make_run(RUNS[name], tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert main(["export", "run", "--to", "diffusers", "--out", "my-model"]) == 0
    names = run_code(tmp_path / "my-model" / "README.md")
    assert [image.size for image in names["images"]] == [(8, 8)] * 4
    assert run.is_dir()


def test_sampler_that_is_not_exported_is_warned_of(tmp_path, capsys):
    run = make_run(sampled(RUNS["blurring v"], solver=bc.DDIM()), tmp_path / "run")
    assert main(["export", str(run), "--to", "diffusers", "--out", str(tmp_path / "out")]) == 0
    assert "the sampler and the grid of the run stay behind" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            sampled(configured(bc.ColdDiffusion(), objective=bc.Restoration()), solver=bc.ColdImproved()),
            "ColdDiffusion has none: take --to hub-folder",
        ),
        (
            sampled(configured(bc.GaussianDiffusion(), data=replace(BASE.data, values="unit")), clip="static"),
            "sample.clip must be off for --to diffusers",
        ),
    ],
    ids=["cold", "clip"],
)
def test_run_that_diffusers_has_no_form_for_is_refused(config, message, tmp_path, capsys):
    run = make_run(config, tmp_path / "run")
    assert main(["export", str(run), "--to", "diffusers", "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
