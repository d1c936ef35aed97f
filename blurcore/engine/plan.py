"""One plan of sampling: everything that a loop needs of the schedule, worked out on the host in float64 and cast once.

Coefficients depend on a frequency through its eigenvalue alone, and a grid of 256 x 256 has 21,860 different ones (SPEC 1, 4): they
are worked out and kept for these, in blocks of steps, and laid out over the grid on the device. Blocks stay in memory up to 32 MiB;
those beyond are worked out anew for each batch. What knows more than eigenvalues, such as a calibrated table, has whole grids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple, final

import numpy as np

from blurcore._arrays import Frame, align, quiet
from blurcore._typing import Array
from blurcore.config import RunConfig, SampleConfig
from blurcore.diffusion import check_markov
from blurcore.engine.sampling import check_sampling, clip_of, condition, objective_of, solver_of, times_of
from blurcore.engine.steps import GUESS, Fold, LinearStep, OpenStep, Sum, fold, lengths_of, on_arrays, weighted_sum
from blurcore.errors import BlurcoreError
from blurcore.objectives import Objective
from blurcore.processes import Process
from blurcore.samplers import Solver, X0Error
from blurcore.transforms import Identity

Host = np.ndarray[Any, Any]

_KEPT = 2**25  # bytes of blocks
_LONGEST = 64  # steps of a block
_CELLS = 2**18  # numbers of one coefficient in a block
_AT_ONCE = 2**14  # numbers worked on at once: temporary arrays that stay in the processor's cache


class Batch(NamedTuple):
    """What is of one batch alone.

    `states`: noise-free first states in frequency space, (batch, *grid, C); None for zeros. `labels`: classes, (batch,).
    `step_done`: called after network calls with their number. `watch`: called with k and the state after k calls, in data
    space, (batch, *grid, C).
    """

    states: Any = None
    labels: Any = None
    step_done: Callable[[int], None] = lambda calls: None
    watch: Callable[[int, Host], None] | None = None


ALONE = Batch()
"""A batch without first states, labels, or anybody to tell."""


class Block(NamedTuple):
    """Some steps that follow one another: how one is taken, what the network is shown, which draw noise, and their weights."""

    first: int
    step: LinearStep | OpenStep
    conditions: Host
    noisy: Host
    values: Any

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        sizes: list[int] = []
        on_arrays(lambda v: sizes.append(v.nbytes), self.values)
        return sum(sizes)


@final
class SamplingPlan:
    """How samples are drawn from a run: made once, for any number of batches.

    Parameters
    ----------
    config
        The run's configuration.
    settings
        Solver, times, range, guidance.
    image_shape
        (*grid, C).
    axes
        The axes of the grid in a batch.
    x0_error
        What the calibrated sampler wants to know of the network.

    Raises
    ------
    ConfigError
        As :func:`blurcore.engine.check_sampling`.
    NotMarkovError
        The log-SNR increases with time in a frequency.
    """

    def __init__(
        self,
        config: RunConfig,
        settings: SampleConfig,
        image_shape: tuple[int, ...],
        *,
        axes: tuple[int, ...],
        x0_error: X0Error | None = None,
    ) -> None:
        self.config, self.settings, self.image_shape, self.axes = config, settings, image_shape, axes
        self.grid = grid = image_shape[:-1]
        check_sampling(config, settings, grid, x0_error)
        self.process: Process = config.process
        self.times = times_of(self.process, settings)
        self.solver = solver_of(config, settings, axes=axes, x0_error=x0_error)
        self.objective, self.clip = objective_of(config), clip_of(config.data, settings)
        self.adaptive = settings.sampler == "ode"
        self.stages = np.array(self.solver.stages(self.times))
        self.calls = 1 if self.adaptive else len(self.stages)
        self.first_sigma = np.asarray(self.process.marginal(self.times[0], shape=grid).sigma, np.float32)
        self.conditions = np.asarray(condition(self.process, self.stages[:, 0], config.model.embedding), np.float32)
        self.noisy = np.array(self.solver.uses_noise & ((self.stages[:, 1] > 0) | settings.last_noise))
        self._views, self.index = self._choose()
        self._check_markov()
        size = int(np.prod(grid)) if self.index is None else int(self.index.max()) + 1
        self.length = min(_LONGEST, max(1, _CELLS // size))
        self._kept: dict[int, Block] = {}
        self._structure: dict[tuple[str, str], int] = {}

    def first_state(self, noise: Array, move: Callable[[Host], Array]) -> Array:
        """Return sigma times standard normal noise, in frequency space."""
        return align(move(self.first_sigma), ndim=noise.ndim, axes=self.axes) * noise

    def blocks(self) -> Iterator[Block]:
        """Return the steps in order, `length` of them in each block but the last."""
        for first in range(0, self.calls, self.length):
            block = self._kept.get(first)
            if block is None:
                block = self._make(first)
                if self.nbytes + block.nbytes <= _KEPT:
                    self._kept[first] = block
            yield block

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return sum(block.nbytes for block in self._kept.values())

    def _choose(self) -> tuple[list[_View], Host | None]:
        """Return where weights are worked out, and the place of each frequency in them; nothing, if steps stay as they are."""
        if self.adaptive:
            return [], None
        places = sorted({0, len(self.stages) // 2, len(self.stages) - 1})
        shown = self.stages[places].T
        whole = self.solver.coefficients(*shown, shape=self.grid)
        values = np.asarray(self.process.basis.eigenvalues(self.grid), np.float64)
        distinct, index = _distinct(values)
        pieces = [
            distinct[i : i + self._piece(len(distinct))] for i in range(0, len(distinct), self._piece(len(distinct)))
        ]
        for candidates, places_of in ((pieces, index), ([values], None)):
            try:
                views = [_view(self.solver, self.objective, piece) for piece in candidates]
                own = [view.solver.coefficients(*shown, shape=view.shape) for view in views]
                marginal = [view.process.marginal(shown[0], shape=view.shape) for view in views]
                linear = all(
                    fold(view.solver, view.objective, c, m, clips=self.clip is not None, check=True)
                    for view, c, m in zip(views, own, marginal, strict=True)
                )
            except (BlurcoreError, TypeError, ValueError):
                continue
            if linear and _agree(whole, own, views, places_of, self.grid):
                return views, places_of
        return [], None

    @staticmethod
    def _piece(size: int) -> int:
        return max(1, _AT_ONCE // min(_LONGEST, max(1, _CELLS // size)))

    @quiet
    def _check_markov(self) -> None:
        t, s = np.array(self.times[:-1]), np.array(self.times[1:])
        for view in self._views:
            rows = max(1, _AT_ONCE // int(np.prod(view.shape)))
            for i in range(0, len(t), rows):
                if not np.all(view.process.difference(t[i : i + rows], s[i : i + rows], shape=view.shape).log_snr <= 0):
                    check_markov(self.process, self.times[::-1], shape=self.grid)  # which says where
        if not self._views:
            check_markov(self.process, self.times[::-1], shape=self.grid)

    def _make(self, first: int) -> Block:
        last = min(first + self.length, self.calls)
        noisy = self.noisy[first:last]
        step, values = (self._linear if self._views else self._open)(first, last, noisy)
        return Block(
            first, step, self.conditions[first:last], noisy, on_arrays(lambda v: np.asarray(v, np.float32), values)
        )

    def _open(self, first: int, last: int, noisy: Host) -> tuple[OpenStep, Any]:
        t, s = self.stages[first:last].T
        coefficients = self.solver.coefficients(t, s, shape=self.grid)
        if getattr(coefficients, "noise", None) is not None:
            silent = ~noisy.reshape(-1, *[1] * len(self.grid))
            coefficients = coefficients._replace(noise=np.where(silent, 0.0, coefficients.noise))
        step = OpenStep(solver=self.solver, objective=self.objective, axes=self.axes, clip=self.clip)
        return step, (self.process.marginal(t, shape=self.grid), coefficients)

    def _linear(self, first: int, last: int, noisy: Host) -> tuple[LinearStep, tuple[Host, ...]]:
        before = min(first, len(lengths_of(self._views[0].solver)))
        t, s = self.stages[first - before : last].T
        parts: list[Fold] = []
        for view in self._views:
            coefficients = view.solver.coefficients(t, s, shape=view.shape)
            marginal = view.process.marginal(t, shape=view.shape)
            found = fold(view.solver, view.objective, coefficients, marginal, clips=self.clip is not None, check=False)
            assert found is not None  # nothing has been checked
            parts.append(found)
        weights = {key: np.concatenate([part[key][before:] for part in parts], axis=1) for key in parts[0]}
        for (_, name), weight in weights.items():
            if name == "noise":
                weight[~noisy] = 0
        return self._arrange(weights)

    def _arrange(self, weights: Fold) -> tuple[LinearStep, tuple[Host, ...]]:
        """Return the step without the terms whose weight is 0 everywhere, and the weights that are not all 1."""
        for key, weight in weights.items():  # 0 or 1 throughout, or else; of one kind in all blocks, as far as may be
            found = next((n for n in (0, 1) if np.all(weight == n)), 2)
            if self._structure.setdefault(key, found) != found:
                self._structure[key] = 2
        kept = [key for key in weights if self._structure[key] == 2]
        rules: dict[str, list[tuple[str, int | None]]] = {}
        for field, name in weights:
            if self._structure[field, name]:
                place = kept.index((field, name)) if (field, name) in kept else None
                rules.setdefault(field, []).append((name, place))
        guess = tuple(rules.pop(GUESS, ()))
        step = LinearStep(
            basis=self.process.basis, axes=self.axes, clip=self.clip, guess=guess,
            update=tuple((field, tuple(terms)) for field, terms in rules.items()),
        )  # fmt: skip
        return step, tuple(weights[key] for key in kept)


def walk(
    plan: SamplingPlan, u: Array, ask: Callable[[Array, Array], Array], noise: Callable[[int], Array], batch: Batch,
    *, move: Callable[[Host], Array], show: Callable[[Array], Host], add: Sum = weighted_sum,
) -> Array:  # fmt: skip
    """Go through a plan, step by step, in any array library, and return the data.

    Parameters
    ----------
    plan
        Not of an adaptive solver.
    u
        The first state, in frequency space.
    ask
        Returns the network's output, in data space, of z_t and the conditions, (batch,).
    noise
        noise(k) is that of step k; called for the steps that have some, in order.
    batch
        Whom to tell of the steps.
    move, show
        Bring a host array to where `u` is, and data to the host.
    add
        Return a weighted sum.
    """
    basis = plan.process.basis
    index = None if plan.index is None else move(plan.index)
    state = plan.solver.start(u)
    for block in plan.blocks():
        state = block.step.start(state)
        rows = block.step.expand(on_arrays(move, block.values), index, plan.grid, u.ndim)
        conditions = move(np.repeat(block.conditions[:, None], u.shape[0], axis=1))
        for j, noisy in enumerate(block.noisy):
            k, z = block.first + j, basis.inverse(state.u, axes=plan.axes)
            if batch.watch is not None:
                batch.watch(k, show(z))
            output = ask(z, conditions[j])
            state = block.step.take(on_arrays(itemgetter(j), rows), state, output, noise(k + 1) if noisy else None, add)
            batch.step_done(1)
    z = basis.inverse(state.u, axes=plan.axes)
    if batch.watch is not None:
        batch.watch(plan.calls, show(z))
    return z


class _View(NamedTuple):
    """Solver, objective and process on frequencies alone, of that shape."""

    solver: Solver
    objective: Objective
    process: Process
    shape: tuple[int, ...]


class _Frequencies:
    """A basis whose data are coefficients already: some eigenvalues, and no transform."""

    def __init__(self, values: Host) -> None:
        self._values = values

    def eigenvalues_in(self, shape: tuple[int, ...], f: Frame) -> Array:
        del shape
        return f.xp.asarray(self._values, dtype=f.work)

    def forward(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        del axes
        return x

    inverse = forward


def _view(solver: Any, objective: Any, values: Host) -> _View:
    """Return solver and objective on frequencies of these eigenvalues.

    Raises
    ------
    TypeError
        They, or their process, are no dataclasses that can be made anew with another basis.
    """
    process = solver.process
    if not isinstance(process.basis, Identity):
        process = replace(process, basis=_Frequencies(values))
    axes = tuple(range(-values.ndim, 0))
    return _View(
        replace(solver, process=process, axes=axes), replace(objective, process=process), process, values.shape
    )


def _distinct(values: Host) -> tuple[Host, Host]:
    """Return the different eigenvalues, those that rounding tells apart being one, and the place of each of all in them."""
    order = np.argsort(values, axis=None)
    rising = values.reshape(-1)[order]
    new = np.concatenate([[True], np.diff(rising) > 1e-13 * rising[1:]])
    index = np.empty(values.size, np.int64)
    index[order] = np.cumsum(new) - 1
    return rising[new], index


def _agree(whole: Any, own: list[Any], views: list[_View], index: Host | None, grid: tuple[int, ...]) -> bool:
    """Whether coefficients for the whole grid are those of the views, laid out over it."""
    for expected, *parts in zip(whole, *own, strict=True):
        if expected is None:
            continue
        full = [np.broadcast_to(part, (len(expected), *view.shape)) for part, view in zip(parts, views, strict=True)]
        found = np.concatenate(full, axis=1)
        found = found if index is None else found[:, index].reshape(len(expected), *grid)
        if not np.allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-7, atol=1e-300, equal_nan=True):
            return False
    return True
