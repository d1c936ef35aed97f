"""A batch split by size: counts, times and weights, and losses in the units of the whole image."""

from __future__ import annotations

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError
from blurcore.resolution import Resolutions, input_scale, loss_weight, portions, restrict, shrink

SIZES = Resolutions(sizes=((32, 32), (16, 16), (8, 8)), since=(0.0, 0.19, 0.28))


def test_counts_follow_the_spans_and_cover_the_batch():
    found = portions(SIZES, 64, overlap=0.0)
    assert [p.size for p in found] == list(SIZES.sizes)
    counts = [p.rows.stop - p.rows.start for p in found]
    assert counts == [12, 6, 46]
    assert [p.rows.start for p in found] == [0, *np.cumsum(counts)[:-1]]
    assert found[-1].rows.stop == 64
    assert [(p.low, p.high) for p in found] == [(0.0, 0.19), (0.19, 0.28), (0.28, 1.0)]


@pytest.mark.parametrize("batch", [3, 4, 7, 50, 128])
@pytest.mark.parametrize("overlap", [0.0, 0.05, 2.0])
def test_every_size_has_examples_and_weights_add_up_to_the_spans(batch, overlap):
    found = portions(SIZES, batch, overlap=overlap)
    counts = [p.rows.stop - p.rows.start for p in found]
    assert min(counts) >= 1
    assert sum(counts) == batch
    spans = [p.high - p.low for p in found]
    np.testing.assert_allclose([n * p.weight / batch for n, p in zip(counts, found, strict=True)], spans)


def test_weighted_mean_over_the_batch_is_the_mean_over_all_times():
    """Of any function of time: without an overlap the expectation is the integral from 0 to 1."""
    rng, total = np.random.default_rng(0), 0.0
    found = portions(SIZES, 64, overlap=0.0)
    for _ in range(200):
        for p in found:
            t = bc.Denoising().times(rng.uniform(size=p.rows.stop - p.rows.start), low=p.low, high=p.high)
            assert p.low <= t.min()
            assert t.max() <= p.high
            total += p.weight * np.sum(np.exp(-3 * t)) / 64 / 200
    assert total == pytest.approx((1 - np.exp(-3)) / 3, rel=2e-3)


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_loss_of_smaller_images_is_the_whole_loss_over_their_frequencies(prediction):
    """By the error that a wrong x0 makes in what the network says, at one state; v is exact where nothing is blurred."""
    process, shape, to, t = bc.BlurringDiffusion(blur=bc.NoBlur()), (6, 8), (3, 4), 0.4
    small, rng = restrict(process, shape, to), np.random.default_rng(1)
    u, x0, guess = rng.standard_normal((3, *shape))
    c = float(input_scale(small, t))

    def error(p, states, size, scale):
        m = bc.Marginal(*(v / scale for v in p.marginal(t, shape=size)))
        z = states[0] / scale
        right, wrong = (bc.convert(v, "x0", prediction, z=z, marginal=m) for v in states[1:])
        return right - wrong

    whole = error(process, (u, x0, guess), shape, 1.0)[:3, :4]
    less = error(small, [shrink(v, to) for v in (u, x0, guess)], to, c)
    weight = float(loss_weight(small, prediction, t))
    assert weight * np.mean(less**2) == pytest.approx(np.sum(whole**2) / 48, rel=1e-10)
    assert float(loss_weight(process, prediction, t)) == 1


def test_weights_go_with_the_library_of_the_times(xp):
    small, t = restrict(bc.BlurringDiffusion(), (8, 8), (4, 4)), xp.asarray([0.2, 0.9])
    for prediction in ("eps", "v", "x0"):
        found = loss_weight(small, prediction, t)
        expected = loss_weight(small, prediction, np.array([0.2, 0.9]))
        np.testing.assert_allclose(xp.to_numpy(found), expected, rtol=1e-5)
        assert found.shape == (2,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: portions(SIZES, 2), "batch_size must be at least 3, one example for each size; got 2"),
        (lambda: portions(SIZES, 8, overlap=-0.1), "overlap must be 0 or more; got -0.1"),
        (lambda: loss_weight(bc.BlurringDiffusion(), "score", 0.5), "prediction must be eps, v or x0; got 'score'"),
    ],
)
def test_mistakes_are_one_sentence(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
