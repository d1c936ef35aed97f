"""Noise and blur as functions of time: their ends, their derivatives, DDPM's product, and what is refused."""

import math

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError
from blurcore.schedules import BLUR_SCHEDULES, NOISE_SCHEDULES
from blurcore.testing.assertions import EPSILON, assert_close

EPS = EPSILON["float64"]
NOISE = [bc.CosineLogSNR(), bc.CosineLogSNR(log_snr_min=-15.0, log_snr_max=4.0), bc.LinearBeta(), bc.ConstantSigma()]
NOISE += [bc.LinearBeta(beta_start=5e-4, beta_end=0.1, num_steps=200), bc.ConstantSigma(sigma=0.0)]
NOISE += [bc.Rectified(), bc.Rectified(alpha_min=1e-9, sigma_min=0.0), bc.LogSigma()]
BLUR = [bc.SinSquared(), bc.Sin(sigma_blur_max=3.0), bc.LogLinear(), bc.LogLinear(num_levels=2), bc.NoBlur()]
BLUR += [bc.SinSquared(sigma_blur_max=0.0)]
INNER = [0.013, 0.2, 0.51, 0.77, 0.98]  # off the kinks of LogLinear, 1/200 and 1/2


def ids(schedule):
    return repr(schedule)


def test_cosine_has_the_check_values_of_the_specification():
    first, last = (bc.CosineLogSNR().scales(t) for t in (0.0, 1.0))
    assert f"{first.sigma**2:.5e}" == "4.53979e-05"
    assert round(float(last.a), 7) == 0.0067378
    smallest = float(bc.BlurringDiffusion().marginal(1.0, shape=(32, 32)).alpha.min())
    assert f"{smallest:.4e}" == "6.7378e-06"


@pytest.mark.parametrize("noise", NOISE[:2], ids=ids)
def test_cosine_runs_between_its_bounds_and_preserves_variance(noise):
    # sigma or a is exp(-|g| / 2), the sine of a sum that is off by an eps or two: exp(7.5) of them, relative
    atol = 4 * EPS * math.exp(7.5)
    assert_close(noise.log_snr(0.0), np.float64(noise.log_snr_max), rtol=0.0, atol=atol)
    assert_close(noise.log_snr(1.0), np.float64(noise.log_snr_min), rtol=0.0, atol=atol)
    for t in np.linspace(0, 1, 11):
        a, sigma = noise.scales(t)
        assert_close(a**2 + sigma**2, np.float64(1.0), rtol=8 * EPS)


@pytest.mark.parametrize(
    "settings", [{}, {"beta_start": 5e-4, "beta_end": 0.1, "num_steps": 200}, {"beta_start": 0.02, "beta_end": 0.02}]
)
def test_linear_beta_is_the_literal_product_at_every_step(settings):
    noise = bc.LinearBeta(**settings)
    n = noise.num_steps
    betas = np.linspace(noise.beta_start, noise.beta_end, n)
    log_product = np.concatenate([[0.0], [math.fsum(np.log1p(-betas[:k])) for k in range(1, n + 1)]])
    a, sigma = noise.scales(np.arange(n + 1) / n)
    delta = (noise.beta_end - noise.beta_start) / (n - 1)
    # The next term of the Euler-Maclaurin formula, 127/154828800 [f^(7)] with f^(7) = 720 delta^7 / (1 - beta)^7,
    # and rounding: log a is the sum, and its exponential turns an absolute error into a relative one.
    truncation = 127 / 154828800 * 720 * (delta / (1 - noise.beta_end)) ** 7
    rtol = 64 * EPS * (1 + np.abs(log_product)) + truncation
    assert_close(a, np.exp(log_product / 2), rtol=rtol)
    # sigma_0 is exactly 0; after that the decay is at least beta_start, to which the truncation is relative
    assert_close(sigma, np.sqrt(-np.expm1(log_product)), rtol=rtol + truncation / noise.beta_start)
    assert sigma[0] == 0


def test_linear_beta_has_no_log_snr_at_zero_and_falls_from_there(xp):
    noise = bc.LinearBeta()
    assert float(noise.log_snr(0.0)) == math.inf
    assert float(noise.log_snr_difference(0.5, 0.0)) == -math.inf
    assert float(noise.log_snr_difference(0.0, 0.0)) == 0.0
    t = xp.asarray([0.0, 0.25, 1.0], "float64")
    g = xp.to_numpy(noise.log_snr(t))
    assert g[0] == math.inf
    assert np.all(np.diff(g) < 0)


def test_rectified_is_the_straight_line_and_has_exact_ends():
    noise = bc.Rectified(alpha_min=1e-9, sigma_min=0.0)
    t = np.linspace(0, 1, 11)
    a, sigma = noise.scales(t)
    assert_close(a, 1 - t + 1e-9 * t, rtol=0.0, atol=2 * EPS)
    assert_close(sigma, t, rtol=0.0, atol=0.0)
    assert (float(a[0]), float(sigma[0]), float(a[-1]), float(sigma[-1])) == (1.0, 0.0, 1e-9, 1.0)
    assert float(noise.log_snr(0.0)) == math.inf
    assert float(noise.log_snr_difference(0.5, 0.0)) == -math.inf
    assert float(noise.log_snr_difference(0.0, 0.0)) == 0.0
    assert [float(v) for v in noise.rates(0.0)] == [-(1 - 1e-9), 0.0, 1.0]


def test_log_sigma_is_geometric_from_end_to_end():
    noise = bc.LogSigma()
    a, sigma = noise.scales(np.linspace(0, 1, 11))
    assert_close(a, np.ones(11), rtol=0.0, atol=0.0)
    assert_close(sigma, np.geomspace(0.002, 80.0, 11), rtol=32 * EPS)


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (bc.Rectified(), "RectifiedSchedule", {}),
        (bc.Rectified(alpha_min=0.01, sigma_min=0.02), "RectifiedSchedule", {"alpha_min": 0.01, "sigma_min": 0.02}),
        (bc.LogSigma(sigma_min=1e-3, sigma_max=1e3), "VESchedule", {"sigma_min": 1e-3, "sigma_max": 1e3}),
    ],
)
def test_straight_and_geometric_schedules_are_those_of_azula(ours, theirs, settings):
    torch = pytest.importorskip("torch")
    azula = pytest.importorskip("azula.noise")
    t = np.linspace(0, 1, 33)
    alpha, sigma = getattr(azula, theirs)(**settings)(torch.from_numpy(t))
    a, s = ours.scales(t)
    np.testing.assert_allclose(a, alpha.numpy(), rtol=1e-6)
    np.testing.assert_allclose(s, sigma.numpy(), rtol=1e-6)


@pytest.mark.parametrize("noise", NOISE, ids=ids)
@pytest.mark.parametrize("t", INNER)
def test_noise_rates_are_the_derivatives(noise, t):
    h = 1e-5
    up, down = noise.scales(t + h), noise.scales(t - h)
    rates = noise.rates(t)
    # A central difference: h^2 / 6 of a third derivative (of a cosine or an exponential of up to 10 t, over h0 = 0.02
    # from a singular end: at most 1e6), and rounding, eps / h of the value.
    atol = 1e6 * h**2 / 6 + 8 * EPS / h
    assert_close(rates.log_a, np.float64(np.log(up.a) - np.log(down.a)) / (2 * h), rtol=1e-6, atol=atol)
    if noise.scales(t).sigma > 0:
        slope = -(noise.scales(t).sigma ** 2) * noise.log_snr_difference(t + h, t - h) / (2 * h)
        assert_close(rates.noise, np.float64(slope), rtol=1e-6, atol=atol)
        assert_close(rates.sigma, np.float64((up.sigma - down.sigma) / (2 * h)), rtol=1e-6, atol=atol)
    else:
        assert float(rates.noise) == float(rates.sigma) == 0.0


@pytest.mark.parametrize("blur", BLUR, ids=ids)
@pytest.mark.parametrize("t", INNER)
def test_tau_rate_is_the_derivative(blur, t):
    h = 1e-5
    difference = blur.tau_difference(t + h, t - h) / (2 * h)
    # the third derivative of tau is at most (4 pi / 2)^3 * 200 or, with two levels, (2 log(48) * 2)^3 * 288: h^2 / 6 of it
    assert_close(blur.tau_rate(t), np.float64(difference), rtol=64 * EPS, atol=1.1e6 * h**2 / 6)


@pytest.mark.parametrize("blur", BLUR, ids=ids)
def test_tau_difference_is_the_difference_of_taus_and_tau_starts_at_zero(blur):
    assert float(blur.tau(0.0)) == 0.0
    for t in INNER:
        for s in INNER:
            both = blur.tau(t), blur.tau(s)
            atol = 64 * EPS * max(both)
            assert_close(np.float64(blur.tau_difference(t, s)), np.float64(both[0] - both[1]), rtol=0.0, atol=atol)


def test_blur_schedules_have_the_widths_of_the_literature():
    def width(schedule, t):
        return math.sqrt(2 * float(schedule.tau(t)))

    assert width(bc.SinSquared(), 1.0) == pytest.approx(20.0, rel=16 * EPS)
    assert width(bc.SinSquared(), 1 / 3) == pytest.approx(20.0 / 4, rel=16 * EPS)
    assert width(bc.Sin(), 1 / 3) == pytest.approx(20.0 / 2, rel=16 * EPS)
    heat = bc.LogLinear(sigma_blur_min=0.5, sigma_blur_max=24.0, num_levels=200)
    levels = np.exp(np.linspace(np.log(0.5), np.log(24.0), 200))  # Rissanen et al.'s own code
    for k in (1, 2, 100, 199, 200):
        assert width(heat, k / 200) == pytest.approx(levels[k - 1], rel=128 * EPS)
    assert width(heat, 0.0) == 0.0
    assert width(heat, 0.5 / 200) == pytest.approx(0.25, rel=16 * EPS)


def test_log_linear_is_continuous_at_its_knee():
    blur = bc.LogLinear(num_levels=8)
    knee = 1 / 8
    below, above = np.nextafter(knee, 0), np.nextafter(knee, 1)
    assert float(blur.tau(below)) < float(blur.tau(knee)) < float(blur.tau(above))
    assert float(blur.tau(above)) - float(blur.tau(below)) < 16 * EPS


@pytest.mark.parametrize("schedule", [*NOISE, *BLUR], ids=ids)
def test_schedules_take_numbers_and_arrays_and_follow_the_library_and_shape(xp, schedule):
    t, s = np.array([[0.25, 0.5], [0.75, 1.0]]), 0.25
    methods = {
        "tau": (t,),
        "tau_rate": (t,),
        "tau_difference": (t, s),
        "log_snr": (t,),
        "log_snr_difference": (t, s),
        "scales": (t,),
        "rates": (t,),
    }
    for name, arguments in methods.items():
        if not hasattr(schedule, name):
            continue
        like = xp.asarray(t, "float64")
        result = getattr(schedule, name)(*(like if v is t else v for v in arguments))
        host = [[getattr(schedule, name)(float(v), *arguments[1:]) for v in row] for row in t]
        for i, part in enumerate(result if isinstance(result, tuple) else (result,)):
            desired = [[v[i] if isinstance(v, tuple) else v for v in row] for row in host]
            # the same operations in another library, whose elementary functions differ by a unit or two in each
            assert_close(part, desired, like=like, rtol=128 * EPS, atol=128 * EPS, what=name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: bc.CosineLogSNR(log_snr_min=1.0, log_snr_max=1.0),
            "log_snr_min must be below log_snr_max = 1.0; got 1.0",
        ),
        (lambda: bc.CosineLogSNR(log_snr_min=float("nan")), "log_snr_min must be a finite number; got nan"),
        (lambda: bc.CosineLogSNR(log_snr_max=float("inf")), "log_snr_max must be a finite number; got inf"),
        (lambda: bc.CosineLogSNR(log_snr_max="10"), "log_snr_max must be a finite number; got '10'"),
        (lambda: bc.CosineLogSNR(log_snr_max=True), "log_snr_max must be a finite number; got True"),
        (
            lambda: bc.LinearBeta(beta_start=0.0),
            r"beta_start, beta_end must be 0 < beta_start <= beta_end < 0.9; got \(0.0",
        ),
        (lambda: bc.LinearBeta(beta_start=0.03), "beta_start, beta_end must be 0 < beta_start"),
        (lambda: bc.LinearBeta(beta_end=0.9, num_steps=20), "beta_start, beta_end must be 0 < beta_start"),
        (lambda: bc.LinearBeta(beta_start=float("nan")), "beta_start must be a finite number; got nan"),
        (lambda: bc.LinearBeta(beta_end=None), "beta_end must be a finite number; got None"),
        (lambda: bc.LinearBeta(num_steps=1), "num_steps must be a whole number >= 2; got 1"),
        (lambda: bc.LinearBeta(num_steps=10.0), "num_steps must be a whole number >= 2; got 10.0"),
        (
            lambda: bc.LinearBeta(num_steps=10),
            "beta_start must be at least 0.00111.*keep them, and sample at fewer times",
        ),
        (
            lambda: bc.LinearBeta(beta_start=0.1, beta_end=0.5),
            "num_steps must be such that the log-SNR .* at least -80",
        ),
        (lambda: bc.Rectified(alpha_min=0.0), "alpha_min must be below 1 and at least 4.2e-18 .* no log-SNR; got 0.0"),
        (lambda: bc.Rectified(sigma_min=1.0), r"sigma_min must be in \[0, 1\); got 1.0"),
        (lambda: bc.Rectified(sigma_min=float("nan")), "sigma_min must be a finite number; got nan"),
        (lambda: bc.LogSigma(sigma_min=0.0), "sigma_min must be at least 1e-6; got 0.0"),
        (lambda: bc.LogSigma(sigma_max=0.001), "sigma_max must be above sigma_min = 0.002 and at most 1e6; got 0.001"),
        (lambda: bc.ConstantSigma(sigma=-0.1), "sigma must be 0 or more, and at most 1e6; got -0.1"),
        (lambda: bc.ConstantSigma(sigma=float("nan")), "sigma must be a finite number; got nan"),
        (
            lambda: bc.SinSquared(sigma_blur_max=-1.0),
            "sigma_blur_max must be 0 or more pixels, and at most 1e6; got -1.0",
        ),
        (lambda: bc.SinSquared(sigma_blur_max=float("inf")), "sigma_blur_max must be a finite number; got inf"),
        (
            lambda: bc.SinSquared(sigma_blur_max=1e300),
            "sigma_blur_max must be 0 or more pixels, and at most 1e6; got 1e",
        ),
        (lambda: bc.LogLinear(sigma_blur_max=1e300), "sigma_blur_max must be above .* and at most 1e6; got 1e"),
        (lambda: bc.ConstantSigma(sigma=1e300), "sigma must be 0 or more, and at most 1e6; got 1e"),
        (lambda: bc.CosineLogSNR(log_snr_min=-2e6), "log_snr_min must be between -1000 and 1000; got -2"),
        (lambda: bc.CosineLogSNR(log_snr_max=1001), "log_snr_max must be between -1000 and 1000; got 1001"),
        (lambda: bc.Sin(sigma_blur_max=-1.0), "sigma_blur_max must be 0 or more pixels, and at most 1e6; got -1.0"),
        (lambda: bc.LogLinear(sigma_blur_min=0.0), "sigma_blur_min must be positive; got 0.0"),
        (lambda: bc.LogLinear(sigma_blur_min=float("nan")), "sigma_blur_min must be a finite number; got nan"),
        (
            lambda: bc.LogLinear(sigma_blur_max=0.5),
            "sigma_blur_max must be above sigma_blur_min = 0.5 and at most 1e6; got 0.5",
        ),
        (lambda: bc.LogLinear(sigma_blur_max=float("inf")), "sigma_blur_max must be a finite number; got inf"),
        (lambda: bc.LogLinear(num_levels=1), "num_levels must be a whole number >= 2; got 1"),
        (lambda: bc.LogLinear(num_levels=2.5), "num_levels must be a whole number >= 2; got 2.5"),
    ],
)
def test_schedules_refuse_settings_that_make_no_sense(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize("schedule", [*NOISE, *BLUR], ids=ids)
def test_schedules_are_frozen_values(schedule):
    assert schedule == type(schedule)(**vars(schedule))
    assert hash(schedule) == hash(type(schedule)(**vars(schedule)))
    with pytest.raises(AttributeError):
        schedule.sigma_blur_max = 1.0
    with pytest.raises(TypeError):
        type(schedule)(0.5)  # settings have names


@pytest.mark.parametrize(
    "settings",
    [
        {"beta_start": 1e-4, "beta_end": 0.02, "num_steps": 1000},
        {"beta_start": 0.03, "beta_end": 0.89, "num_steps": 20},
        {"beta_start": 0.3, "beta_end": 0.6, "num_steps": 2},
    ],
)
def test_linear_beta_between_its_steps_is_smooth_to_rounding_however_steep(settings):
    """The quadrature follows the betas: at 0.89 four nodes would be wrong in the first digits."""
    from blurcore_reference import precise

    noise = bc.LinearBeta(**settings)
    for t in np.linspace(0.001, 1.0, 17):
        decay = -float(precise.linear_beta_log_abar(settings, float(t) * settings["num_steps"]))
        # `t * num_steps` is rounded on the way to the reference: 1/2 eps of a decay that grows like t
        assert_close(-2 * np.log(noise.scales(t).a), np.float64(decay), rtol=64 * EPS, atol=4 * EPS)


def test_registries_name_every_schedule_once():
    for registry in (NOISE_SCHEDULES, BLUR_SCHEDULES):
        assert all(name == cls.__name__ for name, cls in registry.items())
    assert not set(NOISE_SCHEDULES) & set(BLUR_SCHEDULES)
    assert all(isinstance(s(), bc.NoiseSchedule) for s in NOISE_SCHEDULES.values())
    assert all(isinstance(s(), bc.BlurSchedule) for s in BLUR_SCHEDULES.values())
