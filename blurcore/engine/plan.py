"""One plan of sampling: everything that a loop needs of the schedule, worked out on the host in float64 and cast once.

Coefficients depend on a frequency through its eigenvalue alone, and a grid of 256 x 256 has 21,860 different ones (SPEC 1, 4): they
are worked out and kept for these, in blocks of steps, and laid out over the grid on the device. Blocks stay in memory up to 32 MiB;
those beyond are worked out anew for each batch. What knows more than eigenvalues, such as a calibrated table, has whole grids.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple, final

import numpy as np

from blurcore._arrays import Frame, align, device_beside, namespace, normalize_axes, quiet
from blurcore._typing import A, Array
from blurcore.config import RunConfig, SampleConfig
from blurcore.diffusion import check_markov, surely_falls
from blurcore.engine.nesting import beyond_training, check_sizes
from blurcore.engine.sampling import check_sampling, clip_of, condition, objective_of, solver_of, times_between
from blurcore.engine.steps import GUESS, Fold, LinearStep, OpenStep, Sum, fold, lengths_of, on_arrays, weighted_sum
from blurcore.errors import BlurcoreError
from blurcore.objectives import Objective
from blurcore.processes import Process
from blurcore.resolution import Rung, embed_state, grow, input_scale, rungs, shrink
from blurcore.samplers import Clip, Solver, X0Error
from blurcore.transforms import Identity

Host = np.ndarray[Any, Any]
_log = logging.getLogger(__name__)

_KEPT = 2**25  # bytes of blocks
_LONGEST = 64  # steps of a block
_CELLS = 2**18  # numbers of one coefficient in a block
_AT_ONCE = 2**16  # numbers worked on at once: temporary arrays that stay near the processor, and few enough calls


class Batch(NamedTuple):
    """Inputs of one batch.

    `states`: noise-free first states in frequency space, (batch, *grid, C); None for zeros. `labels`: classes, (batch,).
    `step_done`: called after network calls with their number. `watch`: called with k and the state after k calls, in data
    space, (batch, *grid, C).
    """

    states: Any = None
    labels: Any = None
    step_done: Callable[[int], None] = lambda calls: None
    watch: Callable[[int, Host], None] | None = None


ALONE = Batch()
"""A batch with no first states, labels or callbacks."""


class Block(NamedTuple):
    """Consecutive steps: how one is taken, the network's conditions, which steps draw noise, and their weights.

    `first` is the number of its first step; `scales` is what states are divided by for the network's view of them, (steps,).
    """

    first: int
    step: LinearStep | OpenStep
    conditions: Host
    noisy: Host
    values: Any
    scales: Host | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        sizes: list[int] = []
        on_arrays(lambda v: sizes.append(v.nbytes), self.values)
        return sum(sizes)


class Stretch:
    """Steps of a plan that follow one another on images of one size.

    Parameters
    ----------
    config, settings
        The run's, and how is sampled.
    rung
        Size, times and solver.
    axes
        The axes of the grid in a batch.
    clip
        What is done to predicted images outside the range of the data.
    before
        The stretch before this one, on smaller images.
    """

    def __init__(
        self,
        config: RunConfig,
        settings: SampleConfig,
        rung: Rung,
        *,
        axes: tuple[int, ...],
        clip: Clip | None,
        before: Stretch | None = None,
    ) -> None:
        self.grid, self.solver, self.axes, self.clip, self._before = rung.size, rung.solver, axes, clip, before
        self.process: Process = rung.solver.process
        self.objective = objective_of(config).build(self.process)
        self.adaptive, self._times = self.solver.adaptive, rung.times
        self.stages = np.array(self.solver.stages(rung.times))
        self.first: int = 0 if before is None else before.first + len(before.stages)
        remembered = 0 if before is None else len(lengths_of(self.solver))
        self._earlier = np.empty((0, 2)) if before is None or not remembered else before.known[-remembered:]
        whole = self.process is config.process or self.objective.predicts == "mean"
        self._scaled = not whole
        self.conditions = np.asarray(condition(self.process, self.stages[:, 0], config.model.embedding), np.float32)
        self.noisy = np.array(self.solver.uses_noise & ((self.stages[:, 1] > 0) | settings.last_noise))
        self._views, self.index = self._choose()
        self._check_markov()
        size = int(np.prod(self.grid)) if self.index is None else int(self.index.max()) + 1
        self.length = min(_LONGEST, max(1, _CELLS // size))
        self._kept: dict[int, Block] = {}
        self._structure: dict[tuple[str, str], int] = {}

    @property
    def known(self) -> Host:
        """The stages, (n, 2), with those before them that a solver may remember."""
        return np.concatenate([self._earlier, self.stages])

    def _scales(self, t: Host) -> Host | None:
        """Return what states at some times are divided by for the network."""
        return np.asarray(input_scale(self.process, t)) if self._scaled else None

    def blocks(self) -> Iterator[Block]:
        """Return the steps in order, `length` of them in each block but the last."""
        for first in range(0, len(self.stages), self.length):
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
        scales = self._scales(shown[0])
        whole = self.solver.coefficients(*shown, shape=self.grid)
        values = np.asarray(self.process.basis.eigenvalues(self.grid), np.float64)
        pieces, index = self._pieces(values)
        whole_grid = [([(values, False)], None)] if not len(self._earlier) else []
        for candidates, places_of in ((pieces, index), *whole_grid):
            try:
                views = [_view(self.solver, self.objective, piece)._replace(new=new) for piece, new in candidates]
                own = [view.solver.coefficients(*shown, shape=view.shape) for view in views]
                paths = [view.objective.path(shown[0], shape=view.shape) for view in views]
                linear = all(
                    fold(view.solver, view.objective, c, p, clips=self.clip is not None, check=True, scales=scales)
                    for view, c, p in zip(views, own, paths, strict=True)
                )
            except (BlurcoreError, TypeError, ValueError):
                continue
            if linear and _agree(whole, own, views, places_of, self.grid):
                return views, places_of
        return [], None

    def _pieces(self, values: Host) -> tuple[list[tuple[Host, bool]], Host]:
        """Return the different eigenvalues in pieces, those of new frequencies apart, and the place of each frequency in them."""
        new = np.zeros(values.shape, bool)
        if len(self._earlier) and self._before is not None:
            new[...] = True
            new[tuple(slice(0, m) for m in self._before.grid)] = False
        index, pieces, count = np.empty(values.shape, np.int64), [], 0
        for born in (False, True):
            if np.any(new == born):
                distinct, places = _distinct(values[new == born])
                index[new == born] = count + places
                step = self._piece(len(distinct))
                pieces += [(distinct[i : i + step], born) for i in range(0, len(distinct), step)]
                count += len(distinct)
        return pieces, index.reshape(-1)

    @staticmethod
    def _piece(size: int) -> int:
        return max(1, _AT_ONCE // min(_LONGEST, max(1, _CELLS // size)))

    @quiet
    def _check_markov(self) -> None:
        t, s = np.array(self._times[:-1]), np.array(self._times[1:])
        if surely_falls(self.process, t, s):
            return
        for view in self._views:
            rows = max(1, _AT_ONCE // int(np.prod(view.shape)))
            for i in range(0, len(t), rows):
                if not np.all(view.process.difference(t[i : i + rows], s[i : i + rows], shape=view.shape).log_snr <= 0):
                    check_markov(self.process, self._times[::-1], shape=self.grid)  # which says where
        if not self._views:
            check_markov(self.process, self._times[::-1], shape=self.grid)

    def _make(self, first: int) -> Block:
        last = min(first + self.length, len(self.stages))
        noisy = self.noisy[first:last]
        step, values = (self._linear if self._views else self._open)(first, last, noisy)
        values, scales = on_arrays(
            lambda v: np.asarray(v, np.float32), (values, self._scales(self.stages[first:last, 0]))
        )
        return Block(self.first + first, step, self.conditions[first:last], noisy, values, scales)

    def _open(self, first: int, last: int, noisy: Host) -> tuple[OpenStep, Any]:
        t, s = self.stages[first:last].T
        coefficients = self.solver.coefficients(t, s, shape=self.grid)
        if getattr(coefficients, "noise", None) is not None:
            silent = ~noisy.reshape(-1, *[1] * len(self.grid))
            coefficients = coefficients._replace(noise=np.where(silent, 0.0, coefficients.noise))
        step = OpenStep(solver=self.solver, objective=self.objective, axes=self.axes, clip=self.clip)
        path, scales = self.objective.path(t, shape=self.grid), self._scales(t)
        if scales is not None:
            path = path.over(np.reshape(scales, (-1, *[1] * len(self.grid))))
        return step, (path, coefficients, scales)

    def _linear(self, first: int, last: int, noisy: Host) -> tuple[LinearStep, tuple[Host, ...]]:
        parts: list[Fold] = []
        remembered, known, here = len(lengths_of(self._views[0].solver)), self.known, len(self._earlier)
        for view in self._views:
            before = min(first + (0 if view.new else here), remembered)
            t, s = known[here + first - before : here + last].T
            coefficients = view.solver.coefficients(t, s, shape=view.shape)
            found = fold(
                view.solver,
                view.objective,
                coefficients,
                view.objective.path(t, shape=view.shape),
                clips=self.clip is not None,
                check=False,
                scales=self._scales(t),
            )
            assert found is not None  # nothing has been checked
            parts.append({key: weight[before:] for key, weight in found.items()})
        weights = {key: np.concatenate([part[key] for part in parts], axis=1) for key in parts[0]}
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
            basis=self.process.basis,
            axes=self.axes,
            clip=self.clip,
            guess=guess,
            update=tuple((field, tuple(terms)) for field, terms in rules.items()),
        )
        return step, tuple(weights[key] for key in kept)


@final
class SamplingPlan(Stretch):
    """How samples are drawn from a run: made once, for any number of batches.

    It is itself the stretch of steps on images of the whole size; `smaller` has those before them.

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
        As :func:`blurcore.engine.check_sampling`; or the network was trained over sizes, and the solver chooses its own steps.
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
        self.config, self.settings, self.image_shape = config, settings, image_shape
        grid = image_shape[:-1]
        check_sampling(config, settings, grid, x0_error)
        check_sizes(config, settings, grid)
        self.times = times_between(config, settings, image_shape)
        solver, clip = solver_of(config, settings, axes=axes, x0_error=x0_error), clip_of(config.data, settings)
        first_sigma = np.asarray(config.process.marginal(self.times[0], shape=grid).sigma)
        self.first_sigma = first_sigma.astype(np.float32)
        resolutions = config.resolution.resolutions(grid)
        *small, last = (
            (Rung(grid, self.times, solver, first_sigma),)
            if len(resolutions.sizes) == 1
            else rungs(solver, self.times, resolutions)
        )
        if warning := beyond_training(config, (*small, last)):
            _log.warning("%s", warning)
        stretches: list[Stretch] = []
        for rung in small:
            before = stretches[-1] if stretches else None
            stretches.append(Stretch(config, settings, rung, axes=axes, clip=clip, before=before))
        self.smaller: tuple[Stretch, ...] = tuple(stretches)
        self.growth = tuple(_relative(rung.deviation, first_sigma, grid) for rung in (*small[1:], last))
        super().__init__(config, settings, last, axes=axes, clip=clip, before=stretches[-1] if stretches else None)
        self.calls = 1 if self.adaptive else self.first + len(self.stages)

    def first_state(self, noise: A, move: Callable[[Host], Array]) -> A:
        """Return sigma times standard normal noise, in frequency space, of the whole size."""
        return align(move(self.first_sigma), ndim=noise.ndim, axes=self.axes) * noise

    def cut(self, u: A, stretch: Stretch) -> A:
        """Return the first frequencies of an array of the whole size, as they are, for a stretch."""
        if stretch is self:
            return u
        places: list[Any] = [slice(None)] * u.ndim
        for place, m in zip(normalize_axes(self.axes, u.ndim), stretch.grid, strict=True):
            places[place] = slice(0, m)
        return u[tuple(places)]

    def enter(self, number: int, state: Any, u: Array, move: Callable[[Host], Array]) -> tuple[Stretch, Any]:
        """Return a stretch, and the state in which it begins.

        Parameters
        ----------
        number
            Of the stretch, in `(*smaller, self)`.
        state
            Where the one before it has ended; None for the first.
        u
            The first state of the whole size: its high frequencies are what is drawn for new ones. Where a solver adds no noise they
            are those that it would have come to; so a sample hardly depends on the sizes that it is drawn on.
        move
            Bring a host array to where `u` is.
        """
        stretch = (*self.smaller, self)[number]
        if state is None:
            return stretch, stretch.solver.start(shrink(u, stretch.grid, axes=self.axes))
        deviation = move(self.growth[number - 1])
        t = float(stretch.stages[0, 0])
        new = self.cut(u, stretch)
        return stretch, grow(state, new, process=stretch.process, t=t, axes=self.axes, deviation=deviation)

    def whole(self, z: A, stretch: Stretch) -> A:
        """Return data of a stretch in the whole size: smaller ones enlarged, without the frequencies that they do not have."""
        if stretch is self:
            return z
        shape, xp = list(z.shape), namespace(z=z)
        for place, n in zip(normalize_axes(self.axes, z.ndim), self.grid, strict=True):
            shape[place] = n
        zeros = xp.zeros(tuple(shape), dtype=z.dtype, device=device_beside(xp, z))
        u = embed_state(stretch.process.basis.forward(z, axes=self.axes), zeros, axes=self.axes)
        return self.process.basis.inverse(u, axes=self.axes)


def _relative(deviation: Host, first_sigma: Host, grid: tuple[int, ...]) -> Host:
    """Return a deviation over that of the first state, 0 where this has none."""
    start = np.broadcast_to(first_sigma, grid)[tuple(slice(0, m) for m in deviation.shape)]
    ratio: Host = np.divide(deviation, start, out=np.zeros(deviation.shape), where=start > 0)
    return ratio.astype(np.float32)


def walk(
    plan: SamplingPlan,
    u: A,
    ask: Callable[[A, A], A],
    noise: Callable[[int], A],
    batch: Batch,
    *,
    move: Callable[[Host], A],
    show: Callable[[A], Host],
    add: Sum = weighted_sum,
) -> A:
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
        Its callbacks are called after the steps.
    move, show
        Bring a host array to where `u` is, and data to the host.
    add
        Return a weighted sum.
    """
    state: Any = None
    for number in range(len(plan.smaller) + 1):
        part, state = plan.enter(number, state, u, move)
        basis, index = part.process.basis, None if part.index is None else move(part.index)
        for block in part.blocks():
            state = block.step.start(state)
            rows = block.step.expand(on_arrays(move, block.values), index, part.grid, u.ndim)
            conditions = move(np.repeat(block.conditions[:, None], u.shape[0], axis=1))
            for j, noisy in enumerate(block.noisy):
                k, z = block.first + j, basis.inverse(state.u, axes=plan.axes)
                if batch.watch is not None:
                    batch.watch(k, show(plan.whole(z, part)))
                output = ask(z if block.scales is None else z / float(block.scales[j]), conditions[j])
                drawn = plan.cut(noise(k + 1), part) if noisy else None
                state = block.step.take(on_arrays(itemgetter(j), rows), state, output, drawn, add)
                batch.step_done(1)
    z = plan.process.basis.inverse(state.u, axes=plan.axes)
    if batch.watch is not None:
        batch.watch(plan.calls, show(z))
    return z


class _View(NamedTuple):
    """Solver, objective and process on frequencies alone, of that shape."""

    solver: Solver
    objective: Objective
    process: Process
    shape: tuple[int, ...]
    new: bool = False  # where the stretch begins


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
