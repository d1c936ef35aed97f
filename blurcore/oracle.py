r"""Denoisers that are exact because the data's distribution is known: no training needed, so they test everything (SPEC 9).

In frequency space, where the marginal is :math:`u_t = \alpha u_0 + \sigma \epsilon` for each frequency,

.. math::

    u_0 \sim N(m, c): \quad E[u_0 | u_t] = m + \frac{\alpha c}{\alpha^2 c + \sigma^2} (u_t - \alpha m), \qquad
    \mathrm{Var}[u_0 | u_t] = \frac{c \, \sigma^2}{\alpha^2 c + \sigma^2} .

A mixture of such Gaussians weighs their answers by how likely each made :math:`u_t`; a finite data set is a mixture of
points. The weights are softmaxes of sums over all frequencies, taken with the largest exponent subtracted.

Everything runs on any Array API array. `marginal` is laid out over the data as :func:`blurcore.marginal_for` gives it,
with one time for all or one for each item of the batch; the result is the `x0` of a :class:`blurcore.Prediction`.
"""

from __future__ import annotations

from typing import Any

from blurcore._arrays import as_result, is_checkable, is_number, namespace, quiet, require_real, upcast
from blurcore._checks import plain, require
from blurcore._typing import A, Array
from blurcore.errors import ArgumentError, DegenerateError
from blurcore.prediction import convert
from blurcore.processes import Marginal
from blurcore.samplers import Prediction


@quiet
def gaussian_denoiser(u: A, *, mean: Array | float, variance: Array | float, marginal: Marginal[Array]) -> A:
    r"""Return :math:`E[u_0 | u_t]` for Gaussian data with independent frequencies.

    Parameters
    ----------
    u
        u_t in frequency space.
    mean, variance
        m and c >= 0 of the data, per frequency, broadcastable to `u`: arrays or numbers.
    marginal
        alpha and sigma, broadcastable to `u`.

    Returns
    -------
    Array
        Of the shape, library, dtype and device of `u`; m where alpha^2 c + sigma^2 is 0 and u_t tells nothing.

    Raises
    ------
    ArgumentError
        `u` is not real floating, or a variance that is a number is negative.
    NamespaceError
        The arrays belong to different libraries or devices.
    """
    xp = namespace(u=u, mean=mean, variance=variance, alpha=marginal.alpha, sigma=marginal.sigma)
    require_real(u=u)
    _check_variance(variance)
    alpha, sigma = marginal
    mean, variance = _rank(xp, mean, u.ndim), _rank(xp, variance, u.ndim)
    gain = _divide(xp, alpha * variance, alpha**2 * variance + sigma**2)
    return as_result(mean + gain * (upcast(u) - alpha * mean), u)


@quiet
def gaussian_variance(*, variance: Array | float, marginal: Marginal[A]) -> A:
    r"""Return :math:`\mathrm{Var}[u_0 | u_t]` for Gaussian data: what calibrated ancestral sampling adds (SPEC 9).

    Parameters
    ----------
    variance
        c >= 0 of the data, per frequency: an array or a number.
    marginal
        alpha and sigma.

    Returns
    -------
    Array
        Broadcast of the arguments, of the library and device of `marginal`; 0 where alpha^2 c + sigma^2 is 0.

    Raises
    ------
    ArgumentError
        A variance that is a number is negative.
    NamespaceError
        The arrays belong to different libraries or devices.
    """
    _check_variance(variance)
    xp = namespace(variance=variance, alpha=marginal.alpha, sigma=marginal.sigma)
    alpha, sigma = marginal
    variance = _rank(xp, variance, alpha.ndim)
    return _divide(xp, sigma**2 * variance, alpha**2 * variance + sigma**2)


@quiet
def mixture_denoiser(u: A, *, weights: Array, means: Array, variances: Array, marginal: Marginal[Array]) -> A:
    r"""Return :math:`E[u_0 | u_t] = \sum_j r_j E_j[u_0 | u_t]` for a mixture of Gaussians.

    .. math:: r_j \propto w_j \prod_k N(u_{t,k};\, \alpha_k m_{jk},\, \alpha_k^2 c_{jk} + \sigma_k^2)

    Parameters
    ----------
    u
        u_t in frequency space, ``(*batch, *event)``: what a component describes is the event.
    weights
        w_j > 0, (components,); they need not add up to 1.
    means, variances
        m and c >= 0 of the components, ``(components, *event)``.
    marginal
        alpha and sigma, with as many axes as `u` and broadcastable to it; alpha^2 c + sigma^2 > 0.

    Returns
    -------
    Array
        Of the shape, library, dtype and device of `u`.

    Raises
    ------
    ArgumentError
        Shapes do not fit together, or `u` is not real floating.
    DegenerateError
        alpha^2 c + sigma^2 is 0 in some frequency (seen on NumPy arrays).
    NamespaceError
        The arrays belong to different libraries or devices.
    """
    xp = namespace(u=u, weights=weights, means=means, variances=variances, alpha=marginal.alpha, sigma=marginal.sigma)
    place, event = _check_event(u, means, marginal, "means")
    if tuple(variances.shape) != tuple(means.shape):
        raise ArgumentError(
            f"variances must have the shape of means, {tuple(means.shape)}; got {tuple(variances.shape)}"
        )
    if tuple(weights.shape) != (means.shape[0],):
        raise ArgumentError(
            f"weights must have one entry for each of the {means.shape[0]} components; got {tuple(weights.shape)}"
        )
    wide, alpha, sigma = (xp.expand_dims(a, axis=place) for a in (upcast(u), *marginal))
    means, variances, weights = (
        _rank(xp, means, wide.ndim),
        _rank(xp, variances, wide.ndim),
        _rank(xp, weights, place + 1),
    )
    total = alpha**2 * variances + sigma**2
    _require_positive(xp, total, "alpha^2 c + sigma^2")
    distance = wide - alpha * means
    logits = xp.log(weights) - xp.sum(xp.log(total) + distance**2 / total, axis=event) / 2
    each = means + alpha * variances / total * distance
    return as_result(_average(xp, logits, each, place, len(event)), u)


@quiet
def dataset_denoiser(u: A, *, data: Array, marginal: Marginal[Array]) -> A:
    r"""Return :math:`E[u_0 | u_t]` for data drawn from a finite set, each element equally likely.

    .. math:: \sum_i x_i \, \mathrm{softmax}_i \Big( -\sum_k \frac{(u_{t,k} - \alpha_k x_{ik})^2}{2 \sigma_k^2} \Big)

    Parameters
    ----------
    u
        u_t in frequency space, ``(*batch, *event)``.
    data
        The set in frequency space, ``(size, *event)``.
    marginal
        alpha and sigma > 0, with as many axes as `u` and broadcastable to it.

    Returns
    -------
    Array
        Of the shape, library, dtype and device of `u`.

    Raises
    ------
    ArgumentError
        Shapes do not fit together, or `u` is not real floating.
    DegenerateError
        sigma is 0 (seen on NumPy arrays).
    NamespaceError
        The arrays belong to different libraries or devices.
    """
    xp = namespace(u=u, data=data, alpha=marginal.alpha, sigma=marginal.sigma)
    place, event = _check_event(u, data, marginal, "data")
    _require_positive(xp, marginal.sigma, "sigma")
    wide, alpha, sigma = (xp.expand_dims(a, axis=place) for a in (upcast(u), *marginal))
    data = _rank(xp, data, wide.ndim)
    logits = -xp.sum(((wide - alpha * data) / sigma) ** 2, axis=event) / 2
    return as_result(_average(xp, logits, data, place, len(event)), u)


def exact_prediction(x0: A, u: Array, marginal: Marginal[Array]) -> Prediction[A]:
    """Return an exact denoiser's x0 and the corresponding eps, as solvers take them.

    Raises
    ------
    DegenerateError
        sigma is 0, so that there is no eps (seen on NumPy arrays).
    """
    return Prediction(x0=x0, eps=convert(x0, "x0", "eps", z=u, marginal=marginal))


def _rank(xp: Any, value: Any, ndim: int) -> Any:
    """Return an array with leading axes of size 1 up to `ndim`, so that no operation broadcasts between ranks."""
    if is_number(value):
        return float(value)
    value = as_result(value, value)
    if value.ndim >= ndim:
        return value
    return xp.reshape(value, (*([1] * (ndim - value.ndim)), *value.shape))


def _check_variance(variance: Array | float) -> None:
    if is_number(variance):
        require(variance >= 0, "variance", plain(variance), "0 or more")


def _divide(xp: Any, numerator: Array, denominator: Array) -> Any:
    """Return a quotient, 0 where the denominator is 0."""
    zero = denominator == 0
    return xp.where(
        zero, xp.zeros_like(denominator), numerator / xp.where(zero, xp.ones_like(denominator), denominator)
    )


def _check_event(u: Array, known: Array, marginal: Marginal[Array], name: str) -> tuple[int, tuple[int, ...]]:
    """Return where the axis of components goes in `u`, and the axes of an event after it has come."""
    require_real(u=u)
    place = u.ndim - (known.ndim - 1)
    if known.ndim < 2 or place < 0 or tuple(u.shape[place:]) != tuple(known.shape[1:]):
        raise ArgumentError(
            f"{name} must have the shape (components, *event), where u is (*batch, *event);"
            f" got {tuple(known.shape)} for u of {tuple(u.shape)}"
        )
    for what, value in zip(("alpha", "sigma"), marginal, strict=True):
        if value.ndim != u.ndim:
            raise ArgumentError(
                f"{what} must have the {u.ndim} axes of u (marginal_for lays it out); it has {value.ndim}"
            )
    return place, tuple(range(place + 1, u.ndim + 1))


def _require_positive(xp: Any, value: Array, name: str) -> None:
    if is_checkable(xp) and not bool(xp.all(value > 0)):
        raise DegenerateError(
            f"{name} must be positive in every frequency: without noise there is nothing to average over"
        )


def _average(xp: Any, logits: Array, values: Array, place: int, event_axes: int) -> Any:
    """Return the softmax average of values ``(components, *event)`` with logits ``(*batch, components)``."""
    shifted = xp.exp(logits - xp.max(logits, axis=place, keepdims=True))
    weights = shifted / xp.sum(shifted, axis=place, keepdims=True)
    weights = xp.reshape(weights, (*weights.shape, *([1] * event_axes)))
    return xp.sum(weights * values, axis=place)


__all__ = ["dataset_denoiser", "exact_prediction", "gaussian_denoiser", "gaussian_variance", "mixture_denoiser"]
