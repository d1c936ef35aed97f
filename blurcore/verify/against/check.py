"""Ask an implementation for its numbers, hold them to the core's in float64, and find the slip that gives those numbers."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blurcore.diffusion import diffuse, posterior, transition
from blurcore.processes import BlurringDiffusion, Process
from blurcore.schedules import CosineLogSNR, SinSquared
from blurcore.transforms import DCT
from blurcore.verify.against.adapter import Adapter
from blurcore.verify.against.find import find
from blurcore.verify.against.findings import Answer, Failure, Report
from blurcore.verify.against.formulas import Formulas
from blurcore.verify.against.found import Found, RaisedError, UnaskableError
from blurcore.verify.against.variants import PARTS, Variant, applicable, combined

Array = np.ndarray[Any, Any]
_ROUNDING = {"float64": 2.3e-16, "float32": 1.2e-7}
_SETTINGS = ("sigma_blur_max", "min_scale", "logsnr_min", "logsnr_max")
_SECONDS = 20.0
"""How long pairs of slips are searched for."""
_HUGE = 1e30
"""Where a number says no more than that something was divided by next to nothing; float32 ends at 3.4e38."""
_DCT = DCT()


@dataclass(frozen=True)
class Question:
    """An identity that is asked for."""

    name: str
    operation: str
    statement: str


QUESTIONS = (
    Question("orthonormal DCT", "transform", "u = V^T x with the orthonormal DCT-II (SPEC 1)"),
    Question("inverse DCT", "inverse", "x = V u, its inverse (SPEC 1)"),
    Question("blur", "frequency_scaling", "d_t = (1 - d_min) exp(-lambda sigma_B(t)^2 / 2) + d_min (SPEC 2)"),
    Question("noise", "noise_scaling", "a_t, sigma_t of the clipped cosine (SPEC 2)"),
    Question("marginal", "marginal", "alpha_t = a_t d_t, and sigma_t (SPEC 2)"),
    Question("transition", "transition", "alpha_t / alpha_s and sigma_t^2 - alpha_t|s^2 sigma_s^2 (SPEC 3)"),
    Question("posterior", "posterior", "Bayes' coefficients and variance of q(u_s | u_t, u_0) (SPEC 4)"),
    Question("noisy data", "diffuse", "z_t = V alpha_t V^T x + sigma_t eps (SPEC 2)"),
    Question("step back, mean", "denoise", "mean of q(u_s | u_t, u_0) with the predicted eps (SPEC 4)"),
    Question("step back, noise", "denoise", "its noise has the posterior's variance in each frequency (SPEC 4)"),
    Question("step back, last", "denoise", "the step to s = 0 (SPEC 4, 10)"),
)
"""What is asked, what others are made of first."""


@dataclass(frozen=True)
class Inputs:
    """What is handed in: times of a batch, data and noise."""

    t: Array
    s: Array
    x: Array
    eps: Array
    z: Array
    noise: Array

    @property
    def n(self) -> int:
        """Number of pixels of a side."""
        return int(self.x.shape[-1])


class _Checker:
    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.settings = {name: float(getattr(adapter, name)) for name in _SETTINGS}
        self.own = {"table": adapter.scales, "variance": "transition" if adapter.variance == "upper" else "posterior"}
        self.notes: list[str] = []
        self.known: tuple[Variant, ...] = ()
        self.raised: BaseException | None = None
        self.cache: dict[Any, Array] = {}
        self.parts_right: set[str] = set()
        self.forms: dict[str, Adapter] = {}

    @property
    def process(self) -> Process:
        return self.paper if self.adapter.process is None else self.adapter.process

    @property
    def paper(self) -> BlurringDiffusion:
        s = self.settings
        return BlurringDiffusion(
            noise=CosineLogSNR(log_snr_min=s["logsnr_min"], log_snr_max=s["logsnr_max"]),
            blur=SinSquared(sigma_blur_max=s["sigma_blur_max"]),
            min_scale=s["min_scale"],
        )

    # What is handed in

    def inputs(self, question: Question) -> Inputs:
        n = self.adapter.size or 8
        batch = n if n <= 32 else 2
        rng = np.random.default_rng(0)
        steps = self.adapter.steps or 8
        if question.name == "step back, last":
            t = np.full(batch, 1.0)
        else:
            steps_only = self.adapter.process is not None  # of a scheduler, whose first step is after t = 0
            first = {"denoise": 2, "transition": 1, "posterior": 1}.get(question.operation, int(steps_only))
            t = np.linspace(first, steps, batch).round()
        t, s = t / steps, np.maximum(t - 1, 0) / steps
        shape = (batch, self.adapter.channels or 3, n, n)
        x, eps, noise = rng.uniform(-0.9, 0.9, shape), rng.standard_normal(shape), rng.standard_normal(shape)
        z = np.asarray(diffuse(self.process, x, t, eps))
        # schedulers add no noise in the last step, by convention
        if question.name == "step back, mean" or (
            question.name == "step back, last" and self.adapter.process is not None
        ):
            noise = 0 * noise
        x, eps, z, noise = (v.astype(np.float32).astype(np.float64) for v in (x, eps, z, noise))
        return Inputs(t, s, x, eps, z, noise)

    # What is right, what is said, and what a variant says: arrays whose first axis is the batch

    def right(self, q: Question, i: Inputs) -> Array:
        p, shape = self.process, (i.n, i.n)
        m = p.marginal(i.t, shape=shape)
        one = np.ones((1, *shape))
        if q.operation == "transform":
            return np.asarray(_DCT.forward(i.x))
        if q.operation == "inverse":
            return np.asarray(_DCT.inverse(i.x))
        if q.operation == "frequency_scaling":
            a = self.paper.noise.scales(i.t).a[:, None, None]
            return np.asarray(m.alpha / a)[:, None]
        if q.operation == "noise_scaling":
            a, sigma = self.paper.noise.scales(i.t)
            return np.stack([a[:, None, None] * one, sigma[:, None, None] * one], axis=1)
        if q.operation == "marginal":
            return np.stack([m.alpha * one, m.sigma * one], axis=1)
        if q.operation == "transition":
            tr = transition(p, i.t, i.s, shape=shape)
            return np.stack([tr.alpha * one, tr.variance * one], axis=1)
        if q.operation == "diffuse":
            return np.asarray(diffuse(p, i.x, i.t, i.eps))
        post = posterior(p, i.t, i.s, shape=shape)
        if q.operation == "posterior":
            return np.stack([c * one for c in post], axis=1)
        u, u_eps = _DCT.forward(i.z), _DCT.forward(i.eps)
        with np.errstate(all="ignore"):  # without signal there is nothing to divide by
            x0 = (u - m.sigma[:, None] * u_eps) / m.alpha[:, None]
            mean = post.z_coef[:, None] * u + post.x_coef[:, None] * x0
        variance = np.asarray(post.variance)
        if self.adapter.variance == "upper":
            variance = np.asarray(transition(p, i.t, i.s, shape=shape).variance * one)
        return np.asarray(_DCT.inverse(mean + np.sqrt(variance)[:, None] * i.noise))

    def said(self, q: Question, i: Inputs, view: Adapter) -> Array:
        try:
            with np.errstate(all="ignore"):
                return self._said(q, i, view)
        except (RaisedError, UnaskableError):
            raise
        except Exception as error:
            if isinstance(view, Found):
                raise
            raise RaisedError from error

    def _said(self, q: Question, i: Inputs, view: Adapter) -> Array:
        grid = (len(i.t), i.n, i.n)
        calls: dict[str, Callable[[], Any]] = {
            "transform": lambda: view.transform(i.x),
            "inverse": lambda: view.inverse(i.x),
            "frequency_scaling": lambda: (view.frequency_scaling(i.t, i.n),),
            "noise_scaling": lambda: view.noise_scaling(i.t),
            "marginal": lambda: view.marginal(i.t, i.n),
            "transition": lambda: view.transition(i.t, i.s, i.n),
            "posterior": lambda: view.posterior(i.t, i.s, i.n),
            "diffuse": lambda: view.diffuse(i.x, i.t, i.eps),
            "denoise": lambda: view.denoise(i.z, i.t, i.s, i.eps, i.noise),
        }
        answer = calls[q.operation]()
        if q.operation in ("transform", "inverse", "diffuse", "denoise"):
            answer = np.asarray(answer, dtype=np.float64)
            if answer.shape != i.x.shape:
                raise UnaskableError(f"it returns shape {answer.shape}, where {i.x.shape} is expected")
            return answer
        parts = [np.asarray(part, dtype=np.float64) for part in answer]
        parts = [part[:, None, None] if part.ndim == 1 and len(part) == len(i.t) else part for part in parts]
        return np.stack([np.broadcast_to(part, grid) for part in parts], axis=1)

    def predicted(self, q: Question, i: Inputs, f: Formulas) -> Array:
        with np.errstate(all="ignore"):
            grid = (len(i.t), i.n, i.n)
            if q.operation == "transform":
                return np.real(f.dct(i.x))
            if q.operation == "inverse":
                return np.real(f.idct(i.x))
            if q.operation == "diffuse":
                return f.diffuse(i.x, f.rounded(i.t), i.eps)
            s = f.step_to(i.t, self.adapter.steps) if self.adapter.steps and f.s != "given" else i.s
            i = replace(i, t=f.rounded(i.t))
            s = f.rounded(s)
            if q.operation == "denoise":
                return f.denoise(i.z, i.t, s, i.eps, i.noise)
            parts: dict[str, Callable[[], tuple[Array, ...]]] = {
                "frequency_scaling": lambda: (f.frequency_scaling(i.t, i.n),),
                "noise_scaling": lambda: f.noise_scaling(i.t),
                "marginal": lambda: f.marginal(i.t, i.n),
                "transition": lambda: f.transition(i.t, s, i.n),
                "posterior": lambda: f.posterior(i.t, s, i.n),
            }
            return np.stack([np.broadcast_to(part, grid) for part in parts[q.operation]()], axis=1)

    def tolerance(self, q: Question, i: Inputs, changes: dict[str, Any], level: str, value: Array) -> Array:
        """Return how far roundings of a precision may move these formulas' numbers."""
        eps = _ROUNDING[level]
        in_data = q.operation in ("transform", "inverse", "diffuse", "denoise")
        settings = {**self.own, **self.settings, **changes}
        exact = self.predicted(q, i, Formulas(**settings))
        size = np.abs(value)
        with np.errstate(all="ignore"):
            moved = np.zeros_like(exact)
            for seed in range(4):
                f = Formulas(**settings, rounding=eps, rng=np.random.default_rng(seed))
                moved = np.fmax(moved, np.abs(self.predicted(q, i, f) - exact))
            if in_data:
                room = 8 * _largest(moved) + 32 * eps * _largest(size)
                return np.broadcast_to(room, value.shape)
            relative = np.where(exact != 0, moved / np.abs(exact), 0.0)
            if q.operation in ("frequency_scaling", "noise_scaling", "marginal"):
                relative = _largest(np.where(size > 1e-30, relative, 0.0))
            return np.asarray((8 * relative + 32 * eps) * size + 8 * moved + (1e-36 if level == "float32" else 1e-300))

    # Judgement

    def variant(self, q: Question, i: Inputs, changes: dict[str, Any]) -> Array:
        """Return the numbers of a variant, each worked out once for all ways of calling the same function."""
        key = frozenset(changes.items())
        if key not in self.cache:
            self.cache[key] = self.predicted(q, i, Formulas(**{**self.own, **self.settings, **changes}))
        return self.cache[key]

    def matches(self, q: Question, i: Inputs, got: Array, changes: dict[str, Any], level: str) -> bool:
        """Return whether a variant gives the numbers to rounding."""
        value = self.variant(q, i, changes)
        if value.shape != got.shape:
            return False
        # Slips that divide by what has underflowed give numbers of any size, and NaN: there they agree in being none.
        none_of_both = ~(np.abs(value) < _HUGE) & ~(np.abs(got) < _HUGE)
        if (
            none_of_both.all()
        ):  # which says something of a time below 0 alone, where the log-SNR is that of a negative number
            return "s" in changes
        value, got = np.where(none_of_both, 1.0, value), np.where(none_of_both, 1.0, got)
        gap = np.abs(value - got)
        if not (gap <= 0.1 * _largest(np.abs(got)) + 1e-300).all():
            return False
        room = np.where(none_of_both, 1.0, self.tolerance(q, i, changes, level, value))
        return bool((gap <= room).all())

    def holds(self, q: Question, i: Inputs, got: Array, right: Array, level: str) -> tuple[bool, Array]:
        room = self.tolerance(q, i, {}, level, right)
        with np.errstate(all="ignore"):
            return bool((np.abs(got - right) <= room).all()), room

    def bases(self, q: Question) -> list[tuple[Variant, ...]]:
        """Return the known faults of other functions, with and without the choices that a correct step may make."""
        reach = set(PARTS[q.operation])
        known = tuple(v for v in self.known if reach & set(v.part))
        harmless = [v for v in applicable(q.operation) if v.harmless and {"delta", "noise_space"} & v.changes.keys()]
        habits = [c for number in range(len(harmless) + 1) for c in itertools.combinations(harmless, number)]
        return list(dict.fromkeys([*((*known, *habit) for habit in habits), *habits]))

    def candidates(self, q: Question, number: int) -> Iterator[tuple[Variant, ...]]:
        """Yield what is known with so many more variants."""
        reach = set(PARTS[q.operation])
        # what was found right elsewhere, and what a function says of another one, comes last
        more = sorted(
            applicable(q.operation), key=lambda v: (bool(set(v.part) & self.parts_right), not reach >= set(v.part))
        )
        for base in self.bases(q):
            for extra in itertools.combinations(more, number):
                if not set(extra) & set(base):
                    yield (*base, *extra)

    def diagnose(
        self, q: Question, i: Inputs, answers: list[tuple[Adapter, Array]]
    ) -> tuple[int, tuple[Variant, ...]] | None:
        """Return the answer that variants reproduce, by its number, and the fewest that do."""
        deadline = time.monotonic() + _SECONDS
        for number in range(3):
            for index, (view, got) in enumerate(answers):
                levels = ("float64", "float32") if view.dtype == "float64" else ("float32",)
                for chosen in self.candidates(q, number):
                    if number == 2 and time.monotonic() > deadline:
                        return None
                    changes = combined(chosen)
                    if changes is None:
                        continue
                    if any(self.matches(q, i, got, changes, level) for level in levels[-1:]):
                        best = self._sharper(q, i, got, chosen, number, levels[0])
                        return index, best
        return None

    def _sharper(
        self, q: Question, i: Inputs, got: Array, chosen: tuple[Variant, ...], number: int, level: str
    ) -> tuple[Variant, ...]:
        """Return the variants of as many that fit in float64 as well, if some do, else those that were found."""
        if level == "float32":
            return chosen
        for other in self.candidates(q, number) if number < 2 else (chosen,):
            changes = combined(other)
            if changes is not None and self.matches(q, i, got, changes, level):
                return other
        return chosen

    def ask(self, q: Question) -> Answer:
        """Return what became of a question."""
        if not self.adapter.has(q.operation):
            return Answer(q.name, q.statement, "missing", detail="no such function was found")
        if isinstance(self.adapter, Found) and self.adapter.is_of_one_axis(q.operation):
            detail = "what is called so transforms one axis: a helper, not the transform of images"
            return Answer(q.name, q.statement, "missing", detail=detail)
        if (
            q.operation == "denoise"
            and self.adapter.steps is None
            and isinstance(self.adapter, Found)
            and "s" not in self.adapter._meanings("denoise").values()
        ):
            return Answer(
                q.name,
                q.statement,
                "missing",
                detail="neither s nor T of its step is known: call T so, or write an adapter",
            )
        i = self.inputs(q)
        self.cache = {}
        right = self.right(q, i)
        answers: list[tuple[Adapter, Array]] = []
        raised: list[BaseException] = []
        unaskable: list[str] = []
        for view in self.views(q.operation):
            if answers and view.dtype == "float32" and answers[0][0].dtype == "float64":
                break
            try:
                got = self.said(q, i, view)
            except RaisedError as error:
                raised.append(error.__cause__ or error)
                continue
            except UnaskableError as error:
                unaskable.append(str(error))
                continue
            for level in ("float64", "float32") if view.dtype == "float64" else ("float32",):
                good, room = self.holds(q, i, got, right, level)
                if good and (slip := self.of_batches(q, i, view, answers)) is not None:
                    return self.failed(q, i, [slip], right)
                if good:
                    return self.held(q, i, view, got, right, room, level)
            if not any(np.array_equal(got, other, equal_nan=True) for _, other in answers):
                answers.append((view, got))
        if not answers:
            if raised:
                first = next(
                    (e for e in raised if not isinstance(e, (TypeError, IndexError, AttributeError))), raised[0]
                )
                self.raised = self.raised or first
                return Answer(q.name, q.statement, "raised", detail=f"{type(first).__name__}: {first}")
            return Answer(q.name, q.statement, "missing", detail=unaskable[0])
        return self.failed(q, i, answers, right)

    def views(self, operation: str) -> Iterator[Adapter]:
        """Yield the ways of calling a function, in float32 where it takes no float64."""
        if not isinstance(self.adapter, Found) or operation in self.forms:
            yield self.forms.get(operation, self.adapter)
            return
        yield from self.adapter.views(operation)
        if self.adapter.dtype == "float64":
            for view in self.adapter.views(operation):
                view.dtype = "float32"
                yield view

    def held(self, q: Question, i: Inputs, view: Adapter, got: Array, right: Array, room: Array, level: str) -> Answer:
        error, _ = _worst(got, right, room)
        notes = []
        self.forms[q.operation] = view
        self.parts_right |= set(PARTS[q.operation])
        if isinstance(view, Found) and view.form.time == "[B, 1, 1, 1]" and q.operation != "noise_scaling":
            flat = view._with(view.form._replace(time="[B]"))
            columns = next(v for v in applicable("marginal") if {"t_blur", "t_noise"} <= v.changes.keys())
            try:
                other = self.said(q, i, flat)
            except (RaisedError, UnaskableError):
                other = None
            if other is not None and self.matches(q, i, other, combined((columns,)) or {}, "float32"):
                notes.append("t of shape [B] is broadcast over columns: hand it in as [B, 1, 1, 1]")
        if isinstance(view, Found) and q.name == "step back, mean" and view.clips():
            notes.append(_clip_note(view.steps))
        form = str(view.form) if isinstance(view, Found) else ""
        return Answer(q.name, q.statement, "holds", form=form, error=error, precision=level, notes=tuple(notes))

    def of_batches(
        self, q: Question, i: Inputs, view: Adapter, answers: list[tuple[Adapter, Array]]
    ) -> tuple[Adapter, Array] | None:
        """Return the answer to a batch of times that goes over columns or rows, where only single times are right."""
        if not isinstance(view, Found) or view.form.time.startswith("["):
            return None
        slips = [v for v in applicable(q.operation) if v.changes.keys() & {"t_blur", "t_noise"}]
        for other, got in answers:
            if any(self.matches(q, i, got, dict(v.changes), "float32") for v in slips):
                return other, got
        return None

    def failed(self, q: Question, i: Inputs, answers: list[tuple[Adapter, Array]], right: Array) -> Answer:
        found = self.diagnose(q, i, answers)
        index, chosen = found if found is not None else (0, ())
        view, got = answers[index]
        if found is not None:
            self.forms[q.operation] = view
            self.parts_right |= set(PARTS[q.operation])  # with what is wrong in them: no more than that
        harmless = found is not None and all(v.harmless for v in chosen)
        settings = {k: v for one in chosen for k, v in one.changes.items() if k in self.settings}
        self.settings |= settings
        self.known = tuple(
            dict.fromkeys([*self.known, *(v for v in chosen if not v.changes.keys() & self.settings.keys())])
        )
        level = "float32" if view.dtype == "float32" else "float64"
        room = self.tolerance(q, i, {}, "float32", right)
        error, _ = _worst(got, right, room)
        notes = [_clip_note(self.adapter.steps) for v in chosen if "delta" in v.changes]
        sentences = tuple(v.sentence for v in chosen if "delta" not in v.changes or not harmless)
        form = str(view.form) if isinstance(view, Found) else ""
        if harmless:
            meant = {k: v for one in chosen for k, v in one.changes.items() if k == "noise_space"}
            error, _ = _worst(got, self.variant(q, i, meant) if meant else right, room)
            notes += sentences if not notes else ()
            return Answer(q.name, q.statement, "holds", form=form, error=error, precision=level, notes=tuple(notes))
        failure = self._first(q, i, got, right, room)
        return Answer(
            q.name,
            q.statement,
            "fails",
            form=form,
            error=error,
            precision=level,
            failure=failure,
            diagnosis=tuple(v.sentence for v in chosen if not v.harmless),
            notes=tuple(notes),
        )

    def _first(self, q: Question, i: Inputs, got: Array, right: Array, room: Array) -> Failure:
        """Return the first number that differs, in order of time and frequency."""
        what: tuple[str, ...] = {
            "frequency_scaling": ("d_t",),
            "noise_scaling": ("a_t", "sigma_t"),
            "marginal": ("alpha_t", "sigma_t"),
            "transition": ("alpha_t|s", "sigma_t|s^2"),
            "posterior": ("coefficient of u_t", "coefficient of u_0", "variance"),
        }.get(q.operation, ("u",))
        if what == ("u",):
            if q.operation != "transform":
                got, right = np.asarray(_DCT.forward(np.nan_to_num(got, nan=np.inf))), np.asarray(_DCT.forward(right))
            gap = np.abs(got - right)
            bad = ~(gap <= np.maximum(0.05 * np.nanmax(np.where(np.isfinite(gap), gap, 0)), room))
        else:
            bad = ~(np.abs(got - right) <= room)
        b, part, k1, k2 = (int(n) for n in next(iter(np.argwhere(bad)), np.zeros(4, int)))
        time_of = q.operation not in ("transform", "inverse")
        return Failure(
            what[min(part, len(what) - 1)],
            (k1, k2),
            float(i.t[b]) if time_of else None,
            float(got[b, part, k1, k2]),
            float(right[b, part, k1, k2]),
        )


def _largest(value: Array) -> Array:
    """Return the largest number of each grid that is one."""
    return np.asarray(np.fmax.reduce(value, axis=(-2, -1), keepdims=True))


def _worst(got: Array, right: Array, room: Array) -> tuple[float, tuple[int, ...]]:
    """Return the largest error relative to the largest number of its frequencies, and where it is."""
    size = np.max(np.abs(right), axis=(-2, -1), keepdims=True)
    with np.errstate(all="ignore"):
        relative = np.abs(got - right) / np.where(size > 0, size, 1.0)
    relative = np.where(np.isnan(relative), np.inf, relative)
    where = np.unravel_index(np.argmax(relative), relative.shape)
    return float(relative[where]), tuple(int(k) for k in where)


@functools.cache
def clip_error(steps: int, n: int = 32, delta: float = 1e-8) -> float:
    """Return the largest relative error of the appendix's coefficients, in float64, over all steps.

    Parameters
    ----------
    steps
        T.
    n
        Number of pixels of a side.
    delta
        What is clipped at.
    """
    worst = 0.0
    process = BlurringDiffusion()
    f = Formulas(delta=delta)
    for block in np.array_split(np.arange(1, steps + 1), max(steps // 100, 1)):
        t, s = block / steps, (block - 1) / steps
        z, x, _ = f.posterior(t, s, n)
        exact = posterior(process, t, s, shape=(n, n))
        worst = max(worst, float(np.max(np.abs(z / exact.z_coef - 1))), float(np.max(np.abs(x / exact.x_coef - 1))))
    return worst


def _clip_note(steps: int | None) -> str:
    steps = steps if steps is not None and steps > 8 else 1000
    return (
        f"the delta of the appendix is kept: right as far as it goes, its coefficients are off by up to {clip_error(steps):.0e} "
        f"at T = {steps}, 32 x 32; bc.posterior has the exact ones"
    )


def check(thing: Any) -> tuple[Report, BaseException | None]:
    """Return the checks that hold, those that fail, and the first exception that the implementation raised.

    Parameters
    ----------
    thing
        See `find`.
    """
    began = time.monotonic()
    adapter = find(thing)
    checker = _Checker(adapter)
    asked = (q for q in QUESTIONS if adapter.process is None or adapter.has(q.operation))
    answers = tuple(checker.ask(question) for question in asked)
    notes = tuple(dict.fromkeys([*adapter.notes, *(note for answer in answers for note in answer.notes)]))
    report = Report(answers, dict(checker.settings), adapter.size or 8, adapter.title, notes, time.monotonic() - began)
    return report, checker.raised


def check_implementation(thing: Any) -> Report:
    """Hold an implementation of blurring diffusion to the identities of SPEC 1 to 4, and say what is wrong with it.

    Parameters
    ----------
    thing
        A module, a function, a mapping of names to functions, a class that needs no arguments, an instance, or a subclass of
        `blurcore.verify.against.Adapter`.

    Returns
    -------
    Report
        What holds and what could not be asked.

    Raises
    ------
    AssertionError
        An identity fails; the message is the report, with the diagnosis.
    ArgumentError
        Nothing in it has a name that is known.
    Exception
        What the implementation itself raised.
    """
    report, raised = check(thing)
    if raised is not None:
        raise raised
    if not report.passed:
        raise AssertionError(report.render())
    return report
