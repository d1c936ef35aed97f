"""Each metric against a closed form, a second library or its definition, summed pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from blurcore.errors import ArgumentError
from blurcore.metrics import Moments, distance_of_moments, frechet_distance, interval, kid, moments, precision_recall
from blurcore.metrics.bootstrap import resample
from blurcore.metrics.frechet import frechet_resampled
from blurcore.metrics.kernel import kid_resampled, shared_pairs
from blurcore.metrics.neighbours import covered


def features(seed: int, count: int, dim: int = 5) -> np.ndarray:
    """Return features whose dimensions differ in spread and hang together."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, dim)) @ rng.standard_normal((dim, dim)) + rng.standard_normal(dim)


seeds = st.integers(0, 2**32 - 1)
variances = st.lists(st.floats(0.0, 1e6), min_size=4, max_size=4)


class TestFrechet:
    @given(variances, variances, st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4))
    def test_of_diagonal_gaussians_is_the_closed_form(self, one, other, shift):
        """|m|^2 + sum (sqrt a - sqrt b)^2; the trace's rounding is that of numbers of its own size."""
        a, b, shift = (np.array(v) for v in (one, other, shift))
        got = distance_of_moments(Moments(shift, np.diag(a)), Moments(np.zeros(4), np.diag(b)))
        expected = (shift**2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-13 * (a.sum() + b.sum()))

    @given(seeds)
    def test_equals_the_formula_with_scipys_square_root(self, seed):
        x, y = features(seed, 60), features(seed + 1, 40)
        root = scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
        trace = np.trace(np.cov(x.T) + np.cov(y.T))
        expected = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + trace - 2 * np.trace(root)
        assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-8 * trace)
        assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9, abs=1e-12 * trace)

    @given(seeds)
    def test_of_a_set_with_itself_is_0_in_any_order(self, seed):
        x = features(seed, 30)
        for other in (x, x[::-1]):
            assert 0 <= frechet_distance(x, other) <= 1e-12 * np.trace(np.cov(x.T))

    def test_of_a_set_that_has_been_moved_is_how_far_squared(self):
        x = features(0, 30)
        assert frechet_distance(x + np.array([3, 4, 0, 0, 0]), x) == pytest.approx(25, rel=1e-9)

    def test_wants_more_images_than_dimensions(self):
        assert frechet_distance(features(0, 6), features(1, 6)) > 0
        with pytest.raises(ArgumentError, match=r"at least 6 images.*the 5 dimensions.*got 6 samples and 5 references"):
            frechet_distance(features(0, 6), features(1, 5))
        with pytest.raises(ArgumentError, match="at least 6 images"):
            moments(features(0, 5))

    def test_of_a_resample_is_that_of_the_images_taken(self):
        x, y = features(0, 30), features(1, 40)
        counts = [resample(len(v), 2, np.random.default_rng(i)) for i, v in enumerate((x, y))]
        taken = [[np.repeat(v, row.astype(int), axis=0) for row in c] for v, c in zip((x, y), counts, strict=True)]
        expected = [frechet_distance(*pair) for pair in zip(*taken, strict=True)]
        np.testing.assert_allclose(frechet_resampled(x, y, *counts), expected, rtol=1e-9)


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    return (a @ b / len(a) + 1) ** 3


def direct_kid(x: np.ndarray, y: np.ndarray, shared: set[tuple[int, int]]) -> float:
    """Return KID by double sums over numbered images, without the pairs of an image with itself."""
    own = [np.mean([kernel(v[i], v[j]) for i in range(len(v)) for j in range(len(v)) if i != j]) for v in (x, y)]
    cross = [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(y) if (i, j) not in shared]
    return own[0] + own[1] - 2 * np.mean(cross)


class TestKid:
    @given(seeds, st.integers(2, 9), st.integers(2, 9))
    def test_equals_the_double_sum(self, seed, n, m):
        x, y = features(seed, n), features(seed + 1, m)
        expected = direct_kid(x, y, set())
        scale = max(kernel(v, v) for v in (*x, *y))
        assert kid(x, y) == pytest.approx(expected, abs=1e-12 * scale)

    @given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=2, max_size=12), st.randoms())
    def test_of_a_set_with_itself_is_0_in_any_order_with_copies_too(self, rows, random):
        x = np.array(rows, dtype=float)
        other = list(range(len(x)))
        random.shuffle(other)
        assert kid(x, x[other]) == pytest.approx(0, abs=1e-10)

    def test_leaves_out_the_pairs_of_images_that_are_in_both_sets_and_no_others(self):
        x, y = features(0, 6), features(1, 7)
        y[3], y[5] = x[1], x[4]
        assert kid(x, y) == pytest.approx(direct_kid(x, y, {(1, 3), (4, 5)}), rel=1e-9)
        none = np.empty((0, 2), dtype=int)
        assert kid(x, y, shared=none) == pytest.approx(direct_kid(x, y, set()), rel=1e-9)

    def test_pairs_take_each_image_once(self):
        pairs = shared_pairs([b"a", b"b", b"a", b"a"], [b"c", b"a", b"a"])
        assert pairs.tolist() == [[0, 1], [2, 2]]

    def test_has_no_bias_where_the_sets_come_from_one_distribution(self):
        """The mean of 400 draws lies within 5 standard errors of 0, that of their resamples within 5 of the draw's own."""
        rng = np.random.default_rng(0)
        none, draws, moved = np.empty((0, 2), dtype=int), [], []
        for _ in range(400):
            x, y = rng.standard_normal((2, 12, 3))
            draws.append(kid(x, y))
            taken = kid_resampled(x, y, resample(12, 4, rng), resample(12, 4, rng), shared=none)
            moved.append(taken.mean() - draws[-1])
        for values in map(np.array, (draws, moved)):
            assert abs(values.mean()) < 5 * values.std() / np.sqrt(len(values))

    def test_counts_copies_of_an_image_in_a_resample_as_one_image(self):
        x, y = features(0, 5), features(1, 4)
        counts = np.array([[2.0, 0, 1, 1, 1]]), np.array([[1.0, 3, 0, 0]])
        rows = [np.repeat(np.arange(len(v)), c[0].astype(int)) for v, c in zip((x, y), counts, strict=True)]
        own = [np.mean([kernel(v[i], v[j]) for i in r for j in r if i != j]) for v, r in zip((x, y), rows, strict=True)]
        cross = np.mean([kernel(x[i], y[j]) for i in rows[0] for j in rows[1]])
        (got,) = kid_resampled(x, y, *counts, shared=np.empty((0, 2), dtype=int))
        assert got == pytest.approx(own[0] + own[1] - 2 * cross, rel=1e-9)

    def test_wants_a_pair_in_each_set(self):
        with pytest.raises(ArgumentError, match=r"KID needs at least 2 images.*got 1 samples and 3 references"):
            kid(features(0, 1), features(1, 3))


def direct_hits(points: np.ndarray, centres: np.ndarray, k: int) -> list[bool]:
    """Whether each point lies in a ball of a centre that reaches to its k-th nearest neighbour."""
    among = cdist(centres, centres)
    reach = [sorted(np.delete(row, i))[k - 1] for i, row in enumerate(among)]
    return [bool(np.any(row <= np.array(reach))) for row in cdist(points, centres)]


class TestPrecisionRecall:
    @given(seeds, st.integers(1, 3), st.integers(4, 20), st.integers(4, 20))
    def test_equals_brute_force(self, seed, k, n, m):
        x, y = features(seed, n, 2), features(seed + 1, m, 2)
        got = precision_recall(x, y, neighbours=k)
        assert got == (np.mean(direct_hits(x, y, k)), np.mean(direct_hits(y, x, k)))

    @given(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=15),
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=15),
    )
    def test_equals_brute_force_where_distances_tie(self, one, other):
        """Distances of whole numbers are exact to the last bit in neither way; a point on the rim is in the ball."""
        x, y = np.array(one, dtype=float), np.array(other, dtype=float)
        hits = covered(x, y, 3)
        assert (hits[0].tolist(), hits[1].tolist()) == (direct_hits(x, y, 3), direct_hits(y, x, 3))

    def test_of_a_set_with_itself_is_1_though_all_images_are_one(self):
        for x in (features(0, 9), np.full((5, 3), 1e6 / 3)):
            assert precision_recall(x, x[::-1]) == (1.0, 1.0)

    def test_tells_what_is_missing_from_what_is_wrong(self):
        rng = np.random.default_rng(0)
        left, right = rng.standard_normal((2, 50, 2)) + np.array([[[0, 0]], [[100, 0]]])
        half = precision_recall(left, np.concatenate([left, right]))
        assert half == (1.0, 0.5)
        assert precision_recall(np.concatenate([left, right]), left) == (0.5, 1.0)

    def test_goes_through_large_sets_block_by_block(self, monkeypatch):
        x, y = features(0, 30), features(1, 25)
        whole = precision_recall(x, y)
        monkeypatch.setattr("blurcore.metrics.neighbours._BLOCK", 7)
        monkeypatch.setattr("blurcore.metrics.kernel._BLOCK", 7)
        assert precision_recall(x, y) == whole
        y[20] = x[15]  # a pair that is left out, in a block that is not the first
        assert kid(x, y) == pytest.approx(direct_kid(x, y, {(15, 20)}), rel=1e-9)

    def test_wants_as_many_neighbours_as_it_counts(self):
        with pytest.raises(ArgumentError, match=r"at least 4 images.*3 neighbours.*got 4 samples and 3 references"):
            precision_recall(features(0, 4), features(1, 3))
        with pytest.raises(ArgumentError, match="neighbours must be at least 1; got 0"):
            precision_recall(features(0, 4), features(1, 4), neighbours=0)


class TestIntervals:
    def test_are_the_percentiles_around_the_estimate(self):
        """Resampled means of n numbers scatter by their standard error: 95 % lie within 1.96 of it (5 % allowed for chance)."""
        x = np.random.default_rng(0).standard_normal(400)
        counts = resample(400, 4000, np.random.default_rng(1))
        assert np.all(counts.sum(axis=1) == 400)
        got = interval(x.mean(), counts @ x / 400)
        half = 1.96 * x.std() / 20
        assert got.low == pytest.approx(x.mean() - half, abs=0.05 * half)
        assert got.high == pytest.approx(x.mean() + half, abs=0.05 * half)

    def test_are_moved_by_what_resampling_adds_and_cut_to_the_range(self):
        values = np.array([3.0, 4.0, 5.0, 6.0, 7.0])  # around 5: 4 more than the estimate
        assert interval(1.0, values, confidence=0.5) == (1.0, 0.0, 2.0)
        assert interval(1.0, values, lowest=0.5, highest=1.5, confidence=0.5) == (1.0, 0.5, 1.5)

    def test_need_two_resamples_and_a_share(self):
        with pytest.raises(ArgumentError, match="num_resamples must be at least 2; got 1"):
            resample(3, 1, np.random.default_rng(0))
        with pytest.raises(ArgumentError, match=r"confidence must be in \(0, 1\); got 1"):
            interval(0.0, np.zeros(2), confidence=1)


@pytest.mark.parametrize("metric", [frechet_distance, kid, precision_recall])
def test_what_is_no_pair_of_features_is_refused(metric):
    good = features(0, 8)
    broken = np.where(np.arange(8)[:, None] == 3, np.nan, good)
    for x, y, words in [
        (good[0], good, "x must be features of shape"),
        (good, np.empty((0, 5)), "y must be features of shape"),
        (good, broken, "y must be finite"),
        (good, good[:, :4], "of one dimension; got 5 and 4"),
    ]:
        with pytest.raises(ArgumentError, match=words):
            metric(x, y)
