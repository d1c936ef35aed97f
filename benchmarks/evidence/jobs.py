"""The list of what is done, in the order of the protocol: seed, question, process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from benchmarks.evidence import exact, sampling
from benchmarks.evidence.cost import cost
from benchmarks.evidence.ledger import Ledger
from benchmarks.evidence.octaves import octaves
from benchmarks.evidence.rows import CANDIDATES, REVERSE_VARIANCES, ROWS, Row, main_row, needs_error
from benchmarks.evidence.training import train
from benchmarks.evidence.trials import (
    CHOOSING_SEED,
    NOISY,
    PROCESSES,
    SEEDS,
    SHARE_OF_CHOICE,
    ScaleName,
    Trial,
    process_of,
)

CALLS = (5, 10, 20, 50, 100)
LONG = 1_000
LEVEL = 0.05
"""Seconds that differ by less than this share are equal."""
CLOSE = 1.2
"""A prediction whose distance is so many times the best one's is trained too."""
PREDICTIONS = ("eps", "v", "x0")
FEW_STEPS = ("standard", "blur20")
"""Processes of question 4."""
TRAINED_ROWS = tuple(row for row in (*ROWS, *CANDIDATES) if row.grid != "quadratic")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One line of the ledger to be: its name, its question, what describes it, and how it is done."""

    name: str
    question: int
    settings: dict[str, Any]
    do: Callable[[], dict[str, Any]]


def jobs(
    scale: ScaleName,
    data: Sequence[str],
    questions: Sequence[int],
    *,
    folder: Path,
    seeds: Sequence[int] = SEEDS,
    ledger: Ledger,
    path: str | None = None,
) -> Iterator[Job]:
    """Return the jobs of a scale, each once: questions 2 and 4 share some.

    Parameters
    ----------
    scale
        Of the trained networks.
    data
        Some of digits and photos, or cifar10.
    questions
        Some of 1, 2, 3, 4, 6; the lines of 5 come with 1.
    folder
        Where the runs are.
    seeds
        Some of 1, 2, 3.
    ledger
        What is done: predictions are chosen by it, when it is their turn.
    path
        The file of `cifar10`.
    """
    seen: set[str] = set()
    for job in _all(scale, data, questions, folder, seeds, ledger, path):
        if job.name not in seen:
            seen.add(job.name)
            yield job


def _all(
    scale: ScaleName,
    data: Sequence[str],
    questions: Sequence[int],
    folder: Path,
    seeds: Sequence[int],
    ledger: Ledger,
    path: str | None,
) -> Iterator[Job]:
    if 1 in questions:
        for name in data:
            yield from _choices(scale, name, folder, ledger, path)
            yield from _costs(scale, name, path)
    if 3 in questions:
        for name in data:
            if name in exact.COUNTS:
                yield from exact_jobs(name)
    for seed in seeds:
        for name in data:
            trials = [
                Trial(
                    data=name,
                    process=process,
                    seed=seed,
                    scale=scale,
                    prediction=chosen(ledger, scale, name, process),
                    path=path,
                )
                for process in PROCESSES
            ]
            if set(questions) & {1, 2, 4, 6}:
                for trial in (*trials, *_as_long(trials, ledger), *_second(trials, ledger)):
                    yield from _first(trial, folder)
            for trial in trials:
                if 6 in questions and trial.process in (*NOISY, "nested"):
                    yield _octaves(trial, folder)
                if 2 in questions and trial.process in NOISY:
                    for row in REVERSE_VARIANCES:
                        yield _sample(2, trial, folder, row, 50, 256)
                        yield _sample(2, trial, folder, row, LONG, 128)
                if 4 in questions and trial.process in FEW_STEPS:
                    for row in TRAINED_ROWS:
                        for calls in CALLS:
                            yield _sample(4, trial, folder, row, calls, 256)


def chosen(ledger: Ledger, scale: ScaleName, data: str, process: str) -> str:
    """Return the prediction that a process is trained with: the best of the runs that were made to choose it."""
    return close(ledger, scale, data, process)[0]


def close(ledger: Ledger, scale: ScaleName, data: str, process: str) -> list[str]:
    """Return the predictions that were as good as the best when it was chosen, but for a fifth; the best is the first.

    Where there are several, the best is the one that is the best with the whole budget, once that is known.
    """
    process = "blur20" if process == "nested" else process
    if process not in NOISY:
        return ["v"]
    part, whole = _distances(ledger, scale, data, process)
    if len(part) < len(PREDICTIONS):
        return ["v"]
    near = [name for name in part if part[name] <= CLOSE * min(part.values())]
    return sorted(near, key=(whole if set(whole) >= set(near) else part).__getitem__)


def _distances(ledger: Ledger, scale: ScaleName, data: str, process: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the primary distance of each prediction on the choosing seed, with a part of the budget and with all of it."""
    found: tuple[dict[str, float], dict[str, float]] = {}, {}
    for line in ledger.lines():
        if line["kind"] == "sample":
            trial = line["trial"]
            about = trial["scale"], trial["data"], trial["process"], trial["seed"]
            if about == (scale, data, process, CHOOSING_SEED):
                distance = line["found"].get(f"frechet_distance_{sampling.PRIMARY[data]}", float("inf"))
                found[trial["share"] == 1][trial["prediction"]] = distance
    return found


def _first(trial: Trial, folder: Path) -> Iterator[Job]:
    """Train, sample, and take the likelihood where there is one."""
    count = 50_000 if trial.scale == "gpu" else 1024
    yield _trained(1, trial, folder)
    row, calls = main_row(trial)
    yield _sample(1, trial, folder, row, calls, count)
    if trial.process != "cold":
        place = folder / trial.name
        settings = {"kind": "bits", "trial": asdict(trial)}
        yield Job(name=f"bits {trial.name}", question=1, settings=settings, do=lambda: sampling.bits(trial, place))
    if trial.process == "standard" and trial.seed == SEEDS[0]:
        yield Job(
            name=f"held out {trial.scale}-{trial.data}",
            question=1,
            settings={"kind": "held out", "trial": asdict(trial)},
            do=lambda: sampling.held_out(trial, count),
        )


def _costs(scale: ScaleName, data: str, path: str | None) -> Iterator[Job]:
    for process in PROCESSES[1:]:
        trial = Trial(data=data, process=process, seed=CHOOSING_SEED, scale=scale, path=path)
        yield Job(
            name=f"cost {scale}-{data}-{process}",
            question=5,
            settings={"kind": "cost", "trial": asdict(trial)},
            do=partial(cost, trial),
        )


def _as_long(trials: Sequence[Trial], ledger: Ledger) -> Iterator[Trial]:
    """Return the trials that see as many images as take as long as those of standard diffusion, where the seconds differ."""
    ratios = {
        (line["trial"]["scale"], line["trial"]["data"], line["trial"]["process"]): line["found"]["training"]
        for line in ledger.lines()
        if line["kind"] == "cost"
    }
    for trial in trials:
        ratio = ratios.get((trial.scale, trial.data, trial.process), 1.0)
        if abs(ratio - 1) > LEVEL:
            yield replace(trial, share=round(1 / ratio, 2))


def _second(trials: Sequence[Trial], ledger: Ledger) -> Iterator[Trial]:
    """Return the trials with the predictions that were nearly chosen."""
    for trial in trials:
        for prediction in close(ledger, trial.scale, trial.data, trial.process)[1:]:
            yield replace(trial, prediction=prediction)


def _choices(scale: ScaleName, data: str, folder: Path, ledger: Ledger, path: str | None) -> Iterator[Job]:
    for process in NOISY:
        trial = Trial(data=data, process=process, seed=CHOOSING_SEED, scale=scale, path=path)
        part = SHARE_OF_CHOICE[scale]
        for prediction in PREDICTIONS:
            yield from _choice(replace(trial, prediction=prediction, share=part), folder)
        near = close(ledger, scale, data, process)
        for prediction in near if len(near) > 1 else ():
            yield from _choice(replace(trial, prediction=prediction), folder)


def _choice(trial: Trial, folder: Path) -> Iterator[Job]:
    yield _trained(1, trial, folder)
    yield _sample(1, trial, folder, Row("ancestral"), 50, 512)


def _trained(question: int, trial: Trial, folder: Path) -> Job:
    return Job(
        name=f"train {trial.name}",
        question=question,
        settings={"kind": "train", "trial": asdict(trial)},
        do=lambda: train(trial, folder / trial.name),
    )


def _sample(question: int, trial: Trial, folder: Path, row: Row, calls: int, count: int) -> Job:
    def do() -> dict[str, Any]:
        train(trial, folder / trial.name)  # the line of a run may be there without its folder, on another machine
        return sampling.sample(trial, folder / trial.name, row, calls, count=count)

    return Job(
        name=f"sample {trial.name} | {row.name} | {calls} calls | {count}",
        question=question,
        settings={"kind": "sample", "trial": asdict(trial), "row": row._asdict(), "calls": calls},
        do=do,
    )


def _octaves(trial: Trial, folder: Path) -> Job:
    def do() -> dict[str, Any]:
        train(trial, folder / trial.name)
        return octaves(trial, folder / trial.name)

    return Job(name=f"octaves {trial.name}", question=6, settings={"kind": "octaves", "trial": asdict(trial)}, do=do)


def exact_jobs(data: str) -> Iterator[Job]:
    """Return the jobs of question 3, the long ones last."""
    full, short = (128, 64) if data == "digits" else (64, 32)
    for calls_of, count in ((CALLS, full), ((LONG,), short)):
        for process in ("blur20", "standard", "blur10", "blur1"):
            for row in (*ROWS, *CANDIDATES):
                for calls in calls_of:
                    yield exact_job(data, process, row, calls, count)


def exact_job(data: str, process: str, row: Row, calls: int, count: int) -> Job:
    """Return one job of question 3."""

    def do() -> dict[str, Any]:
        error = exact_error(data, process) if needs_error(row) else None
        return exact.run(data, process, row, calls, count=count, error=error)

    return Job(
        name=f"exact {data} {process} | {row.name} | {calls} calls | {count}",
        question=3,
        settings={"kind": "exact", "data": data, "process": process, "row": row._asdict(), "calls": calls},
        do=do,
    )


@lru_cache(maxsize=4)
def exact_error(data: str, process: str) -> Any:
    """Return the exact denoiser's error, measured once."""
    known = exact.image_set(data)
    return known.x0_error(process_of(process, known.shape[-1]))
