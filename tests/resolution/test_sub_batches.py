"""A training batch split by size: its gradient is that of whole images, over the frequencies that are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.engine import sub_batches
from blurcore.errors import ArgumentError, ConfigError
from blurcore.resolution import Resolutions, input_scale, scale_of

GRID, AXES = (8, 12), (-2, -1)
SIZES = Resolutions(sizes=(GRID, (4, 6), (2, 4)), since=(0.0, 0.3, 0.4))
CONFIG = bc.RunConfig(resolution=bc.Nested(found=SIZES, overlap=0.1))
BLUR = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=6.0))


def trained_by(objective: bc.Objective, process: bc.Process = BLUR) -> bc.RunConfig:
    return replace(CONFIG, process=process, train=bc.TrainConfig(objective=objective))


@pytest.mark.parametrize(
    ("prediction", "process"),
    [("eps", BLUR), ("x0", BLUR), ("v", bc.BlurringDiffusion(blur=bc.NoBlur()))],  # v: exact where nothing is blurred
)
def test_gradient_is_that_of_whole_images_over_the_kept_frequencies(torch, prediction, process):
    """Of a network with a gain for each frequency, whose words on smaller images tell a solver what those on whole ones do."""
    rng, basis = np.random.default_rng(0), bc.DCT()
    x, noise = (torch.tensor(rng.standard_normal((6, 2, *GRID))) for _ in range(2))
    t = torch.tensor(rng.uniform(0.1, 0.9, 6))
    config = trained_by(bc.Denoising(prediction=prediction), process)
    objective = config.train.objective.build(process)
    for sub in sub_batches(config, GRID, 12):
        size = sub.portion.size
        cut: Any = (..., *(slice(0, m) for m in size))
        gain = torch.tensor(rng.standard_normal(size), requires_grad=True)
        z, target = (basis.forward(v, axes=AXES)[cut] for v in objective.pair(x, t, noise, axes=AXES))
        expected = ((gain * z - target) ** 2).sum(dim=(1, 2, 3)) / (2 * np.prod(GRID))

        marginal = bc.Marginal(*(v[cut] for v in bc.marginal_for(process, t, x, axes=AXES)))
        x0 = bc.convert(gain * z, prediction, "x0", z=z, marginal=marginal) * scale_of(size, GRID)
        eps = basis.inverse(basis.forward(noise, axes=AXES)[cut], axes=AXES)
        example = sub.examples(sub.images(x, axes=AXES), t, eps, axes=AXES)
        seen, c = basis.forward(example.z, axes=AXES), input_scale(sub.process, t).reshape(-1, 1, 1, 1)
        own = bc.Marginal(*(v / c for v in bc.marginal_for(sub.process, t, eps, axes=AXES)))
        said = basis.inverse(bc.convert(x0, "x0", prediction, z=seen, marginal=own), axes=AXES)
        loss = example.weight / sub.portion.weight * sub.objective.loss(said, example.target)
        torch.testing.assert_close(loss, expected, rtol=1e-8, atol=1e-10)
        found, right = (torch.autograd.grad(v.sum(), gain)[0] for v in (loss, expected))
        torch.testing.assert_close(found, right, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_input_and_output_of_the_network_are_of_order_one_on_every_size(prediction):
    rng = np.random.default_rng(1)
    x = np.cumsum(np.cumsum(rng.standard_normal((64, 1, *GRID)), axis=-1), axis=-2)
    x /= x.std()
    for sub in sub_batches(trained_by(bc.Denoising(prediction=prediction)), GRID, 12):
        images = sub.images(x, axes=AXES)
        assert images.shape == (64, 1, *sub.portion.size)
        t = sub.times(rng.uniform(size=64))
        assert sub.portion.low <= t.min() <= t.max() <= sub.portion.high
        example = sub.examples(images, t, rng.standard_normal(images.shape), axes=AXES)
        assert 0.5 < example.z.std() < 1.5
        assert 0.5 < example.target.std() < 1.5


def test_whole_size_alone_is_the_batch_as_it_was():
    (sub,) = sub_batches(replace(CONFIG, resolution=bc.Full()), GRID, 7)
    rng = np.random.default_rng(2)
    x, eps, uniform = rng.standard_normal((7, 1, *GRID)), rng.standard_normal((7, 1, *GRID)), rng.uniform(size=7)
    objective = CONFIG.train.objective.build(CONFIG.process)
    t = objective.times(uniform)
    np.testing.assert_array_equal(sub.times(uniform), t)
    pair, example = objective.pair(x, t, eps, axes=AXES), sub.examples(sub.images(x, axes=AXES), t, eps, axes=AXES)
    np.testing.assert_array_equal(example.z, pair.z)
    np.testing.assert_array_equal(example.target, pair.target)
    np.testing.assert_array_equal(example.weight, np.ones(7))
    assert sub.count == 7


def test_heat_dissipation_goes_back_level_by_level_on_every_size():
    """Its residual is r times as large, its loss a sum: in the whole image's units over its frequencies."""
    process = bc.HeatDissipation(sigma=0.1, blur=bc.LogLinear(sigma_blur_min=0.5, sigma_blur_max=6.0, num_levels=20))
    config = trained_by(bc.HeatReversal(), process)
    rng, basis = np.random.default_rng(3), bc.DCT()
    x, noise = rng.standard_normal((2, 5, 1, *GRID))
    _, sub, _ = sub_batches(config, GRID, 12)
    t = sub.times(rng.uniform(size=5))
    np.testing.assert_allclose(t * 20, np.round(t * 20), atol=1e-9)
    objective, cut = config.train.objective.build(process), (..., slice(0, 4), slice(0, 6))
    eps = basis.inverse(basis.forward(noise, axes=AXES)[cut], axes=AXES)
    example = sub.examples(sub.images(x, axes=AXES), t, eps, axes=AXES)
    residual = basis.forward(objective.pair(x, t, noise, axes=AXES).target, axes=AXES)[cut]
    loss = example.weight / sub.portion.weight * sub.objective.loss(0 * example.target, example.target)
    np.testing.assert_allclose(loss, np.sum(residual**2, axis=(1, 2, 3)), rtol=1e-6)


def test_sizes_are_worked_out_from_the_data_for_what_the_network_takes():
    power = 30 / (np.asarray(bc.DCT().eigenvalues((28, 28))) + 0.01)
    found = bc.Nested().choose(bc.BlurringDiffusion(), (28, 28), lambda: power, multiple=4)
    assert found.sizes == ((28, 28), (16, 16), (8, 8))
    assert bc.Nested(halvings=1).choose(bc.BlurringDiffusion(), (28, 28), lambda: power, multiple=4).sizes[1:] == (
        (16, 16),
    )
    later = bc.Nested(tolerance=1e-4).choose(bc.BlurringDiffusion(), (28, 28), lambda: power, multiple=4)
    assert later.since[1] > found.since[1]
    assert found.words == "28 x 28, 16 x 16 from t = {:.3g}, 8 x 8 from t = {:.3g}: {:.0%} of the points".format(
        *found.since[1:], found.share()
    )


def test_process_without_blur_has_one_size_and_the_reason():
    def power() -> np.ndarray:
        raise AssertionError("the data are not looked at")

    nested, grid = bc.Nested(), (16, 16)
    nested = nested.with_sizes(nested.choose(bc.GaussianDiffusion(), grid, power, multiple=4))
    assert nested.resolutions(grid).sizes == (grid,)
    assert nested.words(grid) == "16 x 16 alone, because no smaller size is ever enough"
    assert bc.Full().words(grid) == ""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: bc.Nested().choose(
                bc.BlurringDiffusion(basis=bc.DST()), (8, 8), lambda: np.ones((8, 8)), multiple=4
            ),
            r"resolution must be Full for BlurringDiffusion in the basis DST, which has no smaller images of \(4, 4\) for \(8, 8\)",
        ),
        (lambda: bc.Nested().resolutions((8, 8)), "resolution must have been given its sizes"),
        (
            lambda: CONFIG.resolution.resolutions((8, 8)),
            r"grid must be \(8, 12\), for which the sizes were chosen; got \(8, 8\)",
        ),
        (lambda: bc.Nested(tolerance=0.0), "tolerance must be positive; got 0.0"),
        (lambda: bc.Nested(halvings=0), "halvings must be at least 1; got 0"),
    ],
)
def test_what_has_no_smaller_images_is_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_batches_and_objectives_that_cannot_be_split_are_refused():
    with pytest.raises(ConfigError, match=r"train\.batch_size must have at least 3 examples, one of each size"):
        sub_batches(CONFIG, GRID, 2)
    with pytest.raises(
        ConfigError, match=r"resolution must be Full for train\.objective Denoising: prediction must be eps, v or x0"
    ):
        sub_batches(trained_by(bc.Denoising(prediction="score")), GRID, 12)


def test_objective_without_sizes_is_trained_on_whole_images():
    class Plain:
        """As one of somebody else's, without units."""

        def build(self, process: bc.Process) -> Plain:
            return self

    config: Any = trained_by(Plain())  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match=r"resolution must be Full for train\.objective Plain, which has no method units"
    ):
        sub_batches(config, GRID, 12)
    assert len(sub_batches(replace(config, resolution=bc.Full()), GRID, 1)) == 1
