"""The tasks of the project: `nox -l` lists them, `nox` runs the quick ones, `nox -t full` all, `nox -s NAME` one.

Examples::

    nox                              lint, types and the quick tests over all libraries
    nox -t full                      everything, and one report over all cells in reports/joined
    nox -s "tests(both-3.11)"        one cell: NumPy, PyTorch and JAX on Python 3.11
    nox -s tests -- -m "not slow"    arguments after -- go to pytest
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
# pip rather than uv: pip's own configuration may name a directory with a CPU build of torch, which the pin then takes.
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.download_python = "never"
nox.options.sessions = ["lint", "types", "quick"]
CORES = os.cpu_count() or 1
WORKERS = str(min(CORES, 4))  # processes of pytest; where there are cores for more, cells run beside each other
nox.options.parallel = max(1, CORES // 4)

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
CELLS = {
    "core": ((), "numpy,array_api_strict"),
    "torch": (("torch",), "numpy,array_api_strict,torch"),
    "jax": (("jax",), "numpy,array_api_strict,jax"),
    "both": (("torch", "jax"), "numpy,array_api_strict,torch,jax"),
}
DECLARED = [(cell, python) for cell in CELLS for python in PYTHONS if cell in ("core", "jax") or python != "3.14"]
REPORTS = Path("reports")
QUICK = ("core", "properties", "samplers", "reference", "statistics", "conformance", "data")
LIBRARIES = Path(".nox/libraries/bin/python")  # of the session `libraries`, whose environment several sessions share


def named() -> bool:
    """Return whether this call of nox names what to run: that must run, or fail."""
    options = ("-s", "-e", "-k", "-p", "--session", "--keyword", "--python", "--force-python")
    return "NOXSESSION" in os.environ or any(word.startswith(options) for word in sys.argv[1:])


def runs(python: str) -> bool:
    """Return whether `python3.x` starts; the shim of a version manager may stand for nothing."""
    program = f"python{python}"
    found = shutil.which(program)
    return found is not None and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0


def reason_to_leave_out(cell: str, python: str) -> str | None:
    """Return why a cell is not run where nothing is named; with CI set a missing interpreter is no reason."""
    if "torch" in CELLS[cell][0] and python != PYTHONS[0]:
        return "PyTorch for this Python is a download of gigabytes; public CI runs it, or `nox -s`"
    if not os.environ.get("CI") and not runs(python):
        return f"no Python {python} on this machine"
    return None


def matrix() -> tuple[list[object], dict[str, str]]:
    """Return the cells to run and, by name, the reasons of those that are left out."""
    every = named() or "-l" in sys.argv or any(word.startswith("--list") for word in sys.argv)
    cells, left_out = [], {}
    for cell, python in DECLARED:
        reason = None if every else reason_to_leave_out(cell, python)
        if reason is None:
            cells.append(nox.param(python, cell, id=f"{cell}-{python}", tags=[cell, python]))
        else:
            left_out[f"tests({cell}-{python})"] = reason
    return cells, left_out


MATRIX, LEFT_OUT = matrix()


@atexit.register
def say_what_was_left_out() -> None:
    """Close with the cells that this machine cannot run."""
    for name, reason in LEFT_OUT.items():
        if {"full", *name.removeprefix("tests(").removesuffix(")").split("-")} & set(sys.argv):
            print(f"not run here: {name}: {reason}", file=sys.stderr)


def install(session: nox.Session, *extras: str) -> None:
    """Install the package in development mode, with the pins of constraints.txt."""
    session.install("-c", "constraints.txt", "-e", f".[{','.join(extras)}]")


def tools(session: nox.Session, *names: str) -> None:
    """Install tools alone, at the versions of constraints.txt."""
    session.install("-c", "constraints.txt", *names)


def pytest(session: nox.Session, cell: str, *arguments: str, python: str = "python", **env: str) -> None:
    """Run pytest on all cores and leave the report of this cell; arguments after -- narrow it."""
    report = ("-p", "blurcore.testing.matrix_report", "--report", str(REPORTS / f"{cell}.json"))
    session.run(python, "-m", "pytest", *report, "-n", WORKERS, *arguments, *session.posargs, env=env, external=True)


@nox.session(tags=["full", "quick"])
def lint(session: nox.Session) -> None:
    """Check style, imports and formatting with ruff."""
    tools(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(tags=["full", "quick"])
def types(session: nox.Session) -> None:
    """Check the types of the core and of the backends: mypy in strict mode, pyright beside it."""
    install(session, "jax", "dev")  # PyTorch is not looked into, JAX is
    session.run("mypy")
    session.run("pyright")


@nox.session
def libraries(session: nox.Session) -> None:
    """Install PyTorch, JAX and the test tools into the environment that the next sessions share."""
    install(session, "torch", "jax", "dev")
    tools(session, "pytest-randomly", "wandb", "onnxscript", "onnxruntime")  # whose own tests run nowhere else
    # azula's metadata ask for torchvision, which PyPI has for CUDA alone.
    session.install("--no-deps", "azula", "einops")


def shared(*tags: str):
    """Return the decorator of a session that runs in the environment of `libraries`."""
    return nox.session(venv_backend="none", requires=["libraries"], tags=["full", *tags], allow_parallel=True)


@shared("quick")
def quick(session: nox.Session) -> None:
    """Run the quick tests over all libraries."""
    folders = [f"tests/{name}" for name in QUICK]
    pytest(session, "quick", "-m", "not slow and not nightly", *folders, python=str(LIBRARIES))


@nox.session(tags=["full"], allow_parallel=True)
@nox.parametrize("python,cell", MATRIX)
def tests(session: nox.Session, cell: str) -> None:
    """Run the tests with the libraries of one cell: core alone, torch, jax, both."""
    extras, names = CELLS[cell]
    install(session, "test", *extras)
    if "torch" in extras:
        session.install("--no-deps", "azula", "einops")  # see `libraries`
    pytest(session, f"{cell}-{session.python}", BLURCORE_TEST_LIBRARIES=names)


BOUNDS = ("core", "properties", "samplers", "verify", "data")


@nox.session(python="3.11", tags=["full"], allow_parallel=True)
def floors(session: nox.Session) -> None:
    """Run the core's tests with the lowest versions that pyproject.toml allows."""
    tools(session, "uv")
    session.run("uv", "pip", "install", "--quiet", "--resolution", "lowest-direct", "-e", ".[cli,test]")
    pytest(session, "floors", *(f"tests/{name}" for name in BOUNDS))


@nox.session(tags=["full"], allow_parallel=True)
def newest(session: nox.Session) -> None:
    """Run the core's tests with the newest versions there are, PyTorch aside, whose newest brings gigabytes of CUDA."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "-e", ".[test,jax]")
    pytest(session, "newest", *(f"tests/{name}" for name in BOUNDS))


@nox.session(tags=["full", "weekly"], allow_parallel=True)
def prerelease(session: nox.Session) -> None:
    """Run the core's tests with what comes next, alphas and release candidates; a failure is shown, and fails nothing."""
    try:
        session.install("--pre", "--upgrade", "--upgrade-strategy", "eager", "-e", ".[test]")
        pytest(session, "prerelease", *(f"tests/{name}" for name in BOUNDS))
    except nox.command.CommandFailed:
        session.skip("what comes next does not pass: see above, and the report")


@shared("weekly")
def random_order(session: nox.Session) -> None:
    """Run the tests in random order; the seed stands in the first lines."""
    pytest(session, "random_order", "-p", "randomly", "-m", "not slow and not nightly", python=str(LIBRARIES))


GUARD = str(Path("tests/guard").resolve())
CORE = ("tests/core", "tests/properties", "tests/samplers")


@shared("weekly")
def no_network(session: nox.Session) -> None:
    """Run the tests with every other machine out of reach, for them and the programs that they start."""
    pytest(session, "no_network", python=str(LIBRARIES), PYTHONPATH=GUARD, BLURCORE_GUARD="network")


@shared("weekly")
def warnings(session: nox.Session) -> None:
    """Run the tests with every warning of ours an error, in the programs that they start too."""
    guard = {"PYTHONPATH": GUARD, "BLURCORE_GUARD": "warnings", "PYTHONWARNDEFAULTENCODING": "1"}
    pytest(session, "warnings", "-m", "not nightly", python=str(LIBRARIES), **guard)


@shared()
def runtime_types(session: nox.Session) -> None:
    """Run the core's tests with typeguard in its functions: arguments and results are of their annotated types."""
    guard = {"PYTHONPATH": GUARD, "BLURCORE_GUARD": "types", "BLURCORE_HYPOTHESIS": "few"}
    # typeguard is in the modules before pytest comes, which would rewrite its plug-in's assertions
    calm = ("-W", "ignore::pytest.PytestAssertRewriteWarning", "-m", "not slow and not nightly and not no_type_checks")
    # thousands of the steps that tests/core takes too
    folders = (*CORE, "--ignore", "tests/samplers/test_exact.py")
    # JAX compiles for longer than all the rest takes
    eager = {"BLURCORE_TEST_LIBRARIES": "numpy,array_api_strict,torch"}
    pytest(session, "runtime_types", *calm, *folders, python=str(LIBRARIES), **guard, **eager)
    jax = {"BLURCORE_TEST_LIBRARIES": "jax"}
    pytest(session, "runtime_types-jax", *calm, "tests/properties", python=str(LIBRARIES), **guard, **jax)


@shared("weekly")
def nightly(session: nox.Session) -> None:
    """Run what is too long for every day: hypothesis with a thousand new examples on NumPy, statistics, soak."""
    hypothesis = {"BLURCORE_TEST_LIBRARIES": "numpy", "BLURCORE_HYPOTHESIS": "nightly"}
    pytest(session, "nightly-hypothesis", "-m", "hypothesis", "--timeout", "0", python=str(LIBRARIES), **hypothesis)
    pytest(session, "nightly", "-m", "nightly", python=str(LIBRARIES))


@shared()
def device(session: nox.Session) -> None:
    """Run the core's tests on a device that is not the default one: array-api-strict simulates it."""
    where = {"BLURCORE_TEST_LIBRARIES": "array_api_strict", "BLURCORE_TEST_DEVICE": "device1"}
    pytest(session, "device", *CORE, python=str(LIBRARIES), **where)


@shared()
def jit(session: nox.Session) -> None:
    """Run the core's property tests under `jax.jit`, with few shapes; refusals cannot be seen there."""
    traced = {"BLURCORE_TEST_LIBRARIES": "jax", "BLURCORE_HYPOTHESIS": "few", "BLURCORE_TEST_JIT": "1"}
    pytest(session, "jit", "tests/properties", python=str(LIBRARIES), **traced)


@shared()
def demo(session: nox.Session) -> None:
    """Run the demo on the embedded digits: verify, train, sample, draw."""
    session.run(str(LIBRARIES), "-m", "blurcore", "demo", *session.posargs, external=True)


# In this order; `samplers` asks for a trained run, the other modules of the folder are shared by these.
BENCHMARKS = (
    "startup",
    "choice",
    "transforms",
    "process",
    "overhead",
    "throughput",
    "backends",
    "ranks",
    "profiles",
    "growth",
    "drift",
    "memory",
    "checkpoints",
    "nested",
)


@nox.session(tags=["full", "weekly"])
def bench(session: nox.Session) -> None:
    """Measure ratios against peers (all, or those named): JSON in benchmarks/results, tables in docs/speed_tables.md."""
    install(session, "torch", "jax", "bench")
    # dctorch's metadata forbids the NumPy that it works with; the other peer asks for a torchvision that PyPI has for CUDA alone.
    session.install(
        "--no-deps", "dctorch", "denoising-diffusion-pytorch", "ema-pytorch", "accelerate", "einops", "psutil"
    )
    for name in session.posargs or BENCHMARKS:
        session.run("python", f"benchmarks/{name}.py", "benchmarks/results")
    session.run("python", "benchmarks/page.py")


@nox.session
def evidence(session: nox.Session) -> None:
    """Go on with the list of benchmarks/evidence/PROTOCOL.md, as what follows -- says; it may be stopped at any moment."""
    install(session, "torch")
    session.run("python", "-m", "benchmarks.evidence", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(tags=["full"])
def build(session: nox.Session) -> None:
    """Make the wheel and the sdist in dist/; install each in clean environments without, with torch and with JAX, and try it."""
    tools(session, "build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    files = sorted(str(path.resolve()) for path in Path("dist").iterdir())
    session.run("twine", "check", "--strict", *files)
    smoke, constraints = (str(Path(name).resolve()) for name in ("tests/packaging/smoke.py", "constraints.txt"))
    for file in files:
        for extra in ("", "torch", "jax"):
            folder = Path(session.create_tmp()) / "clean"
            session.run("python", "-m", "venv", "--clear", str(folder))
            python = str(folder / "bin" / "python")
            wanted = f"{file}[{extra}]" if extra else file
            session.run(python, "-m", "pip", "install", "--quiet", "-c", constraints, wanted, external=True)
            session.run(python, "-I", smoke, extra or "core", external=True)


@nox.session(tags=["full"])
def docs(session: nox.Session) -> None:
    """Build the documentation, where a warning is an error, and follow the links between its pages."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")
    session.run("python", "docs/links.py", "docs/_build/html")


@nox.session(tags=["full", "weekly"])
def mutation(session: nox.Session) -> None:
    """Break the core in many places, one at a time, and show that the tests notice every one."""
    install(session, "test", "torch", "jax")
    session.run("python", "tests/mutation/run_mutations.py", *session.posargs)


@nox.session(tags=["full"])
def report(session: nox.Session) -> None:
    """Join the reports of all cells to one table, JUnit XML and a page of failures side by side, in reports/joined."""
    session.install("-c", "constraints.txt", "-e", ".", "pytest")
    absent = []
    for cell, python in DECLARED:
        if not (REPORTS / f"{cell}-{python}.json").exists():
            reason = reason_to_leave_out(cell, python) or "it left no report"
            absent += ["--absent", f"tests({cell}-{python})", reason]
    session.run("python", "-m", "blurcore.testing.matrix", str(REPORTS), *absent)
