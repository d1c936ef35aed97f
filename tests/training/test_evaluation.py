"""Likelihoods: against the truth where the network is the exact denoiser, and of trained runs on every backend."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blurcore_reference import likelihood as direct

import blurcore as bc
import blurcore.oracle as oracle
from blurcore.cli import main
from blurcore.engine import fit_prior
from blurcore.errors import ConfigError
from blurcore.measure import evaluate
from blurcore.measure.bits import flow
from blurcore.protocols import RunNetwork

SHAPE, VARIANCE = (4, 3), 0.09
WEIGHTS, SPREAD = np.array([0.7, 0.3]), 0.02
CENTRES = np.stack([np.full(SHAPE, -0.3), np.where(np.arange(3) == 1, 0.4, -0.1) * np.ones(SHAPE)])
PROCESS = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=1.0))


def exact_network(process: bc.Process = PROCESS, values: Any = "symmetric") -> RunNetwork:
    """Return the exact denoiser of independent pixels N(0, 0.09): linear, so that its Jacobian is symmetric and its own."""
    config = bc.RunConfig(
        process=process,
        data=bc.MNIST(values=values),
        train=bc.TrainConfig(objective=bc.Denoising(prediction="x0")),
    )

    def call(z: np.ndarray, t: np.ndarray) -> np.ndarray:
        m = bc.marginal_for(process, t, z, axes=(1, 2))
        gain = m.alpha * VARIANCE / (m.alpha**2 * VARIANCE + m.sigma**2)
        return process.basis.inverse(gain * process.basis.forward(z, axes=(1, 2)), axes=(1, 2))

    return RunNetwork(config, (*SHAPE, 1), 0, call, lambda z, t, v: (call(z, t), call(v, t)))


def pixels(count: int) -> np.ndarray:
    x = np.sqrt(VARIANCE) * np.random.default_rng(0).standard_normal((count, *SHAPE, 1))
    return np.clip(np.rint((x + 1) * 127.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("probes", [None, 400])
def test_density_by_the_flow_is_the_closed_form(probes: int | None) -> None:
    """log p(z_0) = log p(z_1) + divergence. The exact density at t = 1 is taken, so that the flow alone is looked at.

    Hutchinson's estimate is exact here up to the off-diagonal of the Jacobian, which is diagonal in frequency: no variance.
    """
    rng = np.random.default_rng(1)
    first, last = (PROCESS.marginal(t, shape=SHAPE) for t in (0.0, 1.0))
    widths = [
        np.sqrt(m.alpha**2 * VARIANCE + m.sigma**2)[None, ..., None] * np.ones((3, *SHAPE, 1)) for m in (first, last)
    ]
    u = widths[0] * rng.standard_normal(widths[0].shape)
    signs = None if probes is None else rng.choice([-1.0, 1.0], size=(1, *u.shape))
    end, divergence = flow(exact_network(), u, probes=signs, tolerance=1e-6)
    for i in range(len(u)):
        before = -direct.gaussian_nll(u[i], np.zeros_like(u[i]), widths[0][i] ** 2)
        after = -direct.gaussian_nll(end[i], np.zeros_like(u[i]), widths[1][i] ** 2)
        # float32 in the network's arguments: 1e-7 of terms that add up to some hundred
        assert after + divergence[i] == pytest.approx(before, abs=2e-3)


@pytest.mark.nightly  # the mixture below is the harder case of the same
@pytest.mark.parametrize("kind", ["discrete", "continuous", "ode"])
def test_bounds_of_the_exact_denoiser_meet_the_truth(kind: Any) -> None:
    """The truth is the decoder's own likelihood under Gaussian z_0, pixel by pixel, by quadrature.

    A bound is above it, on average over images, by what q(z_0 | x) misses of p(z_0 | x), which pixels a quarter as wide as
    the data's spread and half as wide as the decoder's leave below 0.01 bits, and by
    what 8,000 steps miss, some hundredths; 5 standard errors of the differences are allowed.
    """
    images, network = pixels(200), exact_network()
    steps = {"discrete": 8000, "continuous": 800, "ode": 1}[kind]
    settings = bc.EvaluateConfig(likelihood=kind, num_steps=steps, batch_size=200, tolerance=1e-5)
    got = evaluate(network, images, settings).total
    m = PROCESS.marginal(0.0, shape=SHAPE)
    std = float(np.max(m.sigma) / np.max(m.alpha))
    levels = {v: direct.binned_gaussian_nll(v / 127.5 - 1, VARIANCE, -1.0, 1.0, 256, std) for v in np.unique(images)}
    truth = np.vectorize(levels.get)(images).reshape(len(images), -1).mean(axis=1) / np.log(2)
    error = (got - truth).std() / np.sqrt(len(got))
    assert -5 * error < (got - truth).mean() < 0.05 + 5 * error
    assert error < 0.03


def mixture_network() -> RunNetwork:
    """Return the exact denoiser of two kinds of images, and its product with a Jacobian's transpose, from its covariance."""
    config = bc.RunConfig(process=PROCESS, train=bc.TrainConfig(objective=bc.Denoising(prediction="x0")))
    centres = PROCESS.basis.forward(CENTRES, axes=(1, 2))[..., None]
    spread = np.full_like(centres, SPREAD)

    def states(z: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, Any]:
        m = bc.marginal_for(PROCESS, t, z, axes=(1, 2))
        return PROCESS.basis.forward(z.astype(np.float64), axes=(1, 2)), m

    def inverse(u: np.ndarray) -> np.ndarray:
        return PROCESS.basis.inverse(u, axes=(1, 2))

    def call(z: np.ndarray, t: np.ndarray) -> np.ndarray:
        u, m = states(z, t)
        return inverse(oracle.mixture_denoiser(u, weights=WEIGHTS, means=centres, variances=spread, marginal=m))

    def vjp(z: np.ndarray, t: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dE[u_0 | u] / du = Cov(u_0 | u) diag(alpha / sigma^2), by the components' own means and variances."""
        u, m = states(z, t)
        total = m.alpha**2 * SPREAD + m.sigma**2
        means = [c + m.alpha * SPREAD / total * (u - m.alpha * c) for c in centres]
        logits = (
            np.stack([-0.5 * ((u - m.alpha * c) ** 2 / total).sum(axis=(1, 2, 3)) for c in centres])
            + np.log(WEIGHTS)[:, None]
        )
        shares = np.exp(logits - logits.max(axis=0))
        shares = (shares / shares.sum(axis=0))[..., None, None, None]
        mean = sum(r * c for r, c in zip(shares, means, strict=True))
        w = PROCESS.basis.forward(v.astype(np.float64), axes=(1, 2))
        product = SPREAD * m.sigma**2 / total * w
        for r, c in zip(shares, means, strict=True):
            product = product + r * (c - mean) * ((c - mean) * w).sum(axis=(1, 2, 3), keepdims=True)
        return call(z, t), inverse(m.alpha / m.sigma**2 * product)

    return RunNetwork(config, (*SHAPE, 1), 0, call, vjp)


@pytest.mark.parametrize(
    "kind", [*(pytest.param(name, marks=pytest.mark.nightly) for name in ("discrete", "continuous")), "ode"]
)
def test_bounds_of_the_exact_denoiser_of_a_mixture_meet_the_truth(kind: Any) -> None:
    """As above, for two kinds of images: bins are independent given the kind, which is summed over."""
    rng = np.random.default_rng(3)
    which = rng.choice(2, size=200, p=WEIGHTS)
    x = CENTRES[which] + np.sqrt(SPREAD) * rng.standard_normal((200, *SHAPE))
    images = np.clip(np.rint((x + 1) * 127.5), 0, 255).astype(np.uint8)[..., None]
    steps = {"discrete": 4000, "continuous": 150, "ode": 1}[kind]
    settings = bc.EvaluateConfig(likelihood=kind, num_steps=steps, batch_size=200, tolerance=1e-5, probes=0)
    got = evaluate(mixture_network(), images, settings).total
    m = PROCESS.marginal(0.0, shape=SHAPE)
    std = float(np.max(m.sigma) / np.max(m.alpha))

    def nats(level: int, mean: float) -> float:
        return direct.binned_gaussian_nll(level / 127.5 - 1, SPREAD, -1.0, 1.0, 256, std, mean)

    levels = {(v, c): nats(v, c) for v in np.unique(images) for c in np.unique(CENTRES)}
    kinds = [
        [sum(levels[pair] for pair in zip(image.ravel(), c.ravel(), strict=True)) for c in CENTRES] for image in images
    ]
    truth = -np.log(np.exp(-np.array(kinds)) @ WEIGHTS) / images[0].size / np.log(2)
    error = (got - truth).std() / np.sqrt(len(got))
    assert -5 * error < (got - truth).mean() < 0.05 + 5 * error
    assert error < 0.03


def test_bound_of_ddpms_thousand_steps_though_nothing_is_noised_at_t_0() -> None:
    """The steps' expectation is in closed form, from the product of betas; the decoder is Ho et al.'s last step.

    It is the bins of N(x0(z_1), beta_1): drawn here with other noise. 5 standard errors are allowed.
    """
    process = bc.GaussianDiffusion(noise=bc.LinearBeta())
    images = pixels(400)
    got = evaluate(exact_network(process), images, bc.EvaluateConfig(num_steps=1000, batch_size=400))
    signal = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    snr, unexplained = signal / (1 - signal), VARIANCE * (1 - signal) / (signal * VARIANCE + 1 - signal)
    steps = 0.5 * ((snr[:-1] - snr[1:]) * unexplained[1:]).sum() / np.log(2)
    assert abs(got.steps.mean() - steps) < 5 * got.steps.std() / np.sqrt(len(images))
    x = images / 127.5 - 1
    z = np.sqrt(signal[0]) * x + 0.01 * np.random.default_rng(7).standard_normal(x.shape)
    mean = np.sqrt(signal[0]) * VARIANCE / (signal[0] * VARIANCE + 1e-4) * z
    nats = [direct.bin_nll(*pair, 0.01, -1.0, 1.0, 256) for pair in zip(x, mean, strict=True)]
    decoded = np.array(nats) / x[0].size / np.log(2)
    spread = np.sqrt((decoded.var() + got.reconstruction.var()) / len(images))
    assert abs(got.reconstruction.mean() - decoded.mean()) < 5 * spread
    assert spread < 0.03
    for kind in ("continuous", "ode"):
        with pytest.raises(ConfigError, match="has no noise at t = 0"):
            evaluate(exact_network(process), images, bc.EvaluateConfig(likelihood=kind))


def test_terms_are_those_of_the_range_of_the_data() -> None:
    """On [0, 1] with half the noise everything is a change of units, and bits are bits."""
    process = bc.GaussianDiffusion()
    images = pixels(8)
    settings = bc.EvaluateConfig(num_steps=3)
    symmetric = evaluate(exact_network(process), images, settings)
    unit = evaluate(exact_network(process, "unit"), images, settings)
    assert np.all(unit.reconstruction > symmetric.reconstruction)  # bins half as wide under the same noise


def test_likelihood_of_a_run_from_the_command_line(
    machine: Any, config: bc.RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=1.0))
    machine.train(replace(config, process=process), tmp_path / "run")
    totals = {}
    for kind, flags in {
        "discrete": ["--num-steps", "200"],
        "continuous": ["--num-steps", "50"],
        "ode": ["--tolerance", "1e-2"],
    }.items():
        words = ["evaluate", str(tmp_path / "run"), "--likelihood", kind, "--num-images", "16", *flags]
        assert main([*words, "--backend", machine.name, "--device", "cpu"]) == 0
        assert "bits/dim at most" in capsys.readouterr().out
        found = json.loads((tmp_path / "run" / "evaluation.json").read_text())["bits_per_dim"]
        parts = [found[name]["mean"] for name in ("prior", "steps", "reconstruction")]
        assert sum(parts) == pytest.approx(found["total"]["mean"], abs=1e-9)
        totals[kind] = found["total"]["mean"]
    assert 0 < totals["continuous"] < totals["discrete"] * 1.05  # more steps only help
    assert totals["ode"] > 0


def test_likelihood_of_a_run_without_test_data_is_of_its_training_data(
    machine: Any, config: bc.RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", pixels(8))
    data = bc.ArrayFile(path=str(tmp_path / "x.npy"))
    machine.train(replace(config, data=data), tmp_path / "run")
    words = ["evaluate", str(tmp_path / "run"), "--likelihood", "discrete", "--num-images", "2", "--num-steps", "2"]
    words += ["--backend", machine.name, "--device", "cpu"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "likelihood of 2 images (ArrayFile, all)" in said
    assert "(ArrayFile has no test part: the run was trained on these images)" in said
    assert main([*words, "--split", "test"]) == 2
    assert (
        "split must be 'train' or 'all' for this ArrayFile, which has no test part; got 'test'"
        in capsys.readouterr().err
    )


def test_product_with_the_jacobian_is_that_of_finite_differences(
    machine: Any, config: bc.RunConfig, tmp_path: Path
) -> None:
    machine.train(config, tmp_path / "run")
    network = bc.get_backend(machine.name).network(tmp_path / "run", device="cpu")
    z, v, w = np.random.default_rng(0).standard_normal((3, 2, 8, 8, 1))
    t = np.array([0.3, 0.7])
    output, product = network.vjp(z, t, v)
    np.testing.assert_allclose(output, network.call(z, t), rtol=1e-5, atol=1e-5)
    h = 1e-2
    difference = (network.call(z + h * w, t) - network.call(z - h * w, t)) / (2 * h)
    # float32 differences of numbers of size 1 over 0.02, and an error of second order in h
    np.testing.assert_allclose(
        (difference * v).sum(axis=(1, 2, 3)), (product * w).sum(axis=(1, 2, 3)), rtol=2e-2, atol=2e-2
    )


def test_bound_of_heat_dissipation_is_above_what_a_perfect_network_leaves(config: bc.RunConfig) -> None:
    """A network that knows the image: steps are their constant, and the last bins' widths are delta's."""
    levels = 6
    process = bc.HeatDissipation(blur=bc.LogLinear(sigma_blur_max=6.0, num_levels=levels))
    heat = replace(
        config,
        process=process,
        data=replace(config.data, values="unit"),
        train=replace(config.train, objective=bc.HeatReversal()),
    )
    data = heat.data.load()
    images = data[:3]
    x = images / 255.0

    def call(z: np.ndarray, t: np.ndarray) -> np.ndarray:
        alpha = process.marginal(round(t[0] * levels - 1) / levels, shape=(8, 8)).alpha[..., None]
        return process.basis.inverse(alpha * process.basis.forward(x, axes=(1, 2)), axes=(1, 2)) - z

    terms = evaluate(RunNetwork(heat, (8, 8, 1), 0, call), images, bc.EvaluateConfig(), prior=fit_prior(heat, data))
    ratio = 1.25
    constant = (levels - 1) * 0.5 * (1 / ratio**2 - 1 + 2 * np.log(ratio)) / np.log(2)
    np.testing.assert_allclose(terms.steps, constant, rtol=1e-4)
    sharp = [direct.bin_nll(row, row, ratio * 0.01, 0.0, 1.0, 256) / 64 / np.log(2) for row in x]
    np.testing.assert_allclose(terms.reconstruction, sharp, rtol=1e-3)
    # the images are among the prior's: at most log n, give or take the noise of one draw in 64 dimensions
    assert np.all(terms.prior < (np.log(len(data)) + 5) / 64 / np.log(2))


def test_runs_without_such_a_likelihood_are_refused(config: bc.RunConfig) -> None:
    cold = replace(config, process=bc.ColdDiffusion(), train=replace(config.train, objective=bc.Restoration()))
    network = exact_network()._replace(config=cold)
    with pytest.raises(ConfigError, match="has no likelihood: its sampling starts from data"):
        evaluate(network, pixels(1), bc.EvaluateConfig())
    heat = replace(cold, process=bc.HeatDissipation(), train=replace(config.train, objective=bc.HeatReversal()))
    with pytest.raises(ConfigError, match="has the bound discrete alone; got 'ode'"):
        evaluate(network._replace(config=heat), pixels(1), bc.EvaluateConfig(likelihood="ode"))
