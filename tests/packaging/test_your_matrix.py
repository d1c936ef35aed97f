"""The page on a matrix of one's own is run: its project, with the plug-in, on the libraries that are there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "own_project"
PAGE = (ROOT / "docs" / "your_matrix.md").read_text(encoding="utf-8")


def pytest_in_project(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_project_passes_on_the_libraries_of_its_cell(torch: Any) -> None:
    done = pytest_in_project(BLURCORE_TEST_LIBRARIES="numpy,torch")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^blurcore: contract \d+, backends numpy, torch$", done.stdout, re.MULTILINE)
    assert "4 passed" in done.stdout


def test_library_that_is_asked_for_and_missing_is_an_error() -> None:
    done = pytest_in_project(BLURCORE_TEST_LIBRARIES="numpy,abacus")
    assert done.returncode == 4
    assert "BLURCORE_TEST_LIBRARIES names 'abacus': backend 'abacus' is unknown" in done.stderr


def test_page_shows_the_files_of_the_project() -> None:
    shown = re.findall(r"```\{literalinclude\} (\S+)", PAGE)
    assert shown
    assert all((ROOT / "docs" / file).is_file() for file in shown)
    assert len((PROJECT / "noxfile.py").read_text(encoding="utf-8").splitlines()) <= 20


def test_every_command_line_of_the_page_is_one() -> None:
    lines = re.findall(r"^python -m blurcore\.testing (.*?)(?:\s+#.*)?$", PAGE, re.MULTILINE)
    assert lines
    helped = subprocess.run(
        [sys.executable, "-m", "blurcore.testing", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for flag in re.findall(r"--\w+", " ".join(lines)):
        assert flag in helped


def test_noxfile_has_a_cell_for_each_python_and_library() -> None:
    pytest.importorskip("nox")
    done = subprocess.run(
        [sys.executable, "-m", "nox", "-f", str(PROJECT / "noxfile.py"), "-l", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    cells = [(session["python"], session["call_spec"]["cell"]) for session in json.loads(done.stdout)]
    assert len(cells) == len(set(cells)) == 9
