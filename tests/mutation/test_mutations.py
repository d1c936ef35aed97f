"""The lists of mutants do not rot: every one can be applied to the code as it is, is a program, and has the tests it names."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
CORE = ROOT / "blurcore"
MUTANTS = runpy.run_path(str(FOLDER / "run_mutations.py"))["MUTANTS"]


@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1))
def test_mutant_can_be_applied_and_compiles(number):
    mutant = MUTANTS[number - 1]
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1
    assert mutant.new != mutant.old
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
    for test in mutant.tests:
        file, *names = test.partition("[")[0].split("::")
        content = (ROOT / file).read_text(encoding="utf-8") if names else ""
        assert (ROOT / file).exists()
        assert all(re.search(rf"^ *(def|class) {name}\b", content, re.MULTILINE) for name in names), test


def test_mutants_are_many_distinct_and_in_every_module_that_computes():
    assert len(MUTANTS) >= 40
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.breaks) for mutant in MUTANTS}) == len(MUTANTS)
    wanted = {
        "transforms.py",
        "schedules.py",
        "diffusion.py",
        "prediction.py",
        "losses.py",
        "oracle.py",
        "_arrays/libraries.py",
    }
    wanted |= {"objectives.py", "likelihood.py"}
    for folder in ("processes", "samplers"):
        wanted |= {
            str(path.relative_to(CORE))
            for path in (CORE / folder).glob("*.py")
            if "return" in path.read_text(encoding="utf-8") and path.name != "__init__.py"
        }
    assert {f"blurcore/{name}" for name in wanted} <= {mutant.file for mutant in MUTANTS}


@pytest.mark.parametrize(
    "folder",
    [
        "blurcore/engine",
        "blurcore/runs",
        "blurcore/data",
        "blurcore/cli",
        "backends/blurcore_torch",
        "backends/blurcore_jax",
    ],
)
def test_machinery_has_mutants_everywhere(folder):
    assert sum(mutant.file.startswith(f"{folder}/") for mutant in MUTANTS) >= 5


def test_list_is_shown_without_running_anything():
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run_mutations.py"), "--list", "--only", "1", "2"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert MUTANTS[0].breaks in done.stdout
    assert MUTANTS[2].breaks not in done.stdout


def test_numbers_that_no_mutant_has_are_refused():
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run_mutations.py"), "--only", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 2
    assert "mutants are numbered 1" in done.stderr
