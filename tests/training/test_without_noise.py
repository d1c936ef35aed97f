"""Heat dissipation and cold diffusion, whose sampling starts from blurred data: trained and sampled on every backend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft

import blurcore as bc
from blurcore.engine import draws_of, first_states, fit_prior, restore_prior
from blurcore.errors import CheckpointError, ConfigError
from blurcore.runs import newest_checkpoint

LEVELS = 6
BLUR = bc.LogLinear(sigma_blur_max=6.0, num_levels=LEVELS)


@pytest.fixture
def heat(config: bc.RunConfig) -> bc.RunConfig:
    return replace(
        config,
        process=bc.HeatDissipation(blur=BLUR),
        data=replace(config.data, values="unit"),
        train=replace(config.train, objective=bc.HeatReversal()),
        sample=replace(config.sample, solver=bc.InverseHeat(), times=bc.Uniform(num_steps=LEVELS)),
    )


@pytest.fixture
def cold(config: bc.RunConfig) -> bc.RunConfig:
    return replace(
        config,
        process=bc.ColdDiffusion(blur=BLUR),
        train=replace(config.train, objective=bc.Restoration()),
        sample=replace(config.sample, solver=bc.ColdImproved(), times=bc.Uniform(num_steps=LEVELS), start=bc.Mixture()),
    )


def _blurred_training_data(config: bc.RunConfig) -> np.ndarray:
    """Return the coefficients of the blurred training images, by scipy: (n, H, W, C)."""
    images = config.data.load()[:] / 255.0
    x = images if config.data.values == "unit" else 2 * images - 1
    wave = (np.pi * np.arange(8) / 8) ** 2
    alpha = np.exp(-(wave[:, None] + wave[None, :]) * BLUR.sigma_blur_max**2 / 2)
    return alpha[..., None] * scipy.fft.dctn(x, axes=(1, 2), norm="ortho")


def test_heat_starts_from_blurred_training_images(heat: bc.RunConfig) -> None:
    prior, data = fit_prior(heat, heat.data.load()), _blurred_training_data(heat)
    states = first_states(prior, 5, draws_of(replace(heat.sample, num_samples=40), range(40)))
    distances = np.abs(states[:, None] - data[None]).max(axis=(2, 3, 4))
    assert distances.min(axis=1).max() <= 1e-5  # each is one of them, to float32 and a millionth of what is cut off
    assert len(np.unique(distances.argmin(axis=1))) > 30


def test_cold_diffusion_starts_from_a_mixture_with_the_moments_of_the_blurred_data(cold: bc.RunConfig) -> None:
    """One Gaussian fitted by maximum likelihood has the data's mean and covariance; 4,000 draws have them to 5 standard errors."""
    prior, data = fit_prior(cold, cold.data.load()), _blurred_training_data(cold)
    count = 4000
    states = first_states(prior, 0, draws_of(replace(cold.sample, num_samples=count), range(count)))
    kept = data.std(axis=0) > 1e-4
    wanted, got = data[:, kept], states[:, kept].astype(float)
    assert 3 <= wanted.shape[1] <= 10
    spread = wanted.std(axis=0)
    assert np.all(np.abs(got.mean(axis=0) - wanted.mean(axis=0)) <= 5 * spread / np.sqrt(count))
    np.testing.assert_allclose(got.std(axis=0), spread, rtol=5 / np.sqrt(2 * count))
    correlation = np.corrcoef(wanted.T)
    np.testing.assert_allclose(np.corrcoef(got.T), correlation, atol=5 / np.sqrt(count))


@pytest.mark.parametrize("name", ["heat", "cold"])
def test_run_goes_from_training_to_images_with_nothing_but_its_folder(
    machine: Any, request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    config = request.getfixturevalue(name)
    machine.train(config, tmp_path / "run")
    images = machine.sample(tmp_path / "run", config.sample)
    assert (images.dtype, images.shape) == (np.uint8, (4, 8, 8, 1))
    assert images.std() > 5  # blurred digits at least
    with_one_more = machine.sample(tmp_path / "run", replace(config.sample, num_samples=5, batch_size=2))
    assert np.abs(with_one_more[:4].astype(int) - images).max() <= 1
    other = machine.sample(tmp_path / "run", replace(config.sample, seed=1))
    assert np.abs(other.astype(int) - images).max() > 5


def test_heat_goes_back_level_by_level_as_a_plain_loop_does(machine: Any, heat: bc.RunConfig, tmp_path: Path) -> None:
    """u_(k-1) = u_k + V^T f(u_k, k) + delta n, and no noise at the end: scipy and the network alone."""
    machine.train(heat, tmp_path / "run")
    network, rng = machine.network(tmp_path / "run"), np.random.default_rng(0)
    noise, states = rng.standard_normal((LEVELS + 1, 2, 8, 8, 1)), _blurred_training_data(heat)[:2]
    u = states + 0.01 * noise[0]
    for k in range(LEVELS, 0, -1):
        z = scipy.fft.idctn(u, axes=(1, 2), norm="ortho")
        mean = z + network(z, np.full(2, k / LEVELS))
        step = 0.0125 * noise[LEVELS + 1 - k] if k > 1 else 0.0
        u = scipy.fft.dctn(mean, axes=(1, 2), norm="ortho") + step
    got = machine.sample_from(tmp_path / "run", heat.sample, noise, states=states.astype(np.float32))
    np.testing.assert_allclose(got, scipy.fft.idctn(u, axes=(1, 2), norm="ortho"), rtol=0, atol=2e-5)


@pytest.mark.parametrize("solver", [bc.ColdNaive(), bc.ColdImproved()], ids=["naive", "improved"])
def test_cold_diffusion_restores_and_blurs_again_as_a_plain_loop_does(
    machine: Any, cold: bc.RunConfig, tmp_path: Path, solver: bc.Solver
) -> None:
    machine.train(cold, tmp_path / "run")
    network, states = machine.network(tmp_path / "run"), _blurred_training_data(cold)[:2]

    def left(t: float) -> np.ndarray:
        return np.asarray(cold.process.marginal(t, shape=(8, 8)).alpha)[..., None]

    u = states
    for k in range(LEVELS, 0, -1):
        t, s = k / LEVELS, (k - 1) / LEVELS
        restored = scipy.fft.dctn(
            network(scipy.fft.idctn(u, axes=(1, 2), norm="ortho"), np.full(2, t)), axes=(1, 2), norm="ortho"
        )
        u = left(s) * restored if isinstance(solver, bc.ColdNaive) else u + (left(s) - left(t)) * restored
    settings = replace(cold.sample, solver=solver)
    got = machine.sample_from(
        tmp_path / "run", settings, np.zeros((LEVELS + 1, 2, 8, 8, 1)), states=states.astype(np.float32)
    )
    np.testing.assert_allclose(got, scipy.fft.idctn(u, axes=(1, 2), norm="ortho"), rtol=0, atol=2e-5)


def test_run_of_one_backend_starts_from_the_same_blurred_images_on_the_other(
    both: tuple[Any, Any], heat: bc.RunConfig, tmp_path: Path
) -> None:
    first, second = both
    first.train(heat, tmp_path / "run")
    quiet = replace(heat.sample, solver=bc.InverseHeat(delta=0.0))
    noise = np.zeros((LEVELS + 1, 4, 8, 8, 1))
    prior = restore_prior(heat, heat.sample, (8, 8, 1), dict(newest_checkpoint(tmp_path / "run").groups["prior"]))
    states = first_states(prior, 0, draws_of(quiet, range(4)))
    ours, theirs = (machine.sample_from(tmp_path / "run", quiet, noise, states=states) for machine in (first, second))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert second.sample(tmp_path / "run", quiet).shape == (4, 8, 8, 1)


def test_samples_share_the_start_or_the_noise_that_vary_leaves_out(
    machine: Any, heat: bc.RunConfig, tmp_path: Path
) -> None:
    """Rissanen et al.'s three looks at a model: the same start, the same noise, and the way from one sample to another."""
    machine.train(heat, tmp_path / "run")

    def draw(vary: Any, **changes: Any) -> np.ndarray:
        return machine.sample(tmp_path / "run", replace(heat.sample, vary=vary, **changes)).astype(int)

    own, same_start, same_noise = draw("all"), draw("noise"), draw("start")
    path = draw("interpolation", num_samples=5)
    for samples in (same_start, same_noise, path):
        assert np.abs(samples[0] - own[0]).max() <= 1  # sample 0 is always itself
    assert np.abs(path[-1] - own[1]).max() <= 1
    quiet = draw("noise", solver=bc.InverseHeat(delta=0.0))
    # without noise in the steps, what is left of it is that of the initial state, which is shared too
    assert np.abs(quiet - quiet[:1]).max() <= 1
    assert np.abs(same_start[1] - same_start[0]).max() > 1
    assert np.abs(same_noise[1] - same_noise[0]).max() > 5
    steps = np.abs(np.diff(path, axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < np.abs(path[-1] - path[0]).mean()


def test_states_on_the_way_can_be_watched(machine: Any, heat: bc.RunConfig, tmp_path: Path) -> None:
    machine.train(heat, tmp_path / "run")
    seen: dict[tuple[int, int], np.ndarray] = {}
    settings = replace(heat.sample, num_samples=3, batch_size=2)
    backend = bc.get_backend(machine.name)
    images = backend.sample(
        tmp_path / "run", settings, device="cpu", progress=False, watch=lambda i, k, x: seen.update({(i, k): x})
    ).images
    assert sorted(seen) == [(i, k) for i in (0, 2) for k in range(LEVELS + 1)]
    assert seen[0, 0].shape == (2, 8, 8, 1)
    assert seen[2, 0].shape == (1, 8, 8, 1)
    last = np.concatenate([seen[0, LEVELS], seen[2, LEVELS]])
    np.testing.assert_array_equal((last.clip(0, 1) * 255).round().astype(np.uint8), images)


def test_checkpoint_without_its_blurred_data_is_refused(heat: bc.RunConfig) -> None:
    with pytest.raises(CheckpointError, match=r"no blurred data for sample\.start BlurredData"):
        restore_prior(heat, heat.sample, (8, 8, 1), None)
    arrays = fit_prior(heat, heat.data.load()).arrays()
    with pytest.raises(CheckpointError, match=r"do not fit the grid \(1, 1\)"):
        restore_prior(heat, heat.sample, (1, 1, 1), arrays)


@pytest.mark.parametrize("name", ["frequencies", "values", "weights", "means", "factors"])
@pytest.mark.parametrize("harm", ["another rank", "another length", "another kind"])
def test_blurred_data_of_another_shape_or_kind_are_refused(
    heat: bc.RunConfig, cold: bc.RunConfig, name: str, harm: str
) -> None:
    config = heat if name in ("frequencies", "values") else cold
    arrays = dict(fit_prior(config, config.data.load()).arrays())
    restore_prior(config, config.sample, (8, 8, 1), arrays)
    if harm == "another rank":
        arrays[name] = arrays[name][..., None]
    elif harm == "another length":
        arrays[name] = np.repeat(arrays[name], 3, axis=min(1, arrays[name].ndim - 1))[..., :-1]
    else:
        arrays[name] = arrays[name].astype(np.complex64)
    with pytest.raises(CheckpointError, match=rf"do not fit the grid \(8, 8\): .*{name}"):
        restore_prior(config, config.sample, (8, 8, 1), arrays)


def test_what_does_not_go_together_is_refused_before_any_work(
    machine: Any, heat: bc.RunConfig, cold: bc.RunConfig, tmp_path: Path
) -> None:
    wrong = {
        "sample.times Uniform with num_steps 6": replace(
            heat, sample=replace(heat.sample, times=bc.Uniform(num_steps=5))
        ),
        "sample.solver must be InverseHeat": replace(heat, sample=replace(heat.sample, solver=bc.DDIM())),
        "whose noise changes with time": replace(heat, process=bc.BlurringDiffusion(blur=BLUR)),
        "process.blur must have num_levels": replace(heat, process=bc.HeatDissipation(blur=bc.SinSquared())),
        "embedding must be time": replace(heat, model=replace(heat.model, embedding="log_snr")),
        "objective must be Restoration for ColdDiffusion": replace(
            cold, train=replace(cold.train, objective=bc.Denoising(prediction="eps"))
        ),
        "must be InverseHeat or ColdNaive or ColdImproved": replace(
            cold, sample=replace(cold.sample, solver=bc.Ancestral())
        ),
        "too many for a Gaussian mixture": replace(
            cold,
            process=bc.ColdDiffusion(blur=replace(BLUR, sigma_blur_max=0.6)),
            data=bc.Photos(),
        ),
        "sample.start.components must be fewer": replace(
            cold, sample=replace(cold.sample, start=bc.Mixture(components=10**6))
        ),
    }
    for message, config in wrong.items():
        with pytest.raises(ConfigError, match=message):
            machine.train(config, tmp_path / "run")
