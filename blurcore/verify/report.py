"""The results of a verification: one for each identity in each cell, and their summary."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from blurcore.verify.identity import Identity


class Result(NamedTuple):
    """One identity in one cell of the matrix."""

    identity: Identity
    backend: str
    device: str
    dtype: str
    shape: tuple[int, ...]
    process: str
    error: float
    bound: float
    passed: bool
    detail: str = ""

    @property
    def ratio(self) -> float:
        """Error / bound: how much of what rounding may do was used; above 1, or NaN, it failed."""
        if self.bound > 0:
            return self.error / self.bound
        return 0.0 if self.passed else math.inf


class Row(NamedTuple):
    """One identity on one backend, device and dtype: the cell that came closest to its bound."""

    worst: Result
    cells: int
    failed: int

    @property
    def passed(self) -> bool:
        """Whether every cell passed."""
        return self.failed == 0


@dataclass(frozen=True)
class Report:
    """All results."""

    results: tuple[Result, ...]
    descriptions: dict[str, str]
    seconds: float
    seed: int
    quick: bool

    @property
    def passed(self) -> bool:
        """Whether there are results and all of them passed."""
        return bool(self.results) and all(result.passed for result in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        """Return the results that did not pass."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return one row for each identity, backend, device and dtype."""
        groups: dict[tuple[str, str, str, str], list[Result]] = {}
        for result in self.results:
            groups.setdefault((result.identity.name, result.backend, result.device, result.dtype), []).append(result)
        return tuple(
            Row(
                max(group, key=lambda r: (not r.passed, math.inf if math.isnan(r.ratio) else r.ratio)),
                len(group),
                sum(not r.passed for r in group),
            )
            for group in groups.values()
        )

    @property
    def summary(self) -> str:
        """One line for people."""
        where = ", ".join(f"{name} ({text})" for name, text in self.descriptions.items())
        state = "all passed" if self.passed else f"{len(self.failures)} FAILED"
        names = len({result.identity.name for result in self.results})
        return f"{names} identities, {len(self.results)} checks on {where}: {state} in {self.seconds:.1f} s"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "passed": self.passed,
            "seed": self.seed,
            "quick": self.quick,
            "seconds": round(self.seconds, 3),
            "backends": self.descriptions,
            "identities": {
                one.name: {"statement": one.statement, "source": one.source, "bound": one.why}
                for one in dict.fromkeys(result.identity for result in self.results)
            },
            "results": [
                {
                    "identity": r.identity.name,
                    "statement": r.identity.statement,
                    "source": r.identity.source,
                    "backend": r.backend,
                    "device": r.device,
                    "dtype": r.dtype,
                    "shape": list(r.shape),
                    "process": r.process,
                    "error": _finite(r.error),
                    "bound": _finite(r.bound),
                    "passed": r.passed,
                    "detail": r.detail,
                }
                for r in self.results
            ],
        }

    def to_json(self) -> str:
        """Return the report as JSON; numbers that are not finite are strings."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_text(self, *, terminal: bool) -> str:
        """Return the report for people; see :func:`blurcore.verify.text.render`."""
        from blurcore.verify import text

        return text.render(self, terminal=terminal)

    def to_html(self) -> str:
        """Return one self-contained page with plots."""
        from blurcore.verify import html

        return html.render(self)


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
