"""Every coefficient of every process agrees with 50-digit arithmetic, on any grid, at any times, in either dtype.

How far off may they be? Work is done in float64, whatever the data is. The longest chain is lambda tau: about 8 roundings
in lambda, and in tau 16 (sin^4) or 60 (the logarithmic blur: five roundings of an exponent of up to 2 log 240 = 11), so 128
of them are a bound with room for the factors that follow. exp turns an error relative to the exponent into one relative
to the result, multiplied by the exponent, hence the condition 1 + |log alpha|. Rounding to float32 adds half a unit in
the last place for what is rounded once; transition and posterior go on in the precision of the result, where SPEC 4
allows 1e-6, eight units. The oracle's 50 digits, less what its differences lose, leave 1e-42, and that relative to times
of LEAST and more.
"""

import mpmath
import numpy as np
import pytest
from blurcore_reference import oracle, precise
from hypothesis import assume, given
from hypothesis import strategies as st

import blurcore as bc
from blurcore.testing import strategies as bst
from blurcore.testing.assertions import EPSILON, SMALLEST, assert_close, tolerance

CHAIN = 128
ORACLE = 1e-42
LEAST = 2.0**-60
ONCE = {"float32": tolerance("float32", roundings=0.5), "float64": 0.0}
FURTHER = {"float32": tolerance("float32", roundings=8), "float64": tolerance("float64", roundings=8)}


def bounds(process, t, shape, dtype, further=False):
    """Return rtol and atol for coefficients up to time t."""
    condition = 1 + np.abs(oracle.log_alpha(process, t, shape))
    rounding = FURTHER[dtype] if further else ONCE[dtype]
    return rounding + tolerance("float64", roundings=CHAIN, condition=condition), SMALLEST[dtype] + ORACLE


def log_snr(process, t, eigenvalue):
    with mpmath.workdps(precise.DIGITS):
        log_alpha, variance = precise.log_marginal(process, mpmath.mpf(t), eigenvalue)
        return (2 * log_alpha - mpmath.log(variance),)


def fall(process, t, s, eigenvalue):
    with mpmath.workdps(precise.DIGITS):
        # sigma_t^2 / sigma_s^2 once: the difference of two infinities would be NaN
        (log_t, var_t), (log_s, var_s) = (precise.log_marginal(process, mpmath.mpf(v), eigenvalue) for v in (t, s))
        if var_s == 0:
            return (mpmath.mpf("-inf") if var_t > 0 else 2 * (log_t - log_s),)
        return (2 * (log_t - log_s) - mpmath.log(var_t / var_s),)


class Case:
    """A process on a grid, and times in one of the forms in which they may come."""

    def __init__(self, xp, draw, processes, *pairs):
        self.process, self.shape = draw(processes), draw(bst.grid_shapes(max_points=12))
        self.dtype = draw(st.sampled_from(("float32", "float64")))
        self.times = [draw(pair) for pair in pairs]
        form = draw(st.sampled_from(("number", "array", "batch")))
        self.like = xp.asarray([0.0], self.dtype)
        self.options = {"shape": self.shape}
        self.rank = {"number": 0, "array": 0, "batch": 1}[form]
        if form == "number":
            self.given, self.options["like"] = self.times, self.like
        else:
            self.given = [xp.asarray(t if form == "array" else [t, t], self.dtype) for t in self.times]
        self.settings, self.xp = bc.to_dict(self.process), xp

    def check(self, actual, desired, rtol, atol, what):
        """Compare at every time of the batch; coefficients may have size 1 on the grid."""
        full = (2,) * self.rank + self.shape
        assert len(actual.shape) == len(full)
        actual = self.xp.xp.broadcast_to(actual, full)
        rtol, atol = (np.broadcast_to(np.asarray(v), full) for v in (rtol, atol))
        assert_close(actual, np.broadcast_to(desired, full), like=self.like, rtol=rtol, atol=atol, what=what)


@given(st.data())
def test_marginal_agrees_with_fifty_digits(xp, data):
    case = Case(xp, data.draw, bst.processes(), bst.times(least=LEAST))
    alpha, sigma = precise.on_grid(precise.marginal, case.settings, *case.times, shape=case.shape)
    m = case.process.marginal(*case.given, **case.options)
    rtol, atol = bounds(case.settings, case.times[0], case.shape, case.dtype)
    case.check(m.alpha, alpha, rtol, atol, "alpha")
    case.check(m.sigma, sigma, rtol, atol, "sigma")


@given(st.data())
def test_log_snr_agrees_with_fifty_digits(xp, data):
    case = Case(xp, data.draw, bst.processes(), bst.times(least=LEAST))
    (desired,) = precise.on_grid(log_snr, case.settings, *case.times, shape=case.shape)
    actual = bc.log_snr(case.process, *case.given, **case.options)
    # absolute, because a logarithm passes through 0: relative to the largest term of the sum
    log_alpha = np.abs(oracle.log_alpha(case.settings, case.times[0], case.shape))
    sigma = oracle.sigma(case.settings, case.times[0], case.shape)
    terms = 1 + 2 * log_alpha + 2 * np.abs(np.log(np.where(sigma > 0, sigma, 1.0)))
    case.check(actual, desired, ONCE[case.dtype], tolerance("float64", roundings=CHAIN, condition=terms), "log_snr")


@given(st.data())
def test_difference_agrees_with_fifty_digits(xp, data):
    t, s = data.draw(bst.time_pairs(least=LEAST))
    case = Case(xp, data.draw, bst.processes(), st.just(t), st.just(s))
    (desired,) = precise.on_grid(fall, case.settings, t, s, shape=case.shape)
    ratio, _ = precise.on_grid(precise.transition, case.settings, t, s, shape=case.shape)
    d = case.process.difference(*case.given, **case.options)
    rtol, atol = bounds(case.settings, t, case.shape, case.dtype)
    case.check(d.alpha, ratio, rtol, atol, "alpha ratio")
    case.check(d.log_snr, desired, rtol, atol, "log-SNR difference")


@given(st.data())
def test_transition_agrees_with_fifty_digits(xp, data):
    t, s = data.draw(bst.time_pairs(least=LEAST))
    case = Case(xp, data.draw, bst.processes(), st.just(t), st.just(s))
    ratio, variance = precise.on_grid(precise.transition, case.settings, t, s, shape=case.shape)
    step = bc.transition(case.process, *case.given, **case.options)
    rtol, atol = bounds(case.settings, t, case.shape, case.dtype, further=True)
    case.check(step.alpha, ratio, rtol, atol, "alpha")
    case.check(step.variance, variance, rtol, atol, "variance")


@given(st.data())
def test_posterior_agrees_with_bayes_in_fifty_digits(xp, data):
    t, s = data.draw(bst.time_pairs(least=LEAST))
    case = Case(xp, data.draw, bst.noisy_processes(), st.just(t), st.just(s))
    assume(oracle.noise_levels(case.settings, t)[1] > 0)
    desired = precise.on_grid(precise.posterior, case.settings, t, s, shape=case.shape)
    actual = bc.posterior(case.process, *case.given, **case.options)
    rtol, atol = bounds(case.settings, t, case.shape, case.dtype, further=True)
    for name, got, want in zip(actual._fields, actual, desired, strict=True):
        case.check(got, want, rtol, atol, name)


@given(st.data())
def test_sde_agrees_with_difference_quotients_in_fifty_digits(xp, data):
    case = Case(xp, data.draw, bst.processes(), st.one_of(st.sampled_from((0.0, 1.0)), bst.inner_times()))
    levels = case.settings.get("blur", {}).get("num_levels")
    assume(levels is None or case.times[0] * levels != 1)  # a kink, where the slope above is meant
    drift, diffusion = oracle.sde(case.settings, *case.times, case.shape)
    actual = bc.sde(case.process, *case.given, **case.options)
    rtol, _ = bounds(case.settings, case.times[0], case.shape, case.dtype)
    # quotients of width 1e-16 with 50 digits: their rounding is 1e-34, their own error 1e-32 times a third derivative
    atol = SMALLEST[case.dtype] + 1e-24
    case.check(actual.drift, drift, rtol, atol, "drift")
    case.check(actual.diffusion, diffusion, rtol, atol, "diffusion")


@given(st.data())
def test_velocity_agrees_with_difference_quotients_in_fifty_digits(xp, data):
    case = Case(xp, data.draw, bst.processes(), st.one_of(st.sampled_from((0.0, 1.0)), bst.inner_times()))
    levels = case.settings.get("blur", {}).get("num_levels")
    assume(levels is None or case.times[0] * levels != 1)  # a kink, where the slope above is meant
    assume(
        case.times[0] > 0 or case.settings.get("noise", {}).get("kind") != "LinearBeta"
    )  # whose sigma leaves 0 like a root
    alpha, sigma = oracle.velocity(case.settings, *case.times, case.shape)
    actual = case.process.velocity(*case.given, **case.options)
    rtol, _ = bounds(case.settings, case.times[0], case.shape, case.dtype)
    atol = SMALLEST[case.dtype] + 1e-24  # as for the SDE
    case.check(actual.alpha, alpha, rtol, atol, "alpha")
    case.check(actual.sigma, sigma, rtol, atol, "sigma")


@given(st.data())
def test_transitions_one_after_the_other_compose_to_the_marginal(xp, data):
    process, shape = data.draw(bst.processes()), data.draw(bst.grid_shapes(max_points=12))
    stops = sorted(data.draw(st.lists(bst.times(least=LEAST), min_size=2, max_size=5)))
    like = xp.asarray([0.0], "float64")
    alpha, sigma = process.marginal(stops[0], shape=shape, like=like)
    variance = sigma**2
    for s, t in zip(stops[:-1], stops[1:], strict=True):
        step = bc.transition(process, t, s, shape=shape, like=like)
        alpha, variance = alpha * step.alpha, step.alpha**2 * variance + step.variance
    end = process.marginal(stops[-1], shape=shape, like=like)
    settings = bc.to_dict(process)
    rtol, atol = bounds(settings, stops[-1], shape, "float64", further=True)
    full = [xp.xp.broadcast_to(v, shape) for v in (alpha, variance, end.alpha, end.sigma**2)]
    # each step adds its error; every term is positive, so none is magnified
    assert_close(full[0], full[2], rtol=len(stops) * rtol, atol=atol)
    assert_close(full[1], full[3], rtol=2 * len(stops) * rtol, atol=atol)


@given(st.data())
def test_log_snr_never_rises_and_alpha_never_leaves_its_range(xp, data):
    case = Case(xp, data.draw, bst.processes(), bst.times())
    m = case.process.marginal(*case.given, **case.options)
    alpha, sigma = xp.to_numpy(m.alpha), xp.to_numpy(m.sigma)
    assert np.all((alpha >= 0) & (alpha <= 1))
    largest = xp.to_numpy(case.process.marginal(1.0, **{"like": case.like, **case.options}).sigma)
    assert np.all((sigma >= 0) & (sigma <= largest * (1 + 4 * EPSILON[case.dtype])))
    t, s = data.draw(bst.time_pairs())
    fall = case.process.difference(t, s, shape=case.shape, like=case.like).log_snr
    assert np.all(xp.to_numpy(fall) <= 0)


@pytest.mark.parametrize("steps", [10**4, 10**6])
def test_posterior_in_float32_stays_within_a_millionth_for_any_number_of_steps(xp, noisy_process, steps):
    settings, shape = bc.to_dict(noisy_process), (3, 4)
    like = xp.asarray([0.0], "float32")
    for k in (1, 2, steps // 2, steps - 1, steps):
        t, s = k / steps, (k - 1) / steps
        desired = precise.on_grid(precise.posterior, settings, t, s, shape=shape)
        actual = bc.posterior(noisy_process, t, s, shape=shape, like=like)
        for name, got, want in zip(actual._fields, actual, desired, strict=True):
            # SPEC 4's target as it stands
            got = xp.xp.broadcast_to(got, shape)
            assert_close(got, want, like=like, rtol=1e-6, atol=SMALLEST["float32"], what=f"{name} at step {k}")


def restored(process, t, s, eigenvalue):
    """Return alpha_s - alpha_t, what the second algorithm of cold diffusion puts back of the data."""
    with mpmath.workdps(precise.DIGITS):
        after, before = (precise.log_marginal(process, mpmath.mpf(v), eigenvalue)[0] for v in (t, s))
        return (mpmath.exp(before) - mpmath.exp(after),)


SILENT = st.one_of(
    st.builds(bc.ColdDiffusion, blur=bst.blur_schedules(), min_scale=bst.min_scales(), basis=bst.bases()),
    st.builds(bc.HeatDissipation, sigma=st.floats(1e-3, 1.0), blur=bst.blur_schedules(), basis=bst.bases()),
)


@given(st.data())
def test_step_of_cold_diffusion_agrees_with_fifty_digits(xp, data):
    t, s = data.draw(bst.time_pairs(least=LEAST))
    case = Case(xp, data.draw, SILENT, st.just(t), st.just(s))
    (desired,) = precise.on_grid(restored, case.settings, t, s, shape=case.shape)
    step = bc.ColdImproved(process=case.process).coefficients(*case.given, **case.options)
    rtol, atol = bounds(case.settings, t, case.shape, case.dtype, further=True)
    case.check(step.x0, desired, rtol, atol, "x0")


@pytest.mark.parametrize("steps", [10**3, 10**5, 10**6])
@pytest.mark.parametrize("blur", [bc.LogLinear(), bc.SinSquared(), bc.Sin()], ids=lambda b: type(b).__name__)
def test_step_of_cold_diffusion_in_float32_stays_within_a_millionth_for_any_number_of_steps(xp, blur, steps):
    process, shape = bc.ColdDiffusion(blur=blur, min_scale=1e-3), (3, 4)
    like = xp.asarray([0.0], "float32")
    for k in (1, 2, steps // 2, steps - 1, steps):
        (desired,) = precise.on_grid(restored, bc.to_dict(process), k / steps, (k - 1) / steps, shape=shape)
        step = bc.ColdImproved(process=process).coefficients(k / steps, (k - 1) / steps, shape=shape, like=like)
        assert_close(step.x0, desired, like=like, rtol=1e-6, atol=SMALLEST["float32"], what=f"x0 at step {k}")
