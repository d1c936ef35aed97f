"""The process in pixel space, with full P x P matrices and nothing diagonal (SPEC 3, 4).

Pixels are stacked in C order, ``P = prod(shape)``, and ``V`` is the dense basis. In pixel space the blur is a matrix
and the transition's noise is correlated; Bayes' rule is the conditioning of a jointly normal vector, with no division
by a frequency's variance. The per-frequency posterior must agree with it.
"""

from collections.abc import Sequence

import numpy as np

from blurcore_reference.bases import dense_basis
from blurcore_reference.kernels import transition
from blurcore_reference.marginals import Process, alpha, basis_kind, noise_levels


def marginal_dense(process: Process, t: float, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and covariance of q(z_t | x) in pixel space.

    ``A = V diag(alpha_t) V^T,  cov = sigma_t^2 I``

    Parameters
    ----------
    process : the dictionary of a process.
    t : time in [0, 1].
    shape : grid sizes.

    Returns
    -------
    ``(A, cov)``, float64 arrays (P, P).

    References
    ----------
    SPEC 1, SPEC 2.
    """
    basis = dense_basis(basis_kind(process), shape)
    matrix = basis @ np.diag(alpha(process, t, shape).ravel()) @ basis.T
    return matrix, noise_levels(process, t)[1] ** 2 * np.eye(len(basis))


def transition_dense(process: Process, t: float, s: float, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and covariance of q(z_t | z_s) in pixel space; the covariance is not isotropic.

    ``A = V diag(alpha_{t|s}) V^T,  cov = V diag(sigma_{t|s}^2) V^T``

    Parameters
    ----------
    process : the dictionary of a process.
    t, s : times, 0 <= s <= t <= 1.
    shape : grid sizes.

    Returns
    -------
    ``(A, cov)``, float64 arrays (P, P).

    References
    ----------
    SPEC 3.
    """
    basis = dense_basis(basis_kind(process), shape)
    ratio, variance = transition(process, t, s, shape)
    return basis @ np.diag(ratio.ravel()) @ basis.T, basis @ np.diag(variance.ravel()) @ basis.T


def posterior_dense(
    process: Process, t: float, s: float, shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices and covariance of q(z_s | z_t, x) in pixel space, by conditioning a normal vector.

    With ``z_s | x ~ N(A_s x, C_s)`` and ``z_t | z_s ~ N(A z_s, C)``, ``K = C_s A^T (A C_s A^T + C)^-1``:
    ``mean = K z_t + (I - K A) A_s x,  cov = (I - K A) C_s (I - K A)^T + K C K^T``

    Parameters
    ----------
    process : the dictionary of a process with sigma_t > 0.
    t, s : times, 0 <= s <= t <= 1.
    shape : grid sizes.

    Returns
    -------
    ``(A_z, A_x, cov)``: the posterior is ``N(A_z z_t + A_x x, cov)``; float64 arrays (P, P).

    References
    ----------
    SPEC 4; the covariance in Joseph's form, which rounding cannot make indefinite.
    """
    prior, prior_cov = marginal_dense(process, s, shape)
    step, step_cov = transition_dense(process, t, s, shape)
    gain = np.linalg.solve((step @ prior_cov @ step.T + step_cov).T, (prior_cov @ step.T).T).T
    rest = np.eye(len(prior)) - gain @ step
    return gain, rest @ prior, rest @ prior_cov @ rest.T + gain @ step_cov @ gain.T
