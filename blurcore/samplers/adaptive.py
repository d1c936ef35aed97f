r"""The probability-flow ODE (SPEC 6) by a library's adaptive solver, which chooses the steps: torchdiffeq or diffrax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from blurcore._checks import make_plain, require, require_finite
from blurcore._typing import Array, Time
from blurcore.diffusion import require_noise
from blurcore.samplers._base import Coefficients, LinearStepper
from blurcore.samplers.euler import Euler


@final
@dataclass(frozen=True, kw_only=True)
class AdaptiveODE(LinearStepper):
    """Dormand and Prince's pair of orders 4 and 5, on a backend; a step of its own is Euler's.

    Parameters
    ----------
    process
        The process to reverse; it must have noise at all times.
    axes
        The axes of the grid in the state.
    tolerance
        Relative and absolute error of a step, > 0.
    """

    tolerance: float = 1e-3

    adaptive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        make_plain(self)
        require_finite("tolerance", self.tolerance)
        require(self.tolerance > 0, "tolerance", self.tolerance, "positive")

    @property
    def uses_noise(self) -> bool:
        """Never: it solves an ordinary differential equation."""
        return False

    def check(self, times: tuple[float, ...], *, shape: tuple[int, ...]) -> None:
        """Refuse a process without noise at t = 0 too; see :meth:`Solver.check`."""
        super().check(times, shape=shape)
        require_noise("the slope", self.process, 0.0, shape=shape)

    def coefficients(
        self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None
    ) -> Coefficients[Array]:
        """Return those of :class:`Euler`."""
        return Euler(process=self.process, axes=self.axes).coefficients(t, s, shape=shape, like=like)
