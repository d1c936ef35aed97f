"""The reference is evidence only as long as it is a second text."""

import ast
import json
import sys
from pathlib import Path

import blurcore_reference
import pytest
from blurcore_reference import oracle

FILES = [path for path in sorted(Path(blurcore_reference.__file__).parent.glob("*.py")) if path.name != "backend.py"]
ALLOWED = {"numpy", "scipy", "mpmath", "blurcore_reference"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_reference_imports_neither_the_core_nor_an_array_library(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            imported.add((node.module or "").split(".")[0])
    assert imported - ALLOWED <= sys.stdlib_module_names


def test_oracle_exports_what_it_lists():
    assert all(hasattr(oracle, name) for name in oracle.__all__)


def test_processes_are_read_from_json(process):
    again = json.loads(json.dumps(process))
    for left, right in zip(
        oracle.transition(again, 0.5, 0.4, (2, 3)), oracle.transition(process, 0.5, 0.4, (2, 3)), strict=True
    ):
        assert (left == right).all()
