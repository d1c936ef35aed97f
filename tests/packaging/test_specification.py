"""docs/specification.md and the places that cite it: no reference leads nowhere, and each section names the identities that hold it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blurcore.verify.identities import IDENTITIES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")
FOLDERS = ("blurcore", "backends", "reference", "tests", "examples", "benchmarks", "docs")
SECTIONS = {
    int(number): body for number, body in re.findall(r"^\(spec-(\d+)\)=\n(.*?)(?=^\(spec-|\Z)", PAGE, re.M | re.S)
}
CITATION = re.compile(r"\bSPEC(?:'s)? (\d+(?:(?:, (?:and )?| and | - |-)\d+)*)")


def cited(text: str) -> set[int]:
    """Return the sections that a text cites: SPEC 3, SPEC 2-4, SPEC 2, 4 and 6."""
    found: set[int] = set()
    for numbers in CITATION.findall(text):
        for first, last in re.findall(r"(\d+)(?: ?- ?(\d+))?", numbers):
            found |= set(range(int(first), int(last or first) + 1))
    return found


def test_citations_are_read() -> None:
    assert cited("(SPEC 2-4, 6; the paper) SPEC 10, SPEC 1 and 12, SPEC's 7") == {1, 2, 3, 4, 6, 7, 10, 12}
    assert cited("BLURCORE_SPEC 3 or a SPECIAL 4") == set()


def test_sections_are_numbered_and_have_an_anchor_each() -> None:
    assert list(SECTIONS) == list(range(1, 13))
    for number, body in SECTIONS.items():
        assert body.startswith(f"## {number}. ")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_reference_has_its_section(folder: str) -> None:
    count = 0
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in (".py", ".md", ".ipynb", ".toml") and "_build" not in path.parts and path != Path(__file__):
            numbers = cited(path.read_text(encoding="utf-8"))
            count += len(numbers)
            unknown = numbers - set(SECTIONS)
            assert not unknown, (
                f"{path.relative_to(ROOT)} cites sections of the specification that do not exist: {unknown}"
            )
    assert count or folder in ("examples", "benchmarks", "docs")


@pytest.mark.parametrize("number", SECTIONS)
def test_section_names_the_identities_that_hold_it(number: int) -> None:
    """In the order of the report, so that the page can be written from the list."""
    expected = [identity.name for identity in IDENTITIES if number in cited(identity.source)]
    line = re.search(r"^Held by: (.*)\.$", SECTIONS[number], re.M)
    assert (re.findall(r"\*(.+?)\*", line.group(1)) if line else []) == expected


@pytest.mark.parametrize("number", SECTIONS)
def test_section_names_the_claims_that_are_proven_of_it(number: int) -> None:
    """In the order of the report, so that the page can be written from the list."""
    prove = pytest.importorskip("blurcore.verify.prove", exc_type=ImportError)
    expected = [claim.name for claim in prove.CLAIMS if number in cited(claim.source)]
    line = re.search(r"^Proven: (.*)\.$", SECTIONS[number], re.M)
    assert (re.findall(r"\*(.+?)\*", line.group(1)) if line else []) == expected
