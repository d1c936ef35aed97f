"""The four processes: shapes, limits, settings refused, and schedules of a user's own that are no Markov chain."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from blurcore_reference import oracle as reference

import blurcore as bc
from blurcore.errors import ArgumentError, NotMarkovError
from blurcore.schedules import NoiseRates, NoiseScales
from blurcore.testing.assertions import EPSILON, assert_close, tolerance

EPS = EPSILON["float64"]


@dataclass(frozen=True, kw_only=True)
class Rising:
    """Noise of a user's own: the log-SNR falls, but rises between 0.5 and 0.75."""

    def log_snr(self, t):
        return np.interp(np.asarray(t, dtype=float), [0, 0.5, 0.75, 1.0], [10.0, 0.0, 5.0, -10.0])

    def scales(self, t):
        g = self.log_snr(t)
        return NoiseScales(a=1 / np.sqrt(1 + np.exp(-g)), sigma=1 / np.sqrt(1 + np.exp(g)))

    def log_snr_difference(self, t, s):
        return self.log_snr(t) - self.log_snr(s)

    def rates(self, t):
        return NoiseRates(log_a=0.0 * t, noise=0.0 * t, sigma=0.0 * t)


@dataclass(frozen=True, kw_only=True)
class Sharpening:
    """Blur of a user's own that shrinks after t = 0.5."""

    width: float = 5.0

    def tau(self, t):
        return self.width * np.minimum(t, 1 - t)

    def tau_difference(self, t, s):
        return self.tau(np.asarray(t)) - self.tau(np.asarray(s))

    def tau_rate(self, t):
        return self.width * np.where(np.asarray(t) < 0.5, 1.0, -1.0)


@dataclass(frozen=True, kw_only=True)
class NotANumber(Sharpening):
    """Blur that is undefined late in the process."""

    def tau(self, t):
        return np.where(np.asarray(t) > 0.9, np.nan, np.asarray(t))


@pytest.mark.parametrize("kind", ["number", "scalar", "batch", "two"])
def test_coefficients_have_the_time_axes_first_and_the_grid_behind(xp, process, kind):
    like = xp.asarray([0.0])
    t = {"number": 0.5, "scalar": xp.asarray(0.5), "batch": xp.asarray([0.5, 0.6]), "two": xp.asarray([[0.5], [0.6]])}[
        kind
    ]
    time = {"number": (), "scalar": (), "batch": (2,), "two": (2, 1)}[kind]
    blurs = not isinstance(process, bc.GaussianDiffusion)
    grid = (3, 4) if blurs else (1, 1)
    m = process.marginal(t, shape=(3, 4), like=like)
    assert tuple(m.alpha.shape) == (*time, *grid)
    assert tuple(m.sigma.shape) == (*time, 1, 1)
    for value in (*process.difference(t, 0.25, shape=(3, 4), like=like), *process.sde(t, shape=(3, 4), like=like)):
        assert tuple(value.shape) == (*time, *grid)
    assert tuple(process.log_snr(t, shape=(3, 4), like=like).shape) == (*time, *grid)


def test_without_like_a_number_gives_numpy_float64(process):
    m = process.marginal(0.5, shape=(3,))
    assert isinstance(m.alpha, np.ndarray)
    assert m.alpha.dtype == np.float64


def test_process_starts_with_the_data_itself(process):
    m = process.marginal(0.0, shape=(4, 4))
    if not isinstance(process, (bc.BlurringDiffusion, bc.GaussianDiffusion)) or isinstance(
        process.noise, bc.LinearBeta
    ):
        # d_0 is 1 to the last bit (the floor included), and a_0 = 1
        assert np.all(m.alpha == 1.0)
    else:
        assert_close(m.alpha, np.full_like(m.alpha, process.noise.scales(0.0).a), rtol=0.0)


def test_dc_is_never_blurred(process):
    if isinstance(process, bc.GaussianDiffusion) or isinstance(process.basis, bc.DST):
        return  # no blur; no DC
    a = process.noise.scales(0.7).a if isinstance(process, bc.BlurringDiffusion) else 1.0
    alpha = process.marginal(0.7, shape=(4, 4)).alpha
    assert alpha[0, 0] == a
    assert np.all(alpha.ravel()[1:] < a)


def test_heat_dissipation_is_blurring_diffusion_without_noise_growth_or_floor(xp):
    like = xp.asarray([0.0], "float64")
    blur = bc.LogLinear(sigma_blur_max=3.0)
    heat = bc.HeatDissipation(sigma=0.05, blur=blur)
    same = bc.BlurringDiffusion(noise=bc.ConstantSigma(sigma=0.05), blur=blur, min_scale=0.0)
    for f in (bc.transition, bc.posterior):
        for a, b in zip(
            f(heat, 0.5, 0.3, shape=(4, 5), like=like), f(same, 0.5, 0.3, shape=(4, 5), like=like), strict=True
        ):
            assert_close(a, b, rtol=0.0)


def test_gaussian_diffusion_is_blurring_diffusion_without_blur(xp):
    like = xp.asarray([0.0], "float64")
    for noise in (bc.CosineLogSNR(), bc.LinearBeta()):
        plain = bc.GaussianDiffusion(noise=noise)
        blurless = bc.BlurringDiffusion(noise=noise, blur=bc.NoBlur(), min_scale=1e-3)
        for a, b in zip(
            bc.posterior(plain, 0.5, 0.3, shape=(3, 4), like=like),
            bc.posterior(blurless, 0.5, 0.3, shape=(3, 4), like=like),
            strict=True,
        ):
            assert_close(xp.xp.broadcast_to(a, (3, 4)), xp.xp.broadcast_to(b, (3, 4)), rtol=4 * EPS)


def test_alpha_underflows_to_zero_where_there_is_no_floor_and_its_logarithm_does_not():
    heat = bc.HeatDissipation(blur=bc.SinSquared(sigma_blur_max=40.0))
    assert heat.marginal(1.0, shape=(16, 16)).alpha.min() == 0.0
    log_snr = bc.log_snr(heat, 1.0, shape=(16, 16))
    assert np.all(np.isfinite(log_snr))
    post = bc.posterior(heat, 1.0, 0.99, shape=(16, 16))
    assert all(np.all(np.isfinite(v)) for v in post)


def test_log_snr_of_a_process_without_noise_is_infinite():
    assert np.all(bc.log_snr(bc.ColdDiffusion(), 0.5, shape=(3,)) == math.inf)
    assert np.all(bc.log_snr(bc.GaussianDiffusion(noise=bc.LinearBeta()), 0.0, shape=(3,)) == math.inf)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bc.BlurringDiffusion(min_scale=-0.1), r"min_scale must be in \[0, 1\]; got -0.1"),
        (lambda: bc.BlurringDiffusion(min_scale=1.1), r"min_scale must be in \[0, 1\]; got 1.1"),
        (lambda: bc.BlurringDiffusion(min_scale=float("nan")), "min_scale must be a finite number; got nan"),
        (lambda: bc.BlurringDiffusion(min_scale="0.1"), "min_scale must be a finite number; got '0.1'"),
        (lambda: bc.ColdDiffusion(min_scale=2.0), r"min_scale must be in \[0, 1\]; got 2.0"),
        (lambda: bc.ColdDiffusion(min_scale=None), "min_scale must be a finite number; got None"),
        (lambda: bc.HeatDissipation(sigma=0.0), r"sigma must be positive \(ColdDiffusion is .*\); got 0.0"),
        (lambda: bc.HeatDissipation(sigma=-1.0), "sigma must be positive"),
        (lambda: bc.HeatDissipation(sigma=float("inf")), "sigma must be a finite number; got inf"),
    ],
)
def test_processes_refuse_settings_that_make_no_sense(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "eigenvalue", "sign"),
    [
        # without a blur, and at DC, the noise decides; the rise of 5 from 0.5 to 0.75 is 20 per unit of time
        (lambda: bc.GaussianDiffusion(noise=Rising()), "0", r"\+0.0781"),
        (lambda: bc.BlurringDiffusion(noise=Rising()), "0", r"\+0.0781"),
        # all noise but the blur's: the higher the frequency, the worse
        (lambda: bc.HeatDissipation(blur=Sharpening()), "29.61", r"\+1.16"),
        (lambda: bc.ColdDiffusion(blur=Sharpening()), "29.61", r"\+1.16"),
        (lambda: bc.ColdDiffusion(blur=NotANumber()), "0", r"\+?nan"),
    ],
)
def test_schedules_that_are_no_markov_chain_are_refused_at_construction(make, eigenvalue, sign):
    message = rf"frequency with eigenvalue lambda = {eigenvalue} changes by {sign}.* between s = 0\.\d+ and t = 0\.\d+"
    with pytest.raises(NotMarkovError, match=message):
        make()


def test_blur_that_noise_outweighs_is_a_markov_chain():
    # log-SNR: the noise falls by at least 20 * pi/2 ... per unit of time, a tiny sharpening adds less
    process = bc.BlurringDiffusion(blur=Sharpening(width=0.02))
    assert np.all(process.difference(0.8, 0.6, shape=(8, 8)).log_snr < 0)


def test_processes_are_values(process):
    twin = type(process)(**{name: getattr(process, name) for name in process.__dataclass_fields__})
    assert twin == process
    assert hash(twin) == hash(process)
    with pytest.raises(AttributeError):
        process.sigma = 0.5


def test_registry_names_every_process_once():
    ours = [
        name for name, cls in bc.PROCESSES.items() if cls.__module__.startswith("blurcore.")
    ]  # not those of examples/
    assert ours == ["BlurringDiffusion", "GaussianDiffusion", "HeatDissipation", "ColdDiffusion"]
    assert all(name == cls.__name__ for name, cls in bc.PROCESSES.items())


@pytest.mark.parametrize("t", [0.0, 0.05, 0.3, 0.9])
def test_sde_is_the_references_in_every_frequency(xp, process, t):
    """On a grid where some frequencies are blurred away and some are not: random examples seldom have both noise and blur.

    Bound: rates are sums of terms of one sign, with the 128 roundings of tests/properties and the condition
    1 + |log alpha| of the exponential; where they underflow, the reference's quotients of width 1e-16 leave 1e-24.
    """
    settings, shape = bc.to_dict(process), (3, 4)
    actual = bc.sde(process, t, shape=shape, like=xp.asarray([0.0], "float64"))
    condition = 1 + np.abs(reference.log_alpha(settings, t, shape))
    rtol = tolerance("float64", roundings=128, condition=condition)
    for name, value, expected in zip(actual._fields, actual, reference.sde(settings, t, shape), strict=True):
        value = np.broadcast_to(xp.to_numpy(value), shape)
        assert_close(value, expected, rtol=rtol, atol=1e-24, what=name)
