"""`blurcore verify --prove`: everything is proven, mistakes are refuted with numbers, and what cannot be decided is said to be so."""

from __future__ import annotations

import html
import importlib
import inspect
import json
import math
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
from array_api_compat import array_namespace

import blurcore as bc
from blurcore.testing import prove_process
from blurcore.verify.command import main

sp = pytest.importorskip("sympy")
prove = importlib.import_module("blurcore.verify.prove")
decide = importlib.import_module("blurcore.verify.prove.decide")
symbolic = importlib.import_module("blurcore.verify.prove.symbolic")
CLAIMS = {one.name: one for one in prove.CLAIMS}
SLOW = ("is orthonormal", "continuous Laplacian", "third order", "DDIM(1)")
PACKAGE = Path(bc.__file__).parent


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if any(s in n for s in SLOW) else ()) for n in CLAIMS]
)
def test_claim_is_proven(name):
    proof = prove.prove_claim(CLAIMS[name])
    assert (proof.verdict, proof.detail) == ("proven", "")
    assert proof.equations > 0
    assert proof.steps


MUTANTS = [
    ("processes/_affine.py", "alpha = a * _decay(", "alpha = a**2 * _decay(", "marginal"),
    ("processes/_affine.py", "left + min_scale * (1 - left)", "left + min_scale", "marginal"),
    ("processes/_affine.py", "+ 2 * log_d)", "+ log_d)", "marginal"),
    ("processes/_affine.py", "step + 2 * log_d", "step + log_d", "differences"),
    ("processes/_affine.py", "return -xp.log1p((1 - min_scale)", "return -xp.log1p(min_scale", "differences"),
    (
        "processes/_affine.py",
        "alpha = ratio * spectrum.left(heat)",
        "alpha = ratio * spectrum.left(-heat)",
        "transition",
    ),
    ("processes/_affine.py", "- 2 * variance * log_d_rate", "- variance * log_d_rate", "SDE is the derivative"),
    ("processes/_affine.py", "((1 - min_scale) * left / _decay", "(left / _decay", "SDE is the derivative"),
    (
        "diffusion.py",
        "variance=-(sigma_t**2) * xp.expm1(d.log_snr)",
        "variance=-sigma_t * xp.expm1(d.log_snr)",
        "transition",
    ),
    (
        "diffusion.py",
        "z_coef=d.alpha * (m_s.sigma / m_t.sigma) ** 2",
        "z_coef=d.alpha * (m_s.sigma / m_t.sigma)",
        "posterior is Bayes'",
    ),
    ("diffusion.py", "x_coef=m_s.alpha * gain", "x_coef=gain", "posterior is Bayes'"),
    ("diffusion.py", "variance=m_s.sigma**2 * gain", "variance=m_t.sigma**2 * gain", "posterior is Bayes'"),
    (
        "prediction.py",
        "return (z - weight * value) / divisor",
        "return (z - weight**2 * value) / divisor",
        "parametrisations",
    ),
    (
        "prediction.py",
        "return (own.noise * z - at.sigma * y) / own.determinant",
        "return own.noise * z - at.sigma * y",
        "parametrisations",
    ),
    (
        "prediction.py",
        "return (at.alpha * y - own.data * z) / own.determinant",
        "return at.alpha * y - own.data * z",
        "parametrisations",
    ),
    ("prediction.py", "return -result / at.sigma if", "return result / at.sigma if", "parametrisations"),
    (
        "prediction.py",
        "alpha * sigma_rate - sigma * alpha_rate)",
        "alpha * sigma_rate + sigma * alpha_rate)",
        "parametrisations",
    ),
    ("prediction.py", "Mixture(sigma / (sigma_data * root),", "Mixture(sigma / root,", "parametrisations"),
    (
        "likelihood.py",
        "weight = -xp.exp(process.log_snr(s, shape=shape, like=u0)) * xp.expm1(gap)",
        "weight = -xp.exp(process.log_snr(t, shape=shape, like=u0)) * xp.expm1(gap)",
        "step KL is the SNR formula",
    ),
    (
        "schedules.py",
        "return NoiseScales(a=xp.sin(m * (1 - t) + rest)",
        "return NoiseScales(a=xp.sin(m * (1 - t) + b)",
        "cosine",
    ),
    ("schedules.py", "a, sigma = self._scales(xp, t, s)", "a, sigma = self._scales(xp, s, s)", "cosine"),
    (
        "schedules.py",
        "return NoiseRates(log_a=-slope, noise=2 * slope, sigma=m * a)",
        "return NoiseRates(log_a=-slope, noise=slope, sigma=m * a)",
        "cosine",
    ),
    (
        "schedules.py",
        "return self.sigma_blur_max**2 / 2 * xp.sin(t * (math.pi / 2)) ** 4",
        "return self.sigma_blur_max**2 * xp.sin(t * (math.pi / 2)) ** 4",
        "sin^2",
    ),
    ("schedules.py", "reflected = (1 - t) + (1 - s)", "reflected = 1 - t - s", "sin"),
    ("schedules.py", "return math.pi / 2 * self.sigma_blur_max**2", "return math.pi * self.sigma_blur_max**2", "sin"),
    (
        "schedules.py",
        "linear = (self.sigma_blur_min * self.num_levels) ** 2 / 2 *",
        "linear = (self.sigma_blur_min * self.num_levels) ** 2 *",
        "log-linear",
    ),
    ("schedules.py", "above = 2 * self._growth *", "above = self._growth *", "log-linear"),
    ("schedules.py", "(-1 / 24 + r**2 * (6 * 7 / 5760", "(1 / 24 + r**2 * (6 * 7 / 5760", "linear beta"),
    ("samplers/ddim.py", "kept = (1 - self.eta**2) +", "kept = (1 - self.eta) +", "DDIM keeps the marginal"),
    ("samplers/ddim.py", "noise=self.eta * root(added)", "noise=root(added)", "DDIM keeps the marginal"),
    ("samplers/dpm_solver_pp.py", "h = d.log_snr / -2", "h = -d.log_snr", "DPM-Solver++(1) is DDIM(0)"),
    (
        "samplers/dpm_solver_pp.py",
        "return x0 + ratio / 2 * (x0 - state.last_x0)",
        "return x0 + ratio * (x0 - state.last_x0)",
        "DPM-Solver++(2) is of second order",
    ),
    (
        "samplers/dpm_solver_pp.py",
        "square * (step * change)",
        "square / 2 * (step * change)",
        "DPM-Solver++(3) integrates parabolas",
    ),
    (
        "samplers/euler.py",
        "eps=sde.diffusion / (2 * sigma)",
        "eps=sde.diffusion / sigma",
        "Euler follows the probability flow",
    ),
    ("samplers/heun.py", "state.last_h / 2 * (", "state.last_h * (", "Heun is of second order"),
    (
        "samplers/cold_rules.py",
        "exact = -after.alpha * xp.expm1(fall / 2)",
        "exact = -before.alpha * xp.expm1(fall / 2)",
        "cold's improved rule is DDIM(0)",
    ),
    (
        "transforms.py",
        "return (np.arange(n) * (math.pi / n)) ** 2",
        "return (np.arange(n) * (math.pi / max(n - 1, 1))) ** 2",
        "DCT: continuous Laplacian",
    ),
    (
        "transforms.py",
        "return np.where(k == 0, math.sqrt(1 / n), rows",
        "return np.where(k == 0, math.sqrt(2 / n), rows",
        "DCT-II is orthonormal",
    ),
    (
        "transforms.py",
        "np.cos(np.arange(4 * n) * (math.pi / (2 * n)))[(2 * i + 1) * k",
        "np.cos(np.arange(4 * n) * (math.pi / (2 * n)))[(2 * i) * k",
        "DCT-II is orthonormal",
    ),
    (
        "transforms.py",
        "rows * np.where(k == n, math.sqrt(1 / n)",
        "rows * np.where(k == n, math.sqrt(2 / n)",
        "DST-II is orthonormal",
    ),
    (
        "samplers/dpm_solver_pp.py",
        "(h <= LONGEST * last_h)",
        "(h <= 2 * LONGEST * last_h)",
        "DPM-Solver++(3) takes long steps at second order",
    ),
    (
        "samplers/dpm_solver_pp.py",
        "& (last_h <= LONGEST * older_h)",
        "",
        "DPM-Solver++(3) takes long steps at second order",
    ),
    (
        "samplers/dpm_solver_pp.py",
        "slope - step / long_ago",
        "slope - step / before",
        "DPM-Solver++(3) is of third order",
    ),
    (
        "samplers/dpm_solver_sde.py",
        "noise=root(q.variance)",
        "noise=root(q.variance) * q.z_coef",
        "SDE-DPM-Solver++(1) is ancestral",
    ),
    ("samplers/ancestral.py", 'if self.variance == "posterior"', 'if self.variance == "upper"', "ancestral"),
]
"""(file, text, what stands there instead, the claim that refutes it)."""


def functions(code):
    """Return the code of every function in a module's, by its qualified name."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return {c.co_qualname: c for c in inner} | {k: v for c in inner for k, v in functions(c).items()}


@pytest.fixture
def mutate(monkeypatch):
    """Give the functions of a module the code that they would have if its text were another."""

    def change(file, old, new):
        source = (PACKAGE / file).read_text(encoding="utf-8")
        assert source.count(old) == 1, (file, old)
        module = sys.modules["blurcore." + file.removesuffix(".py").replace("/", ".")]
        before, after = (functions(compile(text, file, "exec")) for text in (source, source.replace(old, new)))
        changed = [name for name in before if before[name] != after[name] and "<locals>" not in name]
        for name in changed:
            found = module
            for part in name.split("."):
                found = inspect.getattr_static(found, part)
            if inspect.isclass(found):  # its body, which holds the function that changes
                continue
            monkeypatch.setattr(inspect.unwrap(getattr(found, "fget", found)), "__code__", after[name])
        assert changed

    return change


@pytest.mark.parametrize(("file", "old", "new", "name"), MUTANTS, ids=[f"{m[0]}: {m[2]}" for m in MUTANTS])
def test_mutant_is_refuted_by_numbers_that_differ(mutate, file, old, new, name):
    mutate(file, old, new)
    proof = prove.prove_claim(CLAIMS[name])
    assert proof.verdict == "refuted", proof.detail
    left, right = re.search(r": (.+?) is not (.+?)(?:, at|$)", proof.detail).groups()
    assert complex(left.replace(" ", "")) != complex(right.replace(" ", ""))


def test_mutants_are_many():
    assert len({mutant[:3] for mutant in MUTANTS}) >= 25


def test_what_cannot_be_decided_is_undecided_and_fails(monkeypatch, capsys):
    """sqrt(2) + sqrt(3) is a root of x^4 - 10 x^2 + 1, but for that two generators' relations are not enough."""
    x = sp.Symbol("x", positive=True)
    assert decide.equal(sp.gamma(x + 1), x * sp.gamma(x)).verdict == "undecided"

    @prove.claim("gamma", "gamma(x + 1) = x gamma(x)", "SPEC 1", for_all="all x > 0")
    def gamma():
        yield prove.Pair("", sp.gamma(x + 1), x * sp.gamma(x))

    monkeypatch.setattr(prove, "prove", lambda progress: real([gamma], progress))
    assert main(["--prove", "--json"]) == 1
    assert [p["verdict"] for p in json.loads(capsys.readouterr().out)["proofs"]] == ["undecided"]


real = prove.prove


def test_command_prints_writes_and_refuses(monkeypatch, capsys, tmp_path):
    some = [CLAIMS[name] for name in ("transition", "cosine")]
    monkeypatch.setattr(prove, "prove", lambda progress: real(some, progress))
    page = tmp_path / "proofs.html"
    assert main(["--prove", "--html", str(page)]) == 0
    said = capsys.readouterr()
    parts = "transition", "for all", "0 < r < s < t < 1", "cancel", "rounding", "2 claims, 12 equations: all proven"
    assert [part for part in parts if part not in said.out] == []
    assert [part for part in parts if part not in html.unescape(page.read_text(encoding="utf-8"))] == []
    assert "verify: 2/2 claims, done" in said.err
    for others in (["--quick"], ["--backend", "numpy"], ["--precision"], ["--seed", "1"]):
        assert main(["--prove", *others]) == 2
        assert "takes no --backend" in capsys.readouterr().err


def test_wrong_equation_is_refuted_and_an_equal_one_proven():
    x, y = sp.symbols("x y", positive=True)
    assert decide.equal(sp.sin(x + y), sp.sin(x) * sp.cos(y) + sp.cos(x) * sp.sin(y)).verdict == "proven"
    assert decide.equal(sp.exp(2 * sp.log(x) + y), x**2 * sp.exp(y)).verdict == "proven"
    assert decide.equal(sp.sqrt(x**2 * (1 + y) ** 2), x + x * y).verdict == "proven"
    assert decide.equal(sp.sqrt((x - y) ** 2), x - y).verdict != "proven"
    assert decide.equal(sp.sqrt(sp.sqrt((x - y) ** 2) ** 2), sp.sqrt((y - x) ** 2)).verdict != "refuted"
    assert decide.equal(sp.exp(x) ** sp.Rational(1, 2), sp.exp(x / 2)).verdict == "proven"
    assert decide.equal(sp.exp(x), 1 + x).verdict == "refuted"
    assert decide.equal(x * (1 + sp.Rational(1, 10**20)), x).verdict == "undecided"


@pytest.mark.parametrize(
    ("number", "exact"),
    [
        (0.5, "1/2"),
        (1 / 3, "1/3"),
        (0.001, "1/1000"),
        (math.pi / 2, "pi/2"),
        (2 / math.factorial(21), "1/25545471085854720000"),
        (0.1234567890123, "1234567890123/10000000000000"),
        (math.inf, "oo"),
    ],
)
def test_float_is_the_simplest_number_that_rounds_to_it(number, exact):
    assert symbolic.exact(number) == sp.sympify(exact)


def test_sign_is_known_stated_or_refused():
    x = sp.Symbol("x", real=True)
    with pytest.raises(symbolic.Undecided):
        symbolic.sign(1 - x)
    with symbolic.assuming(x - 1):
        assert symbolic.sign(2 - 2 * x) == -1
    assert symbolic.facts() == ()
    y, z = sp.symbols("y z", positive=True)
    assert symbolic.sign(sp.exp(-y) - 1) == -1
    with pytest.raises(symbolic.Undecided):
        symbolic.sign(y - z)
    with pytest.raises(symbolic.Undecided):
        symbolic.sign(1 - sp.exp(-x))
    with symbolic.assuming(y - z):
        assert symbolic.sign((z**2 - y**2) * sp.exp(x)) == -1


@dataclass(frozen=True, kw_only=True)
class Own(bc.SpectralProcess):
    rate: float = 3.0
    slip: float = 1.0

    def logs(self, t, lam):
        xp = array_namespace(t)
        return bc.Logs(alpha=-self.rate * t * (1 + lam), snr=-2 * xp.log(t + 0.1) - 2 * self.rate * t * (1 + lam))

    def rates(self, t, lam):
        xp = array_namespace(t)
        drift = -self.rate * (1 + lam) + 0 * t
        logs = self.logs(t, lam)
        variance = xp.exp(2 * logs.alpha - logs.snr)
        return bc.SDE(drift=drift, diffusion=self.slip * variance * (2 / (t + 0.1) + 2 * self.rate * (1 + lam)))


def test_custom_process_is_proven_and_a_mistake_in_it_refuted():
    prove_process(Own())
    with pytest.raises(AssertionError, match=r"Own: SDE is refuted: g\^2: .+ is not .+, at lambda = "):
        prove_process(Own(slip=1.01))


def test_process_of_the_package_is_proven_with_its_settings():
    prove_process(bc.GaussianDiffusion())
