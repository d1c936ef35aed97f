"""The wheel: everything that belongs in it, nothing else, and it works without the repository."""

from __future__ import annotations

import configparser
import email
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLDERS = {
    "blurcore": ROOT,
    "blurcore_torch": ROOT / "backends",
    "blurcore_jax": ROOT / "backends",
    "blurcore_reference": ROOT / "reference",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel with the installed hatchling: no isolation, so no network."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed (extra dev)")
    folder = tmp_path_factory.mktemp("wheel")
    words = ["pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=folder,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"},
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def info(wheel, name):
    """Return the text of a file of the metadata."""
    (path,) = (n for n in wheel.namelist() if n.partition("/")[0].endswith(".dist-info") and n.endswith(f"/{name}"))
    return wheel.read(path).decode()


def test_wheel_has_the_four_packages_and_no_other_folder(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(FOLDERS)
    assert len(tops) == len(FOLDERS) + 1


def test_wheel_has_every_module_and_neither_tests_nor_caches(wheel):
    expected = {
        path.relative_to(parent).as_posix()
        for package, parent in FOLDERS.items()
        for path in (parent / package).rglob("*.py")
    }
    found = {name for name in wheel.namelist() if not name.partition("/")[0].endswith(".dist-info")}
    assert {name for name in found if name.endswith(".py")} == expected
    assert not [name for name in found if "__pycache__" in name or "/test_" in name or "/tests/" in name]


def test_wheel_has_the_page_of_the_explorer(wheel):
    pages = {path.name for path in (ROOT / "blurcore" / "explore").iterdir() if path.suffix in (".html", ".css", ".js")}
    assert {f"blurcore/explore/{name}" for name in pages} <= set(wheel.namelist())
    assert pages == {"page.html", "page.css", "page.js"}


def test_wheel_holds_sources_and_nothing_large(wheel):
    sizes = {item.filename: item.file_size for item in wheel.infolist()}
    assert not {name: size for name, size in sizes.items() if size > 2**17}
    assert sum(item.compress_size for item in wheel.infolist()) < 2**20


def test_wheel_has_the_marker_of_types(wheel):
    assert "blurcore/py.typed" in wheel.namelist()


def test_wheel_has_the_weights_of_the_features(wheel):
    assert "blurcore/metrics/digits.safetensors" in wheel.namelist()


def test_wheel_has_the_declared_entry_points(wheel):
    points = configparser.ConfigParser(delimiters=("=",))
    points.read_string(info(wheel, "entry_points.txt"))
    assert dict(points["blurcore.backends"]) == PROJECT["entry-points"]["blurcore.backends"]
    assert dict(points["console_scripts"]) == PROJECT["scripts"]


def test_wheel_is_pure_and_requires_numpy_and_the_compatibility_layer_alone(wheel):
    metadata = email.message_from_string(info(wheel, "METADATA"))
    assert metadata["Name"] == "blurcore"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    needed = [text for text in metadata.get_all("Requires-Dist") if "extra ==" not in text]
    assert {text.partition(">")[0].strip() for text in needed} == {"numpy", "array-api-compat"}
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert "Root-Is-Purelib: true" in info(wheel, "WHEEL")
    assert info(wheel, "LICENSE").strip()


def test_wheel_works_without_the_repository(wheel, tmp_path):
    wheel.extractall(tmp_path)
    code = (
        "import blurcore as bc, sys\n"
        "from importlib.metadata import version\n"
        "assert bc.__file__.startswith(sys.argv[1]), bc.__file__\n"
        "import blurcore_reference; assert blurcore_reference.__file__.startswith(sys.argv[1])\n"
        "assert version('blurcore') == bc.__version__\n"
        "from blurcore.verify import verify\n"
        "assert {'numpy', 'reference', 'torch', 'jax'} <= set(bc.names())\n"
        "assert verify(['numpy'], quick=True).passed\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
