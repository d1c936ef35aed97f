"""Who may import whom, read from the syntax trees; and no test that throws its comparison away."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAMEWORKS = {"torch", "jax", "jaxlib", "flax", "optax", "torchvision", "equinox", "diffusers"}
OURS = {"blurcore", "blurcore_torch", "blurcore_jax", "blurcore_reference"}
PACKAGES = {
    "blurcore": ROOT / "blurcore",
    "blurcore_torch": ROOT / "backends" / "blurcore_torch",
    "blurcore_jax": ROOT / "backends" / "blurcore_jax",
    "blurcore_reference": ROOT / "reference" / "blurcore_reference",
}
COMPARISONS = {
    "allclose",
    "isclose",
    "array_equal",
    "array_equiv",
    "equal",
    "is_close",
    "almosteq",
    "array_almost_equal",
}


def sources(name: str) -> list[Path]:
    found = sorted(PACKAGES[name].rglob("*.py"))
    assert found, f"{name} has no files"
    return found


def imported(source: str) -> Iterator[tuple[str, int]]:
    """Yield the top-level packages that a module imports anywhere, lazily too, by statement or by name, with the line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0], node.lineno
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__", "find_spec"):
            named = node.args[0] if node.args else None
            if isinstance(named, ast.Constant) and isinstance(named.value, str):
                yield named.value.partition(".")[0], node.lineno


def called(node: ast.Call) -> str:
    """Return the last part of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def forbidden(name: str, refused: set[str], *, but: tuple[str, ...] = ()) -> list[str]:
    """Return where a package imports what it must not, but for files, or folders, of some names."""
    return [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for path in sources(name)
        if path.name not in but and path.parent.name not in but
        for package, line in imported(path.read_text(encoding="utf-8"))
        if package in refused
    ]


def test_core_imports_no_framework_not_even_lazily():
    assert forbidden("blurcore", FRAMEWORKS, but=("diffusers",)) == []


def test_core_imports_no_backend():
    assert forbidden("blurcore", {"blurcore_torch", "blurcore_jax"}, but=("diffusers",)) == []


def test_what_is_for_diffusers_imports_no_jax_and_nothing_of_the_core_imports_it():
    """`blurcore/diffusers` alone may know torch; the form that exports to it asks for it where it is needed."""
    folder = PACKAGES["blurcore"] / "diffusers"
    for path in sources("blurcore"):
        source = path.read_text(encoding="utf-8")
        if path.parent == folder:
            assert {package for package, _ in imported(source)} & {"jax", "jaxlib", "flax", "blurcore_jax"} == set()
        elif path.name != "published.py":
            assert "blurcore.diffusers" not in source, path


def test_core_takes_the_reference_only_to_verify_itself():
    found = forbidden("blurcore", {"blurcore_reference"})
    assert all(
        place.startswith(("blurcore/verify/precision.py:", "blurcore/verify/reference.py:")) for place in found
    ), found


def test_reference_imports_nothing_of_ours():
    """Its `backend.py` alone, which presents it to `verify` and holds no equation, may know the core."""
    assert forbidden("blurcore_reference", (OURS - {"blurcore_reference"}) | FRAMEWORKS, but=("backend.py",)) == []
    assert forbidden("blurcore_reference", FRAMEWORKS | {"blurcore_torch", "blurcore_jax"}) == []


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("blurcore_torch", {"blurcore_jax", "blurcore_reference", "jax", "jaxlib", "flax", "optax"}),
        ("blurcore_jax", {"blurcore_torch", "blurcore_reference", "torch", "torchvision"}),
    ],
)
def test_backends_import_the_core_and_never_each_other(name, others):
    assert forbidden(name, others) == []
    used = {package for path in sources(name) for package, _ in imported(path.read_text(encoding="utf-8"))}
    assert "blurcore" in used


def test_packages_import_themselves_by_name_alone():
    """No relative import, which hides where a name comes from, and no second copy by way of a folder."""
    for name in PACKAGES:
        assert forbidden(name, {"backends", "reference", "tests"}) == []
        for path in sources(name):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import torch.nn as nn",
        "from jax import numpy",
        "def f():\n    from flax.nnx import Module",
        "def f():\n    importlib.import_module('optax')",
        "if TYPE_CHECKING:\n    import torch",
        "__import__('jax')",
    ],
)
def test_import_is_seen_wherever_it_hides(source):
    assert {package for package, _ in imported(source)} & FRAMEWORKS


def loaded(statement: str) -> set[str]:
    """Return what a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement",
    [
        "import blurcore",
        "import blurcore as bc; bc.names()",
        "import blurcore as bc; bc.get_backend('numpy')",
        "import blurcore as bc; bc.posterior(bc.BlurringDiffusion(), 0.5, 0.25, shape=(4, 4))",
        "import blurcore.oracle",
    ],
)
def test_importing_the_core_loads_nothing_heavy(statement):
    heavy = FRAMEWORKS | {
        "scipy",
        "matplotlib",
        "PIL",
        "rich",
        "tyro",
        "mpmath",
        "hypothesis",
        "skimage",
        "sklearn",
        "mlxtend",
    }
    assert loaded(statement) & heavy == set()


def thrown_away(source: str) -> list[int]:
    """Return the lines of statements that compare and do nothing with the answer."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr):
            value = node.value.operand if isinstance(node.value, ast.UnaryOp) else node.value
            if isinstance(value, (ast.Compare, ast.BoolOp)) or (
                isinstance(value, ast.Call) and called(value) in COMPARISONS
            ):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "np.allclose(a, b)",
        "a == b",
        "not a < b",
        "def test():\n    torch.equal(a, b)",
        "a == b and c == d",
        "xp.isclose(a, b)",
    ],
)
def test_comparison_that_is_thrown_away_is_found(source):
    assert thrown_away(source) != []


@pytest.mark.parametrize(
    "source",
    ["assert np.allclose(a, b)", "same = a == b", "np.testing.assert_allclose(a, b)", "f(a == b)", "return_value(a)"],
)
def test_comparison_that_is_used_is_left_alone(source):
    assert thrown_away(source) == []


def test_no_test_throws_a_comparison_away():
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if (lines := thrown_away(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_no_test_file_has_two_tests_of_one_name():
    """The second would take the place of the first, which is then never run."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for scope in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
            names = [node.name for node in scope.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
            assert len(names) == len(set(names)), (path, sorted({n for n in names if names.count(n) > 1}))
