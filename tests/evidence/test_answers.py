"""Answers by the rules of the protocol: ratios, intervals, verdicts, and the page that is written from the ledger."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.evidence.answers import compare, level_with, verdict
from benchmarks.evidence.ledger import Ledger
from benchmarks.evidence.tables import LEDGER, PAGE, sections


def test_one_comparison_of_two_processes_is_the_t_test_on_logarithms():
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.normal(0.0, 0.1, 3)), np.exp(rng.normal(0.3, 0.1, 3))
    interval = stats.ttest_ind(np.log(a), np.log(b)).confidence_interval(0.95)
    answer = compare({"a": a, "b": b}, [("a", "b")])["a", "b"]
    np.testing.assert_allclose([answer.low, answer.high], np.exp([interval.low, interval.high]), rtol=1e-12)
    np.testing.assert_allclose(answer.ratio, stats.gmean(a) / stats.gmean(b), rtol=1e-12)


def test_variance_is_pooled_over_all_processes_and_the_clearest_comparison_has_the_widest_level():
    values = {"a": [1.0, 1.1, 0.9], "b": [1.5, 1.7, 1.4], "c": [1.1, 1.2, 1.0]}
    found = compare(values, [("a", "b"), ("a", "c")])
    logs = {name: np.log(value) for name, value in values.items()}
    error = np.sqrt(np.mean([log.var(ddof=1) for log in logs.values()]) * 2 / 3)
    for pair, level in {("a", "b"): 0.975, ("a", "c"): 0.95}.items():
        difference = logs[pair[0]].mean() - logs[pair[1]].mean()
        low, high = stats.t.interval(level, 6, difference, error)
        np.testing.assert_allclose([found[pair].low, found[pair].high], np.exp([low, high]), rtol=1e-12)


def test_one_seed_of_each_decides_nothing():
    answer = compare({"a": [1.0], "b": [9.0]}, [("a", "b")])["a", "b"]
    assert (answer.low, answer.high, answer.word) == (0.0, float("inf"), "undecided")


def test_comparison_with_a_process_that_has_no_numbers_is_left_out():
    assert compare({"a": [1.0, 2.0], "b": []}, [("a", "b")]) == {}


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.5, 0.99, "yes"), (1.01, 2, "no"), (0.91, 1.09, "no"), (0.85, 1.05, "undecided"), (0.95, 1.2, "undecided")],
)
def test_verdict_is_yes_no_or_undecided_by_the_interval(low, high, word):
    assert verdict(low, high) == word


def test_paired_distances_are_level_when_their_difference_may_be_zero():
    rng = np.random.default_rng(1)
    best = rng.uniform(1, 2, 128)
    assert level_with(best, best * 1.04)
    assert level_with(best, best + rng.normal(0, 2, 128))
    assert not level_with(best, best * 1.2)


def test_page_equals_the_tables_of_the_ledger():
    assert PAGE.read_text(encoding="utf-8") == "\n\n".join(sections(Ledger(LEDGER))) + "\n"
