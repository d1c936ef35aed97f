r"""A training batch split by size: so many examples of each, at times at which its images are large enough (SPEC 11).

Sizes are trained where they are enough, and a little later: a step of sampling is taken on the size that is enough where it *ends*, so
that a network is asked on larger images at times up to a step (and one for each answer that a solver remembers) beyond. Counts are
fixed, so that each size is one program; examples weigh as much as their span of time over their share of the batch,

.. math:: w_i = \frac{(h_i - l_i) B}{n_i}, \qquad \frac{1}{B} \sum_i \sum_j w_i \, L(t_{ij}) \approx \sum_i \int_{l_i}^{h_i} L(t) \, dt .
"""

from __future__ import annotations

from typing import Any, NamedTuple

from blurcore._arrays import namespace, quiet
from blurcore._checks import require
from blurcore._typing import Array, Time
from blurcore.prediction import Kind
from blurcore.processes import Process
from blurcore.resolution.restriction import RestrictedProcess, input_scale
from blurcore.resolution.sizes import Resolutions


class Portion(NamedTuple):
    """The examples of one size."""

    size: tuple[int, ...]
    """Their grid."""
    rows: slice
    """Which of a batch, or of one of its parts."""
    low: float
    high: float
    """Their times lie between."""
    weight: float
    """What each counts for in the mean over the batch."""


def portions(resolutions: Resolutions, batch_size: int, *, overlap: float = 0.05) -> tuple[Portion, ...]:
    """Return how a batch is split by size.

    Parameters
    ----------
    resolutions
        Which size is enough since when.
    batch_size
        Examples of a batch, or of each of the equal parts that ranks or accumulation make of it: at least one of each size.
    overlap
        How much longer than needed a size is trained, in time: the steps of sampling for which a network is to be ready.

    Returns
    -------
    tuple
        The whole size first. Counts follow the spans of time by largest remainders.

    Raises
    ------
    ArgumentError
        The batch is smaller than the number of sizes, or `overlap` is negative.
    """
    sizes, since = resolutions.sizes, resolutions.since
    require(overlap >= 0, "overlap", overlap, "0 or more")
    require(batch_size >= len(sizes), "batch_size", batch_size, f"at least {len(sizes)}, one example for each size")
    ends = [min(1.0, t + overlap) for t in since[1:]] + [1.0]
    spans = [high - low for low, high in zip(since, ends, strict=True)]
    free, total = batch_size - len(sizes), sum(spans)
    exact = [max(0.0, batch_size * span / total - 1) for span in spans]
    exact = [free * share / (sum(exact) or 1.0) for share in exact]
    counts = [int(share) for share in exact]
    order = sorted(range(len(sizes)), key=lambda i: counts[i] - exact[i])
    for i in order[: free - sum(counts)]:
        counts[i] += 1
    found, first = [], 0
    for size, low, high, count in zip(sizes, since, ends, counts, strict=True):
        last = first + 1 + count
        found.append(Portion(size, slice(first, last), low, high, (high - low) * batch_size / (last - first)))
        first = last
    return tuple(found)


@quiet
def loss_weight(process: Process, prediction: Kind, t: Time, *, like: Array | None = None) -> Array:
    r"""Return what turns the mean squared error of smaller images into that of their frequencies on the whole image.

    With :math:`r^2 = M / N` over all axes: :math:`r^2` for eps, which is standard normal on any size; 1 for x0, whose coefficients are
    r times as large; :math:`r^2 (a^2 + \sigma^2) / (a^2 + r^2 \sigma^2)` for v, exactly so where nothing is blurred.

    Parameters
    ----------
    process
        A restricted process, or another, for which it is 1.
    prediction
        What the network says: "eps", "v", "x0".
    t
        Times, one for each example, or a number.
    like
        As for :meth:`blurcore.Process.marginal`.

    Returns
    -------
    Array
        Of the shape of `t`.

    Raises
    ------
    ArgumentError
        `prediction` is none of these.
    """
    require(prediction in ("eps", "v", "x0"), "prediction", prediction, "eps, v or x0")
    c = input_scale(process, t, like=like)
    ratio = process.scale**2 if isinstance(process, RestrictedProcess) else 1.0
    if prediction == "x0":
        return namespace(c=c).ones_like(c)
    result: Any = ratio / c**2 if prediction == "v" else 0 * c + ratio
    return result
