"""Is an implementation of somebody's own right? ``blurcore verify --against`` and `blurcore.testing.check_implementation`."""

from blurcore.verify.against.adapter import Adapter
from blurcore.verify.against.check import check_implementation
from blurcore.verify.against.findings import Answer, Failure, Report

__all__ = ["Adapter", "Answer", "Failure", "Report", "check_implementation"]
