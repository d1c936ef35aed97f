"""What the ledger's lines say by the rules of the protocol: ratios with intervals, the words yes, no, undecided, and what is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

Values = Mapping[str, Sequence[float]]
"""What was measured of each process, a number for each seed."""
SAME = (0.9, 1.1)
"""A ratio whose interval lies in between is a no: there is nothing to be had."""
LEVEL = 0.05


class Answer(NamedTuple):
    """A ratio of geometric means, its interval, and what it says of a prediction."""

    ratio: float
    low: float
    high: float
    word: str


def compare(values: Values, pairs: Sequence[tuple[str, str]], *, level: float = 0.95) -> dict[tuple[str, str], Answer]:
    """Return the answers of one family of comparisons, in each of which the first is predicted to have the smaller numbers.

    Student's intervals on logarithms, with the variance within a process pooled over all of them and Holm's levels.

    Parameters
    ----------
    values
        Positive numbers of each process.
    pairs
        The comparisons of the family.
    level
        Of the family.
    """
    logs = {name: np.log(np.asarray(found, np.float64)) for name, found in values.items() if len(found)}
    pairs = [pair for pair in pairs if pair[0] in logs and pair[1] in logs]
    free = sum(len(found) - 1 for found in logs.values())
    squares = sum(float(((found - found.mean()) ** 2).sum()) for found in logs.values())
    spread = (squares / free) ** 0.5 if free else np.inf
    found = {}
    for a, b in pairs:
        found[a, b] = (logs[a].mean() - logs[b].mean(), spread * (1 / len(logs[a]) + 1 / len(logs[b])) ** 0.5)
    farthest = sorted(pairs, key=lambda pair: -abs(found[pair][0]) / found[pair][1])
    answers = {}
    for place, pair in enumerate(farthest):
        difference, error = found[pair]
        tail = (1 - level) / (len(pairs) - place) / 2
        reach = error * (student.ppf(1 - tail, free) if free else 1.0)
        low, high = np.exp(difference - reach), np.exp(difference + reach)
        answers[pair] = Answer(float(np.exp(difference)), float(low), float(high), verdict(float(low), float(high)))
    return {pair: answers[pair] for pair in pairs}


def verdict(low: float, high: float) -> str:
    """Return what an interval of a ratio says of the prediction that the ratio is below 1."""
    if high < 1:
        return "yes"
    if low > 1 or (SAME[0] < low and high < SAME[1]):
        return "no"
    return "undecided"


def level_with(best: Sequence[float], other: Sequence[float], *, seed: int = 0, draws: int = 2_000) -> bool:
    """Whether distances of samples from the same starting noise are level with the best ones.

    The 95 % bootstrap interval of the mean of the paired differences contains 0, or the mean is within 5 % of the best.
    """
    a, b = np.asarray(best, np.float64), np.asarray(other, np.float64)
    if b.mean() <= (1 + LEVEL) * a.mean():
        return True
    difference = b - a
    which = np.random.default_rng(seed).integers(0, len(a), (draws, len(a)))
    low, high = np.quantile(difference[which].mean(axis=1), [0.025, 0.975])
    return bool(low <= 0 <= high)
