"""The oracle: every equation of the process a second time, dense, slow and obviously right.

This package imports nothing of ``blurcore`` and no array library but NumPy. It reads the plain dictionary that a
checkpoint stores, and it was written from the specification alone, so that an agreement between the two texts is
evidence. Everything is float64; what needs more digits is in ``blurcore_reference.precise``. This module is the one
address of all functions; the texts are in

===============  ==============================================================================  ==================
module           equations                                                                       specification
===============  ==============================================================================  ==================
``bases``        DCT, DST and real Fourier matrices written out, eigenvalues                     SPEC 1
``marginals``    schedules, ``alpha``, ``sigma``, ``log_snr``                                    SPEC 2
``kernels``      transition, posterior by precisions, composition, SDE by difference quotients   SPEC 3, 4, 6
``dense``        the same in pixel space, by linear algebra on full matrices                     SPEC 3, 4
``denoisers``    parametrisations, exact denoisers                                               SPEC 5, 9
``samplers``     coefficients of each sampler, its output variance on Gaussian data              SPEC 7, 9
``resolution``   smaller images, and samplers that work on them first                            SPEC 11
``precise``      marginal, transition, posterior in 50 digits                                    SPEC 2-4
``paper``        the paper's clipped float32 pseudo-code                                         SPEC 4
===============  ==============================================================================  ==================
"""

from blurcore_reference.bases import (
    basis_matrix,
    dense_basis,
    eigenvalue_ratios,
    eigenvalues,
    forward,
    inverse,
)
from blurcore_reference.denoisers import (
    convert,
    dataset_denoiser,
    gaussian_denoiser,
    gaussian_gain,
    mixture_denoiser,
)
from blurcore_reference.dense import marginal_dense, posterior_dense, transition_dense
from blurcore_reference.kernels import compose, posterior, sde, transition, velocity
from blurcore_reference.marginals import (
    Process,
    alpha,
    basis_kind,
    blur_level,
    decay,
    linear_beta_interpolant,
    linear_beta_log_abar,
    log_alpha,
    log_snr,
    min_scale,
    noise_levels,
    sigma,
    tau,
)
from blurcore_reference.paper import clipped_posterior
from blurcore_reference.resolution import (
    nested_variance,
    restricted_marginal,
    restricted_posterior,
    restricted_transition,
    restriction_matrix,
)
from blurcore_reference.samplers import (
    log_snr_grid,
    posterior_data_variance,
    sampler_step,
    sampler_variance,
    target_variance,
    uniform_grid,
)

__all__ = [
    "Process",
    "alpha",
    "basis_kind",
    "basis_matrix",
    "blur_level",
    "clipped_posterior",
    "compose",
    "convert",
    "dataset_denoiser",
    "decay",
    "dense_basis",
    "eigenvalue_ratios",
    "eigenvalues",
    "forward",
    "gaussian_denoiser",
    "gaussian_gain",
    "inverse",
    "linear_beta_interpolant",
    "linear_beta_log_abar",
    "log_alpha",
    "log_snr",
    "log_snr_grid",
    "marginal_dense",
    "min_scale",
    "mixture_denoiser",
    "nested_variance",
    "noise_levels",
    "posterior",
    "posterior_data_variance",
    "posterior_dense",
    "restricted_marginal",
    "restricted_posterior",
    "restricted_transition",
    "restriction_matrix",
    "sampler_step",
    "sampler_variance",
    "sde",
    "sigma",
    "target_variance",
    "tau",
    "transition",
    "transition_dense",
    "uniform_grid",
    "velocity",
]
