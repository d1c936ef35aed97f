"""Processes of one's own: what follows from their schedules, how they are made known, and the published examples."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import array_api_compat as compat
import numpy as np
import pytest
from blurcore_reference import bases
from equal_snr import EqualSNR, measure
from progressive_deblurring import ProgressiveDeblurring

import blurcore as bc
from blurcore.errors import ArgumentError, ConfigError, NotMarkovError
from blurcore.testing import check_process
from blurcore.testing.assertions import as_numpy
from blurcore.verify.sampler_spectrum import exact_calibration, output_variance, spectral_error

EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = {
    "Lee": ProgressiveDeblurring(),
    "Lee, cosine": ProgressiveDeblurring(noise=bc.CosineLogSNR(), power=1.0),
    "Falck": EqualSNR(spectrum=(4.0, 1.0, 0.02)),
}


@dataclass(frozen=True, kw_only=True)
class Blurring(bc.SpectralProcess):
    """Blurring diffusion once more, d_min = 0, from its logarithms."""

    twin = bc.BlurringDiffusion(min_scale=0.0, blur=bc.SinSquared(sigma_blur_max=2.0))

    def logs(self, t: Any, lam: Any) -> bc.Logs:
        xp, noise, blur = compat.array_namespace(t), self.twin.noise, self.twin.blur
        log_d = -lam * blur.tau(t)
        return bc.Logs(alpha=xp.log(noise.scales(t).a) + log_d, snr=noise.log_snr(t) + 2 * log_d)

    def rates(self, t: Any, lam: Any) -> bc.SDE:
        rates, slope = self.twin.noise.rates(t), lam * self.twin.blur.tau_rate(t)
        sigma = self.twin.noise.scales(t).sigma
        return bc.SDE(drift=rates.log_a - slope, diffusion=rates.noise + 2 * sigma**2 * slope)


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4)])
@pytest.mark.parametrize("batched", [False, True])
def test_process_by_its_logarithms_is_the_one_of_the_core(xp, shape, batched):
    """The same process written both ways; logarithms cost up to 30 units of exponent, so 100 roundings are allowed."""
    like = xp.asarray(np.zeros(1), dtype="float32")
    t, s = (xp.asarray(np.array(v), dtype="float32") if batched else v[0] for v in ([0.7, 1.0], [0.3, 0.0]))
    ours, theirs = Blurring(), Blurring.twin
    for name, arguments in (
        ("marginal", (t,)),
        ("log_snr", (t,)),
        ("difference", (t, s)),
        ("sde", (s,)),
        ("velocity", (s,)),
    ):
        got, expected = (getattr(p, name)(*arguments, shape=shape, like=like) for p in (ours, theirs))
        parts = ((got, expected),) if name == "log_snr" else zip(got, expected, strict=True)
        for a, b in parts:
            assert compat.array_namespace(a) is compat.array_namespace(b)
            assert a.dtype == b.dtype
            wanted = np.broadcast_to(as_numpy(b), np.broadcast_shapes(a.shape, b.shape))
            np.testing.assert_allclose(
                np.broadcast_to(as_numpy(a), wanted.shape), wanted, rtol=100 * 2.0**-23, atol=1e-30
            )


@pytest.mark.parametrize("name", [*OWN, "core"])
def test_check_welcomes_what_is_consistent(name):
    check_process(OWN.get(name, Blurring()))


def broken(**methods: Any) -> Any:
    return dataclass(frozen=True, kw_only=True)(type("Broken", (Blurring,), methods))()


@pytest.mark.parametrize(
    ("methods", "statement"),
    [
        (
            {"rates": lambda self, t, lam: bc.SDE(*(2 * r for r in Blurring.rates(self, t, lam)))},
            "drift is d log alpha",
        ),
        (
            {
                "rates": lambda self, t, lam: Blurring.rates(self, t, lam)._replace(
                    diffusion=self.twin.noise.rates(t).noise
                )
            },
            "diffusion is -sigma",
        ),
        ({"log_snr": lambda self, t, **k: 0.5 * Blurring.log_snr(self, t, **k)}, "log_snr is 2 log"),
        (
            {
                "difference": lambda self, t, s, **k: bc.Difference(
                    *(1.001 * d for d in Blurring.difference(self, t, s, **k))
                )
            },
            "difference is that of log_snr",
        ),
        (
            {"marginal": lambda self, t, **k: bc.Marginal(*(-m for m in Blurring.marginal(self, t, **k)))},
            "finite and >= 0",
        ),
        (
            {"marginal": lambda self, t, **k: Blurring.marginal(self, t if np.ndim(t) == 0 else 0 * t, **k)},
            "at an array of times",
        ),
    ],
)
def test_check_names_what_is_wrong(methods, statement):
    with pytest.raises(AssertionError, match=statement):
        check_process(broken(**methods))


def test_schedule_that_is_not_a_markov_chain_is_refused_when_constructed():
    with pytest.raises(
        NotMarkovError, match=r"must be a number that does not increase with time, so check Broken\.logs"
    ):
        broken(logs=lambda self, t, lam: bc.Logs(alpha=-t, snr=Blurring.logs(self, t, lam).snr + 40 * t))
    with pytest.raises(NotMarkovError):
        broken(logs=lambda self, t, lam: bc.Logs(alpha=-t, snr=0 * lam * t + np.nan))
    with pytest.raises(NotImplementedError, match=r"must define logs\(t, lam\)"):
        bc.SpectralProcess()


@pytest.mark.parametrize("shape", [(6,), (3, 5)])
@pytest.mark.parametrize("name", OWN)
def test_noise_has_the_covariance_of_the_dense_definition(name, shape):
    """z - V alpha V^T x is V sigma V^T eps: unit noise in each pixel gives the columns of the dense matrix."""
    process, size, axes = OWN[name], int(np.prod(shape)), tuple(range(1, len(shape) + 1))
    units = np.eye(size).reshape(size, *shape)
    m = process.marginal(0.6, shape=shape)
    v = bases.dense_basis("DCT", shape)
    got = bc.diffuse(process, np.zeros_like(units), 0.6, units, axes=axes).reshape(size, size).T
    sigma = np.broadcast_to(m.sigma, shape).reshape(-1)
    np.testing.assert_allclose(got, v @ np.diag(sigma) @ v.T, atol=1e-12)
    assert np.ptp(sigma) > 0.01


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("kind", ["ancestral", "ddim", "heun", "calibrated"])
def test_samplers_with_the_exact_denoiser_go_to_the_data(name, kind):
    """Noise that differs from frequency to frequency: calibrated steps bring the data's spectrum back, others step by step.

    Four times the steps leave a quarter of a first-order solver's error, a sixteenth of Heun's: less than 0.4 and 0.1.
    """
    process, shape = OWN[name], (6, 5)
    spectrum = 0.2 / (process.basis.eigenvalues(shape) + 0.1)
    m = process.marginal(1.0, shape=shape)

    def error(num_steps: int) -> float:
        times = bc.uniform_times(num_steps)
        kept: dict[str, Any] = {"process": process, "axes": (-2, -1)}
        if kind == "calibrated":
            kept["x0_error"] = exact_calibration(process, times, spectrum)
        classes = {"ancestral": bc.Ancestral, "ddim": bc.DDIM, "heun": bc.Heun, "calibrated": bc.CalibratedAncestral}
        start = m.alpha**2 * spectrum + m.sigma**2
        got = output_variance(classes[kind](**kept), times, spectrum, last_noise=True, initial=start)
        return spectral_error(got, spectrum, process)

    if kind == "calibrated":
        assert error(12) < 1e-7
    else:
        coarse, fine = error(200), error(800)
        assert fine < (0.1 if kind == "heun" else 0.4) * coarse
        assert coarse < 0.5


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize("name", OWN)
def test_training_target_inverts_to_the_data(xp, name, prediction):
    process = OWN[name]
    x, eps = (xp.asarray(np.random.default_rng(k).standard_normal((3, 4, 6)), dtype="float64") for k in (0, 1))
    t = xp.asarray(np.array([0.1, 0.5, 0.8]), dtype="float64")
    pair = bc.training_pair(process, x, t, eps, prediction=prediction)
    u = process.basis.forward(pair.z)
    found = bc.predict(process, pair.target, prediction, u, t)
    np.testing.assert_allclose(as_numpy(process.basis.inverse(found.x0)), as_numpy(x), rtol=1e-7, atol=1e-7)


def test_lee_is_the_chain_of_their_code():
    """B_i = (1 - beta_i) D^(2 f_i), their product, and 1 - product: 1,000 steps, f quartic, D a Gaussian of width 0.4."""
    lam = bc.DCT().eigenvalues((7, 9))
    beta, i = np.linspace(1e-4, 0.02, 1000), np.arange(1, 1001)
    f = (0.15 / 0.4) ** 2 * (i / 1000) ** 4
    product = np.cumprod((1 - beta)[:, None, None] * np.exp(-lam * 0.4**2 / 2) ** (2 * f[:, None, None]), axis=0)
    theirs = ProgressiveDeblurring(
        sigma_blur_max=0.15 * np.sqrt(1000 / 5)
    )  # the sum of quartic widths, as an integral: 1/1000 relative
    for k in (100, 500, 1000):
        m = theirs.marginal(k / 1000, shape=(7, 9))
        np.testing.assert_allclose(m.sigma**2, 1 - product[k - 1], rtol=2e-2, atol=1e-4)
        np.testing.assert_allclose(np.log(m.alpha), np.log(product[k - 1]) / 2, rtol=2e-2, atol=1e-3)


def test_difference_from_clean_data_has_the_limits_of_infinite_log_snr():
    """DDPM's betas leave l_0 = inf: a step from 0 to 0 is none, and one from 0 to t starts from no noise."""
    none, first = (OWN["Lee"].difference(t, 0.0, shape=(3,)) for t in (0.0, 0.5))
    np.testing.assert_array_equal(none.log_snr, 0.0)
    np.testing.assert_array_equal(none.alpha, 1.0)
    np.testing.assert_array_equal(first.log_snr, -np.inf)


def test_equal_snr_is_equal_on_the_data_whose_spectrum_it_has():
    rng = np.random.default_rng(0)
    spectrum = 1.0 / (bc.DCT().eigenvalues((16, 16)) + 0.05)
    images = bc.DCT().inverse(np.sqrt(spectrum) * rng.standard_normal((2000, 16, 16)), axes=(1, 2))[..., None]
    process = EqualSNR(spectrum=measure(images, num_knots=12))
    m = process.marginal(0.5, shape=(16, 16))
    ratio = m.alpha**2 * spectrum / m.sigma**2  # the paper's s_t(i), the same for all frequencies
    inside = bc.DCT().eigenvalues((16, 16)) > 0.3  # a knot of 12 averages over the steep part around DC
    assert np.ptp(np.log(ratio[inside])) < 0.35
    assert np.ptp(np.log(bc.GaussianDiffusion().marginal(0.5, shape=(16, 16)).alpha ** 2 * spectrum)[inside]) > 3


@pytest.mark.parametrize("process", OWN.values(), ids=OWN)
def test_dictionary_of_a_registered_process_restores_it(process):
    assert bc.from_dict(bc.to_dict(process)) == process
    assert bc.from_dict({"process": bc.to_dict(process)}, bc.RunConfig).process == process


def test_unknown_kind_is_looked_up_among_installed_packages(monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class Elsewhere(Blurring):
        """Of an installed package."""

    asked = []

    def declared(name):
        asked.append(name)
        bc.register_kind(Elsewhere)

    monkeypatch.setattr("blurcore.kinds._declared", lambda: ("Elsewhere", "Other"))
    monkeypatch.setattr("blurcore.kinds._load", declared)
    try:
        assert bc.from_dict({"kind": "Elsewhere"}) == Elsewhere()
        with pytest.raises(
            ConfigError, match=r"or a class of your own that has been made known by blurcore\.register_kind"
        ):
            bc.from_dict({"process": {"kind": "Nowhere"}}, bc.RunConfig)
    finally:
        bc.PROCESSES.pop("Elsewhere", None)
    assert asked == ["Elsewhere"]


def test_what_is_no_kind_is_refused():
    with pytest.raises(ArgumentError, match="must be a frozen dataclass"):
        bc.register_kind(int)
    with pytest.raises(ArgumentError, match="must be a frozen dataclass"):
        bc.register_kind(dataclass(type("Loose", (), {})))
    with pytest.raises(ArgumentError, match=r"must have the methods of a role \(process: marginal, .*has not"):
        bc.register_kind(dataclass(frozen=True)(type("Empty", (), {})))
    with pytest.raises(ArgumentError, match=r"BlurringDiffusion of blurcore\.processes\.blurring is known already"):
        bc.register_kind(dataclass(frozen=True)(type("BlurringDiffusion", (Blurring,), {})))


def test_custom_schedule_is_registered():
    @dataclass(frozen=True, kw_only=True)
    class Linear:
        """Heat time that grows evenly."""

        end: float = 2.0

        def tau(self, t):
            return self.end * np.asarray(t)

        def tau_difference(self, t, s):
            return self.end * (np.asarray(t) - np.asarray(s))

        def tau_rate(self, t):
            return self.end + 0 * np.asarray(t)

    from blurcore.schedules import BLUR_SCHEDULES

    try:
        bc.register_kind(Linear)
        process = bc.BlurringDiffusion(blur=Linear(end=3.0))
        assert bc.from_dict(bc.to_dict(process)) == process
        check_process(process)
    finally:
        BLUR_SCHEDULES.pop("Linear", None)


@pytest.mark.parametrize("script", ["progressive_deblurring.py", "equal_snr.py"])
def test_example_checks_itself_without_a_warning(script):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script), "check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "every identity holds\n"), done.stderr
