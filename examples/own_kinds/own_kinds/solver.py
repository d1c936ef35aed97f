"""A step that turns the noise by an angle: as random as one likes, and the marginals are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

from blurcore.samplers import Coefficients, LinearStepper


@dataclass(frozen=True, kw_only=True)
class Rotation(LinearStepper):
    r""":math:`u_s = \alpha_s \hat x + \sigma_s (\cos\phi \, \hat\epsilon + \sin\phi \, n)`; phi = 0 is DDIM.

    Parameters
    ----------
    process, axes
        Given when it is built.
    degrees
        phi, from 0 to 90.
    """

    degrees: float = 30.0

    @property
    def uses_noise(self):
        return self.degrees > 0

    def coefficients(self, t, s, *, shape, like=None):
        m = self.process.marginal(s, shape=shape, like=like)
        phi = math.radians(self.degrees)
        return Coefficients(x0=m.alpha, eps=math.cos(phi) * m.sigma, noise=math.sin(phi) * m.sigma)
