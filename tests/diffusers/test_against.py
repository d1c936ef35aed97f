"""`verify --against` a scheduler of diffusers: those that ship hold, and planted slips are named."""

from __future__ import annotations

import pytest

import blurcore as bc
from blurcore.errors import ArgumentError
from blurcore.testing import check_implementation

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("torch")
bd = pytest.importorskip("blurcore.diffusers")

RIGHT = {
    "DDPM": lambda: diffusers.DDPMScheduler(),
    "a class": lambda: diffusers.DDPMScheduler,
    "cosine": lambda: diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
    "fixed_large": lambda: diffusers.DDPMScheduler(variance_type="fixed_large"),
    "v": lambda: diffusers.DDPMScheduler(prediction_type="v_prediction"),
    "sample": lambda: diffusers.DDPMScheduler(prediction_type="sample"),
    "DDIM": lambda: diffusers.DDIMScheduler(),
    "DDIM that ends with noise": lambda: diffusers.DDIMScheduler(set_alpha_to_one=False),
    "PNDM, add_noise alone": lambda: diffusers.PNDMScheduler(),
    "blurring, its own betas": lambda: bd.BlurringScheduler(),
    "blurring, the paper's noise": lambda: bd.BlurringScheduler.from_process(bc.BlurringDiffusion()),
    "blurring, fixed_large, v": lambda: bd.BlurringScheduler(
        variance_type="fixed_large", prediction_type="v_prediction"
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_schedulers_that_ship_hold(name):
    report = check_implementation(RIGHT[name]())
    held = sum(answer.status == "holds" for answer in report.answers)
    assert held == {"PNDM, add_noise alone": 1, "DDIM that ends with noise": 3}.get(name, 4)
    assert any("alpha = " in note for note in report.notes)


class Swapped(diffusers.DDPMScheduler):
    """A scheduler with a and sigma exchanged in add_noise."""

    def add_noise(self, original_samples, noise, timesteps):
        bars = self.alphas_cumprod[timesteps].reshape(-1, 1, 1, 1)
        return (1 - bars) ** 0.5 * original_samples + bars**0.5 * noise


class Squared(diffusers.DDPMScheduler):
    """A scheduler whose noise has sigma^2."""

    def add_noise(self, original_samples, noise, timesteps):
        bars = self.alphas_cumprod[timesteps].reshape(-1, 1, 1, 1)
        return bars**0.5 * original_samples + (1 - bars) * noise


class Transposed(bd.BlurringScheduler):
    """A blurring scheduler that blurs as a function of the batch's place."""

    def add_noise(self, original_samples, noise, timesteps):
        return super().add_noise(original_samples, noise, timesteps).flip(0)


class Large(diffusers.DDPMScheduler):
    """A scheduler that says "fixed_small" and adds the noise of "fixed_large"."""

    def _get_variance(self, t, predicted_variance=None, variance_type=None):
        return super()._get_variance(t, predicted_variance, "fixed_large")


@pytest.mark.parametrize(
    ("kind", "diagnosis"),
    [
        (Swapped, "a and sigma are exchanged"),
        (Squared, "sigma.2 where sigma belongs"),
        (Large, "the transition's variance"),
        (Transposed, "none that I know"),
    ],
)
def test_slips_of_schedulers_are_named(kind, diagnosis):
    with pytest.raises(AssertionError, match=diagnosis):
        check_implementation(kind())


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (lambda: diffusers.EulerDiscreteScheduler(), "grid of sigmas"),
        (lambda: diffusers.DDPMScheduler(rescale_betas_zero_snr=True), r"alphas_cumprod\[999\] must be in \(0, 1\)"),
    ],
)
def test_schedulers_that_cannot_be_compared_have_a_reason(made, word):
    with pytest.raises(ArgumentError, match=word):
        check_implementation(made())
