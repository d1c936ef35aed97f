"""The matrix for projects that build on blurcore, as a pytest plug-in: ``pytest -p blurcore.testing.plugin``.

A test that asks for `blurcore_backend` runs once for each backend that is installed, or for each that the environment names in
``BLURCORE_TEST_LIBRARIES=numpy,torch``, whose absence is then an error and no skipped test.
"""

from __future__ import annotations

import os

import pytest

from blurcore.errors import BackendError
from blurcore.protocols import Backend
from blurcore.registry import available, get_backend
from blurcore.testing.conformance import CONTRACT

VARIABLE = "BLURCORE_TEST_LIBRARIES"


def chosen() -> tuple[str, ...]:
    """Return the names of the backends that tests run on: those that are asked for, or all that compute with a library."""
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    return tuple(named or (name for name in available() if name != "reference"))


def pytest_configure() -> None:
    """Refuse to start without a backend that was asked for."""
    for name in chosen():
        try:
            get_backend(name)
        except BackendError as error:
            raise pytest.UsageError(f"{VARIABLE} names {name!r}: {error}") from None


def pytest_report_header() -> str:
    """Return the lines of pytest's header: the version of the contract and the backends under test."""
    return f"blurcore: contract {CONTRACT}, backends {', '.join(chosen())}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise tests that take a backend over all backends."""
    if "blurcore_backend" in metafunc.fixturenames:
        metafunc.parametrize("blurcore_backend", chosen(), indirect=True)


@pytest.fixture(scope="session")
def blurcore_backend(request: pytest.FixtureRequest) -> Backend:
    """One backend after the other."""
    return get_backend(request.param)
