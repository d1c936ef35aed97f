"""Training without a framework: when, towards what, and how far off (SPEC 5; the paper's section 4.2).

Everything random is an argument: uniform numbers become times, and standard normal noise becomes noisy data.
"""

from __future__ import annotations

from typing import Generic, Literal, NamedTuple

import numpy as np

from blurcore._arrays import as_result, is_checkable, is_number, namespace, quiet, require_real, together, upcast
from blurcore._checks import require
from blurcore._typing import A_co, Array, Time
from blurcore.data_spectrum import SigmaData
from blurcore.diffusion import grid_shape, is_isotropic, mix, require_noise, signal_and_noise
from blurcore.errors import DegenerateError
from blurcore.prediction import KINDS, SIGMA_DATA, Kind, mixture, path, path_for
from blurcore.processes import Marginal, Process


class TrainingPair(NamedTuple, Generic[A_co]):
    """Noisy data z_t and the network's target, both in data space."""

    z: A_co
    target: A_co


@quiet
def draw_times(uniform: Array, how: Literal["uniform", "antithetic", "low_discrepancy"]) -> Array:
    """Turn uniform numbers into the times of a batch.

    Parameters
    ----------
    uniform
        Independent uniform numbers in [0, 1), shape (batch,).
    how
        "uniform": as they are. "antithetic": the second half mirrors the first, t and 1 - t. "low_discrepancy": one
        random offset of an even grid (Kingma et al. 2021), which lowers the variance of the loss most.

    Returns
    -------
    Array
        Times in [0, 1], shape (batch,).

    Raises
    ------
    ArgumentError
        `how` is unknown, or `uniform` is no vector.
    """
    xp = namespace(uniform=uniform)
    require_real(uniform=uniform)
    require(uniform.ndim == 1, "uniform", tuple(uniform.shape), "of shape (batch,)")
    require(how in ("uniform", "antithetic", "low_discrepancy"), "how", how, "uniform, antithetic or low_discrepancy")
    batch = uniform.shape[0]
    if how == "uniform" or batch == 0:
        return as_result(uniform, uniform)
    if how == "antithetic":
        first = as_result(uniform[: (batch + 1) // 2], uniform)
        return xp.concat([first, 1 - first])[:batch]
    wide = upcast(uniform)  # half precision cannot count a large batch
    steps = xp.cumulative_sum(xp.ones_like(wide)) - 1  # 0, 1, .., batch - 1 on the device of `uniform`
    shifted = wide[:1] + steps / batch
    return as_result(shifted - xp.floor(shifted), uniform)


@quiet
def training_pair(
    process: Process,
    x: Array,
    t: Time,
    eps: Array,
    *,
    prediction: Kind = "eps",
    axes: tuple[int, ...] | int = (-2, -1),
    sigma_data: SigmaData = SIGMA_DATA,
) -> TrainingPair[Array]:
    r"""Return z_t and the network's target in data space.

    Parameters
    ----------
    process, x, t, eps, axes
        As in :func:`blurcore.diffuse`.
    prediction
        "eps": the noise, the paper's choice; "x0": the data; "v": :math:`V(\alpha_t V^T \epsilon) - \sigma_t x`;
        "score": :math:`-\epsilon / \sigma_t`; "velocity" and "F" as in :mod:`blurcore.prediction`.
    sigma_data
        For F: the data's standard deviation, one number or one for each node of a spectrum (:mod:`blurcore.data_spectrum`).

    Raises
    ------
    ArgumentError
        As :func:`blurcore.diffuse`, or an unknown `prediction`.
    DegenerateError
        The score, at a time without noise, and the velocity where it is infinite (seen for numbers and NumPy arrays).
    """
    require(prediction in KINDS, "prediction", prediction, f"one of {KINDS}")
    signal, noise, m = signal_and_noise(process, x, t, eps, axes=axes)
    basis = process.basis
    z = as_result(mix(basis, m, signal, noise, axes=axes), x)
    if prediction == "eps":
        return TrainingPair(z, as_result(eps, eps))
    if prediction == "x0":
        return TrainingPair(z, as_result(x, x))
    if prediction == "score" and (is_number(t) or is_checkable(namespace(x=x))):
        require_noise("the score", process, t, shape=grid_shape(x, axes))
    if prediction == "v":
        target = mix(basis, Marginal(m.alpha, -m.sigma), noise, signal, axes=axes)
    elif prediction in ("velocity", "F"):
        own = mixture(prediction, path_for(process, prediction, t, signal, axes=axes, sigma_data=sigma_data))
        target = mix(basis, Marginal(own.data, own.noise), signal, noise, axes=axes)
    elif is_isotropic(m.sigma, axes, x.ndim):
        target = -noise / m.sigma
    else:
        target = -basis.inverse(basis.forward(noise, axes=axes) / m.sigma, axes=axes)
    return TrainingPair(z, as_result(target, x))


@quiet
def simple_loss(prediction: Array, target: Array) -> Array:
    """Return the mean squared error of each batch item, in the compute dtype of `prediction`: the paper's simple loss for eps.

    Parameters
    ----------
    prediction, target
        Shape (batch, ...).

    Returns
    -------
    Array
        Shape (batch,); its mean is what the trainers minimise.

    Raises
    ------
    ArgumentError
        The shapes differ.
    """
    xp = namespace(prediction=prediction, target=target)
    require(
        prediction.shape == target.shape,
        "prediction",
        tuple(prediction.shape),
        f"of the shape of target, {tuple(target.shape)}",
    )
    prediction, target = together(prediction=prediction, target=target)
    error = prediction - target
    return xp.mean(error**2, axis=tuple(range(1, error.ndim)))


@quiet
def check_prediction(process: Process, prediction: Kind, times: tuple[float, ...], *, shape: tuple[int, ...]) -> None:
    """Refuse, before any work, a parametrisation that has to divide by zero at one of the times (SPEC 5).

    Parameters
    ----------
    process
        Any process.
    prediction
        What the network predicts.
    times
        Times at which the network is called and its word turned into x0, in [0, 1].
    shape
        Sizes of the grid.

    Raises
    ------
    ArgumentError
        `prediction` is unknown.
    DegenerateError
        eps or score where alpha underflows in float32 or sigma is 0, velocity where nothing moves; the message says which
        time, and what to do.
    """
    require(prediction in KINDS, "prediction", prediction, f"one of {KINDS}")
    if prediction == "velocity":
        for t in times:
            _require_movement(process, t, shape)
    if prediction not in ("eps", "score"):
        return
    for t in times:
        alpha, sigma = (np.asarray(c) for c in process.marginal(t, shape=shape))
        if float(sigma.min()) == 0.0:
            raise DegenerateError(
                f"prediction must not be {prediction!r} for {type(process).__name__}: sigma is 0 at t = {t:.6g}, so there"
                " is no noise to predict; use x0"
            )
        smallest = float(alpha.min())
        if smallest < 1.2e-38:  # float32's smallest normal number
            raise DegenerateError(
                f"prediction must not be {prediction!r} for {type(process).__name__}: alpha falls to {smallest:.1e} at"
                f" t = {t:.6g}, and x0 = (u - sigma eps) / alpha divides by it; use x0 or v, or a min_scale above 0"
            )


def _require_movement(process: Process, t: float, shape: tuple[int, ...]) -> None:
    """Refuse a velocity from which data do not follow."""
    known = path(process, "velocity", t, shape=shape)
    if not np.all(np.isfinite(np.asarray(known.sigma_rate))):
        raise DegenerateError(
            f"prediction must not be 'velocity' for {type(process).__name__}: sigma leaves 0 like the square root of t, and"
            f" sigma' is infinite at t = {t:.6g}; use v, or Rectified noise"
        )
    least = float(abs(mixture("velocity", known).determinant).min())
    if least < 1.2e-38:  # float32's smallest normal number
        raise DegenerateError(
            f"prediction must not be 'velocity' for {type(process).__name__}: alpha sigma' - sigma alpha' falls to {least:.1e} at"
            f" t = {t:.6g}, and x0 = (sigma' u - sigma v) / that divides by it; use x0 or v, or a min_scale above 0"
        )
