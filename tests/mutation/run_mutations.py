"""Break blurcore in many places, one at a time, and show that the tests notice every one.

    python tests/mutation/run_mutations.py                 all, two at a time
    python tests/mutation/run_mutations.py --list          what there is
    python tests/mutation/run_mutations.py --only 7 23     these alone
    python tests/mutation/run_mutations.py --jobs 8

Exit code: 0 all noticed, 1 one survived or could not be applied, 2 the tests fail without any mutant.

Why a script and not mutmut: mutmut changes tokens, thousands of them here. Half of the mutants are equivalent, for a
formula has many spellings (`<` for `<=` at a time that is never hit, 32 for 33 nodes of a quadrature), and an hour of
running ends in a list that somebody has to judge. These are the mistakes that are made with these formulas (SPEC 10 has
those that were seen), each has a name, and none may survive.

Two lists: mutants.toml breaks the core's mathematics, whose text is the same for every library, and is judged by the core's
tests on NumPy alone; machinery.toml breaks training, runs, data, the command line and both backends, and each of its mutants
names the few tests that judge it.

Every mutant lives in a copy of the repository in a temporary directory; the working tree is only read.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("blurcore", "backends", "configs", "examples", "reference", "tests")
FILES = ("pyproject.toml", "README.md")
LIKELY = {
    "transforms.py": ("tests/core/test_transforms.py", "tests/properties/test_transforms.py"),
    "_arrays/products.py": ("tests/core/test_transforms.py",),
    "_arrays/cosine.py": ("tests/core/test_transforms.py",),
    "_arrays/fourier.py": ("tests/core/test_transforms.py",),
    "_arrays/constants.py": ("tests/core/test_constants.py",),
    "schedules.py": ("tests/core/test_schedules.py", "tests/properties/test_coefficients.py"),
    "processes/spectral.py": ("tests/core/test_spectral.py",),
    "processes": ("tests/core/test_processes.py", "tests/properties/test_coefficients.py"),
    "diffusion.py": ("tests/core/test_diffusion.py", "tests/properties/test_coefficients.py"),
    "prediction.py": ("tests/core/test_prediction.py", "tests/properties/test_prediction.py"),
    "losses.py": ("tests/core/test_losses.py",),
    "samplers": ("tests/core/test_samplers.py",),
    "oracle.py": ("tests/samplers/test_oracle.py",),
    "objectives.py": ("tests/core/test_objectives.py",),
    "likelihood.py": ("tests/core/test_likelihood.py",),
    "metrics": ("tests/metrics",),
    "_arrays": ("tests/core/test_arrays.py", "tests/core/test_diffusion.py"),
}
"""Tests that are likely to notice a mutant of the core, by the first part of its file's path in blurcore/: they run first."""
EVERYTHING = ("tests/core", "tests/properties", "tests/samplers", "tests/metrics")
TIMEOUT = 600


class Mutant(NamedTuple):
    """One change of one file, relative to the repository's root, what it breaks, and which tests judge it on which libraries."""

    file: str
    breaks: str
    old: str
    new: str
    tests: tuple[str, ...]
    libraries: str


def read(name: str) -> list[dict[str, Any]]:
    """Return the entries of a list beside this file."""
    entries: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))["mutants"]
    return entries


def of_core(file: str, **text: str) -> Mutant:
    """Return a mutant of mutants.toml, whose files are relative to blurcore/."""
    likely = LIKELY.get(file, LIKELY.get(file.partition("/")[0], ()))
    return Mutant(f"blurcore/{file}", **text, tests=(*likely, *EVERYTHING), libraries="numpy")


def of_machinery(file: str, tests: list[str], **text: str) -> Mutant:
    """Return a mutant of machinery.toml: JAX compiles for seconds, so that it is there for its own mutants alone."""
    of_jax = file.startswith("backends/blurcore_jax/") or any("[jax" in test for test in tests)
    libraries = "numpy,torch,jax" if of_jax else "numpy,torch"
    return Mutant(file, **text, tests=tuple(tests), libraries=libraries)


MUTANTS = (*(of_core(**one) for one in read("mutants.toml")), *(of_machinery(**one) for one in read("machinery.toml")))
"""All of them, numbered from 1."""


class Outcome(NamedTuple):
    """What became of a mutant."""

    killed: bool
    by: str
    seconds: float


def copy_repository(to: Path) -> None:
    """Copy what the tests need."""
    for folder in COPIED:
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, to / file)


def apply(mutant: Mutant, root: Path) -> None:
    """Change the file under `root`; refuse a text that does not occur exactly once."""
    path = root / mutant.file
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file} has {source.count(mutant.old)} times, not once: {mutant.old!r}")
    path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")


def environment(root: Path, libraries: str) -> dict[str, str]:
    """Return an environment in which Python takes the copy's own packages, and hypothesis draws what it draws in CI."""
    paths = [str(root), str(root / "backends"), str(root / "reference")]
    kept = {name: value for name, value in os.environ.items() if name != "BLURCORE_HYPOTHESIS"}
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BLURCORE_TEST_LIBRARIES": libraries,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def run_tests(root: Path, tests: tuple[str, ...], libraries: str, timeout: int) -> str | None:
    """Run pytest in a copy, for so many seconds at most, and return what failed first, or None."""
    options: dict[str, Any] = {
        "cwd": root,
        "env": environment(root, libraries),
        "check": False,
        "capture_output": True,
        "text": True,
        "timeout": timeout,
    }
    probe = subprocess.run([sys.executable, "-c", "import blurcore; print(blurcore.__file__)"], **options)
    if probe.returncode:
        return "import blurcore"
    if not probe.stdout.startswith(str(root)):
        raise RuntimeError(f"blurcore is imported from {probe.stdout.strip()}, not from the copy {root}")
    everything = tests[-len(EVERYTHING) :] == EVERYTHING  # tests that a mutant names are run, whatever they are marked
    marked = "not slow and not nightly" if everything else ""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", marked, "-p", "no:cacheprovider", "--tb=no", *tests]
    done = subprocess.run(command, **options)
    if done.returncode == 0:
        return None if everything or " skipped" not in done.stdout else "a test that judges a mutant is skipped"
    if done.returncode == 4 and "while loading conftest" in done.stderr:  # it makes the processes to be tested
        return "conftest.py"
    if done.returncode not in (1, 2):  # 1: a test failed; 2: a module could not be collected
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return noticed(done.stdout)


def noticed(output: str) -> str:
    """Return which test failed, from pytest's summary."""
    found = re.search(r"^(?:FAILED|ERROR) (\S+?)(?:\[| |$)", output, re.MULTILINE)
    return found.group(1).removeprefix("tests/") if found else "collection"


def judge(mutant: Mutant | None, tests: tuple[str, ...], libraries: str) -> Outcome:
    """Run tests on a copy with a mutant, or without one."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = Path(folder).resolve() / "copy"
        copy_repository(root)
        if mutant is not None:
            apply(mutant, root)
        try:
            by = run_tests(root, tests, libraries, TIMEOUT if mutant is not None else 6 * TIMEOUT)
        except subprocess.TimeoutExpired:
            by = "timeout"
    return Outcome(by is not None, by or "", time.perf_counter() - start)


def judge_unchanged(numbers: list[int]) -> Outcome:
    """Run, without any mutant, all tests that some mutants are judged by: what fails anyway notices nothing."""
    start, wanted = time.perf_counter(), {}
    for mutant in (MUTANTS[number - 1] for number in numbers):
        wanted.setdefault(mutant.libraries, {}).update(dict.fromkeys(mutant.tests))
    for libraries, tests in wanted.items():
        outcome = judge(None, tuple(tests), libraries)
        if outcome.killed:
            return outcome
    return Outcome(False, "", time.perf_counter() - start)


def show(number: int, mutant: Mutant, outcome: Outcome) -> None:
    """Print a line of the table."""
    state = "killed  " if outcome.killed else "SURVIVED"
    print(
        f"{number:>4}  {state}  {outcome.seconds:5.1f} s  {mutant.file:<36} {mutant.breaks:<60} {outcome.by}",
        flush=True,
    )


def run(numbers: list[int], jobs: int, report: Callable[[int, Mutant, Outcome], None] = show) -> list[int]:
    """Judge mutants by number and return those that survived."""
    survived = []
    with ThreadPoolExecutor(jobs) as pool:
        mutants = {i: MUTANTS[i - 1] for i in numbers}
        futures = {pool.submit(judge, mutant, mutant.tests, mutant.libraries): i for i, mutant in mutants.items()}
        for future in as_completed(futures):
            try:
                outcome = future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            report(futures[future], MUTANTS[futures[future] - 1], outcome)
            if not outcome.killed:
                survived.append(futures[future])
    return sorted(survived)


def main(argv: list[str] | None = None) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="run these mutants alone")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many at a time (default: 2)")
    arguments = parser.parse_args(argv)
    numbers = arguments.only or list(range(1, len(MUTANTS) + 1))
    if not all(1 <= number <= len(MUTANTS) for number in numbers) or arguments.jobs < 1:
        parser.error(f"mutants are numbered 1 .. {len(MUTANTS)}, and jobs are at least 1")
    if arguments.list:
        for number in numbers:
            mutant = MUTANTS[number - 1]
            print(f"{number:>4}  {mutant.file:<36} {mutant.breaks}\n        - {mutant.old!r}\n        + {mutant.new!r}")
        return 0
    for number in numbers:  # before any work: the list may have rotted
        mutant = MUTANTS[number - 1]
        count = (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if count != 1:
            print(f"mutant {number}: its text occurs {count} times in {mutant.file}")
            return 1
    start = time.perf_counter()
    sane = judge_unchanged(numbers)
    if sane.killed:
        print(f"the tests fail without any mutant: {sane.by}", file=sys.stderr)
        return 2
    print(f"the unchanged copy passes ({sane.seconds:.0f} s)", flush=True)
    survived = run(numbers, arguments.jobs)
    print(f"{len(numbers) - len(survived)} of {len(numbers)} mutants killed in {time.perf_counter() - start:.0f} s")
    if survived:
        print(f"survived: {', '.join(map(str, survived))}")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
