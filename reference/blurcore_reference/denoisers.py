"""What a network may predict, and the networks that are exact (SPEC 5, 9).

``u = alpha u_0 + sigma eps`` holds in every frequency, and any one of ``x0, eps, v, score, velocity, F`` gives the others. For
data whose distribution is known the best prediction ``E[u_0 | u_t]`` needs no training, which makes every sampler and
every bound testable. All arrays are in frequency space; ``alpha`` and ``sigma`` broadcast against them.
"""

import numpy as np

PARAMETRISATIONS = ("x0", "eps", "v", "score", "velocity", "F")


def convert(
    value: np.ndarray,
    source: str,
    target: str,
    z: np.ndarray,
    alpha: np.ndarray,
    sigma: np.ndarray,
    rates: tuple[np.ndarray, np.ndarray] | None = None,
    sigma_data: np.ndarray | None = None,
) -> np.ndarray:
    """Change the parametrisation of a prediction.

    ``x = (z - sigma eps) / alpha,  v = alpha eps - sigma x,  score = -eps / sigma``
    ``x = (alpha z - sigma v) / (alpha^2 + sigma^2),  eps = (sigma z + alpha v) / (alpha^2 + sigma^2)``
    ``velocity = alpha' x + sigma' eps``; ``x = c_skip (z / alpha) + c_out F``, the preconditioning at ``z / alpha``

    Parameters
    ----------
    value : the prediction.
    source, target : one of ``PARAMETRISATIONS``.
    z : the noisy data ``u_t``.
    alpha, sigma : scales of the marginal.
    rates : for the velocity, derivatives of alpha and sigma in time.
    sigma_data : for F, the data's standard deviation.

    Returns
    -------
    float64 array of the shape of ``value``.

    Raises
    ------
    ValueError : the conversion divides by zero.

    References
    ----------
    SPEC 5; Salimans & Ho 2022 for v, Liu et al. 2022 for the velocity, Karras et al. 2022 (table 1) for F.
    """
    for name in (source, target):
        if name not in PARAMETRISATIONS:
            raise ValueError(f"parametrisation {name!r} is unknown; known: {', '.join(PARAMETRISATIONS)}")
    if source == target:
        return np.asarray(value, dtype=np.float64)
    if source == "velocity":
        falls, rises = rates
        determinant = alpha * rises - sigma * falls
        x, eps = _divide(rises * z - sigma * value, determinant), _divide(alpha * value - falls * z, determinant)
    elif source == "F":
        skip, out, variance = _preconditioning(alpha, sigma, sigma_data)
        x = skip * z + out * value
        eps = _divide(sigma * z, variance) - _divide(alpha * sigma_data * value, np.sqrt(variance))
    elif source == "score":
        eps = -sigma * value
    elif source == "eps":
        eps = value
    elif source == "x0":
        eps = _divide(z - alpha * value, sigma)
    else:
        eps = _divide(sigma * z + alpha * value, alpha**2 + sigma**2)
    if target == "eps":
        return eps
    if target == "score":
        return -_divide(eps, sigma)
    if source == "x0":
        x = value
    elif source in ("velocity", "F"):
        pass
    elif source == "v":
        x = _divide(alpha * z - sigma * value, alpha**2 + sigma**2)
    else:
        x = _divide(z - sigma * eps, alpha)
    if target == "velocity":
        return rates[0] * x + rates[1] * eps
    if target == "F":
        variance = _preconditioning(alpha, sigma, sigma_data)[2]
        # (x - skip z) / out, where x - skip z = (sigma^2 x - alpha c^2 sigma eps) / variance: no difference of close numbers
        return _divide(sigma * x / sigma_data - alpha * sigma_data * eps, np.sqrt(variance))
    return x if target == "x0" else alpha * eps - sigma * x


def _preconditioning(
    alpha: np.ndarray, sigma: np.ndarray, data: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of z and of F in the data, and the variance of z: Karras et al.'s c_skip and c_out, for a signal alpha x."""
    variance = alpha**2 * data**2 + sigma**2
    return _divide(alpha * data**2, variance), _divide(sigma * data, np.sqrt(variance)), variance


def gaussian_denoiser(
    u_t: np.ndarray, mean: np.ndarray, variance: np.ndarray, alpha: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """E[u_0 | u_t] for data u_0 ~ N(mean, diag(variance)).

    ``m + alpha c / (alpha^2 c + sigma^2) (u_t - alpha m)``

    Parameters
    ----------
    u_t : noisy data (batch, \\*freq).
    mean, variance : moments of the data (\\*freq); variance >= 0.
    alpha, sigma : scales of the marginal (\\*freq).

    Returns
    -------
    float64 array of the shape of ``u_t``; the mean where ``alpha^2 c + sigma^2`` is 0 and u_t tells nothing.

    References
    ----------
    SPEC 9.
    """
    return mean + gaussian_gain(variance, alpha, sigma) * (u_t - alpha * mean)


def gaussian_gain(variance: np.ndarray, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Factor of the data in the exact denoiser of normal data.

    ``alpha c / (alpha^2 c + sigma^2)``

    Parameters
    ----------
    variance : variance c of the data, >= 0.
    alpha, sigma : scales of the marginal.

    Returns
    -------
    float64 array; 0 where the denominator is 0.

    References
    ----------
    SPEC 9.
    """
    total = np.asarray(alpha**2 * variance + sigma**2, dtype=np.float64)
    return np.divide(alpha * variance, total, out=np.zeros_like(total), where=total > 0)


def mixture_denoiser(
    u_t: np.ndarray,
    weights: np.ndarray,
    means: np.ndarray,
    variances: np.ndarray,
    alpha: np.ndarray,
    sigma: np.ndarray,
) -> np.ndarray:
    """E[u_0 | u_t] for data from a mixture of normal distributions with diagonal covariances.

    ``sum_j r_j E_j[u_0 | u_t]``, with ``r_j`` proportional to ``w_j N(u_t; alpha m_j, alpha^2 c_j + sigma^2)``

    Parameters
    ----------
    u_t : noisy data (batch, \\*freq).
    weights : (components,), positive; their sum does not matter.
    means, variances : moments of the components (components, \\*freq).
    alpha, sigma : scales of the marginal (\\*freq), with ``alpha^2 c + sigma^2 > 0``.

    Returns
    -------
    float64 array of the shape of ``u_t``.

    References
    ----------
    SPEC 9.
    """
    result = np.zeros(np.shape(u_t))
    for i, u in enumerate(u_t):
        logits = []
        for weight, mean, variance in zip(weights, means, variances, strict=True):
            total = alpha**2 * variance + sigma**2
            logits.append(np.log(weight) - 0.5 * np.sum(np.log(2 * np.pi * total) + (u - alpha * mean) ** 2 / total))
        for responsibility, mean, variance in zip(_softmax(logits), means, variances, strict=True):
            result[i] += responsibility * gaussian_denoiser(u, mean, variance, alpha, sigma)
    return result


def dataset_denoiser(u_t: np.ndarray, data: np.ndarray, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """E[u_0 | u_t] for data drawn from a finite set, each element equally likely.

    ``sum_i x_i softmax_i( -|u_t - alpha x_i|^2 / (2 sigma^2) )``

    Parameters
    ----------
    u_t : noisy data (batch, \\*freq).
    data : the set (size, \\*freq), in frequency space.
    alpha, sigma : scales of the marginal (\\*freq), sigma > 0.

    Returns
    -------
    float64 array of the shape of ``u_t``.

    References
    ----------
    SPEC 9.
    """
    result = np.zeros(np.shape(u_t))
    for i, u in enumerate(u_t):
        logits = [-0.5 * np.sum(((u - alpha * x) / sigma) ** 2) for x in data]
        for probability, x in zip(_softmax(logits), data, strict=True):
            result[i] += probability * x
    return result


def _softmax(logits: list[float]) -> np.ndarray:
    shifted = np.exp(np.array(logits) - max(logits))
    return shifted / np.sum(shifted)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    if np.any(np.asarray(denominator) == 0):
        raise ValueError("the conversion divides by zero: alpha or sigma is 0 in some frequency")
    return np.asarray(numerator, dtype=np.float64) / denominator
