"""Backends that are wrong on purpose, and a registry that has them."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import blurcore.registry
from blurcore.numpy_backend import BACKEND

WRONG = runpy.run_path(str(Path(__file__).parents[1] / "conformance" / "test_bites.py"))
"""The conformance kit's collection of wrong backends; test folders are no packages, so it is run, not imported."""


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the declared backends by NumPy and those given: objects, or an exception that their import raises."""

    def point(backend: Any) -> SimpleNamespace:
        def load() -> Any:
            if isinstance(backend, Exception):
                raise backend
            return backend

        return SimpleNamespace(load=load)

    def replace(**backends: Any) -> None:
        declared = {name: point(backend) for name, backend in {"numpy": BACKEND, **backends}.items()}
        monkeypatch.setattr(blurcore.registry, "_declared", lambda: declared)

    return replace


@pytest.fixture
def wrong() -> Callable[[str], Any]:
    """A backend of the collection by the name of its operations."""

    def make(name: str) -> Any:
        backend = WRONG["wrong"](WRONG[name]())
        backend.name = "wrong"
        return backend

    return make
