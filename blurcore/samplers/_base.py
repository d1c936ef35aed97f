"""The base of every solver: its state, its inputs, and coefficients broadcast over the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, Self, cast

import numpy as np

from blurcore._arrays import align, check_step, is_checkable, is_number, namespace, quiet, together
from blurcore._checks import make_plain, require
from blurcore._late import late
from blurcore._typing import A_co, Array, Time
from blurcore.data_spectrum import SigmaData
from blurcore.diffusion import grid_shape
from blurcore.errors import DegenerateError
from blurcore.prediction import KINDS, SIGMA_DATA, Kind, PathScales, convert, path_for
from blurcore.processes import Marginal, Process
from blurcore.samplers.clipping import Clip
from blurcore.transforms import Basis

if TYPE_CHECKING:
    from blurcore.samplers.calibrated import X0Error

Predicts = Literal["data", "mean"]
"""What a network's prediction of x0 is: the data, or the mean of the next state."""


class Prediction(NamedTuple, Generic[A_co]):
    """The network's view of u_t in frequency space, in both forms: x0 and the eps that goes with it (None: no noise)."""

    x0: A_co
    eps: A_co | None = None


class SamplerState(NamedTuple, Generic[A_co]):
    """Where a sampler stands: u in frequency space, and what solvers with a memory remember of their last calls."""

    u: A_co
    last_x0: A_co | None = None
    last_h: A_co | None = None
    last_u: A_co | None = None
    last_slope: A_co | None = None
    older_x0: A_co | None = None
    older_h: A_co | None = None


class Coefficients(NamedTuple, Generic[A_co]):
    """One linear step, u_s = z u_t + x0 x0_hat + eps eps_hat + noise n, shapes ``(*time, *grid)``; None: no such term."""

    z: A_co | None = None
    x0: A_co | None = None
    eps: A_co | None = None
    noise: A_co | None = None


class Context(NamedTuple):
    """What a solver may need beside the process: the network's measured error, and the kind of its prediction."""

    x0_error: X0Error | None = None
    predicts: Predicts = "data"


NOTHING = Context()


class Scheduler(NamedTuple):
    """A class of this package's part for diffusers and its settings."""

    name: str
    settings: dict[str, Any]


class Solver(Protocol):
    """One step of a sampler, pure: the schedule's part (`coefficients`), the data's part (`apply`), or both (`step`).

    A kind under the role ``solver``: its fields are settings, but for `process`, `axes` and what :meth:`build` adds.
    """

    needs_noise: ClassVar[bool]
    """Whether it wants a process with noise."""

    needs_calibration: ClassVar[bool]
    """Whether :meth:`build` wants the error that `blurcore calibrate` measures."""

    adaptive: ClassVar[bool]
    """Whether it chooses its own steps, with a `tolerance`; a backend then integrates the probability-flow ODE."""

    takes: ClassVar[tuple[Predicts, ...]]
    """Which predictions it understands."""

    @property
    def scheduler(self) -> Scheduler | None:
        """The scheduler of diffusers that takes the same steps; None: there is none."""
        ...

    def build(self, process: Process, *, axes: tuple[int, ...], context: Context = NOTHING) -> Self:
        """Return the solver of a process, for states whose grid is at `axes`.

        Raises
        ------
        ArgumentError
            The context lacks what it needs.
        """
        ...

    def check(self, times: tuple[float, ...], *, shape: tuple[int, ...]) -> None:
        """Refuse, before any work, a process or a grid of times that it cannot go through.

        Raises
        ------
        ArgumentError, DegenerateError
            The message says why.
        """
        ...

    @property
    def process(self) -> Process:
        """The process that is being reversed."""
        ...

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the grid in the state."""
        ...

    @property
    def uses_noise(self) -> bool:
        """Whether `apply` adds the noise that it is handed."""
        ...

    def stages(self, times: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
        """Return (t, s) for every network call on the way through a grid of times: it is made at t, and the step is to s.

        One loop over them serves every solver. For most they are the pairs of neighbours in the grid; a solver that
        calls the network more than once a step has stages with s = t between.
        """
        ...

    def start(self, u: Array) -> SamplerState[Array]:
        """Return the first state; its structure is that of all later ones, as a scan wants it.

        Half precision goes on in float32, here or in the first step: a state is the sum of all steps before it.
        """
        ...

    def coefficients(self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Any:
        """Return what a step from t to s < t needs of the schedule, a tuple of arrays ``(*time, *grid)``.

        The times are numbers or arrays; with the arrays of a whole grid of times the result holds all steps, which a
        compiled loop (`jax.lax.scan`) takes one by one, worked out on the host in float64.
        """
        ...

    def apply(
        self, coefficients: Any, state: SamplerState[Array], prediction: Prediction[Array], noise: Array | None = None
    ) -> SamplerState[Array]:
        """Take the step. `noise` is standard normal in frequency space, of the shape of the state; None adds none.

        Computed and returned in the compute dtype of the state.
        """
        ...

    def step(
        self, state: SamplerState[Array], prediction: Prediction[Array], t: Time, s: Time, noise: Array | None = None
    ) -> SamplerState[Array]:
        """Go from time t to s < t (s <= t in a stage of :meth:`stages`).

        The times are numbers, or arrays of leading axes: inside `torch.compile` arrays, because Dynamo cannot follow
        the coefficients of a number to NumPy and back. `noise` is standard normal in frequency space, of the shape of
        the state; None adds none, which is what the last step wants.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Stepper:
    """What solvers inherit: a step is its coefficients, applied, and answers that fit most of them.

    Parameters
    ----------
    process
        The process to reverse.
    axes
        The axes of the grid in the state.
    """

    process: Process = late()
    axes: tuple[int, ...] = late((-2, -1))
    needs_noise: ClassVar[bool] = True
    needs_calibration: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False
    takes: ClassVar[tuple[Predicts, ...]] = ("data",)

    def __post_init__(self) -> None:
        make_plain(self)

    @property
    def scheduler(self) -> Scheduler | None:
        """None; see :attr:`Solver.scheduler`."""
        return None

    def build(self, process: Process, *, axes: tuple[int, ...], context: Context = NOTHING) -> Self:
        """Return the solver of a process; see :meth:`Solver.build`."""
        del context
        return replace(self, process=process, axes=axes)

    def check(self, times: tuple[float, ...], *, shape: tuple[int, ...]) -> None:
        """Work out the first and the last step, which refuse what they cannot be; see :meth:`Solver.check`."""
        stages = self.stages(times)
        coefficients = cast(Any, self).coefficients
        for t, s in (stages[0], stages[-1]):
            coefficients(t, s, shape=shape)

    def stages(self, times: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
        """Return the pairs of neighbours; see :meth:`Solver.stages`."""
        return tuple(pairwise(times))

    def start(self, u: Array) -> SamplerState[Array]:
        """Return the first state; see :meth:`Solver.start`."""
        return SamplerState(*together(u=u))

    def restricted(self, process: Process, to: tuple[int, ...], scale: float) -> Self:
        """Return the solver of smaller images (:func:`blurcore.resolution.restrict_solver`).

        Parameters
        ----------
        process
            The restricted process.
        to
            Sizes of the smaller images.
        scale
            What they multiply coefficients by; a solver with settings in units of the data brings them to theirs.
        """
        del to, scale
        return replace(self, process=process)

    def step(
        self: Solver,
        state: SamplerState[Array],
        prediction: Prediction[Array],
        t: Time,
        s: Time,
        noise: Array | None = None,
    ) -> SamplerState[Array]:
        """Go from t to s; see :meth:`Solver.step`."""
        check_step(t, s)
        coefficients = self.coefficients(t, s, shape=grid_shape(state.u, self.axes, "u"), like=state.u)
        return self.apply(coefficients, state, prediction, noise)


def require_eps(solver: str, prediction: Prediction[Array]) -> Array:
    """Return the prediction's eps.

    Raises
    ------
    DegenerateError
        There is none.
    """
    if prediction.eps is None:
        raise DegenerateError(
            f"a step of {solver} takes eps, which is undefined where sigma is 0;"
            " a process without noise has its own step (cold diffusion)"
        )
    return prediction.eps


class LinearStepper(Stepper):
    """A solver without memory whose step is :class:`Coefficients`."""

    @quiet
    def apply(
        self,
        coefficients: Coefficients[Array],
        state: SamplerState[Array],
        prediction: Prediction[Array],
        noise: Array | None = None,
    ) -> SamplerState[Array]:
        """Take the step; see :meth:`Solver.apply`.

        Raises
        ------
        DegenerateError
            The step takes eps, and the prediction has none, because the process has no noise.
        """
        if coefficients.eps is not None:
            require_eps(type(self).__name__, prediction)
        terms = together(u=state.u, x0=prediction.x0, eps=prediction.eps, noise=noise)
        used = [(c, x) for c, x in zip(coefficients, terms, strict=True) if c is not None and x is not None]
        (first, x), *rest = ((align(c, ndim=state.u.ndim, axes=self.axes), x) for c, x in used)
        result = first * x
        for coefficient, x in rest:
            result = result + coefficient * x
        return SamplerState(result)


@quiet
def predict(
    process: Process,
    value: Array,
    kind: Kind,
    u: Array,
    t: Time,
    *,
    axes: tuple[int, ...] = (-2, -1),
    clip: Clip | None = None,
    sigma_data: SigmaData = SIGMA_DATA,
) -> Prediction[Array]:
    """Convert the network's output, in data space, to a :class:`Prediction` for a solver.

    Parameters
    ----------
    process
        The process.
    value
        Output of the network at (z_t, t), in data space.
    kind
        What it is: "eps", "v", "x0", "score", "velocity" or "F".
    u
        The state u_t in frequency space.
    t
        Its time.
    axes
        The axes of the grid.
    clip
        Bring the predicted data into a range, which takes one more transform pair (none if the process has no basis).
    sigma_data
        For F: the data's standard deviation (:func:`blurcore.prediction.path`).

    Returns
    -------
    Prediction
        In the compute dtype of `u`, float32 for half precision. Its eps is None where the network predicts x0 and sigma
        is 0 (seen for a number t, and for NumPy arrays).

    Raises
    ------
    ArgumentError, DegenerateError
        As :func:`blurcore.convert`.
    """
    require(kind in KINDS, "kind", kind, f"one of {KINDS}")
    u, value = together(u=u, value=value)
    m = path_for(process, kind, t, u, axes=axes, sigma_data=sigma_data)
    # Looked at on the host: u may be on a device.
    known = kind == "x0" and is_number(t) and not is_checkable(namespace(u=u))
    silent = known and bool(np.all(process.marginal(t, shape=grid_shape(u, axes)).sigma == 0))
    return _predict_at(m, value, kind, u, basis=process.basis, axes=axes, clip=clip, silent=silent)


@quiet
def predict_at(
    marginal: Marginal[Array] | PathScales[Array],
    value: Array,
    kind: Kind,
    u: Array,
    *,
    basis: Basis,
    axes: tuple[int, ...] = (-2, -1),
    clip: Clip | None = None,
) -> Prediction[Array]:
    """Do what :func:`predict` does where the marginal is known: a compiled loop has it from a table.

    Parameters
    ----------
    marginal
        alpha and sigma, laid out to broadcast with `u` (:func:`blurcore.marginal_for`); for velocity and F the whole path
        (:func:`blurcore.prediction.path_for`).
    value, kind, u, axes, clip
        As for :func:`predict`.
    basis
        The basis of the process.

    Returns
    -------
    Prediction
        Its eps is None where the network predicts x0 and sigma is 0 (seen for NumPy arrays; elsewhere it is not finite,
        and harmless to a solver that does not use it).

    Raises
    ------
    ArgumentError, DegenerateError
        As :func:`blurcore.convert`.
    """
    u, value = together(u=u, value=value)
    return _predict_at(marginal, value, kind, u, basis=basis, axes=axes, clip=clip, silent=False)


def _predict_at(
    marginal: Marginal[Array] | PathScales[Array],
    value: Array,
    kind: Kind,
    u: Array,
    *,
    basis: Basis,
    axes: tuple[int, ...],
    clip: Clip | None,
    silent: bool,
) -> Prediction[Array]:
    """Implement :func:`predict` and :func:`predict_at`; `silent`: sigma is known to be 0."""
    xp = namespace(u=u)
    coded = basis.forward(value, axes=axes)
    x0 = convert(coded, kind, "x0", z=u, marginal=marginal)
    if clip is not None:
        x0 = clip.coefficients(x0, basis, axes=axes)
        coded, kind = x0, "x0"
    silent = silent or (kind == "x0" and is_checkable(xp) and bool(xp.all(marginal.sigma == 0)))
    return Prediction(x0=x0, eps=None if silent else convert(coded, kind, "eps", z=u, marginal=marginal))
