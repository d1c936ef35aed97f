"""Failures that are expected, with reasons: they do not fail, what passes all the same does, and what is no reason is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import blurcore.testing.conformance as module
from blurcore.numpy_backend import BACKEND
from blurcore.operations import CoreOperations
from blurcore.testing.__main__ import main
from blurcore.testing.conformance import CONTRACT
from blurcore.verify.report import Report
from blurcore.verify.runner import verify_backends


class Doubled(CoreOperations):
    """What the check "eigenvalues" is there for."""

    def eigenvalues(self, basis: Any, shape: Any, *, like: Any) -> Any:
        return 2 * super().eigenvalues(basis, shape, like=like)


def two_checks(backend: str, **options: Any) -> Report:
    """Run two checks of the kit, which has dozens."""
    checks = [check for check in module.PROTOCOL + module.IDENTITIES if check.name in ("eigenvalues", "Parseval")]
    return verify_backends((BACKEND,), identities=tuple(checks), **options)


@pytest.fixture
def kit(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command on NumPy, wrong or not, with a file of expected failures: exit code, stdout, stderr."""

    def run(expected: str, *words: str, wrong: bool) -> tuple[int, str, str]:
        monkeypatch.setattr(type(BACKEND), "operations", Doubled() if wrong else CoreOperations())
        monkeypatch.setattr(module, "conformance", two_checks)
        file = tmp_path / "expected.toml"
        file.write_text(expected, encoding="utf-8")
        code = main(["--backend", "numpy", "--quick", "--expected", str(file), *words])
        return (code, *capsys.readouterr())

    return run


def test_expected_failure_does_not_fail(kit: Any) -> None:
    code, out, _ = kit('eigenvalues = "twice too large, issue 7"', "--json", wrong=True)
    report = json.loads(out)
    assert (code, report["passed"], report["contract"]) == (0, True, CONTRACT)
    assert report["verdict"] == {"failed": [], "expected": ["eigenvalues"], "mended": []}
    assert report["expected"] == {"eigenvalues": "twice too large, issue 7"}


def test_others_fail_and_what_passes_that_should_not_does_too(kit: Any) -> None:
    code, out, _ = kit('Parseval = "no idea"', wrong=True)
    assert code == 1
    assert "FAILED: eigenvalues\n" in out
    assert "PASSED, and was expected to fail: Parseval (no idea)\n" in out
    assert f"contract {CONTRACT}: failed\n" in out


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        ("eigenvalues = ''", "must say why 'eigenvalues' is expected to fail; got ''"),
        ("eigenvalues = true", "must say why 'eigenvalues' is expected to fail; got True"),
        ("eigenvectors = 'none yet'", "expects 'eigenvectors' to fail, which is no check of the kit"),
        ("eigenvalues", "expected failures cannot be read from"),
    ],
)
def test_invalid_files_of_expected_failures_are_refused(kit: Any, expected: str, says: str) -> None:
    code, out, err = kit(expected, wrong=False)
    assert (code, out) == (2, "")
    assert says in err


def test_version_of_the_contract_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"contract {CONTRACT}\n"
