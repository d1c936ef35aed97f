r"""One step of sampling, as a loop takes it: from the state and the network's output to the next state.

Between two network calls nearly everything is linear. For a solver and an objective of that kind a step is a few numbers for
each frequency, which :func:`fold` finds by asking both for their answers to unit inputs,

.. math:: u_s = a u_t + b \hat y + c n \; (+ d \hat x_{prev} \ldots), \qquad \hat y = V^T \text{output},

worked out in float64 and cast once. Clipping stands between two such sums, the prediction of the data and the step from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast, final

import numpy as np

from blurcore._arrays import align, namespace, normalize_axes, quiet
from blurcore._typing import Array
from blurcore.objectives import Objective
from blurcore.prediction import PathScales
from blurcore.samplers import Clip, SamplerState, Solver
from blurcore.transforms import Basis

Terms: TypeAlias = tuple[tuple[str, int | None], ...]
"""A sum over inputs, each with the place of its weight; None: the weight is 1."""
Sum: TypeAlias = Callable[[list[tuple[Array | None, Array]]], Array]
Fold: TypeAlias = dict[tuple[str, str], np.ndarray[Any, Any]]
"""Weights (steps, frequencies) of each (result, input)."""

LENGTHS = ("last_h", "older_h")
"""What a state remembers of the schedule, not of the data: sizes of earlier steps."""
GUESS = "x0"
"""The predicted data, where clipping needs them."""


def weighted_sum(terms: list[tuple[Array | None, Array]]) -> Array:
    """Return the sum of weight * value; a weight of None is 1."""
    total: Any = None
    for weight, value in terms:
        part = value if weight is None else weight * value
        total = part if total is None else total + part
    return total


def on_arrays(f: Callable[[Any], Any], tree: Any) -> Any:
    """Return a tuple of arrays, tuples and None with a function applied to each array."""
    if tree is None:
        return None
    if not isinstance(tree, tuple):
        return f(tree)
    parts = [on_arrays(f, part) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


@final
@dataclass(frozen=True, kw_only=True)
class LinearStep:
    """A step that is a weighted sum for each field of the state.

    Parameters
    ----------
    basis, axes, clip
        As the solver and the objective have them.
    guess
        The sum that predicts the data, where they are clipped.
    update
        The sum of each field of the next state, over the fields of this one, "output", "x0" and "noise".
    """

    basis: Basis
    axes: tuple[int, ...]
    clip: Clip | None
    guess: Terms
    update: tuple[tuple[str, Terms], ...]

    @property
    def uses_noise(self) -> bool:
        """Whether noise has a weight."""
        return any(name == "noise" for _, terms in self.update for name, _ in terms)

    def start(self, state: SamplerState[Array]) -> SamplerState[Array]:
        """Return a solver's first state without what the weights already know."""
        unknown: dict[str, Any] = dict.fromkeys(LENGTHS)
        return state._replace(**unknown)

    def expand(self, values: tuple[Array, ...], index: Array | None, grid: tuple[int, ...], ndim: int) -> Any:
        """Return weights (steps, frequencies) laid out over data of `ndim` axes, the steps first."""
        axes = tuple(axis + 1 for axis in normalize_axes(self.axes, ndim))
        rows = []
        for value in values:
            xp = namespace(value=value)
            if index is not None:
                value = xp.reshape(xp.take(value, index, axis=1), (value.shape[0], *grid))
            rows.append(align(value, ndim=ndim + 1, axes=axes))
        return tuple(rows)

    def take(
        self, row: Any, state: SamplerState[Array], output: Array, noise: Array | None, add: Sum = weighted_sum
    ) -> SamplerState[Array]:
        """Return the next state; `row` holds the weights, `add` sums."""
        given = state._asdict() | {"output": self.basis.forward(output, axes=self.axes), "noise": noise}

        def total(terms: Terms) -> Array:
            used = ((place, given[name]) for name, place in terms)
            return add([(None if place is None else row[place], value) for place, value in used if value is not None])

        if self.clip is not None:
            given[GUESS] = self.clip.coefficients(total(self.guess), self.basis, axes=self.axes)
        return state._replace(**{field: total(terms) for field, terms in self.update})


@final
@dataclass(frozen=True, kw_only=True)
class OpenStep:
    """A step of a solver or an objective that is not linear, or not known by eigenvalues: its own code, on tables."""

    solver: Solver
    objective: Objective
    axes: tuple[int, ...]
    clip: Clip | None

    @property
    def basis(self) -> Basis:
        """The basis of the process."""
        return self.solver.process.basis

    @property
    def uses_noise(self) -> bool:
        """Whether the solver does."""
        return self.solver.uses_noise

    def start(self, state: SamplerState[Array]) -> SamplerState[Array]:
        """Return the state itself."""
        return state

    def expand(self, values: Any, index: Array | None, grid: tuple[int, ...], ndim: int) -> Any:
        """Return paths and coefficients as they are, which the solver lays out."""
        del index, grid, ndim
        return values

    def take(
        self, row: Any, state: SamplerState[Array], output: Array, noise: Array | None, add: Sum = weighted_sum
    ) -> SamplerState[Array]:
        """Return the next state."""
        del add
        path, coefficients, scale = row
        laid = path.laid_out(ndim=state.u.ndim, axes=self.axes)
        shown = state.u if scale is None else state.u / scale
        prediction = self.objective.predict(laid, output, shown, axes=self.axes, clip=self.clip)
        return self.solver.apply(coefficients, state, prediction, noise)


class _Given(NamedTuple):
    """Stands for a clip whose result is known."""

    x0: Any

    def coefficients(self, u: Array, basis: Basis, *, axes: tuple[int, ...]) -> Array:
        del u, basis, axes
        return self.x0


@quiet
def fold(
    solver: Solver,
    objective: Objective,
    coefficients: Any,
    path: PathScales[Array],
    *,
    clips: bool,
    check: bool,
    scales: Array | None = None,
) -> Fold | None:
    """Return the weights of steps, or None where `check` finds that a step is not linear.

    Parameters
    ----------
    solver, objective
        On frequencies, where the basis does nothing; the axes of the solver are the last ones.
    coefficients, path
        Of steps that follow one another, each array ``(steps, *frequencies)``, float64.
    clips
        The predicted data are an input of their own.
    check
        Compare with the answer to a mixture of inputs.
    scales
        What the network's view of a state is divided by, (steps,); None: 1.
    """
    axes, alpha = solver.axes, path.alpha
    steps, frequencies = alpha.shape[0], alpha.shape[1:]
    blank, lengths = solver.start(np.zeros((1, 1, *[1] * len(axes)))), lengths_of(solver)
    fields = tuple(name for name, value in blank._asdict().items() if value is not None and name not in LENGTHS)
    inputs = (*fields, *((GUESS,) if clips else ("output",)), "noise")
    scale = 1.0 if scales is None else np.reshape(np.asarray(scales), (steps, 1, *[1] * len(frequencies)))
    every: list[Any] = [None if c is None else np.reshape(np.asarray(c), (-1, 1, *c.shape[1:])) for c in path]
    laid = PathScales(*every).over(scale)

    def answers(units: np.ndarray[Any, Any], sizes: dict[str, Any]) -> SamplerState[Array]:
        shape = (steps, units.shape[1], *frequencies)
        rows = {
            name: np.broadcast_to(unit.reshape(1, -1, *[1] * len(axes)), shape)
            for name, unit in zip(inputs, units, strict=True)
        }
        state = SamplerState(
            **{name: rows[name] for name in fields}, **{k: np.broadcast_to(v, shape) for k, v in sizes.items()}
        )
        given: Any = _Given(rows[GUESS]) if clips else None
        output = rows.get("output", rows["u"])
        prediction = objective.predict(laid, output, state.u / scale, axes=axes, clip=given)
        return solver.apply(coefficients, state, prediction, rows["noise"])

    none = np.zeros((len(inputs), 1))
    sizes = {name: np.zeros((steps, 1, *frequencies)) for name in lengths}
    for _ in lengths:  # what a step remembers is known when those before it are
        after = answers(none, sizes)
        sizes = {name: _one_later(getattr(after, name), getattr(blank, name)) for name in lengths}
    mixture = np.resize([37.0, -2.9, 0.31], len(inputs))
    units = np.concatenate([np.eye(len(inputs)), mixture[:, None]], axis=1) if check else np.eye(len(inputs))
    after = answers(units, sizes)
    results = {field: getattr(after, field) for field in fields}
    if check and not all(_is_linear(rows, mixture) for rows in results.values()):
        return None
    found = {(field, name): rows[:, i] for field, rows in results.items() for i, name in enumerate(inputs)}
    if clips:
        solver = cast("Solver", _Guess(axes))  # as much of one as is asked here
        open_inputs = fold(solver, objective, None, path, clips=False, check=check, scales=scales)
        if open_inputs is None:
            return None
        found |= {(GUESS, name): weight for (_, name), weight in open_inputs.items() if name != "noise"}
    return found


class _Guess(NamedTuple):
    """Stands for a solver whose next state is the predicted data."""

    axes: tuple[int, ...]

    def start(self, u: Array) -> SamplerState[Array]:
        return SamplerState(u)

    def apply(self, coefficients: Any, state: Any, prediction: Any, noise: Any) -> SamplerState[Array]:
        del coefficients, state, noise
        return SamplerState(prediction.x0)


def lengths_of(solver: Solver) -> tuple[str, ...]:
    """Return which sizes of earlier steps a solver remembers."""
    first = solver.start(np.zeros([1] * (len(solver.axes) + 1)))
    return tuple(name for name in LENGTHS if getattr(first, name) is not None)


def _one_later(values: np.ndarray[Any, Any], first: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what each step finds of the step before it."""
    return np.concatenate([np.broadcast_to(first, values[:1].shape), values[:-1]])


def _is_linear(rows: np.ndarray[Any, Any], mixture: np.ndarray[Any, Any]) -> bool:
    """Whether the last row is the mixture of the others."""
    parts = rows[:, :-1] * mixture.reshape(1, -1, *[1] * (rows.ndim - 2))
    allowed = 1e-9 * np.abs(parts).sum(axis=1) + 1e-300
    return bool(np.all(np.abs(parts.sum(axis=1) - rows[:, -1]) <= allowed))
