"""The scheduler: diffusers' contract as its own SchedulerCommonTest checks it, DDPMScheduler, and the core."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import blurcore as bc

torch: Any = pytest.importorskip("torch")
diffusers: Any = pytest.importorskip("diffusers")
bd: Any = pytest.importorskip("blurcore.diffusers")

PROCESSES = {
    "betas and blur": {},
    "betas": {"sigma_blur_max": 0.0},
    "blurring": {"process": bc.BlurringDiffusion()},
    "gaussian": {"process": bc.GaussianDiffusion()},
    "linear betas": {"process": bc.GaussianDiffusion(noise=bc.LinearBeta())},
    "sine basis": {"process": bc.BlurringDiffusion(blur=bc.Sin(sigma_blur_max=3.0), basis=bc.DST())},
    "heat": {"process": bc.HeatDissipation(), "prediction_type": "sample"},
}
SIZES = ((4, 3, 8, 8), (2, 1, 8, 12), (3, 2, 10))


def scheduler(name: str = "betas and blur", **settings: Any) -> Any:
    return bd.BlurringScheduler(**{"num_train_timesteps": 100, **PROCESSES[name], **settings})


def sample_like(shape: tuple[int, ...] = SIZES[0], seed: int = 0) -> Any:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def generator() -> Any:
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=PROCESSES)
def each(request: pytest.FixtureRequest) -> Any:
    """A scheduler of each process."""
    return scheduler(request.param)


def pairs(**settings: Any) -> tuple[Any, Any]:
    """Return DDPMScheduler, its coefficients in float64, and ours without blur, made of its configuration."""
    theirs = diffusers.DDPMScheduler(**settings)
    ours = bd.BlurringScheduler.from_config(theirs.config, sigma_blur_max=0.0)
    theirs.alphas_cumprod, theirs.one = theirs.alphas_cumprod.double(), theirs.one.double()
    return theirs, ours


def run(scheduler: Any, *, generator: Any, shape: tuple[int, ...] = (2, 3, 6, 4), dtype: Any = None) -> Any:
    """Return every state on the way through a scheduler, with a network that is a function."""
    x = torch.randn(shape, generator=generator, dtype=dtype or torch.float64)
    states = [x]
    for t in scheduler.timesteps:
        output = torch.tanh(0.9 * x + t / 1000).to(x.dtype)
        x = scheduler.step(output, t, x, generator=generator).prev_sample
        states.append(x)
    return torch.stack(states)


class TestAgainstDDPM:
    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"variance_type": "fixed_large"},
            {"variance_type": "fixed_small_log"},
            {"prediction_type": "v_prediction"},
            {"prediction_type": "sample", "clip_sample_range": 0.5},
            {"clip_sample": False},
            {"thresholding": True, "sample_max_value": 2.0},
            {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
            {"beta_schedule": "squaredcos_cap_v2"},
            {"beta_schedule": "sigmoid"},
            {"timestep_spacing": "trailing"},
            {"timestep_spacing": "trailing", "variance_type": "fixed_large"},
            {"timestep_spacing": "linspace"},
            {"steps_offset": 1},
            {"num_train_timesteps": 90, "trained_betas": list(np.linspace(0.001, 0.2, 90))},
        ],
        ids=str,
    )
    def test_without_blur_the_samples_are_those_of_ddpm_from_the_same_generator(self, settings):
        theirs, ours = pairs(**settings)
        for s in (theirs, ours):
            s.set_timesteps(30)
        expected, got = (run(s, generator=generator()) for s in (theirs, ours))
        assert torch.equal(theirs.timesteps, ours.timesteps)
        # 30 float64 steps of numbers up to 400, whose coefficients amplify rounding by at most 1e3.
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)

    def test_thresholding_has_no_largest_sample(self, monkeypatch):
        """PyTorch's quantile, which DDPM takes, is an error above 2^24 numbers."""
        monkeypatch.setattr(torch, "quantile", None)
        scheduler = bd.BlurringScheduler(thresholding=True, sample_max_value=99.0)
        x = 3 * torch.randn(2, 3, 16, 16, generator=generator())
        assert torch.equal(scheduler._limit(x), bc.Clip(quantile=0.995).data(x))

    @pytest.mark.slow
    def test_a_thousand_float32_steps_differ_by_the_rounding_of_ddpm_alone(self):
        theirs, ours = diffusers.DDPMScheduler(), bd.BlurringScheduler(sigma_blur_max=0.0)
        expected, got = (run(s, generator=generator(), dtype=torch.float32) for s in (theirs, ours))
        # It takes beta from quotients of float32 alpha-bars: 6e-8 / 1e-4 of each step's share, a thousand times.
        np.testing.assert_allclose(got, expected, atol=3e-4)

    @pytest.mark.parametrize("what", ["add_noise", "get_velocity"])
    def test_noise_and_velocity_are_those_of_ddpm(self, what):
        theirs, ours = pairs()
        x, noise = (torch.randn(4, 3, 6, 5, generator=generator(), dtype=torch.float64) for _ in range(2))
        steps = torch.tensor([0, 1, 500, 999])
        expected, got = (getattr(s, what)(x, noise, steps) for s in (theirs, ours))
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)

    def test_what_users_look_up_is_that_of_ddpm(self):
        theirs, ours = diffusers.DDPMScheduler(), bd.BlurringScheduler()
        for name in ("betas", "alphas", "alphas_cumprod", "timesteps"):
            assert torch.equal(getattr(theirs, name), getattr(ours, name)), name
        assert (ours.init_noise_sigma, ours.order, len(ours)) == (1.0, 1, 1000)

    def test_configuration_of_ddpm_is_taken_over_whole_and_blur_comes_with_it(self):
        theirs = diffusers.DDPMScheduler(num_train_timesteps=300, beta_end=0.05, prediction_type="v_prediction")
        ours = bd.BlurringScheduler.from_config(theirs.config)
        assert {name: ours.config[name] for name in ("num_train_timesteps", "beta_end", "prediction_type")} == {
            "num_train_timesteps": 300,
            "beta_end": 0.05,
            "prediction_type": "v_prediction",
        }
        assert ours.process.blur == bc.SinSquared(sigma_blur_max=20.0)
        assert ours.process.min_scale == 0.001

    def test_saved_ddpm_scheduler_loads_as_ours_and_ours_as_ddpm(self, tmp_path):
        diffusers.DDPMScheduler(beta_end=0.03).save_pretrained(tmp_path)
        assert bd.BlurringScheduler.from_pretrained(tmp_path).config.beta_end == 0.03
        bd.BlurringScheduler(beta_end=0.04).save_pretrained(tmp_path)
        assert diffusers.DDPMScheduler.from_pretrained(tmp_path).config.beta_end == 0.04


class TestAgainstTheCore:
    @pytest.mark.parametrize("shape", SIZES, ids=str)
    @pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
    def test_step_is_the_ancestral_step_of_the_process(self, kind, shape):
        process = bc.BlurringDiffusion()
        ours = bd.BlurringScheduler.from_process(process, 50, prediction_type=kind)
        ours.set_timesteps(10)
        x, output = (
            torch.randn(shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in (1, 2)
        )
        noise = torch.randn(shape, generator=generator(), dtype=torch.float64)
        got = ours.step(output, 40, x, generator=generator())
        axes = tuple(range(2 - len(shape), 0))
        u, n = (process.basis.forward(a, axes=axes) for a in (x, noise))
        t, s = 41 / 50, 36 / 50
        said = bc.predict(
            process, output, {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}[kind], u, t, axes=axes
        )
        state = bc.Ancestral(process=process, axes=axes).step(bc.SamplerState(u), said, t, s, n)
        np.testing.assert_allclose(got.prev_sample, process.basis.inverse(state.u, axes=axes), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            got.pred_original_sample, process.basis.inverse(said.x0, axes=axes), rtol=1e-9, atol=1e-9
        )

    def test_noise_and_velocity_are_those_of_the_process(self, each):
        x, noise = sample_like(SIZES[1]), sample_like(SIZES[1], 1)
        steps = torch.tensor([3, 99])
        t = (steps.double() + 1) / 100
        np.testing.assert_allclose(each.add_noise(x, noise, steps), bc.diffuse(each.process, x, t, noise))
        expected = bc.training_pair(each.process, x, t, noise, prediction="v").target
        np.testing.assert_allclose(each.get_velocity(x, noise, steps), expected)

    def test_alpha_bar_is_the_share_of_signal_of_the_constant_frequency(self):
        ours, process = scheduler("blurring"), bc.BlurringDiffusion()
        m = process.marginal((np.arange(100) + 1) / 100, shape=(1, 1))
        expected = (m.alpha**2 / (m.alpha**2 + m.sigma**2)).reshape(-1)
        np.testing.assert_allclose(ours.alphas_cumprod, expected, rtol=1e-5)  # float32, after 1 - alpha-bar of 5e-5
        np.testing.assert_allclose(np.cumprod(1 - ours.betas.double().numpy()), expected, rtol=1e-4)

    def test_custom_process_is_sampled_and_saved(self, tmp_path):
        process = _Own()
        ours = bd.BlurringScheduler.from_process(process, 20)
        ours.save_pretrained(tmp_path)
        assert bd.BlurringScheduler.from_pretrained(tmp_path).process == process
        ours.set_timesteps(20)
        noise = torch.randn(500, 1, 6, 6, generator=generator())
        u = process.basis.forward(ours.init_noise(noise))
        np.testing.assert_allclose(u.std(dim=0)[0], process.marginal(1.0, shape=(6, 6)).sigma, rtol=0.15)  # 500 draws

    def test_clipping_acts_on_the_predicted_data_in_data_space(self):
        process = bc.BlurringDiffusion()
        ours = bd.BlurringScheduler(process=process, prediction_type="sample", clip_sample=True, clip_sample_range=0.3)
        x, output = sample_like(SIZES[1]).double(), 2 * sample_like(SIZES[1], 1).double() - 1
        got = ours.step(output, 500, x, generator=generator())
        free = bd.BlurringScheduler(process=process, prediction_type="sample")
        expected = free.step(output.clamp(-0.3, 0.3), 500, x, generator=generator())
        np.testing.assert_allclose(got.pred_original_sample, output.clamp(-0.3, 0.3), atol=1e-12)
        np.testing.assert_allclose(got.prev_sample, expected.prev_sample, atol=1e-12)
        assert float(free.step(output, 500, x, generator=generator()).pred_original_sample.abs().max()) > 0.9

    def test_clipping_is_off_where_the_process_blurs_unless_asked_for_and_then_warned_of(self, caplog):
        output = torch.full((1, 1, 4, 4), 3.0)

        def shown(**settings: Any) -> float:
            ours = bd.BlurringScheduler(prediction_type="sample", **settings)
            return float(ours.step(output, 500, output).pred_original_sample.max())

        assert shown() == pytest.approx(3.0)
        assert shown(sigma_blur_max=0.0) == 1.0
        assert caplog.text == ""
        assert shown(clip_sample=True) == pytest.approx(1.0)
        assert "pass clip_sample=False" in caplog.text

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_comes_back_as_it_came_and_as_exact_as_it_is(self, dtype, each):
        half = getattr(torch, dtype)
        x, output = sample_like(), 0.1 * sample_like(SIZES[0], 1)
        steps = torch.tensor([5, 20, 50, 90])
        noisy = each.add_noise(x.to(half), output.to(half), steps)
        stepped = each.step(output.to(half), 30, x.to(half), generator=generator())
        assert {noisy.dtype, stepped.prev_sample.dtype, stepped.pred_original_sample.dtype} == {half}
        wide = each.add_noise(x.to(half).float(), output.to(half).float(), steps)
        np.testing.assert_allclose(noisy.float(), wide, atol=4 * torch.finfo(half).eps)
        assert bool(stepped.prev_sample.isfinite().all())


@bc.register_kind
@dataclass(frozen=True, kw_only=True)
class _Own(bc.SpectralProcess):
    """Noise that is stronger in high frequencies: log-SNR 5 - 10 t, less lambda / 4."""

    def logs(self, t: Any, lam: Any) -> bc.Logs:
        return bc.Logs(alpha=-5 * t, snr=10 - 20 * t - lam / 4)

    def rates(self, t: Any, lam: Any) -> Any:
        raise NotImplementedError


class TestContract:
    """What `tests/schedulers/test_schedulers.py` of diffusers checks of every scheduler."""

    def test_step_after_saving_and_loading_is_the_same(self, each, tmp_path):
        each.save_pretrained(tmp_path)
        again = type(each).from_pretrained(tmp_path)
        x = sample_like()
        for t in (0, 1, 99):
            one, other = (s.step(0.1 * x, t, x, generator=generator()).prev_sample for s in (each, again))
            assert torch.equal(one, other)
        saved = {k: v for k, v in each.config.items() if k != "_use_default_values"}
        assert saved == dict(again.config)

    @pytest.mark.parametrize("shape", SIZES, ids=str)
    def test_step_keeps_the_shape_and_gives_a_tuple_of_the_same(self, each, shape):
        x = sample_like(shape)
        for t in (0, 1):
            output = each.step(0.1 * x, t, x, generator=generator())
            parts = each.step(0.1 * x, t, x, generator=generator(), return_dict=False)
            assert isinstance(parts, tuple)
            assert output.prev_sample.shape == x.shape
            assert all(torch.equal(a, b) for a, b in zip(parts, output.values(), strict=True))

    def test_public_names_are_there(self, each):
        assert isinstance(each, diffusers.SchedulerMixin)
        x = sample_like()
        assert torch.equal(each.scale_model_input(x, 0), x)
        assert each.init_noise_sigma > 0
        assert len(each) == 100
        assert "generator" in inspect.signature(each.step).parameters

    def test_schedulers_that_it_calls_compatible_take_its_configuration_and_give_it_back(self, each):
        assert each.compatibles
        for other in each.compatibles:
            back = type(each).from_config(other.from_config(each.config).config)
            assert {k: v for k, v in back.config.items() if k in each.config} == dict(each.config)

    def test_noise_for_one_step_serves_a_batch(self, each):
        each.set_timesteps(50)
        x = sample_like()
        noised = each.add_noise(x, torch.randn(x.shape, generator=generator()), each.timesteps[5][None])
        assert noised.shape == x.shape

    def test_trained_betas_survive_saving(self, tmp_path):
        one = bd.BlurringScheduler(trained_betas=np.array([0.1, 0.3]))
        one.save_pretrained(tmp_path)
        assert one.betas.tolist() == bd.BlurringScheduler.from_pretrained(tmp_path).betas.tolist()

    def test_generator_decides_the_noise_and_a_list_of_them_that_of_each_sample(self, each):
        x = sample_like()
        one, same, other = (
            each.step(0.1 * x, 50, x, generator=torch.Generator().manual_seed(seed)).prev_sample for seed in (0, 0, 1)
        )
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        many = each.step(0.1 * x, 50, x, generator=[torch.Generator().manual_seed(i) for i in (7, 0, 7, 0)]).prev_sample
        swapped = each.step(
            0.1 * x.flip(0), 50, x.flip(0), generator=[torch.Generator().manual_seed(i) for i in (0, 7, 0, 7)]
        ).prev_sample
        np.testing.assert_allclose(many, swapped.flip(0), atol=1e-6)

    def test_last_step_adds_no_noise(self, each):
        x = sample_like()
        one, other = (each.step(0.1 * x, 0, x, generator=torch.Generator().manual_seed(i)).prev_sample for i in (0, 1))
        assert torch.equal(one, other)

    def test_configuration_is_not_an_attribute(self, each):
        with pytest.warns(FutureWarning, match="config attribute"):
            each.num_train_timesteps  # noqa: B018
        with pytest.raises(AttributeError, match="does_not_exist"):
            each.does_not_exist  # noqa: B018


class TestTimesteps:
    def test_custom_steps_are_gone_through_in_order(self):
        ours, steps = scheduler(), [87, 50, 1, 0]
        ours.set_timesteps(timesteps=steps)
        assert ours.timesteps.tolist() == steps
        assert [ours.previous_timestep(t).item() for t in ours.timesteps] == [50, 1, 0, -1]

    def test_previous_step_without_choice_is_one_less_and_off_the_grid_the_next_lower(self):
        ours = scheduler()
        assert ours.previous_timestep(7).item() == 6
        ours.set_timesteps(10)
        assert [int(ours.previous_timestep(t)) for t in (90, 45, 0)] == [80, 40, -1]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"timesteps": [99, 87, 87, 0]}, "descending order"),
            ({"timesteps": [1, 99]}, "descending order"),
            ({"timesteps": [100]}, "must start before"),
            ({"timesteps": [5, -1]}, "timesteps must be 0 or more"),
            ({"timesteps": []}, "timesteps must be one step or more"),
            ({"timesteps": [5, 1], "num_inference_steps": 2}, "Can only pass one"),
            ({"num_inference_steps": 101}, "cannot be larger"),
            ({"num_inference_steps": 0}, "num_inference_steps must be a whole number from 1 to 100"),
            ({"num_inference_steps": None}, "num_inference_steps must be a whole number from 1 to 100"),
        ],
        ids=str,
    )
    def test_steps_that_make_no_sense_are_refused(self, settings, message):
        with pytest.raises(ValueError, match=message):
            scheduler().set_timesteps(**settings)

    def test_steps_run_on_the_requested_device(self):
        ours = scheduler()
        ours.set_timesteps(5, device="meta")
        assert ours.timesteps.device.type == "meta"


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"num_train_timesteps": 0}, "num_train_timesteps"),
            ({"prediction_type": "noise"}, "prediction_type must be 'epsilon' or 'sample' or 'v_prediction'"),
            ({"variance_type": "learned"}, "variance_type must be 'fixed_small'"),
            ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr must be False"),
            ({"trained_betas": [0.1, 1.5]}, r"alphas_cumprod\[1\]"),
            ({"trained_betas": [0.1, -0.1]}, r"alphas_cumprod\[1\] must be at most"),
            ({"sigma_blur_max": -1.0}, "sigma_blur_max"),
            ({"min_scale": 2.0}, "min_scale"),
            ({"process": bc.ColdDiffusion()}, "ColdDiffusion has none"),
            ({"process": {"kind": "Nothing"}}, "process.kind"),
            ({"process": bc.HeatDissipation()}, "alpha falls to"),
        ],
        ids=str,
    )
    def test_settings_that_make_no_sense_are_refused(self, settings, message):
        with pytest.raises(ValueError, match=message):
            bd.BlurringScheduler(**settings)

    def test_step_refuses_other_shapes_and_steps_that_are_none(self):
        ours, x = scheduler(), sample_like()
        with pytest.raises(bc.errors.ArgumentError, match="model_output must be of the shape"):
            ours.step(x[:, :1], 3, x)
        for t in (100, -1):
            with pytest.raises(bc.errors.ArgumentError, match="timestep must be from 0 to 99"):
                ours.step(x, t, x)
        with pytest.raises(bc.errors.ArgumentError, match="timestep must be one number"):
            ours.step(x, torch.tensor([3, 4]), x)
        with pytest.raises(bc.errors.ArgumentError, match="timesteps must be from 0 to 99"):
            ours.add_noise(x, x, torch.tensor([0, 1, 2, 100]))
        with pytest.raises(bc.errors.ArgumentError, match="sample must be of shape"):
            ours.step(x[0, 0], 3, x[0, 0])
