"""The kit welcomes: libraries that follow the standard pass it, with a backend of a few lines."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

from blurcore.operations import CORE
from blurcore.testing.__main__ import main
from blurcore.testing.conformance import conformance

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_backend"


class StrictBackend:
    """array_api_strict: nothing outside the standard."""

    name = "strict"
    description = f"array_api_strict {array_api_strict.__version__}"
    operations = CORE

    def devices(self):
        return ("cpu",)

    def dtypes(self, device):
        return ("float64", "float32")

    def asarray(self, values, *, dtype, device):
        return array_api_strict.asarray(np.array(values, dtype=dtype))

    def to_numpy(self, array):
        return np.asarray(array).astype(np.float64)


@pytest.fixture
def in_example(monkeypatch):
    """The working folder and the path that `python -m` gives a person who stands there."""
    monkeypatch.chdir(EXAMPLE)
    monkeypatch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
    yield
    sys.modules.pop("dask_backend", None)


@pytest.mark.parametrize("name", ["numpy", "reference"])
def test_kit_passes_a_registered_backend(name):
    report = conformance(name, quick=True)
    assert report.passed, report.failures


def test_kit_passes_torch(torch):
    report = conformance("torch", quick=True)
    assert report.passed, report.failures


@pytest.mark.nightly  # the core's tests run on JAX with float64 every day
def test_kit_passes_jax_with_float64(jax):
    with jax.enable_x64(True):
        report = conformance("jax", quick=True)
    assert report.passed, report.failures
    assert {r.dtype for r in report.results} == {"float64", "float32"}


@pytest.mark.nightly  # `verify` goes over JAX without float64 in every run
def test_kit_passes_jax_without_float64(jax):
    with jax.enable_x64(False):
        report = conformance("jax", quick=True)
    assert report.passed, report.failures
    assert {r.dtype for r in report.results} == {"float32"}


def test_kit_passes_array_api_strict():
    report = conformance(StrictBackend(), quick=True)
    assert report.passed, report.failures


@pytest.mark.nightly
def test_kit_command_passes_the_worked_example_and_exits_with_0(in_example, capsys, monkeypatch):
    """In one dtype: every operation on a Dask array builds a graph, and the second takes half a minute more."""
    monkeypatch.setattr(
        importlib.import_module("dask_backend").DaskBackend, "dtypes", lambda self, device: ("float32",)
    )
    assert main(["--backend", "dask_backend:BACKEND", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "all passed" in shown
    assert "Dask 20" in shown


def test_kit_command_prints_json_that_names_every_check(capsys):
    assert main(["--backend", "numpy", "--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is True
    assert "float32 coefficients to 1e-6" in report["identities"]


def test_kit_command_exits_with_1_and_names_the_checks_that_failed(monkeypatch, capsys):
    from blurcore.numpy_backend import BACKEND
    from blurcore.operations import CoreOperations

    class Doubled(CoreOperations):
        def eigenvalues(self, basis, shape, *, like):
            return 2 * super().eigenvalues(basis, shape, like=like)

    monkeypatch.setattr(type(BACKEND), "operations", Doubled())
    assert main(["--backend", "numpy", "--quick"]) == 1
    assert "FAILED: eigenvalues\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nothing", "no_such_module:X"])
def test_kit_command_exits_with_2_and_one_sentence_for_an_unknown_backend(name, capsys):
    assert main(["--backend", name]) == 2
    assert name in capsys.readouterr().err


def test_page_on_backends_shows_the_worked_example():
    page = (EXAMPLE.parents[1] / "docs" / "backends.md").read_text(encoding="utf-8")
    code = (EXAMPLE / "dask_backend.py").read_text(encoding="utf-8")
    for line in ('name = "dask"', "return da.from_array(np.array(values, dtype=dtype))", "BACKEND = DaskBackend()"):
        assert line in page
        assert line in code
