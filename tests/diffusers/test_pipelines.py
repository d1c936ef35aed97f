"""Pipelines: sampling through `DDPMPipeline` and our own, saved, loaded, and what a saved one is made of."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import blurcore as bc

torch: Any = pytest.importorskip("torch")
diffusers: Any = pytest.importorskip("diffusers")
bd: Any = pytest.importorskip("blurcore.diffusers")

LEVELS = 4


@pytest.fixture(autouse=True)
def quiet() -> None:
    diffusers.utils.logging.disable_progress_bar()


def draw(pipeline: Any, **settings: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    settings = {"batch_size": 2, "output_type": "np", **settings}
    return pipeline(generator=torch.Generator().manual_seed(0), **settings).images


@pytest.fixture
def heat(make_unet: Any) -> Any:
    """A pipeline of heat dissipation with 4 levels."""
    scheduler = bd.HeatDissipationScheduler(num_train_timesteps=LEVELS)
    images = 2 * torch.rand(5, 3, 8, 12, generator=torch.Generator().manual_seed(1)) - 1
    prior = bd.BlurredDataPrior.from_images(images, scheduler.process)
    return bd.HeatDissipationPipeline(make_unet((8, 12)), scheduler, prior)


@pytest.mark.parametrize("size", [8, (8, 12)], ids=str)
@pytest.mark.parametrize("name", ["DDPMPipeline", "BlurringPipeline"])
def test_saved_pipeline_loads_and_draws_the_same(name, size, make_unet, tmp_path):
    kind = getattr(bd, name, None) or getattr(diffusers, name)
    scheduler = bd.BlurringScheduler(process=bc.BlurringDiffusion(), prediction_type="v_prediction")
    pipeline = kind(make_unet(size), scheduler)
    before = draw(pipeline, num_inference_steps=3)
    assert before.shape == (2, *((8, 8) if size == 8 else size), 3)
    pipeline.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["scheduler"] == [
        "blurcore.diffusers",
        "BlurringScheduler",
    ]
    for loader in (kind, diffusers.DiffusionPipeline):
        again = loader.from_pretrained(tmp_path)
        assert type(again) is kind
        np.testing.assert_array_equal(draw(again, num_inference_steps=3), before)


def test_pipeline_of_ours_starts_where_ddpm_pipeline_does_but_for_the_scale_of_the_noise(make_unet):
    """The paper's sigma_1 is sqrt(sigmoid(10)) = 1 - 2.3e-5."""
    scheduler = bd.BlurringScheduler(
        process=bc.BlurringDiffusion(), timestep_spacing="trailing", prediction_type="v_prediction"
    )
    unet = make_unet(8)
    theirs, ours = (
        draw(kind(unet, scheduler), num_inference_steps=4) for kind in (diffusers.DDPMPipeline, bd.BlurringPipeline)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.slow
def test_saved_pipeline_loads_in_a_fresh_process_that_has_imported_the_module(make_unet, tmp_path):
    diffusers.DDPMPipeline(make_unet(8), bd.BlurringScheduler()).save_pretrained(tmp_path)
    code = f"import blurcore.diffusers, diffusers; pipeline = diffusers.DiffusionPipeline.from_pretrained({str(tmp_path)!r})"
    code += "; print(type(pipeline.scheduler))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert "blurcore.diffusers.BlurringScheduler" in done.stdout


def test_ddim_pipeline_swaps_schedulers_as_the_page_warns(make_unet):
    pipeline = diffusers.DDIMPipeline(make_unet(8), bd.BlurringScheduler())
    assert type(pipeline.scheduler) is diffusers.DDIMScheduler


def test_heat_pipeline_carries_the_blurred_data_that_it_starts_from(heat, tmp_path):
    before = draw(heat)
    heat.save_pretrained(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix not in (".json", ".safetensors")]
    for loader in (bd.HeatDissipationPipeline, diffusers.DiffusionPipeline):
        again = loader.from_pretrained(tmp_path)
        assert isinstance(again, bd.HeatDissipationPipeline)
        assert torch.equal(again.prior.coefficients, heat.prior.coefficients)
        np.testing.assert_array_equal(draw(again), before)


def test_heat_prior_draws_the_training_images_blurred_to_the_last_level():
    process = bc.HeatDissipation(blur=bc.LogLinear(sigma_blur_max=2.0, num_levels=4))
    images = 2 * torch.rand(6, 2, 8, 12, generator=torch.Generator().manual_seed(1)) - 1
    prior = bd.BlurredDataPrior.from_images(images, process)
    drawn = process.basis.inverse(prior.draw(64, torch.Generator().manual_seed(0)))
    blurred = bc.diffuse(process, images, 1.0, torch.zeros_like(images))
    distances = (drawn[:, None] - blurred[None]).abs().amax(dim=(2, 3, 4))
    nearest, which = distances.min(dim=1)
    assert float(nearest.max()) < 1e-4  # frequencies of which less than a millionth is left are not kept
    assert set(which.tolist()) == set(range(6))


def test_heat_steps_are_those_of_the_core(heat):
    """u_{k-1} = u_k + f + delta n, and the last step adds none."""
    process, scheduler = heat.scheduler.process, heat.scheduler
    scheduler.set_timesteps(LEVELS)
    assert scheduler.timesteps.tolist() == [3, 2, 1, 0]
    x, f = (torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in (1, 2))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = scheduler.step(f, 2, x, generator=torch.Generator().manual_seed(0)).prev_sample
    np.testing.assert_allclose(got, x + f + 1.25 * process.sigma * noise, atol=1e-12)
    np.testing.assert_allclose(scheduler.step(f, 0, x).prev_sample, x + f, atol=1e-12)


def test_heat_target_is_the_residual_of_the_core():
    scheduler = bd.HeatDissipationScheduler(num_train_timesteps=LEVELS)
    x, noise = (torch.randn(3, 1, 8, 6, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    steps = torch.tensor([0, 2, 3])
    pair = bc.HeatReversal(process=scheduler.process).pair(x, (steps + 1.0) / LEVELS, noise, axes=(-2, -1))
    np.testing.assert_allclose(scheduler.add_noise(x, noise, steps), pair.z, atol=1e-6)
    np.testing.assert_allclose(scheduler.get_residual(x, noise, steps), pair.target, atol=1e-6)


def test_heat_goes_from_predicted_data_too():
    process = bc.HeatDissipation()
    scheduler = bd.HeatDissipationScheduler(100, process, prediction_type="sample", delta=0.0)
    scheduler.set_timesteps(10)
    x = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    got = scheduler.step(x, 49, torch.zeros_like(x)).prev_sample  # from t = 0.5 to t = 0.4
    np.testing.assert_allclose(got, bc.diffuse(process, x, 0.4, torch.zeros_like(x)), atol=1e-12)


def test_given_start_replaces_the_drawn_one(heat):
    start = torch.zeros(2, 3, 8, 12)
    assert not np.array_equal(draw(heat, latents=start), draw(heat))
    with pytest.raises(bc.errors.ArgumentError, match="latents must be of shape"):
        draw(heat, latents=start[:1])


def test_images_that_are_not_finite_are_counted_and_neither_white_nor_grey(heat, caplog):
    x = torch.zeros(3, 3, 8, 12)
    x[0, :, 0], x[2, :, 1] = torch.inf, torch.nan
    for output_type in ("pt", "np", "pil"):
        images = heat._shown(x, output_type)
        assert "2 of 3 images are not finite" in caplog.messages.pop()
        if output_type == "pil":
            assert [image.getpixel((0, row)) for image, row in ((images[0], 0), (images[2], 1))] == [(0, 0, 0)] * 2
        else:
            assert np.isnan(np.asarray(images)).any(axis=(1, 2, 3)).tolist() == [True, False, True]


def test_range_of_the_data_is_undone(make_unet):
    class Zero(torch.nn.Module):
        config = diffusers.configuration_utils.FrozenDict(sample_size=4, in_channels=1)
        dtype, device = torch.float32, torch.device("cpu")

        def forward(self, sample: Any, timestep: Any) -> Any:
            return diffusers.models.unets.unet_2d.UNet2DOutput(sample=torch.full_like(sample, 0.5))

    scheduler = bd.BlurringScheduler(prediction_type="sample")
    for data_range, expected in (("symmetric", 0.75), ("unit", 0.5)):
        pipeline = bd.BlurringPipeline(Zero(), scheduler, data_range=data_range)
        np.testing.assert_allclose(draw(pipeline, num_inference_steps=2), expected, atol=1e-5)
        images = draw(pipeline, num_inference_steps=2, output_type="pil")
        assert [image.size for image in images] == [(4, 4), (4, 4)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bd.HeatDissipationScheduler(5, bc.HeatDissipation()), "num_train_timesteps must be the 200 levels"),
        (lambda: bd.HeatDissipationScheduler(5, bc.HeatDissipation(blur=bc.SinSquared())), "num_levels"),
        (lambda: bd.HeatDissipationScheduler(prediction_type="nothing"), "or 'residual'; got 'nothing'"),
        (lambda: bd.HeatDissipationScheduler(delta=-1.0), "delta"),
        (lambda: bd.HeatDissipationScheduler(5).set_timesteps(3), "num_inference_steps must be 5"),
        (lambda: bd.BlurringPipeline(None, None, data_range="half"), "data_range must be 'symmetric' or 'unit'"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_picture_of_what_is_no_image_is_refused_before_any_work(heat):
    with pytest.raises(bc.errors.ArgumentError, match="output_type must be 'pil', 'np' or 'pt'"):
        draw(heat, output_type="jpeg")
    heat.unet.register_to_config(sample_size=[16])
    with pytest.raises(bc.errors.ArgumentError, match="output_type must be 'pt' for data on a grid"):
        draw(heat)


def test_prior_of_another_shape_is_refused(heat, make_unet):
    other = bd.HeatDissipationPipeline(make_unet(8), heat.scheduler, heat.prior)
    with pytest.raises(bc.errors.ArgumentError, match="prior must be of the network's shape"):
        draw(other)


@pytest.mark.parametrize("package", ["diffusers", "torch"])
def test_missing_package_names_the_install_command(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "try:\n    import blurcore.diffusers\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("BackendError")
    assert "pip install 'blurcore[diffusers]'" in done.stdout
