"""Prove that a process is consistent for all times and eigenvalues, with SymPy, imported on the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blurcore.verify.prove import ProofReport


def prove_process(process: Any) -> ProofReport:
    r"""Prove what :func:`blurcore.testing.check_process` measures, from the process's own code run on symbols.

    - :math:`e^{l_t} = \alpha_t^2 / \sigma_t^2`, and differences are those of marginals;
    - drift and diffusion are :math:`d \log \alpha / dt` and :math:`-\sigma^2 dl / dt`;
    - hence transitions, two steps in one, and the step back by Bayes' rule.

    Parameters
    ----------
    process
        A frozen dataclass with noise, whose fields and whose schedules' are Python scalars: a subclass of
        :class:`blurcore.SpectralProcess`, or a process of the package with schedules of one's own. Its code computes with
        the namespace of its arrays and with Python's `math`.

    Returns
    -------
    ProofReport
        Every claim, with its proof.

    Raises
    ------
    AssertionError
        An identity is refuted, and the message has the numbers for which it fails; or it can be neither proven nor refuted.
    """
    from blurcore.verify.prove import prove_process as prove

    report = prove(process)
    failed = [f"{p.claim.name} is {p.verdict}: {p.detail}" for p in report.proofs if not p.proven]
    assert report.passed, "; ".join(failed)
    return report
