"""The truth in 50 digits, certified: the reference's formulas in ball arithmetic enclose what mpmath makes of them.

mpmath rounds each operation to 50 digits and does not say how many are left after a difference; Arb (python-flint) carries a rigorous
radius through the same code. In a million steps the differences of the posterior cost about 12 of them: 35 are shown to be right
everywhere, where float64 has 16.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import mpmath
import pytest
from blurcore_reference import precise

import blurcore as bc

flint = pytest.importorskip("flint", reason="python-flint is not installed")

DIGITS = 35
PROCESSES = {
    "blurring": bc.BlurringDiffusion(),
    "betas": bc.BlurringDiffusion(noise=bc.LinearBeta(), blur=bc.Sin()),
    "clipped far": bc.BlurringDiffusion(
        noise=bc.CosineLogSNR(log_snr_min=-20.0, log_snr_max=20.0), blur=bc.LogLinear()
    ),
    "heat": bc.HeatDissipation(),
}


def ball(value: object) -> flint.arb:
    """Return the ball of a float at face value, of a whole number, or of an mpf."""
    if isinstance(value, flint.arb):
        return value
    if isinstance(value, mpmath.mpf):
        sign, mantissa, exponent, _ = value._mpf_
        return flint.arb((-1) ** sign * int(mantissa)) * flint.arb(2) ** int(exponent)
    return flint.arb(value)


@contextmanager
def balls(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the reference compute with balls of 400 bits."""
    functions = {
        name: lambda x, name=name: getattr(ball(x), name)()
        for name in ("exp", "log", "sqrt", "atan", "tan", "sin", "expm1")
    }
    context = SimpleNamespace(
        **functions, pi=None, factorial=math.factorial, workdps=lambda digits: flint.ctx.workprec(400)
    )
    with flint.ctx.workprec(400), monkeypatch.context() as patch:
        context.pi = flint.arb.pi()
        patch.setattr(precise, "mpmath", context)
        patch.setattr(precise, "mpf", ball)
        patch.setattr(precise, "_scalars", precise._scalars.__wrapped__)
        yield


@pytest.mark.parametrize("steps", [10, 10**6])
@pytest.mark.parametrize("name", PROCESSES)
def test_fifty_digits_lie_in_certified_enclosures(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    process = bc.to_dict(PROCESSES[name])
    for k in (1, 2, steps // 2, steps - 1, steps):
        t, s = k / steps, (k - 1) / steps
        calls = ((precise.marginal, (t,)), (precise.transition, (t, s)), (precise.posterior, (t, s)))
        for index in ((0, 0), (0, 1), (7, 3), (31, 31)):
            at = precise.eigenvalue("DCT", index, (32, 32))
            truths = [value for of, times in calls for value in of(process, *times, at)]
            with balls(monkeypatch):
                at = precise.eigenvalue("DCT", index, (32, 32))
                enclosures = [value for of, times in calls for value in of(process, *times, at)]
                for truth, enclosure in zip(truths, enclosures, strict=True):
                    gap = abs(ball(truth) - enclosure)
                    nothing = (
                        enclosure.contains(0) and gap < 1e-45
                    )  # where nothing is left, as of a frequency that gets no noise
                    assert gap <= abs(enclosure) * flint.arb(10) ** -DIGITS or nothing, (k, index, truth, enclosure)
