"""Shipped with the package for those who extend it: checks of a process, a solver and a backend of one's own, strategies."""

from blurcore.testing.process import check_process
from blurcore.testing.solver import check_solver

__all__ = ["check_process", "check_solver"]
