"""What became of the questions, as text, and as JSON."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Failure:
    """The first number that differs."""

    quantity: str
    frequency: tuple[int, int]
    t: float | None
    got: float
    right: float

    def __str__(self) -> str:
        at = "" if self.t is None else f", t = {self.t:.6g}"
        return f"{self.quantity} at frequency {self.frequency}{at} is {self.got:.9g}, right is {self.right:.9g}"


@dataclass(frozen=True)
class Answer:
    """What became of one question: "holds", "fails", "raised", or "missing" where it could not be asked."""

    name: str
    statement: str
    status: str
    detail: str = ""
    form: str = ""
    error: float = 0.0
    precision: str = ""
    failure: Failure | None = None
    diagnosis: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All answers."""

    answers: tuple[Answer, ...]
    settings: dict[str, float]
    size: int
    title: str
    notes: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether something was asked and all of it holds."""
        return any(a.status == "holds" for a in self.answers) and all(
            a.status in ("holds", "missing") for a in self.answers
        )

    @property
    def diagnosis(self) -> tuple[str, ...]:
        """Return what is wrong, each slip once."""
        return tuple(dict.fromkeys(sentence for a in self.answers for sentence in a.diagnosis))

    def render(self) -> str:
        """Return the report as text."""
        s = self.settings
        paper = (
            f"blurring diffusion, {self.size} x {self.size}, sigma_B,max = {s['sigma_blur_max']:g}, "
            f"d_min = {s['min_scale']:g}, log-SNR in [{s['logsnr_min']:g}, {s['logsnr_max']:g}]"
        )
        lines = [f"Held to {self.title or paper}", ""]
        words = {"holds": "ok", "fails": "FAILS", "raised": "RAISED", "missing": "-"}
        for a in self.answers:
            said = a.detail if a.status in ("missing", "raised") else f"error {a.error:.1e} ({a.precision})"
            lines.append(f"{words[a.status]:7} {a.name:17} {said}")
            lines.append(f"{'':25} {a.statement}")
            if a.form and a.status in ("holds", "fails"):
                lines.append(f"{'':25} asked with {a.form}")
            if a.failure is not None:
                lines.append(f"{'':25} {a.failure}")
            if a.status == "fails":
                lines += [f"{'':25} => {sentence}" for sentence in a.diagnosis or ("what is wrong: none that I know",)]
        lines += [
            "",
            *(line for note in self.notes for line in textwrap.wrap(f"note: {note}", 120, subsequent_indent="      ")),
        ]
        if self.notes:
            lines.append("")
        lines.append("SPEC n is section n of the specification, docs/specification.md.")
        count = {status: sum(a.status == status for a in self.answers) for status in words}
        lines.append(
            f"{count['holds']} hold, {count['fails']} fail, {count['raised']} raised, {count['missing']} could not be asked, "
            f"in {self.seconds:.1f} s"
        )
        if any(a.status == "fails" for a in self.answers):
            lines.append(f"What is wrong: {'; '.join(self.diagnosis) or 'none that I know'}")
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        plain = asdict(self)
        for answer in plain["answers"]:
            answer["error"] = _finite(answer["error"])
            if answer["failure"] is not None:
                answer["failure"] |= {k: _finite(answer["failure"][k]) for k in ("got", "right")}
        return {"passed": self.passed, "diagnosis": list(self.diagnosis), **plain}

    def to_json(self) -> str:
        """Return the report as JSON; numbers that are not finite are strings."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
