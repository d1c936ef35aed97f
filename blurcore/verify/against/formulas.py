"""The appendix of the paper with a switch at every place where copies of it go wrong; no switch gives SPEC 1 to 4.

These numbers diagnose, they do not judge: whether an implementation is right is decided by the core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def _matrix(kind: str, n: int) -> Array:
    """Return the matrix of a transform of one axis, which multiplies from the left."""
    k, j = np.arange(n)[:, None], np.arange(n)[None, :]
    two = 2 * np.cos(np.pi * k * (2 * j + 1) / (2 * n))
    ortho = two * np.where(k == 0, np.sqrt(1 / (4 * n)), np.sqrt(1 / (2 * n)))
    kinds: dict[str, Callable[[], Array]] = {
        "dct": lambda: ortho,
        "unnormalised": lambda: two,
        "averaged": lambda: two / (2 * n),
        "halved": lambda: two / 2,
        "DCT-III": lambda: ortho.T,
        "DCT-IV": lambda: np.sqrt(2 / n) * np.cos(np.pi * (2 * k + 1) * (2 * j + 1) / (4 * n)),
        "DST": lambda: np.flip(ortho, 0) * (-1.0) ** j,
    }
    return kinds[kind]()


def _fft(x: Array, *, inverse: bool) -> Array:
    return np.fft.ifft2(x, norm="ortho") if inverse else np.fft.fft2(x, norm="ortho")


def transform(kind: str, x: Array, *, inverse: bool = False) -> Array:
    """Return a transform, right or wrong, of the last two axes."""
    if kind == "FFT":
        return _fft(x, inverse=inverse)
    if kind == "real FFT":
        return _fft(x, inverse=inverse).real
    axes = {"rows": (-1,), "columns": (-2,), "channels": (-3, -2)}.get(kind, (-2, -1))
    matrix = "dct" if kind in ("rows", "columns", "channels", "transposed") else kind
    for axis in axes:
        m = _matrix(matrix, x.shape[axis])
        x = np.moveaxis(np.tensordot(np.linalg.inv(m) if inverse else m, x, (1, axis)), 0, axis)
    return np.swapaxes(x, -2, -1) if kind == "transposed" else x


@dataclass(frozen=True, kw_only=True)
class Formulas:
    """Formulas of blurring diffusion with switches; times are of shape [B], coefficients [B, N, N], data [B, C, N, N]."""

    sigma_blur_max: float = 20.0
    min_scale: float = 1e-3
    logsnr_min: float = -10.0
    logsnr_max: float = 10.0
    divisor: str = "N"
    pi: bool = True
    first: int = 0
    power: int = 2
    lam: str = "sum"
    tau: str = "half the square"
    blur: str = "sin^2"
    floor: str = "right"
    t_blur: str = "batch"
    t_noise: str = "batch"
    swapped: bool = False
    a_root: bool = True
    sigma_root: bool = True
    limits: str = "right"
    log_factor: float = 2.0
    alpha: str = "right"
    sigma: str = "right"
    forward: str = "dct"
    backward: str = "dct"
    diffuse_noise: str = "sigma"
    data: str = "as given"
    delta: float = 0.0
    s: str = "given"
    first_coef: str = "right"
    second_coef: str = "right"
    parenthesis: bool = True
    eps_space: str = "frequency"
    eps_scale: str = "sigma"
    step_variance: str = "right"
    precision: str = "own"
    variance: str = "posterior"
    noise_scale: str = "sqrt"
    noise_space: str = "frequency"
    table: Callable[[Array], tuple[Array, Array] | None] | None = None
    rounding: float = 0.0
    rng: np.random.Generator | None = None

    def rounded(self, v: Array) -> Array:
        """Return a value with rounding errors of the size asked for."""
        return v if self.rng is None else v * (1 + self.rounding * self.rng.uniform(-1, 1, np.shape(v)))

    def _spread(self, u: Array) -> Array:
        """Return the result of a transform with its rounding errors, which go by the largest value."""
        if self.rng is None:
            return u
        largest = np.max(np.abs(u), axis=(-2, -1), keepdims=True)
        return np.asarray(u + self.rounding * self.rng.uniform(-1, 1, u.shape) * largest)

    def _times(self, t: Array, axis: str) -> Array:
        return {"batch": t[:, None, None], "rows": t[None, :, None], "columns": t[None, None, :]}[axis]

    def eigenvalues(self, n: int) -> Array:
        """Return lambda, [N, N]."""
        over = {"N": float(n), "N - 1": n - 1.0, "2N": 2.0 * n, "1": 1.0}[self.divisor]
        freqs = self.rounded((np.pi if self.pi else 1.0) * (np.arange(n) + self.first) / over)
        one = 2 - 2 * np.cos(freqs) if self.lam == "discrete" else freqs**self.power
        if self.lam in ("rows", "columns"):
            return np.broadcast_to(one[:, None] if self.lam == "columns" else one[None, :], (n, n))
        total = one[:, None] + one[None, :]
        return np.asarray(np.sqrt(total) if self.lam == "root" else total)

    def frequency_scaling(self, t: Array, n: int) -> Array:
        """Return d_t."""
        t = self._times(t, self.t_blur)
        waves: dict[str, Callable[[], Array]] = {
            "sin^2": lambda: np.sin(t * np.pi / 2) ** 2,
            "sin": lambda: np.sin(t * np.pi / 2),
            "linear": lambda: t,
            "sin^2 of pi t": lambda: np.sin(t * np.pi) ** 2,
            "sin^2 of t / 2": lambda: np.sin(t / 2) ** 2,
        }
        b = self.rounded(self.sigma_blur_max * waves[self.blur]())
        tau = {"half the square": b**2 / 2, "square": b**2, "sigma": b, "half": b / 2}[self.tau]
        heat = np.exp(-self.rounded(self.eigenvalues(n) * self.rounded(tau)))
        rest = 1 - self.min_scale
        scaling = {
            "right": rest * heat + self.min_scale,
            "missing": rest * heat,
            "added": heat + self.min_scale,
            "none": heat,
            "maximum": np.maximum(heat, self.min_scale),
        }[self.floor]
        return self.rounded(scaling)

    def noise_scaling(self, t: Array) -> tuple[Array, Array]:
        """Return a_t and sigma_t, [B, 1, 1] or what the broadcast makes of them."""
        t = self._times(t, self.t_noise)
        half = 1.0 if self.limits == "no half" else 0.5
        b = np.arctan(np.exp(-half * self.logsnr_max))
        m = np.arctan(np.exp(-half * self.logsnr_min)) - (0.0 if self.limits == "not less b" else b)
        if self.limits == "unclipped":
            b, m = 0.0, np.pi / 2
        angle = self.rounded(m * t + b)
        g = -self.log_factor * np.log(np.tan(angle))
        g = self.rounded(g) if self.log_factor != 2 else g
        # 1 + exp(g) = 1 + tan^-2: the roundings of the angle are all that is amplified
        a2, s2 = 1 / (1 + np.exp(-g)), 1 / (1 + np.exp(g))
        known = self.table(t) if self.table is not None else None
        if known is not None:
            a2 = self.rounded(known[0])
            s2 = known[1] + (known[0] - a2)  # a table of alpha-bar alone: 1 - alpha-bar has its absolute error
        a, sigma = (np.sqrt(a2) if self.a_root else a2), (np.sqrt(s2) if self.sigma_root else s2)
        return (self.rounded(sigma), self.rounded(a)) if self.swapped else (self.rounded(a), self.rounded(sigma))

    def marginal(self, t: Array, n: int) -> tuple[Array, Array]:
        """Return alpha_t and sigma_t."""
        a, sigma = self.noise_scaling(t)
        d = self.frequency_scaling(t, n)
        alpha = {"right": a * d, "no blur": a + 0 * d, "blur alone": d + 0 * a, "blur squared": a * d**2}[self.alpha]
        if self.sigma == "variance preserving":
            sigma = np.sqrt(1 - alpha**2)
        elif self.sigma == "blurred":
            sigma = sigma * d
        elif self.sigma == "squared":
            sigma = sigma**2
        return self.rounded(alpha), self.rounded(sigma)

    def dct(self, x: Array) -> Array:
        """Return the transform of data."""
        return self._spread(transform(self.forward, x))

    def idct(self, u: Array) -> Array:
        """Return the inverse transform of coefficients."""
        return self._spread(transform(self.backward, u, inverse=True))

    def _coefs(self, t: Array, n: int) -> tuple[Array, Array]:
        alpha, sigma = self.marginal(t, n)
        return alpha[:, None], sigma[:, None]

    def diffuse(self, x: Array, t: Array, eps: Array) -> Array:
        """Return z_t."""
        x = {"as given": x, "to [0, 1]": (x + 1) / 2, "clipped to [0, 1]": np.clip(x, 0, 1), "to [-1, 1]": 2 * x - 1}[
            self.data
        ]
        alpha, sigma = self._coefs(t, x.shape[-1])
        u = alpha * self.dct(x)
        if self.diffuse_noise == "in frequency space":
            return self.idct(u + sigma * eps).real
        factor = {
            "sigma": sigma,
            "sigma^2": sigma**2,
            "alpha sigma": alpha * sigma,
            "one": 1.0,
            "none": 0.0,
            "sqrt(sigma)": np.sqrt(sigma),
        }
        return np.asarray(self.idct(u).real + factor[self.diffuse_noise] * eps)

    def step_to(self, t: Array, steps: int) -> Array:
        """Return s, one step of T before t."""
        return t - self.rounded(np.asarray(1.0 / {"given": steps, "T - 1": steps - 1, "two": steps / 2}[self.s]))

    def _posterior(self, alpha_t: Array, sigma_t: Array, alpha_s: Array, sigma_s: Array) -> tuple[Array, Array, Array]:
        """Return the coefficients of both terms and the variance, as the appendix has them."""

        def floor(v: Array) -> Array:
            return np.maximum(v, self.delta) if self.delta else v

        ts = self.rounded(alpha_t / alpha_s)
        vt, vs = self.rounded(sigma_t**2), self.rounded(sigma_s**2)
        variances: dict[str, Callable[[], Array]] = {
            "right": lambda: vt - self.rounded(ts**2 * vs),
            "alpha not squared": lambda: vt - self.rounded(ts * vs),
            "no alpha": lambda: vt - vs,
            "sigma": lambda: sigma_t - self.rounded(ts**2 * sigma_s),
        }
        vts = variances[self.step_variance]()
        inner = floor(self.rounded(vt / ts**2) - vs) if self.precision == "own" else floor(vts / ts**2)
        var = 1 / floor(1 / floor(vs) + 1 / inner)
        one = var / (vts + self.delta)
        first = {"right": ts * one, "lacks alpha_ts": one, "inverted": one / ts}[self.first_coef]
        two = var / floor(vs)
        second = {
            "right": two / ts,
            "1 / alpha_t": two / alpha_t,
            "alpha_s": two * alpha_s,
            "inverted": two * ts,
            "missing": two,
            "sigma_s": two * sigma_s / ts,
        }[self.second_coef]
        var = {"posterior": var, "transition": vts, "sigma_t": vt, "sigma_s": vs}[self.variance] + 0 * var
        return self.rounded(first), self.rounded(second), var

    def posterior(self, t: Array, s: Array, n: int) -> tuple[Array, Array, Array]:
        """Return the coefficients of u_t and u_0 and the variance of q(u_s | u_t, u_0)."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.marginal(t, n), self.marginal(s, n)
        first, second, var = self._posterior(alpha_t, sigma_t, alpha_s, sigma_s)
        return first, second * alpha_t, var

    def transition(self, t: Array, s: Array, n: int) -> tuple[Array, Array]:
        """Return alpha and the variance of q(u_t | u_s)."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.marginal(t, n), self.marginal(s, n)
        ts = self.rounded(alpha_t / alpha_s)
        vs, vt = sigma_s**2, sigma_t**2
        var = {
            "right": vt - self.rounded(ts**2 * vs),
            "alpha not squared": vt - ts * vs,
            "no alpha": vt - vs,
            "sigma": sigma_t - ts**2 * sigma_s,
        }[self.step_variance]
        return ts, np.broadcast_to(var, ts.shape)

    def denoise(self, z: Array, t: Array, s: Array, eps_hat: Array, noise: Array) -> Array:
        """Return a draw of the step from t to s."""
        n = z.shape[-1]
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self._coefs(t, n), self._coefs(s, n)
        first, second, var = self._posterior(alpha_t, sigma_t, alpha_s, sigma_s)
        u = self.dct(z)
        u_eps = self.dct(eps_hat) if self.eps_space == "frequency" else eps_hat
        scaled = {"sigma": sigma_t, "sigma^2": sigma_t**2, "one": 1.0, "alpha sigma": alpha_t * sigma_t}[
            self.eps_scale
        ] * u_eps
        if self.data != "as given":
            bounds = (0, 1) if self.data == "clipped to [0, 1]" else (-1, 1)
            x = np.clip(self.idct((u - scaled) / alpha_t).real, *bounds)
            rest = second * alpha_t * self.dct(x)
        else:
            rest = second * (u - scaled) if self.parenthesis else second * u - scaled
        mean = self.idct(self.rounded(first * u)).real + self.idct(self.rounded(rest)).real
        scale = var if self.noise_scale == "variance" else np.sqrt(var) if self.noise_scale == "sqrt" else 0 * var
        if self.noise_space == "pixel":
            return np.asarray(mean + scale * noise)
        u_noise = self.dct(noise) if self.noise_space == "transformed" else noise
        return np.asarray(mean + self.idct(scale * u_noise).real)
