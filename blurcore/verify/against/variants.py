"""Mistakes in implementations of the paper's appendix, each as a change of the correct formulas with its diagnosis.

They are the traps of SPEC 10 and what was seen in public copies. A diagnosis is the change, or the two changes, that give
the numbers of an implementation to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BLUR, NOISE, MARGINAL, FORWARD, BACKWARD, DIFFUSE, DENOISE = (
    "frequency scaling",
    "noise scaling",
    "marginal",
    "DCT",
    "IDCT",
    "diffuse",
    "denoise",
)


@dataclass(frozen=True)
class Variant:
    """A change of the right formulas.

    Parameters
    ----------
    sentence
        What is wrong, for people.
    part
        The parts of the appendix that the change is in.
    changes
        Fields of `Formulas`.
    harmless
        Whether an implementation with it is still right: another setting, or an error that is known and small.
    """

    sentence: str
    part: tuple[str, ...]
    changes: Mapping[str, Any] = field(hash=False)
    harmless: bool = False


def _v(sentence: str, *part: str, harmless: bool = False, **changes: Any) -> Variant:
    return Variant(sentence, part, changes, harmless)


VARIANTS: tuple[Variant, ...] = (
    # SPEC 1: eigenvalues
    _v("the frequencies are divided by N - 1, not by N", BLUR, divisor="N - 1"),
    _v("the frequencies lack the factor pi", BLUR, pi=False),
    _v("the frequencies are divided by 2 N, not by N", BLUR, divisor="2N"),
    _v("the frequencies are not divided by N", BLUR, divisor="1"),
    _v("the frequencies start at 1, not at 0: the mean of an image is blurred", BLUR, first=1),
    _v("the eigenvalues are sums of frequencies that are not squared", BLUR, power=1),
    _v("the eigenvalues are the root of the sum of squares: |k|, not |k|^2", BLUR, lam="root"),
    _v("the eigenvalues are those of one axis: lambda lacks the frequencies of the rows", BLUR, lam="rows"),
    _v("the eigenvalues are those of one axis: lambda lacks the frequencies of the columns", BLUR, lam="columns"),
    _v(
        "the eigenvalues are those of the discrete Laplacian, 2 - 2 cos(pi k / N), not (pi k / N)^2",
        BLUR,
        lam="discrete",
    ),
    # SPEC 2: blur
    _v("the dissipation time is sigma_B, where sigma_B^2 / 2 belongs", BLUR, tau="sigma"),
    _v("the dissipation time is sigma_B^2, where sigma_B^2 / 2 belongs", BLUR, tau="square"),
    _v("the dissipation time is sigma_B / 2, where sigma_B^2 / 2 belongs: sigma_B is not squared", BLUR, tau="half"),
    _v("the blur grows as sin(pi t / 2), where sin(pi t / 2)^2 belongs", BLUR, blur="sin"),
    _v("the blur grows as t, where sin(pi t / 2)^2 belongs", BLUR, blur="linear"),
    _v(
        "the blur grows as sin(pi t)^2, where sin(pi t / 2)^2 belongs: it is gone again at t = 1",
        BLUR,
        blur="sin^2 of pi t",
    ),
    _v("the blur grows as sin(t / 2)^2, where sin(pi t / 2)^2 belongs: pi is missing", BLUR, blur="sin^2 of t / 2"),
    _v("the floor d_min is missing: d_0 is 1 - d_min = 0.999, not 1", BLUR, floor="missing"),
    _v("the floor d_min is added without the factor 1 - d_min: d_0 is 1.001, not 1", BLUR, floor="added"),
    _v("the floor d_min is missing, its factor 1 - d_min too: d is exp(-lambda tau) alone", BLUR, floor="none"),
    _v("the floor d_min is a maximum, where (1 - d_min) exp(-lambda tau) + d_min belongs", BLUR, floor="maximum"),
    # SPEC 10: times of a batch
    _v("t is broadcast over columns, not over the batch", BLUR, NOISE, t_blur="columns", t_noise="columns"),
    _v("t is broadcast over columns in the blur, not over the batch", BLUR, t_blur="columns"),
    _v("t is broadcast over columns in a and sigma, not over the batch", NOISE, t_noise="columns"),
    _v("t is broadcast over rows in the blur, not over the batch", BLUR, t_blur="rows"),
    _v("t is broadcast over rows, not over the batch", BLUR, NOISE, t_blur="rows", t_noise="rows"),
    # SPEC 2: noise
    _v("the sign of the log-SNR is wrong: a and sigma are exchanged", NOISE, swapped=True),
    _v(
        "a and sigma are sigmoids, where their square roots belong (sigma^2 where sigma belongs)",
        NOISE,
        a_root=False,
        sigma_root=False,
    ),
    _v("a is a sigmoid, where its square root belongs (alpha^2 where alpha belongs)", NOISE, a_root=False),
    _v("sigma is a sigmoid, where its square root belongs (sigma^2 where sigma belongs)", NOISE, sigma_root=False),
    _v("the limits of the cosine are arctan(exp(-g)), where arctan(exp(-g / 2)) belongs", NOISE, limits="no half"),
    _v("the upper limit of the cosine lacks - limit_max: t = 1 lies beyond logsnr_min", NOISE, limits="not less b"),
    _v("the cosine lacks its limits: the log-SNR is infinite at both ends", NOISE, limits="unclipped"),
    _v("the log-SNR is -log tan, where -2 log tan belongs", NOISE, log_factor=1.0),
    # SPEC 2: together
    _v("alpha lacks the blur: it is a alone", MARGINAL, alpha="no blur"),
    _v("alpha lacks a: it is the blur alone", MARGINAL, alpha="blur alone"),
    _v("alpha has the blur twice: a d^2", MARGINAL, alpha="blur squared"),
    _v(
        "sigma is sqrt(1 - alpha^2), as if the process preserved variance: alpha^2 + sigma^2 < 1 here",
        MARGINAL,
        sigma="variance preserving",
    ),
    _v("sigma is scaled by the blur as well: it is the same in all frequencies", MARGINAL, sigma="blurred"),
    _v("get_alpha_sigma returns sigma^2 where sigma belongs", MARGINAL, sigma="squared"),
    # SPEC 1: transforms
    _v("an un-normalised DCT, where the orthonormal one belongs", FORWARD, forward="unnormalised"),
    _v("an un-normalised inverse DCT, where the orthonormal one belongs", BACKWARD, backward="unnormalised"),
    _v(
        "an un-normalised DCT and its inverse, where the orthonormal ones belong",
        FORWARD,
        BACKWARD,
        forward="unnormalised",
        backward="unnormalised",
    ),
    _v(
        "a DCT divided by 2 N on each axis (norm='forward'), where the orthonormal one belongs",
        FORWARD,
        forward="averaged",
    ),
    _v(
        "the inverse of a DCT divided by 2 N on each axis, where the orthonormal one belongs",
        BACKWARD,
        backward="averaged",
    ),
    _v("a DCT that lacks its normalisation: sums of x cos(..)", FORWARD, forward="halved"),
    _v("a 1-D DCT, of the last axis alone", FORWARD, BACKWARD, forward="rows", backward="rows"),
    _v("the forward DCT is of the last axis alone", FORWARD, forward="rows"),
    _v("the inverse DCT is of the last axis alone", BACKWARD, backward="rows"),
    _v("a 1-D DCT, of the next to last axis alone", FORWARD, BACKWARD, forward="columns", backward="columns"),
    _v("the axes of the DCT are swapped: its result is transposed", FORWARD, forward="transposed"),
    _v("the axes of the inverse DCT are swapped: its result is transposed", BACKWARD, backward="transposed"),
    _v(
        "the axes of the DCT are wrong: it is of the channels and the rows",
        FORWARD,
        BACKWARD,
        forward="channels",
        backward="channels",
    ),
    _v("the DCT and its inverse are exchanged", FORWARD, BACKWARD, forward="DCT-III", backward="DCT-III"),
    _v("a DCT-III, the inverse, where the DCT-II belongs", FORWARD, forward="DCT-III"),
    _v("a DCT-II, where its inverse belongs", BACKWARD, backward="DCT-III"),
    _v("a DCT-IV, where the DCT-II belongs", FORWARD, BACKWARD, forward="DCT-IV", backward="DCT-IV"),
    _v("a sine transform, where the DCT belongs", FORWARD, BACKWARD, forward="DST", backward="DST"),
    _v("an FFT, where the DCT belongs", FORWARD, BACKWARD, forward="FFT", backward="FFT"),
    _v("the real part of an FFT, where the DCT belongs", FORWARD, BACKWARD, forward="real FFT", backward="real FFT"),
    _v("an FFT, or its real part, where the forward DCT belongs", FORWARD, forward="real FFT"),
    # SPEC 2: noisy data
    _v("the noise has the factor sigma^2, where sigma belongs", DIFFUSE, diffuse_noise="sigma^2"),
    _v("the noise has the factor sqrt(sigma), where sigma belongs", DIFFUSE, diffuse_noise="sqrt(sigma)"),
    _v("the noise lacks its factor sigma", DIFFUSE, diffuse_noise="one"),
    _v("the noise is not added to z_t", DIFFUSE, diffuse_noise="none"),
    _v("the noise has the factor alpha sigma, where sigma belongs", DIFFUSE, diffuse_noise="alpha sigma"),
    _v(
        "the noise is drawn in frequency space: the right distribution, but the eps that is returned is no longer in pixel space",
        DIFFUSE,
        harmless=True,
        diffuse_noise="in frequency space",
    ),
    _v("data are mapped to [0, 1], where [-1, 1] is meant", DIFFUSE, data="to [0, 1]"),
    _v("data in [0, 1]: they are clipped to it, where [-1, 1] is meant", DIFFUSE, DENOISE, data="clipped to [0, 1]"),
    _v("data are mapped to [-1, 1] a second time, as if they came in [0, 1]", DIFFUSE, data="to [-1, 1]"),
    # SPEC 4: a step back
    _v("the delta of the appendix is kept: coefficients are clipped at 1e-8", DENOISE, harmless=True, delta=1e-8),
    _v(
        "the noise of the step is drawn in pixel space and transformed, which has the same distribution",
        DENOISE,
        harmless=True,
        noise_space="transformed",
    ),
    _v("s lies below 0 in the last step: the step is 1 / (T - 1), where 1 / T belongs", DENOISE, s="T - 1"),
    _v("s lies below 0 in the last step: the step is 2 / T, where 1 / T belongs", DENOISE, s="two"),
    _v(
        "the second posterior coefficient lacks alpha_s: it has 1 / alpha_t, where alpha_s / alpha_t belongs",
        DENOISE,
        second_coef="1 / alpha_t",
    ),
    _v("the second posterior coefficient has alpha_s, where alpha_s / alpha_t belongs", DENOISE, second_coef="alpha_s"),
    _v(
        "the second posterior coefficient has alpha_t / alpha_s, where alpha_s / alpha_t belongs",
        DENOISE,
        second_coef="inverted",
    ),
    _v("the second posterior coefficient lacks alpha_s / alpha_t", DENOISE, second_coef="missing"),
    _v(
        "the second posterior coefficient is divided by sigma_s, where sigma_s^2 belongs",
        DENOISE,
        second_coef="sigma_s",
    ),
    _v("the first posterior coefficient lacks alpha_t / alpha_s", DENOISE, first_coef="lacks alpha_ts"),
    _v(
        "the first posterior coefficient has alpha_s / alpha_t, where alpha_t / alpha_s belongs",
        DENOISE,
        first_coef="inverted",
    ),
    _v(
        "the parenthesis around u_t - sigma_t u_eps is lost: sigma_t u_eps lacks the coefficient",
        DENOISE,
        parenthesis=False,
    ),
    _v("the predicted eps is not transformed: it is in pixel space where u_eps belongs", DENOISE, eps_space="pixel"),
    _v("the predicted eps has the factor sigma_t^2, where sigma_t belongs", DENOISE, eps_scale="sigma^2"),
    _v("the predicted eps lacks its factor sigma_t", DENOISE, eps_scale="one"),
    _v("the predicted eps has the factor alpha_t sigma_t, where sigma_t belongs", DENOISE, eps_scale="alpha sigma"),
    _v("sigma_{t|s}^2 has alpha_{t|s}, where its square belongs", DENOISE, step_variance="alpha not squared"),
    _v(
        "sigma_{t|s}^2 has alpha_{t|s}, where its square belongs, in the variance too",
        DENOISE,
        step_variance="alpha not squared",
        precision="from it",
    ),
    _v("sigma_{t|s}^2 lacks alpha_{t|s}^2: it is sigma_t^2 - sigma_s^2", DENOISE, step_variance="no alpha"),
    _v(
        "sigma_{t|s}^2 lacks alpha_{t|s}^2: it is sigma_t^2 - sigma_s^2, in the variance too",
        DENOISE,
        step_variance="no alpha",
        precision="from it",
    ),
    _v("sigma_{t|s}^2 has sigma_t and sigma_s, where their squares belong", DENOISE, step_variance="sigma"),
    _v(
        "sigma_{t|s}^2 has sigma_t and sigma_s, where their squares belong, in the variance too",
        DENOISE,
        step_variance="sigma",
        precision="from it",
    ),
    _v(
        "the noise of the step has the transition's variance sigma_{t|s}^2, where the posterior's belongs",
        DENOISE,
        variance="transition",
    ),
    _v("the noise of the step has the variance sigma_s^2, where the posterior's belongs", DENOISE, variance="sigma_s"),
    _v("the noise of the step has the variance sigma_t^2, where the posterior's belongs", DENOISE, variance="sigma_t"),
    _v(
        "the noise of the step has the variance as its factor, where its square root belongs (sigma^2 where sigma belongs)",
        DENOISE,
        noise_scale="variance",
    ),
    _v("the step adds no noise", DENOISE, noise_scale="none"),
    _v(
        "the noise of the step is added in pixel space: its variance differs from frequency to frequency, so it needs the IDCT",
        DENOISE,
        noise_space="pixel",
    ),
)
"""All of them, the likeliest of each part first."""

PARTS: dict[str, tuple[str, ...]] = {
    "transform": (FORWARD,),
    "inverse": (BACKWARD,),
    "frequency_scaling": (BLUR,),
    "noise_scaling": (NOISE,),
    "marginal": (BLUR, NOISE, MARGINAL),
    "transition": (BLUR, NOISE, MARGINAL, DENOISE),
    "posterior": (BLUR, NOISE, MARGINAL, DENOISE),
    "diffuse": (BLUR, NOISE, MARGINAL, FORWARD, BACKWARD, DIFFUSE),
    "denoise": (BLUR, NOISE, MARGINAL, FORWARD, BACKWARD, DENOISE),
}
"""The parts of the appendix that the answer of each function depends on."""


def settings_variants() -> tuple[Variant, ...]:
    """Return other settings that are legitimate choices, not faults."""
    blurs = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 24.0, 30.0, 32.0, 40.0, 64.0, 100.0, 128.0)
    limits = (4.0, 5.0, 6.0, 8.0, 12.0, 13.0, 15.0, 20.0)
    return (
        *(_v(f"sigma_B,max is {v:g} (the paper: 20)", BLUR, harmless=True, sigma_blur_max=v) for v in blurs),
        *(
            _v(f"d_min is {v:g} (the paper: 0.001)", BLUR, harmless=True, min_scale=v)
            for v in (0.1, 0.05, 0.01, 0.005, 1e-4, 1e-5, 1e-6)
        ),
        *(
            _v(
                f"the log-SNR is clipped to [-{v:g}, {v:g}] (the paper: 10)",
                NOISE,
                harmless=True,
                logsnr_min=-v,
                logsnr_max=v,
            )
            for v in limits
        ),
    )


def applicable(operation: str) -> list[Variant]:
    """Return the variants that can show in the answer of a function, mistakes before settings."""
    reach = set(PARTS[operation])
    return [v for v in (*VARIANTS, *settings_variants()) if reach & set(v.part)]


def combined(variants: tuple[Variant, ...]) -> dict[str, Any] | None:
    """Return the changes of several variants; None if two of them change the same switch."""
    changes: dict[str, Any] = {}
    for variant in variants:
        if changes.keys() & variant.changes.keys():
            return None
        changes |= variant.changes
    return changes
