"""What the pages of docs/ show is run, with shorter trainings, and every command that they name takes the flags it is given.

Sphinx runs the pages whole, with a kernel for each; here they run in this process, in a fraction of the time.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.cli import main
from blurcore.cli.data import Shown
from blurcore.cli.export import Exported
from blurcore.cli.parser import build_parser
from blurcore.cli.settings import override
from blurcore.engine.restoring import RestoreConfig
from blurcore.kinds import find_kind
from blurcore.runs import read_config
from blurcore.schedules import BLUR_SCHEDULES, NOISE_SCHEDULES

plt = pytest.importorskip("matplotlib.pyplot")
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CELL = re.compile(r"```\{code-cell\}[^\n]*\n(?::[^\n]*\n)*(.*?)```", re.DOTALL)
TEXTS = sorted((ROOT / "README.md", *DOCS.glob("*.md")))
EXECUTED = sorted(
    path.relative_to(DOCS).as_posix()
    for path in (*(path for path in TEXTS if "file_format: mystnb" in path.read_text("utf-8")), *DOCS.glob("*/*.ipynb"))
)
SHORTER = {
    "own_images.md": {
        "steps = 300 ": "steps = 3 ",
        "num_steps = 50 }": "num_steps = 3 }",
        "range(0, 2000, 4)": "range(0, 2000, 40)",
    },
    "tutorial.md": {
        "steps = 1500": "steps = 52",
        "num_steps = 50 }": "num_steps = 3 }",
        "--times.num-steps 50": "--times.num-steps 3",
    },
    "torch_loop.md": {"range(1000)": "range(2)", "uniform_times(250)": "uniform_times(3)"},
    "jax_loop.md": {"range(1000)": "range(2)", "uniform_times(250)": "uniform_times(3)"},
    "own_solver.md": {"draws=20_000": "draws=500"},
}
"""What takes long because it is there to be looked at."""
NEEDS = {
    "tutorial.md": "torch",
    "own_images.md": "torch",
    "torch_loop.md": "torch",
    "run_folder.md": "torch",
    "jax_loop.md": "optax",
    "backends.md": "dask",
    "evaluation.md": "sklearn",
    "diffusers.md": "torch diffusers",
    "check_yours.md": "scipy",
    "proofs.md": "sympy",
    "interchange.md": "torch diffusers huggingface_hub",
}


def cells(page: str) -> list[str]:
    """Return the code of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    if page.endswith(".ipynb"):
        return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return CELL.findall(text)


def run_page(page: str) -> dict[str, Any]:
    """Run a page in the working folder and return its names."""
    code = "\0".join(cells(page))
    for long, short in SHORTER.get(page, {}).items():
        assert long in code, f"{page} has no {long!r} any more"
        code = code.replace(long, short)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code.split("\0")):
        first, _, rest = cell.partition("\n")
        if first.startswith("%%writefile "):
            Path(first.split()[1]).write_text(rest, encoding="utf-8")
            continue
        if first == "%%bash":
            for line in rest.splitlines():
                run_command(line)
            continue
        exec(compile(cell, f"{page}, cell {number}", "exec"), names)
    return names


def run_command(line: str) -> None:
    """Run what a page runs in a shell, in this process."""
    program, *words = shlex.split(line)
    assert program == "blurcore", line
    assert main(words) == 0, line


@pytest.fixture
def page_folder(tmp_path, monkeypatch):
    """A working folder, no windows, and afterwards none of the classes that the page has registered."""
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    registries = (bc.PROCESSES, NOISE_SCHEDULES, BLUR_SCHEDULES)
    before = [dict(registry) for registry in registries]
    yield tmp_path
    plt.close("all")
    for registry, kept in zip(registries, before, strict=True):
        registry.clear()
        registry.update(kept)


@pytest.mark.parametrize("page", EXECUTED)
def test_page_runs(page, page_folder):
    for needed in NEEDS.get(page, "").split():
        pytest.importorskip(needed)
    run_page(page)


def test_pages_that_train_and_the_notebooks_are_among_those_that_run():
    assert {"tutorial.md", "torch_loop.md", "jax_loop.md", "own_images.md", "equivalence.md"} <= set(EXECUTED)
    assert len([page for page in EXECUTED if page.endswith(".ipynb")]) == 2


def shown_commands() -> list[Any]:
    """Return every line `blurcore ...` of the README and the pages, without comments and continuations."""
    found = []
    for path in TEXTS:
        for line in re.findall(r"^(blurcore .*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            words = re.split(r"\s{3,}|\s#|&&|\|", line)[0].strip()
            if "..." not in words:
                found.append(pytest.param(words, id=f"{path.name}: {words}"))
    return found


@pytest.mark.parametrize("line", shown_commands())
def test_command_on_a_page_takes_its_flags(line):
    args, rest = build_parser().parse_known_args(shlex.split(line)[1:])
    if args.command == "train":
        file = ROOT / str(args.config)
        override(read_config(file) if file.is_file() else bc.RunConfig(), rest, prog="train")
    elif args.command in ("sample", "evaluate"):
        of_likelihood = args.command == "evaluate" and (args.likelihood or args.num_images)
        override(bc.EvaluateConfig() if of_likelihood else bc.SampleConfig(), rest, prog=args.command)
    elif args.command == "data":
        override(Shown(data=bc.Folder(path="pictures")), rest, prog="data")
    elif args.command == "restore":
        override(RestoreConfig(), rest, prog="restore")
    elif args.command == "export":
        form = find_kind(args.to.replace("-", "_"), "form")()
        override(Exported(form=form), rest, prog="export")
    else:
        assert args.command == "verify" or not rest


def test_process_of_the_pages_keeps_the_spectrum_of_the_data(page_folder):
    process = run_page("processes.md")["DataLikeNoise"]()
    white = process.log_snr(0.5, shape=(8, 8)) + np.log(1 / (1 + 9 * bc.DCT().eigenvalues((8, 8))))
    assert np.ptp(white) < 1e-12
