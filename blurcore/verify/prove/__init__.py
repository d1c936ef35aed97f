"""Proofs: the functions that ship, run on symbols, and the formulas that come out proven equal for all values.

``blurcore verify --prove`` on the command line, :func:`prove` in Python; :func:`prove_process` for a process of one's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from blurcore.verify.prove import basis_claims, process_claims, restriction_claims, schedule_claims, solver_claims
from blurcore.verify.prove.abstract import ORDERED, AnyMarginals, symbolic_process
from blurcore.verify.prove.claim import Claim, Pair, Proof, claim, prove_claim
from blurcore.verify.prove.summary import ProofReport
from blurcore.verify.prove.symbolic import assuming

__all__ = ["CLAIMS", "Claim", "Pair", "Proof", "ProofReport", "claim", "prove", "prove_process"]

CLAIMS: tuple[Claim, ...] = (
    *basis_claims.CLAIMS,
    *process_claims.CLAIMS,
    *schedule_claims.CLAIMS,
    *solver_claims.CLAIMS,
    *restriction_claims.CLAIMS,
)
"""Everything that is claimed of the package, in the order of the specification."""


def prove(claims: Iterable[Claim] = CLAIMS, progress: Callable[[int, int, str], None] | None = None) -> ProofReport:
    """Prove claims.

    Parameters
    ----------
    claims
        Which; all of the package's where not given.
    progress
        Called with (claims done, claims in all, which is next), for a progress bar.
    """
    start = time.perf_counter()
    claims, proofs = tuple(claims), []
    for i, one in enumerate(claims):
        if progress is not None:
            progress(i, len(claims), one.name)
        proofs.append(prove_claim(one))
    if progress is not None:
        progress(len(claims), len(claims), "done")
    return ProofReport(tuple(proofs), time.perf_counter() - start)


_OF_PROCESS: tuple[tuple[str, str, str, Callable[[Any], Iterator[Pair]], bool], ...] = (
    ("log-SNR", "e^(l_t) = alpha_t^2 / sigma_t^2", "SPEC 2", process_claims.of_marginal, True),
    ("differences", "those of the marginals", "SPEC 4", process_claims.of_difference, True),
    ("SDE", "the derivative of the marginal", "SPEC 6", process_claims.of_sde, True),
    ("transition", "leads from marginal to marginal", "SPEC 3", process_claims.of_transition, False),
    ("Chapman-Kolmogorov", "two steps are one", "SPEC 3", process_claims.of_semigroup, False),
    ("posterior", "is Bayes'", "SPEC 4", process_claims.of_posterior, False),
)
"""What is proven of a process: by its own formulas, or, the differences being proven, for any with such differences."""


def prove_process(process: Any) -> ProofReport:
    """Prove a process consistent, its settings as they are, for all times and eigenvalues.

    Parameters
    ----------
    process
        A frozen dataclass with noise, whose fields and whose schedules' are Python scalars or such dataclasses: a subclass of
        :class:`blurcore.SpectralProcess`, or a process of the package with schedules of one's own. Its code computes with the
        namespace of its arrays and Python's `math`.
    """
    made = symbolic_process(process)

    def stated(of: Callable[[Any], Iterator[Pair]], own: bool) -> Callable[[], Iterator[Pair]]:
        def sides() -> Iterator[Pair]:
            with assuming(*ORDERED):
                yield from of(made if own else AnyMarginals())

        return sides

    return prove(
        Claim(
            name=f"{type(process).__name__}: {name}",
            statement=statement,
            source=source,
            for_all="all r, s, t, lambda",
            assumptions="0 < r < s < t < 1, lambda > 0" + ("" if own else ", and the differences"),
            sides=stated(of, own),
        )
        for name, statement, source, of, own in _OF_PROCESS
    )
