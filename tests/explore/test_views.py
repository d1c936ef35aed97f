"""What the explorer shows: the core's own numbers, and closed forms where there are some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import blurcore_reference.oracle as reference
import numpy as np
import pytest

import blurcore as bc
from blurcore.data import to_float, to_uint8
from blurcore.errors import ArgumentError
from blurcore.explore.controls import process_controls
from blurcore.explore.views import look
from blurcore.processes import PROCESSES
from blurcore.serial import from_dict, to_dict

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
CASES: dict[str, Any] = {
    **{name: cls() for name, cls in PROCESSES.items()},
    "periodic": bc.BlurringDiffusion(basis=bc.RealFourier(), blur=bc.Sin(sigma_blur_max=3.0), noise=bc.LinearBeta()),
    "absorbing": bc.HeatDissipation(basis=bc.DST(), sigma=0.1),
    "no basis": bc.BlurringDiffusion(basis=bc.Identity()),
}


@dataclass(frozen=True, kw_only=True)
class Loud(bc.SpectralProcess):
    """Noise beyond all numbers, as a process of somebody's own may have it."""

    def logs(self, t: Any, lam: Any) -> bc.Logs[Any]:
        return bc.Logs(alpha=0.0 * t * lam, snr=-2839.0 * t + 0.0 * lam)  # sigma = 1.5e308 at t = 1/2

    def rates(self, t: Any, lam: Any) -> bc.SDE[Any]:
        raise NotImplementedError


def default(control: dict[str, Any]) -> dict[str, Any]:
    """Return a process's dictionary as the page makes it, with nothing touched."""
    made = {"kind": control["kind"]}
    for setting in control["settings"]:
        value = setting["value"]
        if setting["type"] == "kind":
            value = default(next(kind for kind in setting["kinds"] if kind["kind"] == value))
        made[setting["name"]] = value
    return made


class TestLook:
    @pytest.mark.parametrize("process", CASES.values(), ids=CASES)
    @pytest.mark.parametrize("t", [0, 0.1, 1.0])
    def test_noisy_image_is_what_the_core_diffuses(self, process, t):
        eps = np.random.default_rng(5).standard_normal(IMAGE.shape)
        z = bc.diffuse(process, to_float(IMAGE).astype(np.float64), t, eps, axes=(0, 1))
        difference = look(process, IMAGE, t=t, seed=5).noisy.astype(int) - to_uint8(z)
        assert np.abs(difference).max() <= 1  # a level, where rounding falls on the other side
        assert (difference == 0).mean() > 0.99

    def test_curves_of_standard_diffusion_are_flat_and_those_of_its_schedule(self):
        view = look(bc.GaussianDiffusion(), IMAGE, t=0.3, seed=0)
        g = float(bc.CosineLogSNR().log_snr(0.3))
        np.testing.assert_allclose(view.log_snr, g, rtol=1e-12)
        assert view.facts["alpha_low"] == view.facts["alpha_high"] == pytest.approx(1 / np.sqrt(1 + np.exp(-g)))
        assert view.facts["sigma"] == pytest.approx(1 / np.sqrt(1 + np.exp(g)))

    def test_log_snr_of_a_ring_is_the_references(self):
        process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=2.0))
        row = np.zeros((1, 16, 1), np.uint8)  # one axis: every ring of the 8 holds two neighbours
        view = look(process, row, t=0.4, seed=0)
        exact = reference.log_snr(to_dict(process), 0.4, (1, 16)).ravel()
        radius = np.arange(16) / 32
        ring = np.minimum((radius / radius.max() * 8).astype(int), 7)
        np.testing.assert_allclose(view.log_snr, [exact[ring == i].mean() for i in range(8)], rtol=1e-9)
        np.testing.assert_allclose(view.frequency, [radius[ring == i].mean() for i in range(8)], rtol=1e-12)

    def test_wave_has_its_power_in_the_ring_of_its_frequency(self):
        i = np.arange(32)
        wave = np.cos(
            np.pi * 8 * (2 * i + 1) / 64
        )  # the eighth vector of the DCT: 8 half waves in 32 pixels, 1/8 cycle a pixel
        image = np.broadcast_to(to_uint8(wave)[None, :, None], (32, 32, 1))
        view = look(bc.GaussianDiffusion(), image, t=0.0, seed=0)
        powers = [0.0 if p is None else p for p in view.signal]
        assert view.frequency[int(np.argmax(powers))] == pytest.approx(1 / 8, abs=0.02)

    def test_power_of_both_is_that_of_the_noisy_image(self):
        process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=1.0))
        view = look(process, IMAGE, t=0.5, seed=2)
        for total, signal, white in zip(view.total, view.signal, view.white, strict=True):
            assert total <= (np.sqrt(signal) + np.sqrt(white)) ** 2 * (1 + 1e-9)  # Minkowski
        sigma = float(process.marginal(0.5, shape=(1, 1)).sigma.item())
        counts = 12 * 9 * 3
        assert np.mean([w for w in view.white if w]) == pytest.approx(sigma**2, rel=6 * np.sqrt(2 / counts))

    @pytest.mark.parametrize("basis", [bc.DCT(), bc.DST()], ids=["DCT", "DST"])
    def test_equivalent_noise_is_the_one_whose_blur_is_undone_by_dense_matrices(self, basis):
        process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=2.0), min_scale=0.05, basis=basis)
        image = np.random.default_rng(1).integers(0, 256, (6, 5, 1), dtype=np.uint8)
        view = look(process, image, t=0.4, seed=7)
        blur, covariance = reference.marginal_dense(to_dict(process), 0.4, (6, 5))
        eps = np.random.default_rng(7).standard_normal((6, 5, 1))
        noise = np.linalg.solve(blur, np.sqrt(covariance[0, 0]) * eps.ravel())
        assert view.noise_std == pytest.approx(noise.std(), rel=1e-9)
        expected = to_uint8(noise.reshape(6, 5, 1) / (3 * noise.std()))
        assert np.abs(view.noise.astype(int) - expected).max() <= 1

    def test_blur_keeps_the_mean_and_nothing_else_at_its_widest(self):
        process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=200.0), min_scale=0.0)
        view = look(process, IMAGE, t=1.0, seed=0)
        mean = IMAGE.reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(view.blurred, np.broadcast_to(mean, IMAGE.shape), atol=1)
        assert view.noise is not None
        assert view.noise_std is None  # nothing is left of some frequencies: no noise is large enough

    def test_process_without_noise_has_no_equivalent_noise(self):
        view = look(bc.ColdDiffusion(), IMAGE, t=0.5, seed=0)
        assert (view.noise, view.noise_std) == (None, None)
        assert set(view.log_snr) == set(view.white) == {None}

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"t": 1.5}, "t must be a number from 0 to 1; got 1.5"),
            ({"t": float("nan")}, "t must be a number"),
            ({"t": True}, "t must be a number"),
            ({"t": "0.5"}, "t must be a number"),
            ({"seed": -1}, "seed must be from 0"),
            ({"seed": 0.5}, "seed must be from 0"),
            ({"seed": 2**31}, "seed must be from 0"),
            ({"process": Loud()}, "process must keep the image finite"),
        ],
        ids=str,
    )
    def test_mistake_is_named(self, wrong, message):
        asked = {"process": bc.GaussianDiffusion(), "t": 0.5, "seed": 0} | wrong
        with pytest.raises(ArgumentError, match=message):
            look(asked["process"], IMAGE, t=asked["t"], seed=asked["seed"])


class TestControls:
    def test_untouched_controls_make_the_default_of_every_process(self):
        found = process_controls()
        assert [control["kind"] for control in found] == list(PROCESSES)
        for control in found:
            assert from_dict(default(control), name="process") == PROCESSES[control["kind"]]()

    def test_every_kind_that_is_offered_is_taken(self):
        for control in process_controls():
            for setting in control["settings"]:
                for kind in setting.get("kinds", ()):
                    made = default(control) | {setting["name"]: default(kind)}
                    process = from_dict(made, name="process")
                    assert type(getattr(process, setting["name"])).__name__ == kind["kind"]

    def test_custom_process_is_offered_with_its_settings(self, monkeypatch):
        @dataclass(frozen=True, kw_only=True)
        class OwnDiffusion(bc.SpectralProcess):
            strength: float = 2.0
            fast: bool = True

            def logs(self, t, lam):
                return bc.Logs(alpha=-self.strength * t * (1 + 0 * lam), snr=5 - 10 * t - 2 * self.strength * t * lam)

        @dataclass(frozen=True, kw_only=True)
        class NeedsMuch(bc.SpectralProcess):
            strength: float

        monkeypatch.setitem(PROCESSES, "OwnDiffusion", OwnDiffusion)
        monkeypatch.setitem(PROCESSES, "NeedsMuch", NeedsMuch)
        found = {control["kind"]: control for control in process_controls()}
        assert "NeedsMuch" not in found
        own = found["OwnDiffusion"]
        assert own["label"] == "own diffusion"
        assert {s["name"]: s["type"] for s in own["settings"]} == {
            "basis": "kind",
            "strength": "number",
            "fast": "flag",
        }
        process = from_dict(default(own), name="process")
        view = look(process, IMAGE, t=0.5, seed=0)
        assert view.log_snr[0] > view.log_snr[-1]
