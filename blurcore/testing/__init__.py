"""Checks for users' own processes, solvers, backends and implementations."""

from blurcore.testing.process import check_process
from blurcore.testing.proof import prove_process
from blurcore.testing.solver import check_solver
from blurcore.verify.against.check import check_implementation

__all__ = ["check_implementation", "check_process", "check_solver", "prove_process"]
