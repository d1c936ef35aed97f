"""The report as one self-contained page: plots as inline SVG, no script, nothing fetched."""

from __future__ import annotations

import math
from html import escape

from blurcore.verify.report import Report, Result
from blurcore.verify.text import by_identity, number, place

COLOURS = ("#3366aa", "#cc5533", "#338855", "#884499", "#997700", "#446677")
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; vertical-align: top; }
tr { border-bottom: 1px solid #8884; } td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.ok { color: #2a8a4a; } .bad { color: #c33; font-weight: bold; } details { color: #777; }
pre { white-space: pre-wrap; font: inherit; margin: .3rem 0; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
"""


def _logarithm(value: float, low: float) -> float:
    return max(low, math.log10(value)) if value > 0 else low


def _colours(report: Report) -> dict[str, str]:
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(report.descriptions)}


def _legend(report: Report, x: float, y: float) -> str:
    parts = []
    for i, (name, colour) in enumerate(_colours(report).items()):
        parts.append(
            f'<circle cx="{x + 110 * i}" cy="{y - 4}" r="4" fill="{colour}"/>'
            f'<text x="{x + 8 + 110 * i}" y="{y}">{escape(name)}</text>'
        )
    return "".join(parts)


def strips(report: Report) -> str:
    """Return a strip for each identity: a dot for each check at error / bound, with the bound as a line."""
    low, high, left, right, row = -6.0, 1.0, 310, 900, 22
    names = list(dict.fromkeys(r.identity.name for r in report.results))
    height = row * len(names) + 60
    colours = _colours(report)

    def x_of(r: Result) -> float:
        ratio = r.ratio if math.isfinite(r.ratio) else 10.0
        return left + (min(_logarithm(ratio, low), high) - low) / (high - low) * (right - left)

    parts = [f'<svg viewBox="0 0 920 {height}" role="img" aria-label="error relative to bound, for each identity">']
    for power in range(int(low), int(high) + 1):
        x = left + (power - low) / (high - low) * (right - left)
        line = 'stroke="#c33" stroke-width="2"' if power == 0 else 'stroke="#8885"'
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="20" y2="{height - 36}" {line}/>')
        parts.append(f'<text x="{x:.1f}" y="14" text-anchor="middle">{"bound" if power == 0 else f"1e{power}"}</text>')
    for i, name in enumerate(names):
        y = 34 + row * i
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        order = list(colours)
        dots = sorted({(round(x_of(r), 0), r.backend) for r in report.results if r.identity.name == name})
        parts += [
            f'<circle cx="{x:.0f}" cy="{y + 3 * (order.index(b) - (len(order) - 1) / 2):.1f}" r="2.5" fill="{colours[b]}" opacity=".7"/>'
            for x, b in dots
        ]
    parts.append(_legend(report, left, height - 12) + "</svg>")
    return "".join(parts)


def scatter(report: Report) -> str:
    """Return error against bound, a dot for each check; the diagonal is where rounding could reach."""
    low, high, size, margin = -18.0, 0.0, 420, 50
    colours = _colours(report)

    def at(value: float) -> float:
        return margin + (min(_logarithm(value, low), high) - low) / (high - low) * size

    total = size + 2 * margin
    parts = [
        f'<svg viewBox="0 0 {total + 160} {total}" role="img" aria-label="error against bound" style="max-width: 44rem">'
    ]
    for power in range(int(low), int(high) + 1, 3):
        p = at(10.0**power)
        parts.append(f'<line x1="{p:.1f}" x2="{p:.1f}" y1="{margin}" y2="{margin + size}" stroke="#8884"/>')
        parts.append(
            f'<line y1="{total - p:.1f}" y2="{total - p:.1f}" x1="{margin}" x2="{margin + size}" stroke="#8884"/>'
        )
        parts.append(f'<text x="{p:.1f}" y="{margin + size + 18}" text-anchor="middle">1e{power}</text>')
        parts.append(f'<text x="{margin - 6}" y="{total - p + 4:.1f}" text-anchor="end">1e{power}</text>')
    parts.append(
        f'<line x1="{margin}" y1="{margin + size}" x2="{margin + size}" y2="{margin}" stroke="#c33" stroke-width="2"/>'
        f'<text x="{margin + size / 2}" y="{total - 8}" text-anchor="middle">bound</text>'
        f'<text x="8" y="{margin - 14}">error (0 is drawn at the bottom)</text>'
    )
    dots = {
        (round(at(r.bound)), round(at(r.error) if math.isfinite(r.error) else margin + size), r.backend)
        for r in report.results
    }
    parts += [
        f'<circle cx="{x}" cy="{total - y}" r="2.5" fill="{colours[b]}" opacity=".6"/>' for x, y, b in sorted(dots)
    ]
    for i, (name, colour) in enumerate(colours.items()):
        parts.append(
            f'<circle cx="{total}" cy="{margin + 20 * i}" r="4" fill="{colour}"/>'
            f'<text x="{total + 10}" y="{margin + 4 + 20 * i}">{escape(name)}</text>'
        )
    return "".join(parts) + "</svg>"


def render(report: Report) -> str:
    """Return the page."""
    rows = []
    for row in by_identity(report):
        worst = row.worst
        state = '<span class="ok">passed</span>' if row.passed else f'<span class="bad">{row.failed} failed</span>'
        why = f"<details><summary>how the bound is derived</summary><pre>{escape(worst.identity.why)}</pre></details>"
        rows.append(
            f"<tr><td><b>{escape(worst.identity.name)}</b><br><code>{escape(worst.identity.statement)}</code>{why}</td>"
            f"<td>{escape(worst.identity.source)}</td><td class=n>{number(worst.error)}</td><td class=n>{number(worst.bound)}</td>"
            f"<td>{escape(place(worst))}</td><td class=n>{row.cells}</td><td>{state}</td></tr>"
        )
    failures = "".join(
        f"<li><b>{escape(f.identity.name)}</b>, {escape(place(f))}: "
        f"{escape(f.detail or f'error {number(f.error)}, bound {number(f.bound)}')}</li>"
        for f in report.failures
    )
    failed = f'<h2 class="bad">Failures</h2><ul>{failures}</ul>' if failures else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>blurcore verify</title><style>{STYLE}</style></head><body><h1>blurcore verify</h1>"
        f"<p>{escape(report.summary)}. Seed {report.seed}{', quick set' if report.quick else ''}.</p>{failed}"
        f"<h2>Error relative to bound</h2><p>One dot for each backend, dtype, grid and process. The bounds are derived from the"
        f" precision of the dtype and the condition of each formula; right of the line fails.</p>{strips(report)}"
        f"<h2>Error against bound</h2>{scatter(report)}<h2>Identities</h2><table><tr><th>identity</th><th>source</th>"
        f"<th>largest error</th><th>its bound</th><th>where</th><th>checks</th><th></th></tr>{''.join(rows)}</table></body></html>\n"
    )
