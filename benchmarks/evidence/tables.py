"""Tables and plots of the evidence, from the lines of the ledger alone: `python -m benchmarks.evidence.tables`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.answers import LEVEL, Answer, compare, level_with
from benchmarks.evidence.exact import CALLS, UNIT
from benchmarks.evidence.jobs import FEW_STEPS, LONG, PREDICTIONS, chosen
from benchmarks.evidence.ledger import Ledger, Line
from benchmarks.evidence.rows import CANDIDATE, REVERSE_VARIANCES, Row
from benchmarks.evidence.sampling import PRIMARY
from benchmarks.evidence.trials import CHOOSING_SEED, NOISY, PROCESSES, ScaleName
from benchmarks.page import table

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "benchmarks" / "results" / "evidence.jsonl"
PAGE = ROOT / "docs" / "evidence_tables.md"
IMAGES = ROOT / "docs" / "images"
SCALES: tuple[ScaleName, ...] = ("hour", "day", "gpu")
FLOOR = 0.0067
"""Sigma at t = 0, below which distances count alike."""
AS_LONG = "nested, as long as standard"
FAMILIES: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("blur1", "standard"),
        ("blur10", "standard"),
        ("blur20", "standard"),
        ("standard", "heat"),
        ("standard", "cold"),
    ),
    (("blur1", "blur10"), ("blur1", "blur20"), ("blur10", "blur20")),
    (("nested", "blur20"), (AS_LONG, "blur20"), ("nested", "standard"), (AS_LONG, "standard")),
)
"""Comparisons of question 1; of each the first is predicted to be the better."""
NAMES = {
    "ancestral": "ancestral",
    "calibrated": "calibrated ancestral",
    "ddim": "DDIM",
    "dpm_solver_pp": "DPM-Solver++",
    "dpm_solver_sde": "SDE-DPM-Solver++",
    "euler": "Euler",
    "heun": "Heun",
    CANDIDATE: "calibrated multistep, tried",
}
GRIDS = {"uniform": "uniform", "quadratic": "quadratic", "log_snr": "log-SNR", "measured": "measured, tried"}


Octaves = dict[str, dict[int, tuple[list[str], np.ndarray[Any, Any]]]]
"""Names of the octaves and the errors in them, by process and images seen."""


@dataclass(frozen=True)
class Question1:
    """The runs of question 1 on one data set: those with the chosen predictions, and those that take as long as standard diffusion."""

    ledger: Ledger
    scale: ScaleName
    data: str

    @cached_property
    def chosen(self) -> dict[str, str]:
        """The prediction of each process."""
        return {process: chosen(self.ledger, self.scale, self.data, process) for process in PROCESSES}

    def lines(self, kind: str) -> Iterator[Line]:
        """Return the lines of one kind of this scale and these data."""
        for line in self.ledger.lines():
            if line["kind"] == kind and (line["trial"]["scale"], line["trial"]["data"]) == (self.scale, self.data):
                yield line

    def values(self, kind: str, name: str, *, prediction: Callable[[str], str] | None = None) -> dict[str, list[float]]:
        """Return a measured number of each row of the table, for each seed that has it.

        Parameters
        ----------
        kind
            Of the lines: sample, bits.
        name
            Of the number.
        prediction
            Of each process; the chosen one by default.
        """
        wanted = prediction or self.chosen.__getitem__
        found: dict[str, list[float]] = {}
        for line in self.lines(kind):
            trial = line["trial"]
            counts = trial["seed"] != CHOOSING_SEED and trial["prediction"] == wanted(trial["process"])
            if counts and line["question"] == 1 and name in line["found"]:
                row = trial["process"] if trial["share"] == 1 else f"{trial['process']}, as long as standard"
                found.setdefault(row, []).append(line["found"][name])
        return {row: found[row] for row in (*PROCESSES, AS_LONG) if row in found}

    @property
    def primary(self) -> str:
        """The primary distance."""
        return f"frechet_distance_{PRIMARY[self.data]}"

    def answers(self) -> dict[tuple[str, str], Answer]:
        """Return the answers of all comparisons."""
        values = self.values("sample", self.primary)
        return {pair: answer for family in FAMILIES for pair, answer in compare(values, family).items()}

    def rows(self, prediction: Callable[[str], str] | None = None) -> list[dict[str, Any]]:
        """Return a row for each process, and one of held-out images."""
        columns = {
            "KID": ("sample", f"kid_{PRIMARY[self.data]}"),
            "precision": ("sample", "precision"),
            "recall": ("sample", "recall"),
            "spectrum, dB": ("sample", "spectrum_distance"),
            "bits/dim": ("bits", "bits_per_dim"),
        }
        numbers = {name: self.values(*which, prediction=prediction) for name, which in columns.items()}
        found: list[dict[str, Any]] = []
        for name, distances in self.values("sample", self.primary, prediction=prediction).items():
            process = name.partition(",")[0]
            noisy = process in (*NOISY, "nested")
            said = (prediction or self.chosen.__getitem__)(process)
            row = {"process": name, "prediction": said if noisy else ""}
            row |= {"Frechet distance": short(np.exp(np.mean(np.log(distances)))), "of each seed": listed(distances)}
            found.append(row | {column: mean(values.get(name)) for column, values in numbers.items()})
        for line in self.lines("held out"):
            own = {name: short(line["found"][key]) for name, (kind, key) in columns.items() if kind == "sample"}
            distance = short(line["found"][self.primary])
            found.append(
                {"process": f"{line['found']['samples']} held-out images", "Frechet distance": distance, **own}
            )
        return found

    def others(self) -> list[dict[str, Any]]:
        """Return the rows of runs with predictions that were not chosen."""
        return [
            row
            for prediction in PREDICTIONS
            for row in self.rows(lambda process, prediction=prediction: prediction)  # type: ignore[misc]
            if row.get("prediction") and row["prediction"] != self.chosen[row["process"].partition(",")[0]]
        ]

    def choice(self) -> list[dict[str, Any]]:
        """Return the distances by which the predictions were chosen."""
        found: dict[str, dict[str, Any]] = {process: {"process": process} for process in NOISY}
        for line in self.lines("sample"):
            trial = line["trial"]
            if trial["seed"] == CHOOSING_SEED and trial["process"] in found:
                budget = "" if trial["share"] != 1 else ", all of it"
                found[trial["process"]][trial["prediction"] + budget] = short(line["found"][self.primary])
        return [row for row in found.values() if set(row) >= set(PREDICTIONS)]

    def octaves(self) -> Octaves:
        """Return the octaves and their errors, means over the seeds, by process and images seen."""
        found: dict[str, dict[int, list[Any]]] = {}
        names: list[str] = []
        for line in self.lines("octaves"):
            process, names = line["trial"]["process"], line["found"]["octaves"]
            if line["trial"]["prediction"] == self.chosen[process]:
                for images, share in zip(line["found"]["images"], line["found"]["share"], strict=True):
                    found.setdefault(process, {}).setdefault(images, []).append(share)
        return {
            process: {images: (names, np.mean(shares, axis=0)) for images, shares in found[process].items()}
            for process in PROCESSES
            if process in found
        }

    def learnt(self) -> list[dict[str, Any]]:
        """Return the rows of question 6."""
        return [
            {"process": process, "images seen": f"{images:,}", **dict(zip(names, map(short, shares), strict=True))}
            for process, rows in self.octaves().items()
            for images, (names, shares) in rows.items()
        ]

    def costs(self) -> list[dict[str, Any]]:
        """Return the seconds of each process beside those of standard diffusion."""
        return [
            {
                "process": line["trial"]["process"],
                "training step": short(line["found"]["training"]),
                "call in sampling": short(line["found"]["sampling"]),
            }
            for line in self.lines("cost")
        ]


def few_steps(ledger: Ledger, data: str, process: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return two tables of question 3, rows by network calls: distances to the set in thousandths, and the Frechet distance.

    The best of a column is bold, what is level with it has a star.
    """
    distances: dict[Row, dict[int, list[float]]] = {}
    frechet: dict[Row, dict[int, float]] = {}
    for line in ledger.lines():
        if line["kind"] == "exact" and (line["data"], line["process"]) == (data, process) and line["calls"] in CALLS:
            row, found = row_of(line["row"]), line["found"]
            if "distance" in found:
                floored = np.maximum(np.asarray(found["distance"]) * UNIT, FLOOR)
                distances.setdefault(row, {})[line["calls"]] = floored.tolist()
            if "frechet_digits" in found:
                frechet.setdefault(row, {})[line["calls"]] = found["frechet_digits"]
    first = marked(distances, lambda values: float(np.mean(values)), level_with, scale=1000)
    second = marked(frechet, float, lambda best, other: other <= (1 + LEVEL) * best, scale=1)
    return first, second


def few_steps_of_networks(ledger: Ledger, scale: ScaleName, data: str, process: str) -> list[dict[str, Any]]:
    """Return the table of question 4: geometric means over the seeds of the primary distance, rows by network calls."""
    found: dict[Row, dict[int, list[float]]] = {}
    wanted = scale, data, process, chosen(ledger, scale, data, process)
    for line in ledger.lines():
        if line["kind"] != "sample" or line["question"] not in (2, 4) or line["calls"] not in CALLS:
            continue
        trial = line["trial"]
        if (trial["scale"], trial["data"], trial["process"], trial["prediction"]) == wanted:
            distance = line["found"].get(f"frechet_distance_{PRIMARY[data]}")
            if distance is not None:
                found.setdefault(row_of(line["row"]), {}).setdefault(line["calls"], []).append(distance)

    def center(values: list[float]) -> float:
        return float(np.exp(np.mean(np.log(values))))

    return marked(found, center, lambda best, other: center(other) <= (1 + LEVEL) * center(best), scale=1)


def variances(ledger: Ledger, scale: ScaleName, data: str) -> list[dict[str, Any]]:
    """Return the table of question 2: the primary distance by process and reverse variance, of each seed."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for line in ledger.lines():
        if line["kind"] != "sample" or row_of(line["row"]) not in REVERSE_VARIANCES or line["question"] not in (2, 4):
            continue
        trial = line["trial"]
        if (trial["scale"], trial["data"]) != (scale, data) or line["calls"] not in (50, LONG):
            continue
        key = trial["process"], words(row_of(line["row"]))
        row = found.setdefault(key, {"process": key[0], "reverse variance": key[1]})
        before = row.get(f"{line['calls']} calls")
        value = short(line["found"][f"frechet_distance_{PRIMARY[data]}"])
        row[f"{line['calls']} calls"] = f"{before}, {value}" if before else value
    return list(found.values())


def marked(
    found: dict[Row, dict[int, Any]], number: Callable[[Any], float], level: Callable[[Any, Any], bool], *, scale: float
) -> list[dict[str, Any]]:
    """Return a table of what was found for each row and number of calls, with the best of each column marked."""
    rows = [{"solver": words(row), "grid": GRIDS[row.grid]} for row in found]
    for calls in CALLS:
        column = {row: values[calls] for row, values in found.items() if calls in values}
        if not column:
            continue
        best = min(column, key=lambda row: number(column[row]))
        for line, row in zip(rows, found, strict=True):
            if row in column:
                text = short(number(column[row]) * scale)
                star = "*" if level(column[best], column[row]) else ""
                line[str(calls)] = f"**{text}**" if row == best else text + star.replace("*", "\\*")
    return rows


def row_of(kept: dict[str, Any]) -> Row:
    """Return the row that a line keeps."""
    return Row(kept["solver"], kept["grid"], tuple((key, value) for key, value in kept["options"]), kept["last_noise"])


def words(row: Row) -> str:
    """Return the name of a row's solver as a reader knows it."""
    options = dict(row.options)
    name = NAMES[row.solver]
    if "order" in options:
        name += f", order {options['order']}" if row.solver == CANDIDATE else f" {options['order']}M"
    name += f", {options['variance']} variance" if "variance" in options else ""
    name += f", eta = {options['eta']}" if "eta" in options else ""
    return name + (", noise in the last step" if row.last_noise else "")


def short(value: float) -> str:
    """Return three digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def mean(values: Sequence[float] | None) -> str:
    """Return the mean, or nothing where nothing was measured."""
    known = [value for value in values or () if value is not None]
    return short(float(np.mean(known))) if known else ""


def listed(values: Sequence[float]) -> str:
    """Return all of them."""
    return ", ".join(map(short, values))


def sections(ledger: Ledger) -> Iterator[str]:
    """Return the parts of the page."""
    yield "<!-- written by `python -m benchmarks.evidence.tables`; do not edit -->\n\n# Evidence: all tables"
    yield (
        "From the lines of `benchmarks/results/evidence.jsonl`, by the rules of `benchmarks/evidence/PROTOCOL.md`;\n"
        "`python -m benchmarks.evidence` adds lines, `python -m benchmarks.evidence.tables` writes this page. What they say\n"
        "stands in [Does blurring help?](does_blurring_help.md) and [Few steps](few_steps.md)."
    )
    for scale in SCALES:
        for data in PRIMARY:
            asked = Question1(ledger, scale, data)
            if rows := asked.rows():
                title = f"{data}, scale {scale}"
                yield f"## Question 1: {title}\n\n{table(rows)}"
                yield "Ratios of geometric means over the seeds, with Holm's intervals of 95 % for each family:"
                yield "\n\n".join(table(family) for family in comparisons(asked.answers()))
                yield "The choice of the prediction: Frechet distances with a part of the budget, and with all of it where that was close:"
                yield table(asked.choice())
                if others := asked.others():
                    yield f"Runs with other predictions, which no ratio takes:\n\n{table(others)}"
                if learnt := asked.learnt():
                    yield f"## Question 6: {title}\n\nError of x0 as a share of the power of each octave of wavelengths:\n\n{table(learnt)}"
                if costs := asked.costs():
                    yield f"## Question 5: {title}\n\nSeconds beside those of standard diffusion:\n\n{table(costs)}"
    for data in PRIMARY:
        for process in NOISY:
            first, second = few_steps(ledger, data, process)
            if first:
                yield f"## Question 3: {data}, {process}\n\nMean distance to the set, in thousandths, by network calls:\n\n{table(first)}"
            if second:
                yield f"Frechet distance to the set, features `digits`:\n\n{table(second)}"
    yield from trained_few_steps(ledger)


def trained_few_steps(ledger: Ledger) -> Iterator[str]:
    """Return the parts on questions 2 and 4."""
    for scale in SCALES:
        for data in PRIMARY:
            title = f"{data}, scale {scale}"
            if rows := variances(ledger, scale, data):
                yield f"## Question 2: {title}\n\nFrechet distance, each seed:\n\n{table(rows)}"
            for process in FEW_STEPS:
                if rows := few_steps_of_networks(ledger, scale, data, process):
                    yield f"## Question 4: {title}, {process}\n\nFrechet distance by network calls:\n\n{table(rows)}"


def comparisons(answers: dict[tuple[str, str], Answer]) -> Iterator[list[dict[str, Any]]]:
    """Return the answers of each family as the rows of a table."""
    for family in FAMILIES:
        rows = [
            {
                "first / second": " / ".join(pair),
                "ratio [95 %]": f"{short(answer.ratio)} [{short(answer.low)}, {short(answer.high)}]",
                "is the first better?": answer.word,
            }
            for pair in family
            if (answer := answers.get(pair))
        ]
        if rows:
            yield rows


def main() -> None:
    """Write the page."""
    PAGE.write_text("\n\n".join(sections(Ledger(LEDGER))) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
