r"""What a network is trained to say, and what its word means to a solver: one objective for each family of processes.

=====================  ==================================  =======================================  ====================
objective              network sees                        it says                                  loss of an example
=====================  ==================================  =======================================  ====================
:class:`Denoising`     :math:`z_t`, any time               eps, v or x0                             mean square
:class:`HeatReversal`  :math:`A_k x + \sigma n`            :math:`A_{k-1} x` minus what it sees     sum of squares
:class:`Restoration`   :math:`A_t x`, no noise             x                                        mean absolute error
=====================  ==================================  =======================================  ====================

The first is the paper's (and Ho et al. 2020), the second that of Rissanen et al. (2022), the third that of Bansal et al.
(2022); SPEC 5 and 7. Everything random is an argument, all arrays are in data space but for the states of a solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, final

from blurcore._arrays import as_result, namespace, quiet, together, upcast
from blurcore._checks import make_plain, require
from blurcore._typing import Array
from blurcore.diffusion import diffuse, marginal_for
from blurcore.errors import ArgumentError
from blurcore.losses import TrainingPair, draw_times, simple_loss, training_pair
from blurcore.prediction import Kind
from blurcore.processes import ColdDiffusion, HeatDissipation, Marginal, Process
from blurcore.samplers import Clip, Prediction, predict_at

Spread = Literal["uniform", "antithetic", "low_discrepancy"]


class Objective(Protocol):
    """How examples are made, judged and understood."""

    @property
    def process(self) -> Process:
        """The process."""
        ...

    def times(self, uniform: Array) -> Array:
        """Turn uniform numbers in [0, 1), (batch,), into the times of a batch, in their compute dtype."""
        ...

    def pair(self, x: Array, t: Array, noise: Array, *, axes: tuple[int, ...]) -> TrainingPair[Array]:
        """Return what the network sees of x at t, and what it should say."""
        ...

    def loss(self, output: Array, target: Array) -> Array:
        """Return the loss of each example, (batch,)."""
        ...

    def predict(
        self, marginal: Marginal[Array], output: Array, u: Array, *, axes: tuple[int, ...], clip: Clip | None = None
    ) -> Prediction[Array]:
        """Return what the network's word at the state u, whose marginal is given, tells a solver."""
        ...


def at_levels(t: Array, levels: int) -> Array:
    """Round times in [0, 1] to the levels k / levels, k = 1 .. levels, each as likely as the others; 0 levels: leave them."""
    if levels == 0:
        return t
    xp, t = namespace(t=t), upcast(t)  # half precision has not one time for each of many levels
    return xp.clip(xp.floor(t * levels) + 1, 1.0, float(levels)) / levels


@final
@dataclass(frozen=True, kw_only=True)
class Denoising:
    """Tell noise from data (paper, section 4.2): mean squared error of eps, v or x0.

    Parameters
    ----------
    process
        Any process with noise.
    prediction
        What the network says.
    spread
        How the times of a batch are drawn; :func:`blurcore.draw_times`.
    levels
        Times are k / levels, k = 1 .. levels (DDPM: 1000); 0 for all times.
    """

    process: Process
    prediction: Kind = "eps"
    spread: Spread = "low_discrepancy"
    levels: int = 0

    def __post_init__(self) -> None:
        make_plain(self)

    def times(self, uniform: Array) -> Array:
        """Return the times of a batch; see :meth:`Objective.times`."""
        return at_levels(draw_times(upcast(uniform), self.spread), self.levels)

    def pair(self, x: Array, t: Array, noise: Array, *, axes: tuple[int, ...]) -> TrainingPair[Array]:
        """Return z_t and the target; see :meth:`Objective.pair`."""
        return training_pair(self.process, x, t, noise, prediction=self.prediction, axes=axes)

    def loss(self, output: Array, target: Array) -> Array:
        """Return the mean squared error; see :meth:`Objective.loss`."""
        return simple_loss(output, target)

    def predict(
        self, marginal: Marginal[Array], output: Array, u: Array, *, axes: tuple[int, ...], clip: Clip | None = None
    ) -> Prediction[Array]:
        """Return x0 and eps; see :meth:`Objective.predict`."""
        return predict_at(marginal, output, self.prediction, u, basis=self.process.basis, axes=axes, clip=clip)


@final
@dataclass(frozen=True, kw_only=True)
class HeatReversal:
    r"""One level back (Rissanen et al. 2022, equation 9; SPEC 7).

    .. math:: \| u_k + f(u_k, k) - A_{k-1} x \|^2, \qquad u_k = A_k x + \sigma n, \qquad k \sim U\{1, .., K\} .

    Their code draws k below K, so that the level at which sampling starts is never trained; here it is.

    Parameters
    ----------
    process
        Heat dissipation, its blur one of `num_levels` levels.
    spread
        How the levels of a batch are drawn; :func:`blurcore.draw_times`.

    Raises
    ------
    ArgumentError
        The blur has no levels.
    """

    process: HeatDissipation
    spread: Spread = "low_discrepancy"

    def __post_init__(self) -> None:
        make_plain(self)
        _levels(self.process)

    @property
    def num_levels(self) -> int:
        """K."""
        return _levels(self.process)

    def times(self, uniform: Array) -> Array:
        """Return k / K; see :meth:`Objective.times`."""
        return at_levels(draw_times(upcast(uniform), self.spread), self.num_levels)

    @quiet
    def pair(self, x: Array, t: Array, noise: Array, *, axes: tuple[int, ...]) -> TrainingPair[Array]:
        """Return u_k in data space and the residual; see :meth:`Objective.pair`."""
        namespace(x=x, noise=noise)
        basis, s = self.process.basis, _level_before(t, self.num_levels)
        z = diffuse(self.process, x, t, noise, axes=axes)
        before = marginal_for(self.process, s, x, axes=axes).alpha * basis.forward(upcast(x), axes=axes)
        residual = basis.inverse(before, axes=axes) - upcast(z)
        return TrainingPair(z, as_result(residual, x))

    @quiet
    def loss(self, output: Array, target: Array) -> Array:
        """Return the squared error, summed over all dimensions; see :meth:`Objective.loss`."""
        per_image = 1
        for size in target.shape[1:]:
            per_image *= size
        return per_image * simple_loss(output, target)

    @quiet
    def predict(
        self, marginal: Marginal[Array], output: Array, u: Array, *, axes: tuple[int, ...], clip: Clip | None = None
    ) -> Prediction[Array]:
        """Return mu = u + f; see :meth:`Objective.predict`. It is the next state's mean, which `InverseHeat` takes as such."""
        del marginal
        mean = u + self.process.basis.forward(output, axes=axes)
        return Prediction(x0=mean if clip is None else clip.coefficients(mean, self.process.basis, axes=axes))


@final
@dataclass(frozen=True, kw_only=True)
class Restoration:
    """Undo the blur at once (Bansal et al. 2022, equation 1; SPEC 7): mean absolute error of the restored data.

    Parameters
    ----------
    process
        Cold diffusion.
    spread
        How the times of a batch are drawn; :func:`blurcore.draw_times`.
    levels
        Times are k / levels, k = 1 .. levels; 0 for all times.
    """

    process: ColdDiffusion
    spread: Spread = "low_discrepancy"
    levels: int = 0

    def __post_init__(self) -> None:
        make_plain(self)

    def times(self, uniform: Array) -> Array:
        """Return the times of a batch; see :meth:`Objective.times`."""
        return at_levels(draw_times(upcast(uniform), self.spread), self.levels)

    @quiet
    def pair(self, x: Array, t: Array, noise: Array, *, axes: tuple[int, ...]) -> TrainingPair[Array]:
        """Return the blurred data and the data; see :meth:`Objective.pair`."""
        return training_pair(self.process, x, t, noise, prediction="x0", axes=axes)

    @quiet
    def loss(self, output: Array, target: Array) -> Array:
        """Return the mean absolute error; see :meth:`Objective.loss`."""
        require(output.shape == target.shape, "output", tuple(output.shape), f"of the shape of target, {target.shape}")
        xp = namespace(output=output, target=target)
        output, target = together(output=output, target=target)
        error = xp.abs(output - target)
        return xp.mean(error, axis=tuple(range(1, error.ndim)))

    def predict(
        self, marginal: Marginal[Array], output: Array, u: Array, *, axes: tuple[int, ...], clip: Clip | None = None
    ) -> Prediction[Array]:
        """Return x0 alone; see :meth:`Objective.predict`."""
        del marginal, u
        coded = self.process.basis.forward(output, axes=axes)
        return Prediction(x0=coded if clip is None else clip.coefficients(coded, self.process.basis, axes=axes))


def _levels(process: HeatDissipation) -> int:
    levels = getattr(process.blur, "num_levels", None)
    if levels is None:
        raise ArgumentError(
            f"process.blur must have num_levels, like LogLinear, to go back level by level; got {process.blur!r}"
        )
    return int(levels)


def _level_before(t: Array, levels: int) -> Array:
    """Return (k - 1) / K from k / K, never below 0 by rounding."""
    xp, t = namespace(t=t), upcast(t)
    return xp.clip(xp.round(t * levels) - 1, 0.0, float(levels)) / levels
