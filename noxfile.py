"""The tasks of the project: `nox -l` lists them, `nox` runs the default ones, `nox -s NAME` one.

Examples::

    nox                              lint, types and the whole test matrix
    nox -s "tests(both-3.11)"        one cell: NumPy, PyTorch and JAX on Python 3.11
    nox -s tests -- -m "not slow"    arguments after -- go to pytest
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

# pip rather than uv: pip's own configuration may name a directory with a CPU build of torch, which the pin then takes.
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "tests"]

PYTHONS = ("3.11", "3.12", "3.13")
CELLS = {
    "core": ((), "numpy,array_api_strict"),
    "torch": (("torch",), "numpy,array_api_strict,torch"),
    "jax": (("jax",), "numpy,array_api_strict,jax"),
    "both": (("torch", "jax"), "numpy,array_api_strict,torch,jax"),
}
# The cells with torch run on one Python: its wheels are large, and the pinned one is not everywhere for every version.
MATRIX = [
    nox.param(python, cell, id=f"{cell}-{python}", tags=[cell])
    for cell in CELLS
    for python in (PYTHONS if cell in ("core", "jax") else PYTHONS[:1])
]


def install(session: nox.Session, *extras: str) -> None:
    """Install the package in development mode, with the pins of constraints.txt."""
    session.install("-c", "constraints.txt", "-e", f".[{','.join(extras)}]")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, imports and formatting with ruff."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the core: mypy in strict mode, pyright beside it."""
    install(session, "dev")
    session.run("mypy")
    session.run("pyright")


@nox.session
@nox.parametrize("python,cell", MATRIX)
def tests(session: nox.Session, cell: str) -> None:
    """Run the tests with the libraries of one cell: core alone, torch, jax, both."""
    extras, libraries = CELLS[cell]
    install(session, "test", *extras)
    if "torch" in extras:
        # azula's metadata ask for torchvision, which PyPI has for CUDA alone.
        session.install("--no-deps", "azula", "einops")
    session.run("pytest", *session.posargs, env={"BLURCORE_TEST_LIBRARIES": libraries})


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo on the embedded digits: verify, train, sample, draw."""
    install(session, "torch")
    session.run("blurcore", "demo", *session.posargs)


# In this order; `samplers` asks for a trained run, the other modules of the folder are shared by these.
BENCHMARKS = (
    "startup", "choice", "transforms", "process", "throughput", "backends", "ranks", "profiles", "growth", "drift", "memory",
    "checkpoints",
)  # fmt: skip


@nox.session
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
def build(session: nox.Session) -> None:
    """Make the wheel and the sdist in dist/; install each in clean environments without, with torch and with JAX, and try it."""
    session.install("build", "twine")
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


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def mutation(session: nox.Session) -> None:
    """Break the core in many places, one at a time, and show that the tests notice every one."""
    install(session, "test")
    session.run("python", "tests/mutation/run_mutations.py", *session.posargs)
