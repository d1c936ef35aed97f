r"""Cold diffusion (Bansal et al. 2022): degrade the restored data a little less; no noise anywhere (SPEC 7).

With the degradation :math:`D(x, t) = \alpha_t x` of a blur, their two algorithms are

.. math::

    u_s = D(\hat u_0, s) \quad (1, \text{naive}), \qquad u_s = u_t - D(\hat u_0, t) + D(\hat u_0, s) \quad (2, \text{improved}).

In the first an error of the prediction enters each state whole, in the second times :math:`\alpha_s - \alpha_t`, which a
short step makes small. At constant sigma the second is DDIM with eta = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from blurcore._arrays import is_number, namespace, quiet
from blurcore._typing import Array, Time
from blurcore.samplers._base import Coefficients, LinearStepper


@final
@dataclass(frozen=True, kw_only=True)
class ColdNaive(LinearStepper):
    r"""Algorithm 1: :math:`u_s = \alpha_s \hat u_0`.

    Parameters
    ----------
    process
        The process to reverse; it needs no noise.
    axes
        The axes of the grid in the state.
    """

    needs_noise: ClassVar[bool] = False

    @property
    def uses_noise(self) -> bool:
        """Never."""
        return False

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> Coefficients[Array]:
        """Return what is left of the data at s; see :meth:`Solver.coefficients`."""
        del t
        return Coefficients(x0=self.process.marginal(s, shape=shape, like=like).alpha)


@final
@dataclass(frozen=True, kw_only=True)
class ColdImproved(LinearStepper):
    r"""Algorithm 2: :math:`u_s = u_t + (\alpha_s - \alpha_t) \hat u_0`.

    Parameters
    ----------
    process
        The process to reverse; it needs no noise.
    axes
        The axes of the grid in the state.
    """

    needs_noise: ClassVar[bool] = False

    @property
    def uses_noise(self) -> bool:
        """Never."""
        return False

    @quiet
    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> Coefficients[Array]:
        r"""Return 1 and what comes back of the data between t and s; see :meth:`Solver.coefficients`.

        Where sigma is the same at t and s, as in cold diffusion and heat dissipation, :math:`\alpha_t / \alpha_s = e^{D / 2}`, so
        that the gain is :math:`-\alpha_s \, \mathrm{expm1}(D / 2)`, right to rounding however short the step is.
        """
        like = next((v for v in (like, t, s) if v is not None and not is_number(v)), None)
        fall = self.process.difference(t, s, shape=shape, like=like).log_snr
        before, after = (self.process.marginal(time, shape=shape, like=like) for time in (t, s))
        xp = namespace(fall=fall)
        exact = -after.alpha * xp.expm1(fall / 2)
        gained = xp.where(before.sigma == after.sigma, exact, after.alpha - before.alpha)
        return Coefficients(z=0 * gained + 1, x0=gained)
