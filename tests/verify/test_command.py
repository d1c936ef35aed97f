"""`blurcore verify` as a product: exit codes, the table, the JSON, the page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import blurcore as bc
from blurcore.verify import IDENTITIES, Report, Result, text, verify
from blurcore.verify.command import main
from blurcore.verify.runner import cells, installed

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
FIELDS = {
    "identity",
    "statement",
    "source",
    "backend",
    "device",
    "dtype",
    "shape",
    "process",
    "error",
    "bound",
    "passed",
    "detail",
}
ISSUE = {
    "blur then noise is a non-isotropic chain": "marginal from composed transitions, random partitions of [0, t]",
    "covariance in pixel space": "pixel-space covariance of the transition against the dense one",
    "posterior by precisions": "posterior against Bayes",
    "posterior in pixel space": "posterior against Bayes, dense",
    "heat dissipation is a limit": "IHDM's marginal as a limit of blurring diffusion",
    "no blur is Gaussian diffusion": "blurring with sigma_B,max = 0 is standard diffusion",
    "DDIM(1) is ancestral": "DDIM(1) = ancestral",
    "cold's improved rule is DDIM(0)": "cold's improved rule = DDIM(0) at constant sigma",
    "round trips": "v / eps / x / score round trips",
    "parametrisations": "and each of them by its definition",
    "SDE by automatic differentiation": "SDE coefficients against automatic differentiation",
    "SDE and finite transitions": "SDE coefficients against finite transitions",
    "heat equation": "heat semigroup against a numerical solver of the heat equation",
}
"""What was asked for, by the name it goes by in the report."""


def strict(document):
    """Parse JSON as the standard has it: no NaN, no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(document, parse_constant=refuse)


def command(*words, **environment):
    """Run the command as a user does, into a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "blurcore", "verify", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return where the run below writes its page."""
    return tmp_path_factory.mktemp("verify") / "report.html"


@pytest.fixture(scope="module")
def done(page):
    """Run the command once, quickly, on NumPy."""
    return command("--backend", "numpy", "--quick", "--json", "--html", page)


@pytest.fixture(scope="module")
def report():
    """The same run, as an object."""
    return verify(["numpy"], quick=True)


# Exit codes


def test_verify_that_passes_exits_with_0(done):
    assert done.returncode == 0, done.stderr
    assert strict(done.stdout)["passed"] is True


@pytest.mark.parametrize("name", ["SigmaInsteadOfItsSquare", "FrequencyOffByOne", "UnnormalisedDC"])
def test_verify_of_a_wrong_backend_exits_with_1_and_names_the_backend(register, wrong, capsys, name):
    register(wrong=wrong(name))
    assert main(["--quick", "--backend", "wrong"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "wrong" in out


def test_verify_fails_as_a_whole_when_one_of_the_installed_backends_does(register, wrong, capsys):
    register(wrong=wrong("SigmaInsteadOfItsSquare"))
    assert main(["--quick", "--json"]) == 1
    found = strict(capsys.readouterr().out)
    assert found["passed"] is False
    failed = {(row["backend"], row["identity"]) for row in found["results"] if not row["passed"]}
    assert ("wrong", "transition") in failed
    assert {backend for backend, _ in failed} == {"wrong"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no-such-option"], "--no-such-option"),
        (["--backend", "no_such_backend"], "there are: missing, numpy"),
        (["--backend", "missing"], "pip install"),
        (["--seed", "-1"], "seed must be 0 or more"),
        (["--seed", "one"], "--seed"),
        (["--html", "no/such/folder/page.html"], "--html must name a file in a folder that exists"),
        (["unexpected"], "unexpected"),
    ],
)
def test_usage_errors_of_verify_exit_with_2_and_a_reason_on_stderr(register, capsys, words, message):
    register(missing=ImportError("No module named 'missing'"))
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_verify_leaves_out_what_is_declared_and_not_installed(register):
    register(missing=ImportError("No module named 'missing'"))
    assert [backend.name for backend in installed(None)] == ["numpy"]


# JSON


def test_json_holds_every_row_with_all_that_it_takes_to_judge_it(done, report):
    rows = strict(done.stdout)["results"]
    assert len(rows) == len(report.results)
    assert {frozenset(row) for row in rows} == {frozenset(FIELDS)}
    for row in rows:
        assert all(
            isinstance(row[key], str) and row[key] for key in FIELDS - {"shape", "error", "bound", "passed", "detail"}
        )
        assert row["passed"] is True
        assert 0 <= row["error"] <= row["bound"]
        assert row["shape"] == [4, 5]
    assert {row["dtype"] for row in rows} == {"float64", "float32"}


def test_json_explains_every_bound(done):
    found = strict(done.stdout)
    names = {row["identity"] for row in found["results"]}
    assert set(found["identities"]) == names
    assert all("Bound:" in one["bound"] for one in found["identities"].values())


def test_json_and_page_stay_well_formed_where_an_error_is_no_number(register, wrong, capsys, tmp_path, monkeypatch):
    backend = wrong("CoreOperations")
    monkeypatch.setattr(
        type(backend.operations), "sde", None
    )  # calling it raises: the error of the identity is then NaN
    register(wrong=backend)
    assert main(["--quick", "--backend", "wrong", "--json", "--html", str(tmp_path / "page.html")]) == 1
    broken = [row for row in strict(capsys.readouterr().out)["results"] if row["error"] == "nan"]
    assert broken
    assert all(not row["passed"] and row["detail"] for row in broken)
    parsed = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Failures" in parsed.text
    assert broken[0]["detail"] in parsed.text


# HTML


class Page(HTMLParser):
    """A page's elements; refuses tags that do not close in order."""

    VOID = frozenset({"meta", "br", "circle", "line"})
    FETCHING = frozenset({"src", "href", "srcset", "action", "data", "poster", "xlink:href"})

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.fetched, self.styles, self.text = [], [], [], "", ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.fetched += [value for name, value in attributes if name in self.FETCHING]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.fetched += [value for name, value in attributes if name in self.FETCHING]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.styles += data
        self.text += data


def test_page_is_one_file_that_fetches_nothing(done, page):
    assert done.returncode == 0
    assert [file.name for file in page.parent.iterdir()] == [page.name]
    source = page.read_text(encoding="utf-8")
    parsed = Page(source)
    assert parsed.open == []
    assert parsed.fetched == []
    assert not {"script", "link", "iframe", "object", "embed", "img"} & {tag for tag, _ in parsed.tags}
    assert "url(" not in parsed.styles
    assert "@import" not in parsed.styles
    assert "http" not in source


def test_page_shows_its_plots_inline_with_a_dot_for_the_checks(done, page):
    tags = Page(page.read_text(encoding="utf-8")).tags
    plots = [attributes for tag, attributes in tags if tag == "svg"]
    assert len(plots) >= 2
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)
    dots = [attributes for tag, attributes in tags if tag == "circle"]
    assert len(dots) > len([one for one in IDENTITIES if one.quick])
    assert all(np.isfinite([float(dot["cx"]), float(dot["cy"])]).all() for dot in dots)


def test_page_has_every_identity_with_statement_source_and_the_derivation_of_its_bound(done, page):
    words = Page(page.read_text(encoding="utf-8")).text
    for one in strict(done.stdout)["identities"]:
        assert one in words
    for one in IDENTITIES:
        if one.quick and not one.needs:
            assert one.statement in words
            assert one.source in words
            assert one.why in words


# Table and progress


def test_table_into_a_pipe_is_complete_and_has_no_escape_codes(report):
    shown = text.render(report, terminal=False)
    assert not ANSI.search(shown)
    flat = " ".join(shown.split())
    assert all(name in flat for name in {result.identity.name for result in report.results})
    assert "all passed" in flat


def test_command_writes_results_to_stdout_and_progress_to_stderr(done):
    assert not ANSI.search(done.stdout + done.stderr)
    assert done.stdout.startswith("{")
    assert "verify: 0/" in done.stderr
    assert "verify:" not in done.stdout
    assert all(line.startswith(("verify: ", "wrote ")) for line in done.stderr.splitlines())


def crowded(report):
    """Return a report with many devices and dtypes, a long process name and a failure, as on a large machine."""
    worst = replace(report, results=report.results[:1]).results[0]
    results = [
        Result(
            one,
            backend,
            device,
            dtype,
            (3, 3, 3),
            "blurring, absorbing, DDPM betas",
            2e-9,
            1e-9,
            one is not IDENTITIES[3],
        )
        for one in IDENTITIES
        for backend, device in (
            ("jax", "cpu:0"),
            ("numpy", "cpu"),
            ("reference", "cpu"),
            ("torch", "cpu"),
            ("torch", "cuda:0"),
        )
        for dtype in ("float64", "float32", "bfloat16", "float16")
    ]
    return Report(
        (worst, *results), {"jax": "JAX", "numpy": "NumPy", "reference": "-", "torch": "PyTorch"}, 1.0, 0, False
    )


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_table_fits_the_width_and_breaks_no_number(report, width, terminal):
    many = crowded(report)
    shown = ANSI.sub("", text.render(many, terminal=terminal, width=width))
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in shown  # a column that had no room
    assert shown.count("2.0e-09") >= len(IDENTITIES)
    squeezed = re.sub(r"\s", "", shown)
    names = {one.name.replace(" ", "") for one in IDENTITIES}
    found = {name for name in names if name in squeezed}
    if 80 <= width <= 100:  # else a name may be broken, with the cells beside it in between
        assert found == names


def test_table_on_a_terminal_has_colours_and_takes_its_width(report, monkeypatch, capsys):
    monkeypatch.setattr("blurcore.verify.command.verify", lambda *args, **kwargs: report)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["--quick"]) == 0
    out = capsys.readouterr().out
    assert ANSI.search(out)
    assert max(len(line) for line in ANSI.sub("", out).splitlines()) <= 72


# What is verified


def test_every_identity_that_was_asked_for_is_in_the_list():
    assert set(ISSUE) <= {one.name for one in IDENTITIES}
    assert len({one.name for one in IDENTITIES}) == len(IDENTITIES)
    assert all(one.statement and one.source and "Bound:" in one.why for one in IDENTITIES)


def test_every_identity_is_applied_on_every_installed_backend_device_and_dtype():
    backends = installed(None)
    assert {backend.name for backend in backends} == set(bc.available())
    todo = list(cells(backends, quick=False, seed=0))
    for backend in backends:
        for device in backend.devices():
            for dtype in backend.dtypes(device):
                here = [c for c in todo if (c.backend, c.device, c.dtype) == (backend, device, dtype)]
                applied = {one.name for one in IDENTITIES if any(one.applies(case) for case in here)}
                half = dtype in ("bfloat16", "float16")
                expected = {
                    one.name
                    for one in IDENTITIES
                    if (one.half or not half) and all(hasattr(backend, name) for name in one.needs)
                }
                assert applied == expected, (backend.name, device, dtype)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_installed_backends_have_derivatives(name):
    if name not in bc.available():
        pytest.skip(f"{name} is not installed")
    assert hasattr(bc.get_backend(name), "derivative")


def test_grids_are_of_one_two_and_three_axes_square_and_not():
    for dtype in ("float64", "float32"):
        shapes = {case.shape for case in cells([bc.get_backend("numpy")], quick=False, seed=0) if case.dtype == dtype}
        assert {len(shape) for shape in shapes} == {1, 2, 3}
        assert any(len(set(shape)) > 1 for shape in shapes)
    every = {case.shape for case in cells([bc.get_backend("numpy")], quick=False, seed=0) if case.dtype == "float64"}
    assert any(len(shape) > 1 and len(set(shape)) == 1 for shape in every)


def test_another_seed_is_other_data_and_the_same_seed_the_same(report):
    again, other = (verify(["numpy"], quick=True, seed=seed) for seed in (0, 1))

    def errors(one):
        return [result.error for result in one.results]

    assert errors(again) == errors(report)
    assert errors(other) != errors(report)
    assert other.passed


@pytest.mark.slow
def test_all_installed_backends_pass_every_identity():
    run = command("--quick", "--json")
    assert run.returncode == 0, run.stderr
    rows = strict(run.stdout)["results"]
    assert {row["backend"] for row in rows} == set(bc.available())
    names = {row["identity"] for row in rows}
    assert {one.name for one in IDENTITIES if one.quick} == names
