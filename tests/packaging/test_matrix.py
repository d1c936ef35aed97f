"""The matrix says the truth: a missing interpreter, a cell that is left out, what the workflow runs, what guards a run."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
nox = pytest.importorskip("nox", reason="nox, which runs the matrix, is not installed (extra dev)")
cells_of = runpy.run_path(str(ROOT / ".ci" / "cells.py"))["cells"]


def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Call nox where one Python alone can be found: the one that runs these tests, by another name than any of the matrix."""
    clean = {key: value for key, value in os.environ.items() if key not in ("CI", "NOXSESSION", "PYTHONPATH")}
    command = [sys.executable, "-m", "nox", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**clean, "NO_COLOR": "1", **env}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def sessions() -> list[dict]:
    """All sessions of `nox -t full`, as nox lists them."""
    return json.loads(call("-l", "-t", "full", "--json").stdout)


def test_every_cell_is_listed_whatever_this_machine_has(sessions):
    names = {session["session"] for session in sessions}
    for cell in ("core-3.11", "core-3.14", "jax-3.13", "torch-3.12", "both-3.11"):
        assert f"tests({cell})" in names
    assert {
        "floors",
        "newest",
        "prerelease",
        "random_order",
        "no_network",
        "warnings",
        "nightly",
        "device",
        "jit",
        "runtime_types",
    } <= names
    assert {"lint", "types", "demo", "bench", "build", "docs", "mutation", "report"} <= names


def test_workflow_runs_all_but_the_weekly_cells_on_a_push(sessions):
    everything = {session["session"] for session in sessions} - {"report", "libraries"}
    assert set(cells_of(sessions, "schedule")) == everything
    weekly = everything - set(cells_of(sessions, "push"))
    assert {"mutation", "bench", "nightly"} <= weekly
    assert not any(name.startswith("tests(") for name in weekly)


# Nox also finds the Python that it runs on, whatever PATH says: these tests ask for another one.
MISSING = "3.12" if sys.version_info[:2] != (3, 12) else "3.13"


def test_named_cell_without_its_interpreter_is_an_error(tmp_path):
    done = call("-s", f"tests(core-{MISSING})", "--envdir", str(tmp_path), PATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert f"{MISSING} not found" in done.stderr


def test_cells_that_cannot_run_here_close_the_output_with_the_reason(tmp_path):
    shim = tmp_path / f"python{MISSING}"  # of a version manager, with nothing behind it
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    lines = call("-t", MISSING, PATH=str(tmp_path)).stderr.splitlines()
    cells = [f"tests({cell}-{MISSING})" for cell in ("core", "torch", "jax", "both")]
    assert [line.split(": ")[:2] for line in lines[-4:]] == [["not run here", cell] for cell in cells]
    assert [f"no Python {MISSING}" in line for line in lines[-4:]] == [True, False, True, False]


def test_missing_interpreter_is_red_in_ci(tmp_path):
    done = call("-t", MISSING, "--envdir", str(tmp_path), PATH=str(tmp_path), CI="1")
    assert done.returncode == 1
    for cell in ("core", "jax"):
        assert f"tests({cell}-{MISSING}) failed: Python interpreter {MISSING} not found" in done.stderr


@pytest.mark.parametrize(
    ("guard", "code", "problem"),
    [
        ("network", "import socket; socket.create_connection(('192.0.2.1', 9), timeout=1)", "another machine"),
        ("network", "import socket; socket.getaddrinfo('blurcore.invalid', 80)", "another machine"),
        (
            "network",
            "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())",
            None,
        ),
        (
            "warnings",
            "import warnings; warnings.warn_explicit('x', UserWarning, 'f', 1, module='blurcore_jax.run')",
            "UserWarning",
        ),
        ("warnings", "import warnings; warnings.warn_explicit('x', UserWarning, 'f', 1, module='blurcorex')", None),
        ("types", "import blurcore; blurcore.log_snr(blurcore.GaussianDiffusion(), 0.5, shape=[4])", "is not a tuple"),
        ("types", "import blurcore; blurcore.log_snr(blurcore.GaussianDiffusion(), 0.5, shape=(4,))", None),
    ],
)
def test_guard_holds_in_programs_that_tests_start(guard, code, problem):
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "guard"), "BLURCORE_GUARD": guard}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode == 0) == (problem is None), done.stderr
    assert (problem or "") in done.stderr


def test_pre_commit_runs_what_nox_runs():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert [line.split(": ")[1] for line in text.splitlines() if "entry:" in line] == ["nox -s lint"]


def test_table_of_what_runs_where_counts_tests_by_place_and_library_and_the_readme_has_it():
    where = runpy.run_path(str(ROOT / "docs" / "what_runs_where.py"))
    summary = {"files": {"tests/jax/test_devices.py": {"jax": 2}, "tests/core/test_x.py": {"numpy": 1200, "jax": 1}}}
    rows = where["table"](summary).splitlines()
    assert "| several devices, several processes |  |  | 2 |  |" in rows
    assert sum("| 1,200 |  | 1 |  |" in row for row in rows) == 1
    places = [place for row in where["ROWS"].values() for place in row]
    assert [place for place in places if not list((ROOT / "tests").glob(f"{place}*"))] == []
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert where["table"](summary) in where["written"](readme, summary)
    if where["SUMMARY"].exists():  # the numbers of the last full run
        assert where["written"](readme, json.loads(where["SUMMARY"].read_text(encoding="utf-8"))) == readme


def test_links_inside_the_site_are_followed(tmp_path):
    broken = runpy.run_path(str(ROOT / "docs" / "links.py"))["broken"]
    links = ("b.html#here", "#top", "https://example.org/x", "b.html#gone", "c.html", "b.html")
    (tmp_path / "a.html").write_text("".join(f'<a href="{link}">x</a>' for link in links), encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="here">', encoding="utf-8")
    assert [(str(page), link) for page, link in broken(tmp_path)] == [("a.html", "b.html#gone"), ("a.html", "c.html")]
