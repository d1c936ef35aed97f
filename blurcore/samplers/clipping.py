r"""Keeping the predicted data where data can be: clipping, and dynamic thresholding (Saharia et al. 2022, section 2.3).

With x on [-1, 1] and s the larger of 1 and a quantile of :math:`|x|` over each sample, dynamic thresholding takes

.. math:: x \mapsto \min(\max(x, -s), s) / s ,

which leaves a sample alone that stays inside, and brings one that strays back as a whole, where clipping saturates it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from blurcore._arrays import as_result, namespace, quiet, require_floating
from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import A
from blurcore.transforms import Basis


@final
@dataclass(frozen=True, kw_only=True)
class Clip:
    """The range of the data, and what is done to predictions outside it.

    Parameters
    ----------
    low, high
        The range, low < high.
    quantile
        In (0, 1]: dynamic thresholding with this quantile of each sample (Imagen: 0.995). None: plain clipping.

    Raises
    ------
    ArgumentError
        A value is out of range.
    """

    low: float = -1.0
    high: float = 1.0
    quantile: float | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("low", self.low)
        require_finite("high", self.high)
        require(self.low < self.high, "low", self.low, f"below high = {self.high}")
        require(self.quantile is None or 0 < self.quantile <= 1, "quantile", self.quantile, "None, or in (0, 1]")

    @quiet
    def data(self, x: A) -> A:
        """Return data brought into the range, (batch, ...)."""
        xp = require_floating("x", x)
        x = as_result(x, x)
        if self.quantile is None:
            return xp.clip(x, float(self.low), float(self.high))
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        y = (x - middle) / half
        size = xp.reshape(xp.abs(y), (y.shape[0], math.prod(y.shape[1:])))
        limit = xp.clip(quantile(size, self.quantile), 1.0, None)
        limit = xp.reshape(limit, (y.shape[0], *([1] * (y.ndim - 1))))
        return middle + half * (xp.minimum(xp.maximum(y, -limit), limit) / limit)

    def coefficients(self, u: A, basis: Basis, *, axes: tuple[int, ...]) -> A:
        """Return the same for data given by their coefficients: one more transform pair (none where there is no basis)."""
        return basis.forward(self.data(basis.inverse(u, axes=axes)), axes=axes)


def quantile(rows: A, q: float) -> A:
    """Return a quantile of each row, interpolated linearly between neighbours as NumPy does it."""
    ordered = namespace(rows=rows).sort(rows, axis=1)
    place = q * (rows.shape[1] - 1)
    below = int(place)
    above = min(below + 1, rows.shape[1] - 1)
    return ordered[:, below] + (place - below) * (ordered[:, above] - ordered[:, below])
