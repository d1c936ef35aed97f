"""The report of all proofs, as text, JSON and a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import Any

from blurcore.verify.html import STYLE
from blurcore.verify.prove.claim import Proof
from blurcore.verify.text import new_table, printed

LIMITS = (
    "A proof is about the formulas that the shipped code makes of symbols, in exact numbers: a constant in the code stands"
    " for the simplest fraction, or multiple of pi, that rounds to it. It says nothing about rounding, which"
    " `blurcore verify` measures and `--precision` compares with 50 digits, nor about other array libraries. Where a proof"
    " took both cases of a sign, it took > 0 and < 0."
)
"""What a proof does not cover."""
COLOURS = {"proven": "green", "refuted": "bold red", "undecided": "bold yellow"}


@dataclass(frozen=True)
class ProofReport:
    """All proofs."""

    proofs: tuple[Proof, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether there are claims and all of them are proven."""
        return bool(self.proofs) and all(proof.proven for proof in self.proofs)

    @property
    def summary(self) -> str:
        """One line for people."""
        equations = sum(proof.equations for proof in self.proofs)
        open_ones = [p.verdict for p in self.proofs if not p.proven]
        counts = ", ".join(f"{open_ones.count(v)} {v.upper()}" for v in ("refuted", "undecided") if v in open_ones)
        return f"{len(self.proofs)} claims, {equations} equations: {counts or 'all proven'} in {self.seconds:.1f} s"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "not_covered": LIMITS,
            "proofs": [
                {
                    "claim": p.claim.name,
                    "statement": p.claim.statement,
                    "source": p.claim.source,
                    "for_all": p.claim.for_all,
                    "assumptions": p.claim.assumptions,
                    "verdict": p.verdict,
                    "steps": list(p.steps),
                    "equations": p.equations,
                    "seconds": round(p.seconds, 3),
                    "detail": p.detail,
                }
                for p in self.proofs
            ],
        }

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(self.to_dict(), indent=1)

    def to_text(self, *, terminal: bool = False) -> str:
        """Return the report for people; `terminal` as for :func:`blurcore.verify.text.render`."""
        return printed(self._print, terminal=terminal)

    def _print(self, console: Any) -> None:
        from rich.text import Text

        table = new_table("Claims: what the shipped code makes of symbols")
        for name in ("claim", "for all", "assuming", "steps"):
            table.add_column(name, overflow="fold")
        table.add_column("seconds", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for p in self.proofs:
            title = Text.assemble((p.claim.name, "bold"), f"\n{p.claim.statement}\n{p.claim.source}")
            table.add_row(
                title,
                Text(p.claim.for_all),
                Text(p.claim.assumptions),
                Text(", ".join(p.steps)),
                Text(f"{p.seconds:.2f}"),
                Text(p.verdict, COLOURS[p.verdict]),
            )
        console.print(table)
        for p in self.proofs:
            if not p.proven:
                console.print(Text(f"{p.verdict.upper()} {p.claim.name}: {p.detail}"))
        console.print(Text(LIMITS))
        console.print(Text(self.summary))

    def to_html(self) -> str:
        """Return one self-contained page."""
        rows = "".join(
            f"<tr><td><b>{escape(p.claim.name)}</b><br><code>{escape(p.claim.statement)}</code></td>"
            f"<td>{escape(p.claim.source)}</td><td>{escape(p.claim.for_all)}</td><td>{escape(p.claim.assumptions)}</td>"
            f"<td>{escape(', '.join(p.steps))}</td><td class=n>{p.equations}</td><td class=n>{p.seconds:.2f}</td>"
            f'<td><span class="{"ok" if p.proven else "bad"}">{p.verdict}</span><br>{escape(p.detail)}</td></tr>'
            for p in self.proofs
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>blurcore verify --prove</title><style>{STYLE}</style></head><body><h1>blurcore verify --prove</h1>"
            f"<p>{escape(self.summary)}. {escape(LIMITS)}</p><table><tr><th>claim</th><th>source</th><th>for all</th>"
            "<th>assuming</th><th>steps</th><th>equations</th><th>seconds</th><th></th></tr>"
            f"{rows}</table></body></html>\n"
        )
