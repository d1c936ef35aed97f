"""What every solver shares: its state, what it is told, and the coefficients laid out over the data."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol

from blurcore._arrays import namespace
from blurcore._typing import A, Array, Time
from blurcore.diffusion import marginal_for
from blurcore.prediction import Kind, convert
from blurcore.processes import Process


class Prediction(NamedTuple, Generic[A]):
    """The network's view of u_t in frequency space, in both forms: x0 and the eps that goes with it."""

    x0: A
    eps: A


class SamplerState(NamedTuple, Generic[A]):
    """Where a sampler stands: u in frequency space, and for multistep solvers what they remember of the last step."""

    u: A
    last_x0: A | None = None
    last_h: A | None = None


class Solver(Protocol):
    """One step of a sampler, pure."""

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
        """Whether `step` adds the noise that it is handed."""
        ...

    def step(
        self, state: SamplerState[Array], prediction: Prediction[Array], t: Time, s: Time, noise: Array | None = None
    ) -> SamplerState[Array]:
        """Go from time t to s < t.

        The times are numbers, or arrays of leading axes: inside `torch.compile` arrays, because Dynamo cannot follow
        the coefficients of a number to NumPy and back. `noise` is standard normal in frequency space, of the shape of
        the state; None adds none, which is what the last step wants.
        """
        ...


def predict(
    process: Process,
    value: Array,
    kind: Kind,
    u: Array,
    t: Time,
    *,
    axes: tuple[int, ...] = (-2, -1),
    clip: bool = False,
) -> Prediction[Array]:
    """Turn what the network said, in data space, into a :class:`Prediction` for a solver.

    Parameters
    ----------
    process
        The process.
    value
        Output of the network at (z_t, t), in data space.
    kind
        What it is: "eps", "v", "x0" or "score".
    u
        The state u_t in frequency space.
    t
        Its time.
    axes
        The axes of the grid.
    clip
        Clip the predicted data to [-1, 1], which takes one more transform pair (none if the process has no basis).

    Raises
    ------
    ArgumentError, DegenerateError
        As :func:`blurcore.convert`.
    """
    m = marginal_for(process, t, u, axes=axes)
    coded = process.basis.forward(value, axes=axes)
    x0 = convert(coded, kind, "x0", z=u, marginal=m)
    if clip:
        clipped = namespace(u=u).clip(process.basis.inverse(x0, axes=axes), -1.0, 1.0)
        x0 = process.basis.forward(clipped, axes=axes)
        return Prediction(x0=x0, eps=convert(x0, "x0", "eps", z=u, marginal=m))
    return Prediction(x0=x0, eps=convert(coded, kind, "eps", z=u, marginal=m))
