"""`blurcore verify --against`: a right copy of the appendix passes, planted slips are named, alone and in pairs."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError
from blurcore.testing import check_implementation
from blurcore.verify.against import Adapter
from blurcore.verify.against.check import check, clip_error
from blurcore.verify.against.formulas import Formulas
from blurcore.verify.against.variants import VARIANTS

APPENDIX = """
import numpy as np
from scipy.fft import dctn, idctn, dct, idct

img_dim = 8
T = 8

def neural_net(z, t):
    raise NotImplementedError

def DCT(x):
    return dctn(x, axes=(-2, -1), norm="ortho")

def IDCT(u):
    return idctn(u, axes=(-2, -1), norm="ortho")

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def get_frequency_scaling(t, min_scale=0.001, sigma_blur_max=20):
    sigma_blur = sigma_blur_max * np.sin(t * np.pi / 2) ** 2
    dissipation_time = sigma_blur**2 / 2
    freqs = np.pi * np.linspace(0, img_dim - 1, img_dim) / img_dim
    labda = freqs[None, None, :, None] ** 2 + freqs[None, None, None, :] ** 2
    scaling = np.exp(-labda * dissipation_time) * (1 - min_scale)
    scaling = scaling + min_scale
    return scaling

def get_noise_scaling_cosine(t, logsnr_min=-10, logsnr_max=10):
    limit_max = np.arctan(np.exp(-0.5 * logsnr_max))
    limit_min = np.arctan(np.exp(-0.5 * logsnr_min)) - limit_max
    logsnr = -2 * np.log(np.tan(limit_min * t + limit_max))
    return np.sqrt(sigmoid(logsnr)), np.sqrt(sigmoid(-logsnr))

def get_alpha_sigma(t):
    freq_scaling = get_frequency_scaling(t)
    a, sigma = get_noise_scaling_cosine(t)
    alpha = a * freq_scaling
    return alpha, sigma

def diffuse(x, t):
    x_freq = DCT(x)
    alpha, sigma = get_alpha_sigma(t)
    eps = np.random.randn(*x.shape)
    z_t = IDCT(alpha * x_freq) + sigma * eps
    return z_t, eps

def denoise(z_t, t, delta=1e-8):
    alpha_s, sigma_s = get_alpha_sigma(t - 1 / T)
    alpha_t, sigma_t = get_alpha_sigma(t)
    alpha_ts = alpha_t / alpha_s
    alpha_st = 1 / alpha_ts
    sigma2_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
    sigma2_denoise = 1 / np.maximum(
        1 / np.maximum(sigma_s**2, delta) + 1 / np.maximum(sigma_t**2 / alpha_ts**2 - sigma_s**2, delta), delta)
    coeff_term1 = alpha_ts * sigma2_denoise / (sigma2_ts + delta)
    coeff_term2 = alpha_st * sigma2_denoise / np.maximum(sigma_s**2, delta)
    hat_eps = neural_net(z_t, t)
    u_t = DCT(z_t)
    term1 = IDCT(coeff_term1 * u_t)
    term2 = IDCT(coeff_term2 * (u_t - sigma_t * DCT(hat_eps)))
    mu_denoise = term1 + term2
    eps = np.random.randn(*mu_denoise.shape)
    return mu_denoise + IDCT(np.sqrt(sigma2_denoise) * eps)
"""
NOISE_RETURN = "return np.sqrt(sigmoid(logsnr)), np.sqrt(sigmoid(-logsnr))"
ORTHO = '(x, axes=(-2, -1), norm="ortho")'
SLIPS = {
    "divided by N - 1": ("img_dim) / img_dim", "img_dim) / (img_dim - 1)"),
    "lack the factor pi": ("np.pi * np.linspace", "np.linspace"),
    "divided by 2 N, not": ("img_dim) / img_dim", "img_dim) / (2 * img_dim)"),
    "not divided by N": ("img_dim) / img_dim", "img_dim)"),
    "start at 1": ("np.linspace(0, img_dim - 1, img_dim)", "np.linspace(1, img_dim, img_dim)"),
    "frequencies that are not squared": (
        "freqs[None, None, :, None] ** 2 + freqs[None, None, None, :] ** 2",
        "freqs[None, None, :, None] + freqs",
    ),
    "root of the sum of squares": ("np.exp(-labda", "np.exp(-np.sqrt(labda)"),
    "lambda lacks the frequencies of the rows": (
        "freqs[None, None, :, None] ** 2 + ",
        "0 * freqs[None, None, :, None] + ",
    ),
    "lambda lacks the frequencies of the columns": (
        " + freqs[None, None, None, :] ** 2",
        " + 0 * freqs[None, None, None, :]",
    ),
    "discrete Laplacian": (
        "freqs[None, None, :, None] ** 2 + freqs[None, None, None, :] ** 2",
        "4 - 2 * np.cos(freqs)[:, None] - 2 * np.cos(freqs)",
    ),
    "time is sigma_B,": ("sigma_blur**2 / 2", "sigma_blur"),
    "time is sigma_B^2": ("sigma_blur**2 / 2", "sigma_blur**2"),
    "sigma_B is not squared": ("sigma_blur**2 / 2", "sigma_blur / 2"),
    "grows as sin(pi t / 2),": ("np.sin(t * np.pi / 2) ** 2", "np.sin(t * np.pi / 2)"),
    "grows as t,": ("np.sin(t * np.pi / 2) ** 2", "t"),
    "grows as sin(pi t)^2": ("np.sin(t * np.pi / 2) ** 2", "np.sin(t * np.pi) ** 2"),
    "grows as sin(t / 2)^2": ("np.sin(t * np.pi / 2) ** 2", "np.sin(t / 2) ** 2"),
    "d_0 is 1 - d_min": ("scaling = scaling + min_scale", "scaling = scaling"),
    "without the factor 1 - d_min": (" * (1 - min_scale)", ""),
    "exp(-lambda tau) alone": (" * (1 - min_scale)\n    scaling = scaling + min_scale", ""),
    "d_min is a maximum": (
        " * (1 - min_scale)\n    scaling = scaling + min_scale",
        "\n    scaling = np.maximum(scaling, min_scale)",
    ),
    "broadcast over columns, not": (
        "    freq_scaling = get",
        "    t = np.reshape(t, (1, 1, 1, -1))\n    freq_scaling = get",
    ),
    "broadcast over columns in the blur": (
        "    sigma_blur = sigma_blur_max",
        "    t = np.reshape(t, (1, 1, 1, -1))\n    sigma_blur = sigma_blur_max",
    ),
    "a and sigma are exchanged": ("logsnr = -2", "logsnr = 2"),
    "a and sigma are sigmoids": (NOISE_RETURN, "return sigmoid(logsnr), sigmoid(-logsnr)"),
    "a is a sigmoid": (NOISE_RETURN, "return sigmoid(logsnr), np.sqrt(sigmoid(-logsnr))"),
    "sigma is a sigmoid": (NOISE_RETURN, "return np.sqrt(sigmoid(logsnr)), sigmoid(-logsnr)"),
    "arctan(exp(-g / 2)) belongs": ("-0.5 *", "-1.0 *"),
    "lacks - limit_max": ("logsnr_min)) - limit_max", "logsnr_min))"),
    "the log-SNR is -log tan": ("logsnr = -2", "logsnr = -1"),
    "alpha lacks the blur": ("alpha = a * freq_scaling", "alpha = a + 0 * freq_scaling"),
    "alpha lacks a": ("alpha = a * freq_scaling", "alpha = freq_scaling"),
    "the blur twice": ("alpha = a * freq_scaling", "alpha = a * freq_scaling**2"),
    "as if the process preserved variance": ("return alpha, sigma\n", "return alpha, np.sqrt(1 - alpha**2)\n"),
    "sigma is scaled by the blur": ("return alpha, sigma\n", "return alpha, sigma * freq_scaling\n"),
    "returns sigma^2": ("return alpha, sigma\n", "return alpha, sigma**2\n"),
    "an un-normalised DCT,": ('return dctn(x, axes=(-2, -1), norm="ortho")', "return dctn(x, axes=(-2, -1))"),
    "an un-normalised inverse DCT": ('return idctn(u, axes=(-2, -1), norm="ortho")', "return idctn(u, axes=(-2, -1))"),
    "norm='forward'": ('return dctn(x, axes=(-2, -1), norm="ortho")', 'return dctn(x, axes=(-2, -1), norm="forward")'),
    "sums of x cos": ('return dctn(x, axes=(-2, -1), norm="ortho")', "return dctn(x, axes=(-2, -1)) / 4"),
    "forward DCT is of the last axis": ('return dctn(x, axes=(-2, -1), norm="ortho")', 'return dct(x, norm="ortho")'),
    "inverse DCT is of the last axis": ('return idctn(u, axes=(-2, -1), norm="ortho")', 'return idct(u, norm="ortho")'),
    "the axes of the DCT are swapped": ('norm="ortho")\n\ndef IDCT', 'norm="ortho").swapaxes(-2, -1)\n\ndef IDCT'),
    "a DCT-III, the inverse,": (
        'return dctn(x, axes=(-2, -1), norm="ortho")',
        'return idctn(x, axes=(-2, -1), norm="ortho")',
    ),
    "a DCT-II, where its inverse": (
        'return idctn(u, axes=(-2, -1), norm="ortho")',
        'return dctn(u, axes=(-2, -1), norm="ortho")',
    ),
    "its real part, where the forward": (
        'return dctn(x, axes=(-2, -1), norm="ortho")',
        'return np.fft.fft2(x, norm="ortho").real',
    ),
    "the noise has the factor sigma^2": ("+ sigma * eps", "+ sigma**2 * eps"),
    "the noise has the factor sqrt(sigma)": ("+ sigma * eps", "+ np.sqrt(sigma) * eps"),
    "the noise lacks its factor sigma": ("+ sigma * eps", "+ eps"),
    "the noise is not added": (" + sigma * eps", ""),
    "the noise has the factor alpha sigma": ("+ sigma * eps", "+ alpha * sigma * eps"),
    "mapped to [0, 1]": ("x_freq = DCT(x)", "x_freq = DCT((x + 1) / 2)"),
    "clipped to it": ("x_freq = DCT(x)", "x_freq = DCT(np.clip(x, 0, 1))"),
    "mapped to [-1, 1] a second time": ("x_freq = DCT(x)", "x_freq = DCT(2 * x - 1)"),
    "the step is 1 / (T - 1)": ("t - 1 / T", "t - 1 / (T - 1)"),
    "the step is 2 / T": ("t - 1 / T", "t - 2 / T"),
    "it has 1 / alpha_t": ("coeff_term2 = alpha_st", "coeff_term2 = 1 / alpha_t"),
    "coefficient has alpha_s, where": ("coeff_term2 = alpha_st", "coeff_term2 = alpha_s"),
    "coefficient has alpha_t / alpha_s, where": ("coeff_term2 = alpha_st", "coeff_term2 = alpha_ts"),
    "lacks alpha_s / alpha_t": ("coeff_term2 = alpha_st * sigma2_denoise", "coeff_term2 = sigma2_denoise"),
    "divided by sigma_s, where": ("/ np.maximum(sigma_s**2, delta)\n    hat", "/ sigma_s\n    hat"),
    "first posterior coefficient lacks": ("coeff_term1 = alpha_ts * sigma2", "coeff_term1 = sigma2"),
    "first posterior coefficient has alpha_s": ("coeff_term1 = alpha_ts", "coeff_term1 = alpha_st"),
    "the parenthesis around": (
        "coeff_term2 * (u_t - sigma_t * DCT(hat_eps))",
        "coeff_term2 * u_t - sigma_t * DCT(hat_eps)",
    ),
    "predicted eps is not transformed": ("sigma_t * DCT(hat_eps)", "sigma_t * hat_eps"),
    "predicted eps has the factor sigma_t^2": ("sigma_t * DCT", "sigma_t**2 * DCT"),
    "predicted eps lacks its factor": ("sigma_t * DCT", "DCT"),
    "predicted eps has the factor alpha_t": ("sigma_t * DCT", "alpha_t * sigma_t * DCT"),
    "sigma_{t|s}^2 has alpha_{t|s}": ("sigma_t**2 - alpha_ts**2", "sigma_t**2 - alpha_ts"),
    "sigma_{t|s}^2 lacks": ("sigma_t**2 - alpha_ts**2 * sigma_s**2", "sigma_t**2 - sigma_s**2"),
    "transition's variance": ("np.sqrt(sigma2_denoise)", "np.sqrt(sigma2_ts)"),
    "has the variance sigma_s^2": ("np.sqrt(sigma2_denoise)", "(sigma_s + 0 * sigma2_denoise)"),
    "has the variance sigma_t^2": ("np.sqrt(sigma2_denoise)", "(sigma_t + 0 * sigma2_denoise)"),
    "the variance as its factor": ("np.sqrt(sigma2_denoise)", "sigma2_denoise"),
    "the step adds no noise": (" + IDCT(np.sqrt(sigma2_denoise) * eps)", ""),
    "added in pixel space": ("IDCT(np.sqrt(sigma2_denoise) * eps)", "np.sqrt(sigma2_denoise) * eps"),
}
"""A slip by a piece of the sentence that names it: what stands in the appendix, and what a copy says."""


def module(*slips, source=APPENDIX):
    """Return the appendix as a module, with slips."""
    for old, new in slips:
        assert source.count(old) >= 1, old
        source = source.replace(old, new)
    made = types.ModuleType("copy_of_the_appendix")
    sys.modules["copy_of_the_appendix"] = made
    exec(compile(source, "copy_of_the_appendix.py", "exec"), vars(made))
    return made


FUNCTIONS = (
    "DCT",
    "IDCT",
    "get_frequency_scaling",
    "get_noise_scaling_cosine",
    "get_alpha_sigma",
    "diffuse",
    "denoise",
)


def where(old):
    """Return the function of the appendix that a piece of text stands in."""
    before = APPENDIX[: APPENDIX.index(old) + len(old)]
    return max(FUNCTIONS, key=lambda name: before.rfind(f"def {name}("))


def only(made, name):
    """Return a function of a module, and for data the schedules before it: what else it depends on is not asked."""
    before = FUNCTIONS[2:5] if name in ("diffuse", "denoise", "get_alpha_sigma") else ()
    return {one: getattr(made, one) for one in (*before, name)}


@pytest.mark.parametrize("sentence", SLIPS)
def test_planted_slip_is_named_alone(sentence):
    slip = SLIPS[sentence]
    report, raised = check(only(module(slip), where(slip[0].rstrip())))
    assert raised is None
    assert not report.passed
    assert len(report.diagnosis) == 1, report.diagnosis
    assert sentence in report.diagnosis[0]


PAIRS = [
    ("divided by N - 1", "d_0 is 1 - d_min", "get_frequency_scaling"),
    ("sigma_B is not squared", "a and sigma are exchanged", "get_alpha_sigma"),
    ("the noise lacks its factor sigma", "forward DCT is of the last axis", "diffuse"),
    ("it has 1 / alpha_t", "added in pixel space", "denoise"),
]


@pytest.mark.parametrize(("one", "two", "function"), PAIRS)
def test_two_slips_at_once_are_named_both(one, two, function):
    """One function alone is asked: nothing that it calls gives a slip away before it."""
    made = module(*(SLIPS[name] for name in (one, two)))
    report, _ = check({function: getattr(made, function)})
    assert len(report.diagnosis) == 2, report.diagnosis
    for sentence in (one, two):
        assert any(sentence in said for said in report.diagnosis), report.diagnosis


# A right copy


TORCH = (
    "import torch\n"
    + APPENDIX.replace("np.random.randn(*x.shape)", "torch.randn_like(x)")
    .replace("np.random.randn(*mu_denoise.shape)", "torch.randn_like(mu_denoise)")
    .replace("np.maximum(", "maximum(")
    .replace("dctn(x, ", "as_tensor(dctn, x, ")
    .replace("idctn(u, ", "as_tensor(idctn, u, ")
    .replace("return 1 / (1 + np.exp(-x))", "return torch.sigmoid(torch.as_tensor(x))")
    .replace("np.linspace(0, img_dim - 1, img_dim)", "torch.linspace(0, img_dim - 1, img_dim)")
    + """
def maximum(x, least):
    return torch.clip(x, min=least)

def as_tensor(transform, x, **options):
    return torch.as_tensor(transform(x.numpy(), **options))
"""
)
for function in ("sin", "exp(-labda", "log", "tan", "sqrt"):
    TORCH = TORCH.replace(f"np.{function}", f"torch.{function}")


@pytest.mark.parametrize("steps", [8, 1000])
@pytest.mark.parametrize("single", [False, True])
def test_right_copy_in_numpy_passes(steps, single):
    slips = [("T = 8", f"T = {steps}")]
    if single:
        slips += [
            ("    return alpha, sigma", "    return np.float32(alpha), np.float32(sigma)"),
            ("    return scaling", "    return np.float32(scaling)"),
            ("    alpha_ts =", "    alpha_s, sigma_s = np.float32(alpha_s), np.float32(sigma_s)\n    alpha_ts ="),
        ]
    report = check_implementation(module(*slips))
    assert report.passed
    assert sum(answer.status == "holds" for answer in report.answers) == 9
    assert any("delta of the appendix is kept" in note for note in report.notes)
    assert all(answer.precision == "float32" for answer in report.answers if single and answer.name == "marginal")


@pytest.mark.parametrize(
    "slips", [[], [("torch.linspace(0, img_dim - 1, img_dim)", "torch.linspace(0, img_dim - 1, img_dim).double()")]]
)
def test_right_copy_in_torch_passes_and_its_slip_is_named(slips):
    pytest.importorskip("torch")
    assert check_implementation(module(*slips, source=TORCH)).passed
    wrong = module(*slips, ("scaling = scaling + min_scale", "scaling = scaling"), source=TORCH)
    with pytest.raises(AssertionError, match="the floor d_min is missing: d_0 is 1 - d_min"):
        check_implementation(wrong)


MODULE_AND_CLASS = """
import math
import numpy as np
import torch
import torch.nn as nn


def dct(x, norm=None):
    x_shape = x.shape
    N = x_shape[-1]
    x = x.contiguous().view(-1, N)
    v = torch.cat([x[:, ::2], x[:, 1::2].flip([1])], dim=1)
    Vc = torch.view_as_real(torch.fft.fft(v, dim=1))
    k = -torch.arange(N, dtype=x.dtype, device=x.device)[None, :] * math.pi / (2 * N)
    W_r, W_i = torch.cos(k), torch.sin(k)
    V = Vc[:, :, 0] * W_r - Vc[:, :, 1] * W_i
    if norm == "ortho":
        V[:, 0] /= math.sqrt(N) * 2
        V[:, 1:] /= math.sqrt(N / 2) * 2
    return 2 * V.view(*x_shape)


def idct(X, norm=None):
    x_shape = X.shape
    N = x_shape[-1]
    X_v = X.contiguous().view(-1, N) / 2
    if norm == "ortho":
        X_v[:, 0] *= math.sqrt(N) * 2
        X_v[:, 1:] *= math.sqrt(N / 2) * 2
    k = torch.arange(N, dtype=X.dtype, device=X.device)[None, :] * math.pi / (2 * N)
    W_r, W_i = torch.cos(k), torch.sin(k)
    V_t_r = X_v
    V_t_i = torch.cat([X_v[:, :1] * 0, -X_v.flip([1])[:, :-1]], dim=1)
    V_r = V_t_r * W_r - V_t_i * W_i
    V_i = V_t_r * W_i + V_t_i * W_r
    V = torch.cat([V_r.unsqueeze(2), V_i.unsqueeze(2)], dim=2)
    v = torch.fft.irfft(torch.view_as_complex(V), n=N, dim=1)
    x = v.new_zeros(v.shape)
    x[:, ::2] += v[:, : N - (N // 2)]
    x[:, 1::2] += v.flip([1])[:, : N // 2]
    return x.view(*x_shape)


def dct_2d(x, norm=None):
    return dct(dct(x, norm=norm).transpose(-1, -2), norm=norm).transpose(-1, -2)


def idct_2d(X, norm=None):
    return idct(idct(X, norm=norm).transpose(-1, -2), norm=norm).transpose(-1, -2)


class BlurDiffusion(nn.Module):
    def __init__(self, img_size, timesteps=1000, sigma_blur_max=20.0, model=None):
        super().__init__()
        self.img_size, self.T, self.sigma_blur_max, self.min_scale = img_size, timesteps, sigma_blur_max, 1e-3
        self.model = model
        self.delta = 1e-8
        freqs = math.pi * torch.arange(img_size) / img_size
        self.register_buffer("labda", freqs[:, None] ** 2 + freqs[None, :] ** 2)

    def get_frequency_scaling(self, t):
        sigma_blur = self.sigma_blur_max * torch.sin(t * math.pi / 2) ** 2
        tau = sigma_blur**2 / 2
        return torch.exp(-self.labda[None, None] * tau[:, None, None, None]) * (1 - self.min_scale) + self.min_scale

    def get_noise_scaling_cosine(self, t, logsnr_min=-10, logsnr_max=10):
        limit_max = np.arctan(np.exp(-0.5 * logsnr_max))
        limit_min = np.arctan(np.exp(-0.5 * logsnr_min)) - limit_max
        logsnr = -2 * torch.log(torch.tan(limit_min * t + limit_max))
        return torch.sqrt(torch.sigmoid(logsnr)), torch.sqrt(torch.sigmoid(-logsnr))

    def get_alpha_sigma(self, t):
        d = self.get_frequency_scaling(t)
        a, sigma = self.get_noise_scaling_cosine(t)
        return a[:, None, None, None] * d, sigma[:, None, None, None]

    def q_sample(self, x, t, noise=None):
        if noise is None:
            noise = torch.randn_like(x)
        alpha, sigma = self.get_alpha_sigma(t)
        return idct_2d(alpha * dct_2d(x, norm="ortho"), norm="ortho") + sigma * noise

    @torch.no_grad()
    def p_sample(self, z_t, t):
        s = t - 1 / self.T
        alpha_t, sigma_t = self.get_alpha_sigma(t)
        alpha_s, sigma_s = self.get_alpha_sigma(s)
        alpha_ts = alpha_t / alpha_s
        sigma2_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
        inner = torch.clamp(sigma_t**2 / alpha_ts**2 - sigma_s**2, min=self.delta)
        var = 1 / torch.clamp(1 / torch.clamp(sigma_s**2, min=self.delta) + 1 / inner, min=self.delta)
        c1 = alpha_ts * var / (sigma2_ts + self.delta)
        c2 = var / alpha_ts / torch.clamp(sigma_s**2, min=self.delta)
        hat_eps = self.model(z_t, t)
        u = dct_2d(z_t, norm="ortho")
        mean = idct_2d(c1 * u + c2 * (u - sigma_t * dct_2d(hat_eps, norm="ortho")), norm="ortho")
        noise = torch.randn_like(mean)
        return mean + idct_2d(torch.sqrt(var) * dct_2d(noise, norm="ortho"), norm="ortho")
"""


def test_functions_of_a_module_and_methods_of_its_class_are_joined():
    pytest.importorskip("torch")
    report = check_implementation(module(source=MODULE_AND_CLASS))
    assert [answer.name for answer in report.answers if answer.status != "holds"] == ["transition", "posterior"]
    assert report.size == 16


@pytest.mark.parametrize(
    ("slips", "diagnoses"),
    [
        (
            [("math.pi * torch.arange(img_size) / img_size", "math.pi * torch.linspace(0, 1, img_size)")],
            ["divided by N - 1"],
        ),
        ([('dct_2d(x, norm="ortho"), norm', "dct_2d(x), norm")], ["an un-normalised DCT"]),
        ([("sigma_t * dct_2d(hat_eps", "dct_2d(hat_eps")], ["lacks its factor sigma_t"]),
        ([("tau[:, None, None, None]", "tau[None, None, None, :]")], ["broadcast over columns"]),
        ([("torch.sqrt(var) * dct", "var * dct")], ["the variance as its factor"]),
        ([("torch.sqrt(var) * dct_2d(noise", "torch.sqrt(sigma2_ts) * dct_2d(noise")], ["the transition's variance"]),
        (
            [("sigma_blur**2 / 2", "sigma_blur**2"), ("+ sigma * noise", "+ sigma**2 * noise")],
            ["the dissipation time is sigma_B^2", "the noise has the factor sigma^2"],
        ),
    ],
)
def test_slips_in_a_class_of_torch_are_named(slips, diagnoses):
    pytest.importorskip("torch")
    report, _ = check(module(*slips, source=MODULE_AND_CLASS))
    assert len(report.diagnosis) == len(diagnoses)
    for sentence, words in zip(report.diagnosis, diagnoses, strict=True):
        assert words in sentence


def test_class_that_cannot_be_constructed_is_an_error():
    pytest.importorskip("torch")
    source = MODULE_AND_CLASS.replace("def __init__(self, img_size,", "def __init__(self, secret, img_size,")
    report, _ = check(module(source=source))
    assert any("BlurDiffusion was not asked" in note and "secret" in note for note in report.notes)


def test_a_slip_that_divides_by_zero_is_named_in_all_functions():
    pytest.importorskip("torch")
    wrong = module(("scaling = scaling + min_scale", "scaling = scaling"), source=TORCH)
    report, _ = check(wrong)
    failing = [answer for answer in report.answers if answer.status == "fails"]
    assert len(failing) == 6
    assert all("the floor d_min is missing" in answer.diagnosis[0] for answer in failing)


CLASS = """
import numpy as np

class Blurring:
    T = 8

    def __init__(self, image_size=16, sigma_blur_max=10):
        self.image_size, self.sigma_blur_max = image_size, sigma_blur_max

    def get_frequency_scaling(self, t):
        freqs = np.pi * np.arange(self.image_size) / self.image_size
        tau = (self.sigma_blur_max * np.sin(t * np.pi / 2) ** 2) ** 2 / 2
        return 0.999 * np.exp(-(freqs[:, None] ** 2 + freqs**2) * tau[:, None, None]) + 0.001
"""


def test_class_with_its_own_size_and_setting_that_takes_flat_batches_passes():
    report = check_implementation(module(source=CLASS).Blurring)
    assert (report.size, report.settings["sigma_blur_max"]) == (16, 10.0)
    assert report.answers[2].status == "holds"


def test_hard_coded_setting_is_a_note_and_no_mistake():
    report = check_implementation(
        only(module(("sigma_blur = sigma_blur_max", "sigma_blur = 15")), "get_frequency_scaling")
    )
    assert report.notes[0] == "sigma_B,max is 15 (the paper: 20)"


def test_times_of_a_right_copy_over_columns_are_a_note():
    report = check_implementation(only(module(), "get_frequency_scaling"))
    assert any("t of shape [B] is broadcast over columns" in note for note in report.notes)


def test_unknown_mistake_is_reported_as_unknown():
    report, _ = check(only(module(("sigma_blur**2 / 2", "sigma_blur**2 / 2 + t / 7")), "get_frequency_scaling"))
    assert not report.passed
    assert report.diagnosis == ()
    assert "none that I know" in report.render()
    failure = report.answers[2].failure
    assert failure.frequency != (0, 0)
    assert failure.got != pytest.approx(failure.right, rel=1e-6)


class Mine(Adapter):
    """The core's own functions under other names."""

    def marginal(self, t, n):
        return bc.BlurringDiffusion().marginal(t, shape=(n, n))

    def posterior(self, t, s, n):
        return bc.posterior(bc.BlurringDiffusion(), t, s, shape=(n, n))

    def diffuse(self, x, t, eps):
        return bc.diffuse(bc.BlurringDiffusion(), x, t, eps)


class Wrong(Mine):
    def posterior(self, t, s, n):
        z, x, variance = super().posterior(t, s, n)
        return z, x / Formulas().marginal(s, n)[0], variance


def test_only_the_methods_of_an_adapter_are_called():
    report = check_implementation(Mine())
    assert [a.name for a in report.answers if a.status == "holds"] == ["marginal", "posterior", "noisy data"]
    with pytest.raises(AssertionError, match="second posterior coefficient lacks alpha_s"):
        check_implementation(Wrong())


def test_formulas_without_a_switch_are_those_of_the_core():
    t, s = np.linspace(0.125, 1, 8), np.linspace(0, 0.875, 8)
    exact = bc.posterior(bc.BlurringDiffusion(), t, s, shape=(6, 6))
    for got, right in zip(Formulas().posterior(t, s, 6), exact, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-8)
    assert 1e-4 < clip_error(1000) < 1e-3


def test_every_variant_differs_from_every_other():
    assert len({v.sentence for v in VARIANTS}) == len(VARIANTS) >= 80


def test_errors_of_the_implementation_are_raised_unchanged():
    with pytest.raises(ZeroDivisionError):
        check_implementation(only(module(("    sigma_blur =", "    1 / 0\n    sigma_blur =")), "get_frequency_scaling"))


# The command


def against(folder, source, *words):
    """Run the command on a file."""
    Path(folder, "my_diffusion.py").write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "blurcore", "verify", "--against", "my_diffusion.py", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
    )


def test_command_prints_the_diagnosis_as_json(tmp_path):
    done = against(tmp_path, "print('hello')\n" + CLASS.replace("+ 0.001", ""), "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["diagnosis"] == ["the floor d_min is missing: d_0 is 1 - d_min = 0.999, not 1"]
    assert found["answers"][2]["failure"]["t"] == 0.0
    assert "hello" in done.stderr


@pytest.mark.parametrize(
    ("source", "words", "code", "said"),
    [
        ("raise OSError('disk on fire')", (), 1, "OSError: disk on fire"),
        ("import sys; sys.exit(3)", (), 1, "SystemExit: 3"),
        ("while True: pass", ("--timeout", "1"), 1, "ran longer than 1 s"),
        ("import os; os._exit(4)", (), 1, "ended Python, with exit code 4"),
        ("x = 1", (), 2, "nothing that I know by name"),
        ("def diffuse(x, t):\n    raise OSError('disk on fire')", (), 1, "line 2, in diffuse"),
    ],
)
def test_command_shows_exceptions_of_the_users_file(tmp_path, source, words, code, said):
    done = against(tmp_path, source, *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert str(Path(bc.__file__).parent) not in done.stderr


@pytest.mark.parametrize(
    "words", [["absent.py"], ["no_such_module_here"], [":x"], ["absent.py", "--quick"], ["json", "--timeout", "0"]]
)
def test_wrong_usage_exits_with_2(words, capsys):
    from blurcore.verify.command import main

    assert main(["--against", *words]) == 2
    assert "error: --" in capsys.readouterr().err


def test_nothing_known_is_an_argument_error():
    with pytest.raises(ArgumentError, match="nothing that I know by name is in math"):
        check_implementation(__import__("math"))
