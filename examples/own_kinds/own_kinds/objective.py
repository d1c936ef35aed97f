"""Denoising that forgives large errors: Huber's loss of the predicted image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from array_api_compat import array_namespace

import blurcore as bc
from blurcore.kinds import late


@dataclass(frozen=True, kw_only=True)
class Huber:
    """x0 under Huber's loss; everything else is that of :class:`blurcore.Denoising`."""

    process: bc.Process = late()
    delta: float = 0.1
    """Where the loss turns from a square to a line."""

    prediction: ClassVar[str] = "x0"
    predicts: ClassVar[str] = "data"
    only_times: ClassVar[None] = None
    levels: ClassVar[int] = 0

    @property
    def _plain(self):
        return bc.Denoising(prediction="x0").build(self.process)

    def build(self, process):
        return replace(self, process=process)

    def check(self, shape):
        self._plain.check(shape)

    def times(self, uniform, *, low=0.0, high=1.0):
        return self._plain.times(uniform, low=low, high=high)

    def pair(self, x, t, noise, *, axes):
        return self._plain.pair(x, t, noise, axes=axes)

    def loss(self, output, target):
        xp = array_namespace(output)
        error = xp.abs(output - target)
        near = error**2 / 2
        far = self.delta * (error - self.delta / 2)
        return xp.mean(xp.where(error < self.delta, near, far), axis=tuple(range(1, error.ndim)))

    def path(self, t, *, shape, like=None):
        return self._plain.path(t, shape=shape, like=like)

    def predict(self, path, output, u, *, axes, clip=None):
        return self._plain.predict(path, output, u, axes=axes, clip=clip)
