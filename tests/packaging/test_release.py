"""What a release is made of: one version, a citation, a workflow that calls sessions which exist, templates that parse."""

from __future__ import annotations

import ast
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import blurcore as bc

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def sessions() -> set[str]:
    """Return the names of the functions that noxfile.py declares as sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in functions if any("session" in ast.dump(line) for line in node.decorator_list)}


def test_version_stands_in_one_place_alone():
    written = re.compile(rf"version\s*[:=]\s*[\"']?{re.escape(bc.__version__)}\b")
    files = [ROOT / name for name in ("pyproject.toml", "CITATION.cff", "docs/conf.py", "noxfile.py")]
    assert [path.name for path in files if written.search(path.read_text(encoding="utf-8"))] == []
    assert 'path = "blurcore/__init__.py"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_citation_has_what_the_format_requires_and_names_the_papers():
    citation = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == "Apache-2.0"
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys()
        assert 2020 <= reference["year"] <= date.today().year
        assert all({"family-names", "given-names"} <= author.keys() for author in reference["authors"])
    assert "Blurring Diffusion Models" in {reference["title"] for reference in citation["references"]}


def test_workflow_takes_its_cells_from_nox():
    jobs = read(GITHUB / "workflows" / "ci.yml")["jobs"]
    assert jobs["cells"]["strategy"]["matrix"] == {"session": "${{ fromJSON(needs.list.outputs.sessions) }}"}
    for job in jobs.values():
        for step in job["steps"]:
            command = step.get("run", "")
            assert (
                command.startswith(("nox -s ", "python -m pip install -c constraints.txt nox"))
                or "nox -l" in command
                or not command
            )
    assert "report" in sessions()


@pytest.mark.parametrize("path", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name)
def test_issue_template_has_what_a_form_requires(path):
    form = read(path)
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    for field in form["body"]:
        assert field["type"] in ("textarea", "input")
        assert field["attributes"]["label"]


def test_changelog_has_the_version_or_an_unreleased_part():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0].startswith(bc.__version__)
