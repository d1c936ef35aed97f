r"""Training targets, and the conversion of a network's output into what solvers take: one objective for each family of processes.

=====================  ==================================  =======================================  ====================
objective              input of the network                its target                               loss of an example
=====================  ==================================  =======================================  ====================
:class:`Denoising`     :math:`z_t`, any time               eps, v, x0, velocity, F                  mean square
:class:`HeatReversal`  :math:`A_k x + \sigma n`            :math:`A_{k-1} x` minus the input        sum of squares
:class:`Restoration`   :math:`A_t x`, no noise             x                                        mean absolute error
=====================  ==================================  =======================================  ====================

The first is the paper's (and Ho et al. 2020), the second that of Rissanen et al. (2022), the third that of Bansal et al.
(2022); SPEC 5 and 7. Everything random is an argument, all arrays are in data space but for the states of a solver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, Self, final, runtime_checkable

import numpy as np

from blurcore._arrays import as_result, namespace, quiet, together, upcast
from blurcore._checks import make_plain, require
from blurcore._late import Unknown, late
from blurcore._typing import Array, Time
from blurcore.data_spectrum import SigmaData, check_sigma_data
from blurcore.diffusion import check_batch, diffuse, grid_shape, marginal_for
from blurcore.errors import ArgumentError
from blurcore.losses import TrainingPair, check_prediction, draw_times, simple_loss, training_pair
from blurcore.prediction import SIGMA_DATA, Kind, PathScales, path
from blurcore.processes import Process
from blurcore.resolution import RestrictedProcess, Units, input_scale, loss_weight
from blurcore.samplers import Clip, Prediction, Predicts, Times, Uniform, predict_at

Spread = Literal["uniform", "antithetic", "low_discrepancy"]


class Objective(Protocol):
    """How examples are made, judged and understood: a kind under the role ``objective``."""

    @property
    def prediction(self) -> str:
        """Name of the predicted quantity, for cards and exports."""
        ...

    predicts: ClassVar[Predicts]
    """What :meth:`predict` makes of it: the data, or the mean of the next state."""

    @property
    def only_times(self) -> Times | None:
        """The one grid of times on which a network can be sampled; None: any."""
        ...

    @property
    def levels(self) -> int:
        """Number of times at which a network is trained; 0: all."""
        ...

    def build(self, process: Process) -> Self:
        """Return the objective of a process.

        Raises
        ------
        ArgumentError
            They do not go together; the message says what does.
        """
        ...

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse, before any work, a process for which the network cannot be trained on a grid of this shape.

        Raises
        ------
        ArgumentError, DegenerateError
            The message says what would be right.
        """
        ...

    @property
    def process(self) -> Process:
        """The process."""
        ...

    def times(self, uniform: Array, *, low: float = 0.0, high: float = 1.0) -> Array:
        """Turn uniform numbers in [0, 1), (batch,), into times between two, in their compute dtype."""
        ...

    def pair(self, x: Array, t: Array, noise: Array, *, axes: tuple[int, ...]) -> TrainingPair[Array]:
        """Return the network's input for data x at times t, and its target."""
        ...

    def loss(self, output: Array, target: Array) -> Array:
        """Return the loss of each example, (batch,)."""
        ...

    def path(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> PathScales[Array]:
        """Return the scales of the process at t that :meth:`predict` needs: alpha, sigma, and their rates where the prediction has them.

        Arguments as in :meth:`blurcore.Process.marginal`.
        """
        ...

    def predict(
        self, path: PathScales[Array], output: Array, u: Array, *, axes: tuple[int, ...], clip: Clip | None = None
    ) -> Prediction[Array]:
        """Convert the network output at the state u to the estimates that a solver takes; `path` broadcasts with u."""
        ...


def path_for(objective: Objective, t: Time, x: Array, *, axes: tuple[int, ...]) -> PathScales[Array]:
    """Return :meth:`Objective.path`, laid out to broadcast over data `x`; errors as :func:`blurcore.marginal_for`."""
    check_batch(t, x)
    return objective.path(t, shape=grid_shape(x, axes), like=x).laid_out(ndim=x.ndim, axes=axes)


@runtime_checkable
class OverSizes(Protocol):
    """What an objective has beside the rest of :class:`Objective`, if a network can be trained by it on smaller images too."""

    def units(self, t: Array, *, like: Array | None = None) -> Units[Array]:
        """Return the units of a restricted process, of times (batch,).

        Raises
        ------
        ArgumentError
            They are not known for this prediction.
        """
        ...


def at_levels(t: Array, levels: int) -> Array:
    """Round times in [0, 1] to the levels k / levels, k = 1 .. levels, each as likely as the others; 0 levels: leave them."""
    if levels == 0:
        return t
    xp, t = namespace(t=t), upcast(t)  # half precision has not one time for each of many levels
    return xp.clip(xp.floor(t * levels) + 1, 1.0, float(levels)) / levels


@dataclass(frozen=True, kw_only=True)
class _OverTimes:
    """What the objectives here have: the process, and times that are drawn over all of [0, 1]."""

    process: Process = late()
    spread: Spread = "low_discrepancy"

    @property
    def only_times(self) -> Times | None:
        """Any; see :attr:`Objective.only_times`."""
        return None

    def build(self, process: Process) -> Self:
        """Return the objective of a process; see :meth:`Objective.build`."""
        return replace(self, process=process)

    def path(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> PathScales[Array]:
        """Return the marginal; see :meth:`Objective.path`."""
        return PathScales(*self.process.marginal(t, shape=shape, like=like))


@dataclass(frozen=True, kw_only=True)
class _AtLevels(_OverTimes):
    """An objective whose times may be rounded to levels."""

    levels: int = 0

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.levels >= 0, "levels", self.levels, "0 or more")

    def times(self, uniform: Array, *, low: float = 0.0, high: float = 1.0) -> Array:
        """Return the times of a batch; see :meth:`Objective.times`."""
        return at_levels(low + (high - low) * draw_times(upcast(uniform), self.spread), self.levels)


@final
@dataclass(frozen=True, kw_only=True)
class Denoising(_AtLevels):
    """Denoising score matching (paper, section 4.2): mean squared error of eps, v, x0, the path's velocity or EDM's F.

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
    sigma_data
        For F, the data's standard deviation: one number (not given: EDM's 0.5), or one for each node of a spectrum, as
        `blurcore fit` measures it (:mod:`blurcore.data_spectrum`).

    Raises
    ------
    ArgumentError
        `levels` is negative; or `sigma_data` is not positive, or given for another prediction.
    """

    prediction: Kind = "eps"
    sigma_data: SigmaData = ()

    predicts: ClassVar[Predicts] = "data"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma_data:
            check_sigma_data(self.sigma_data)
            require(
                self.prediction == "F",
                "sigma_data",
                self.sigma_data,
                f"left out for the prediction {self.prediction!r}",
            )

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse a process without noise, and a prediction from which its data do not follow; see :meth:`Objective.check`."""
        if not np.any(self.process.marginal(1.0, shape=shape).sigma > 0):
            raise ArgumentError(
                f"train.objective must be Restoration for {type(self.process).__name__}, which has no noise; got Denoising"
            )
        first = (0.0,) if self.prediction == "velocity" and self.levels == 0 else ()
        check_prediction(self.process, self.prediction, (1.0, 0.5, *first), shape=shape)
        self.path(0.5, shape=shape)  # which says whether the data's spectrum fits the process

    def pair(self, x: Array, t: Array, noise: Array, *, axes: tuple[int, ...]) -> TrainingPair[Array]:
        """Return z_t and the target; see :meth:`Objective.pair`."""
        known = self.sigma_data or SIGMA_DATA
        return training_pair(self.process, x, t, noise, prediction=self.prediction, axes=axes, sigma_data=known)

    def path(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> PathScales[Array]:
        """Return the marginal, and what the prediction is made of; see :meth:`Objective.path`."""
        known = self.sigma_data or SIGMA_DATA
        return path(self.process, self.prediction, t, shape=shape, like=like, sigma_data=known)

    def loss(self, output: Array, target: Array) -> Array:
        """Return the mean squared error; see :meth:`Objective.loss`."""
        return simple_loss(output, target)

    @quiet
    def units(self, t: Array, *, like: Array | None = None) -> Units[Array]:
        """Return the units of smaller images; see :meth:`OverSizes.units`."""
        weight, shown = (
            loss_weight(self.process, self.prediction, t, like=like),
            input_scale(self.process, t, like=like),
        )
        one = namespace(shown=shown).ones_like(shown)
        return Units(shown, shown if self.prediction == "v" else one, weight)

    def predict(
        self, path: PathScales[Array], output: Array, u: Array, *, axes: tuple[int, ...], clip: Clip | None = None
    ) -> Prediction[Array]:
        """Return x0 and eps; see :meth:`Objective.predict`."""
        return predict_at(path, output, self.prediction, u, basis=self.process.basis, axes=axes, clip=clip)


@final
@dataclass(frozen=True, kw_only=True)
class HeatReversal(_OverTimes):
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

    predicts: ClassVar[Predicts] = "mean"

    def __post_init__(self) -> None:
        make_plain(self)
        if not isinstance(self.process, Unknown):
            _levels(self.process)

    @property
    def prediction(self) -> str:
        """What the network predicts; see :attr:`Objective.prediction`."""
        return "residual"

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse a process whose noise changes from level to level; see :meth:`Objective.check`."""
        first, last = (np.asarray(self.process.marginal(t, shape=shape).sigma) for t in (1.0, 1 / self.levels))
        if not np.allclose(first, last, rtol=1e-9, atol=0):
            raise ArgumentError(
                "train.objective must be Denoising for a process whose noise changes with time, as that of"
                f" {type(self.process).__name__} does; got HeatReversal"
            )

    @property
    def levels(self) -> int:
        """K."""
        return _levels(self.process)

    @property
    def only_times(self) -> Times:
        """One step for each level."""
        return Uniform(num_steps=self.levels)

    def times(self, uniform: Array, *, low: float = 0.0, high: float = 1.0) -> Array:
        """Return k / K; see :meth:`Objective.times`."""
        return at_levels(low + (high - low) * draw_times(upcast(uniform), self.spread), self.levels)

    @quiet
    def pair(self, x: Array, t: Array, noise: Array, *, axes: tuple[int, ...]) -> TrainingPair[Array]:
        """Return u_k in data space and the residual; see :meth:`Objective.pair`."""
        namespace(x=x, noise=noise)
        basis, s = self.process.basis, _level_before(t, self.levels)
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
    def units(self, t: Array, *, like: Array | None = None) -> Units[Array]:
        """Return the units of smaller images, whose residuals are r times as large; see :meth:`OverSizes.units`."""
        del like
        one = namespace(t=t).ones_like(upcast(t))
        ratio = self.process.scale if isinstance(self.process, RestrictedProcess) else 1.0
        return Units(one, one, one / ratio**2)

    @quiet
    def predict(
        self, path: PathScales[Array], output: Array, u: Array, *, axes: tuple[int, ...], clip: Clip | None = None
    ) -> Prediction[Array]:
        """Return mu = u + f; see :meth:`Objective.predict`. It is the next state's mean, which `InverseHeat` takes as such."""
        del path
        mean = u + self.process.basis.forward(output, axes=axes)
        return Prediction(x0=mean if clip is None else clip.coefficients(mean, self.process.basis, axes=axes))


@final
@dataclass(frozen=True, kw_only=True)
class Restoration(_AtLevels):
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

    predicts: ClassVar[Predicts] = "data"

    @property
    def prediction(self) -> str:
        """What the network predicts; see :attr:`Objective.prediction`."""
        return "x0"

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse a process with noise; see :meth:`Objective.check`."""
        if np.any(self.process.marginal(1.0, shape=shape).sigma > 0):
            raise ArgumentError(
                "train.objective must be Denoising or HeatReversal for a process with noise, which"
                f" {type(self.process).__name__} is; got Restoration"
            )

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

    def units(self, t: Array, *, like: Array | None = None) -> Units[Array]:
        """Return ones: smaller images are compared point by point, as whole ones are; see :meth:`OverSizes.units`."""
        del like
        one = namespace(t=t).ones_like(upcast(t))
        return Units(one, one, one)

    def predict(
        self, path: PathScales[Array], output: Array, u: Array, *, axes: tuple[int, ...], clip: Clip | None = None
    ) -> Prediction[Array]:
        """Return x0 alone; see :meth:`Objective.predict`."""
        del path, u
        coded = self.process.basis.forward(output, axes=axes)
        return Prediction(x0=coded if clip is None else clip.coefficients(coded, self.process.basis, axes=axes))


OBJECTIVES = {cls.__name__: cls for cls in (Denoising, HeatReversal, Restoration)}
"""The objectives that a configuration can name."""


def _levels(process: Process) -> int:
    blur = getattr(process.inner if isinstance(process, RestrictedProcess) else process, "blur", None)
    levels = getattr(blur, "num_levels", None)
    if levels is None:
        raise ArgumentError(
            f"process.blur must have num_levels, like LogLinear, to go back level by level; got {blur!r}"
        )
    return int(levels)


def _level_before(t: Array, levels: int) -> Array:
    """Return (k - 1) / K from k / K, never below 0 by rounding."""
    xp, t = namespace(t=t), upcast(t)
    return xp.clip(xp.round(t * levels) - 1, 0.0, float(levels)) / levels
