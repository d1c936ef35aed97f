"""The paper's pseudo-code for one denoising step, with its clipping (SPEC 4).

Kept to show what the exact forms buy: in float32 the differences ``sigma_t^2 - alpha_{t|s}^2 sigma_s^2`` cancel, and
``delta = 1e-8`` is no longer small beside them when steps are short.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from blurcore_reference.bases import eigenvalues
from blurcore_reference.marginals import Process, basis_kind, check_time, min_scale, noise_levels, tau


def clipped_posterior(
    process: Process,
    t: float,
    s: float,
    shape: Sequence[int],
    dtype: npt.DTypeLike = np.float32,
    delta: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of q(u_s | u_t, u_0) as the paper's pseudo-code computes them.

    ``variance = 1 / clip(1 / clip(sigma_s^2) + 1 / clip(sigma_t^2 / alpha_{t|s}^2 - sigma_s^2))``, clip from below;
    ``mean = alpha_{t|s} variance / (sigma_{t|s}^2 + delta) u_t
    + variance / (alpha_{t|s} (sigma_s^2 + delta)) (u_t - sigma_t eps)``

    Parameters
    ----------
    process : the dictionary of a process.
    t, s : times, 0 <= s < t <= 1.
    shape : grid sizes.
    dtype : type of all arithmetic that has a frequency axis.
    delta : the clipping.

    Returns
    -------
    ``(z_coef, x_coef, variance)``, arrays of ``dtype`` and ``shape``, to be compared with ``posterior``: the second
    coefficient is multiplied by alpha_t, so that it belongs to ``u_0 = (u_t - sigma_t eps) / alpha_t``.

    References
    ----------
    The paper, appendix (pseudo-code); SPEC 4.
    """
    check_time(t, s)
    real = np.dtype(dtype).type

    def get_alpha_sigma(time: float) -> tuple[np.ndarray, np.floating]:
        frequencies = eigenvalues(basis_kind(process), shape).astype(dtype)
        floor = real(min_scale(process))
        scaling = np.exp(-frequencies * real(tau(process, time))) * (real(1) - floor) + floor
        a, sigma = noise_levels(process, time)
        return real(a) * scaling, real(sigma)

    clip, one = real(delta), real(1)
    alpha_s, sigma_s = get_alpha_sigma(s)
    alpha_t, sigma_t = get_alpha_sigma(t)
    alpha_ts = alpha_t / alpha_s
    alpha_st = one / alpha_ts
    sigma2_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
    precision = one / np.maximum(sigma_s**2, clip) + one / np.maximum(sigma_t**2 / alpha_ts**2 - sigma_s**2, clip)
    sigma2_denoise = one / np.maximum(precision, clip)
    coeff_term1 = alpha_ts * sigma2_denoise / (sigma2_ts + clip)
    coeff_term2 = alpha_st * sigma2_denoise / (sigma_s**2 + clip)
    return coeff_term1, coeff_term2 * alpha_t, sigma2_denoise
