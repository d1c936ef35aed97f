"""Verification as a product: every identity of the mathematics, on every backend, device and dtype, with derived bounds.

``blurcore verify`` on the command line, :func:`verify` in Python::

    report = blurcore.verify.verify(quick=True)
    report.passed, report.rows, report.to_json()
"""

from blurcore.verify.identities import IDENTITIES
from blurcore.verify.identity import Identity
from blurcore.verify.precision import precision_table
from blurcore.verify.report import Report, Result, Row
from blurcore.verify.runner import verify, verify_backends

__all__ = ["IDENTITIES", "Identity", "Report", "Result", "Row", "precision_table", "verify", "verify_backends"]
