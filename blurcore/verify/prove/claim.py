"""Claims and their verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from blurcore.verify.prove.decide import equal
from blurcore.verify.prove.symbolic import Undecided, assuming


class Pair(NamedTuple):
    """Two formulas that must be equal, and their name."""

    label: str
    left: Any
    right: Any


Sides = Callable[[], Iterator[Pair]]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An equation between what functions of the package return.

    Attributes
    ----------
    name, statement
        What to call it, and its line of mathematics.
    for_all
        For all values of what.
    assumptions
        What is stated of them.
    source
        The section of the specification.
    sides
        Yields both sides of each equation, made by the code that ships.
    """

    name: str
    statement: str
    for_all: str
    assumptions: str
    source: str
    sides: Sides


def claim(name: str, statement: str, source: str, *, for_all: str, assumptions: str = "") -> Callable[[Sides], Claim]:
    """Make a claim of a function that yields its equations."""

    def make(sides: Sides) -> Claim:
        return Claim(
            name=name, statement=statement, source=source, for_all=for_all, assumptions=assumptions, sides=sides
        )

    return make


@dataclass(frozen=True)
class Proof:
    """The verdict on a claim: "proven", "refuted" or "undecided".

    Attributes
    ----------
    steps
        What was done to the formulas.
    equations
        How many there were.
    detail
        Not proven: which equation, and the numbers for which its sides differ, or why it is undecided.
    """

    claim: Claim
    verdict: str
    steps: tuple[str, ...]
    equations: int
    seconds: float
    detail: str = ""

    @property
    def proven(self) -> bool:
        """Whether it is proven."""
        return self.verdict == "proven"


_MOST_CASES = 4  # signs that are not stated, one after the other


def prove_claim(one: Claim) -> Proof:
    """Decide every equation of a claim; the first that is not proven is its verdict.

    Where the code looks at a sign that is not stated, both cases are decided, one after the other.
    """
    start = time.perf_counter()
    steps: dict[str, None] = {}
    verdict, count, detail = _decide(one, steps, ())
    return Proof(one, verdict, tuple(steps), count, time.perf_counter() - start, detail)


def _decide(one: Claim, steps: dict[str, None], signs: tuple[Any, ...]) -> tuple[str, int, str]:
    """Return verdict, number of equations and detail, given the signs of the cases so far."""
    count = 0
    try:
        with assuming(*signs):
            for label, left, right in one.sides():
                decision = equal(left, right)
                steps |= dict.fromkeys(decision.steps)
                count += 1
                if decision.verdict != "proven":
                    return decision.verdict, count, f"{label.strip()}: {decision.witness}"
    except Undecided as error:
        if len(signs) == _MOST_CASES:
            return "undecided", count, str(error)
        steps["both cases"] = None
        for case in (error.expression, -error.expression):
            verdict, more, detail = _decide(one, steps, (*signs, case))
            count += more
            if verdict != "proven":
                return verdict, count, detail
        return "proven", count, ""
    except NotImplementedError as error:
        return "undecided", count, str(error)
    except Exception as error:  # whatever the code that is looked at raises on symbols is no proof of it
        return "undecided", count, f"{type(error).__name__}: {error}"
    return ("proven", count, "") if count else ("undecided", 0, "it has no equation")
