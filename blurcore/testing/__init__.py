"""Shipped with the package for those who extend it: assertions, hypothesis strategies, and tests of a process of one's own."""

from blurcore.testing.process import check_process

__all__ = ["check_process"]
