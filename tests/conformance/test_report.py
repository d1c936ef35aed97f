"""Reports of test cells, and what they are joined to: counts, reasons, failures side by side, tests that ran nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from blurcore.testing import matrix

SUITE = """
import os, pytest
LIBRARY = os.environ["LIBRARY"]

def test_good(): pass
def test_bad_in_torch(): assert LIBRARY != "torch", "no such <op>"
def test_bad_everywhere(): raise ValueError("\\x1b[31mred")
def test_skipped_in_torch():
    if LIBRARY == "torch": pytest.skip("torch cannot")
@pytest.mark.skip(reason="nobody can")
def test_skipped_everywhere(): pass
@pytest.mark.xfail(reason="not yet")
def test_expected(): assert False
@pytest.fixture
def broken(): yield; raise RuntimeError("teardown")
def test_broken_teardown(broken): pass
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reports of two cells, one of them by two workers of xdist."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "tests" / "area").mkdir(parents=True)
    (folder / "tests" / "area" / "test_it.py").write_text(SUITE, encoding="utf-8")
    whole = "import pytest\npytest.importorskip('no_such_library')\n"
    (folder / "tests" / "area" / "test_whole.py").write_text(whole, encoding="utf-8")
    for library, workers in (("numpy", "0"), ("torch", "2")):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-n", workers]
        command += [
            "--rootdir",
            ".",
            "-p",
            "blurcore.testing.matrix_report",
            "--report",
            f"reports/{library}.json",
            "tests",
        ]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "LIBRARY": library}, capture_output=True, text=True
        )
        assert done.returncode == 1, done.stdout + done.stderr
    return folder / "reports"


def read(folder: Path) -> list[matrix.Cell]:
    return [matrix.Cell.read(path) for path in sorted(folder.glob("*.json"))]


def test_cell_has_outcomes_reasons_seconds_and_versions(cells):
    numpy, torch = read(cells)
    assert numpy.counts("area") == {"passed": 3, "failed": 2, "skipped": 2, "xfailed": 1}
    assert torch.counts("area") == {"passed": 1, "failed": 3, "skipped": 3, "xfailed": 1}
    assert "teardown" in numpy.texts["tests/area/test_it.py::test_broken_teardown"]
    assert torch.texts["tests/area/test_it.py::test_skipped_in_torch"] == "torch cannot"
    assert "no_such_library" in torch.texts["tests/area/test_whole.py"]
    for cell in (numpy, torch):
        assert cell.versions["numpy"]
        assert cell.processor_s > 0
        assert len(cell.slowest) == 7


def test_failures_that_pass_elsewhere_come_first(cells):
    first, *others = matrix.failures(read(cells))
    assert first.endswith("test_bad_in_torch")
    assert [name.partition("::")[2] for name in others] == ["test_bad_everywhere", "test_broken_teardown"]


def test_joined_files_hold_every_cell_and_a_test_skipped_everywhere_fails(cells, capsys):
    assert matrix.main([str(cells), "--absent", "tests(core-3.99)", "no Python 3.99"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].partition("/area/")[2] for line in errors] == [
        "test_it.py::test_skipped_everywhere",
        "test_whole.py",
    ]
    text = (cells / "joined" / "matrix.md").read_text(encoding="utf-8")
    assert "| **3 failed**, 1 passed, 3 skipped, 1 expected to fail |" in text
    assert "- tests(core-3.99): no Python 3.99" in text
    assert "- torch: 1 x torch cannot" in text
    suites = ElementTree.parse(cells / "joined" / "matrix.xml").getroot()
    assert [(suite.get("name"), suite.get("failures")) for suite in suites] == [("numpy", "2"), ("torch", "3")]
    page = (cells / "joined" / "matrix.html").read_text(encoding="utf-8")
    assert "no such &lt;op&gt;" in page
    assert page.index("test_bad_in_torch") < page.index("test_bad_everywhere")
    assert json.loads((cells / "joined" / "summary.json").read_text(encoding="utf-8"))["cells"].keys() == {
        "numpy",
        "torch",
    }


def test_folder_without_reports_is_refused(tmp_path, capsys):
    assert matrix.main([str(tmp_path)]) == 2
    assert "no reports" in capsys.readouterr().err
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    assert matrix.main([str(tmp_path)]) == 2
    assert "format" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("test", "libraries"),
    [
        ("tests/core/test_x.py::test_y[torch-array_api_strict]", {"torch", "array_api_strict"}),
        ("tests/torch/test_x.py::test_y", {"torch"}),
        ("tests/core/test_x.py::TestJax::test_y", {"jax"}),
        ("tests/core/test_jax.py::test_torch[3]", set()),
        ("tests/core/test_x.py::test_y[blurcore_torch-my_jaxlib]", set()),
    ],
)
def test_libraries_are_read_from_parameters_and_folder(test, libraries):
    assert matrix.libraries_of(test) == libraries
