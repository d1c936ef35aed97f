r"""What a network may predict, and how one follows from another, per frequency (SPEC 5).

.. math::

    u_t = \alpha x_0 + \sigma \epsilon, \qquad \mathrm{score} = -\epsilon / \sigma, \qquad y = p \, x_0 + q \, \epsilon,

where the last is one of

==========  ================================================  =======================================================
y           p, q                                              what it is
==========  ================================================  =======================================================
v           :math:`-\sigma, \; \alpha`                        Salimans & Ho 2022
velocity    :math:`\alpha', \; \sigma'`                       d u_t / dt between data and noise: rectified flow (Liu et
                                                              al. 2022), with the blur's part of alpha' in each frequency
F           :math:`\sigma / (c \sqrt{S}), \; -\alpha c /      Karras et al. 2022 (EDM): of unit variance for data of
            \sqrt{S}`, :math:`S = \alpha^2 c^2 + \sigma^2`    variance :math:`c^2`
==========  ================================================  =======================================================

With the determinant :math:`W = \alpha q - \sigma p` of these two equations

.. math:: x_0 = \frac{q u_t - \sigma y}{W}, \qquad \epsilon = \frac{\alpha y - p u_t}{W} .

W is :math:`\alpha^2 + \sigma^2` for v, which is below 1 in general: the usual shortcuts for variance-preserving noise would be
wrong. For the velocity it is :math:`-\alpha \sigma l_t' / 2`, and :math:`-\sqrt{S} / c` for F.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, cast, get_args

from blurcore._arrays import align, as_result, is_checkable, namespace, quiet, together
from blurcore._checks import require
from blurcore._typing import A, A_co, Array, Time
from blurcore.data_spectrum import SigmaData, deviation_on_grid
from blurcore.diffusion import check_batch, grid_shape
from blurcore.errors import ArgumentError, DegenerateError
from blurcore.processes import Marginal, Process

Kind = Literal["x0", "eps", "v", "score", "velocity", "F"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The names of the parametrisations."""

SIGMA_DATA: SigmaData = (0.5,)
"""The data's standard deviation where none is given: EDM's, for images in [-1, 1]."""


class PathScales(NamedTuple, Generic[A_co]):
    """The marginal, and what velocity and F are made of beside it; None: not asked for.

    Shapes as :class:`blurcore.Marginal`'s. `alpha_rate`, `sigma_rate`: derivatives in t. `sigma_data`: the data's standard deviation.
    """

    alpha: A_co
    sigma: A_co
    alpha_rate: A_co | None = None
    sigma_rate: A_co | None = None
    sigma_data: A_co | None = None

    def over(self, scale: Any) -> PathScales[Any]:
        """Return those of states divided by a number."""
        every: list[Any] = [None if c is None else cast(Any, c) / scale for c in self]
        return PathScales(*every)._replace(sigma_data=self.sigma_data)

    def laid_out(self, *, ndim: int, axes: tuple[int, ...] | int) -> PathScales[Any]:
        """Return the same, to broadcast over data with `ndim` axes whose grid is at `axes`."""
        laid: list[Any] = [None if c is None else align(c, ndim=ndim, axes=axes) for c in self]
        return PathScales(*laid)


def path(
    process: Process,
    prediction: Kind,
    t: Time,
    *,
    shape: tuple[int, ...],
    like: Array | None = None,
    sigma_data: SigmaData = SIGMA_DATA,
) -> PathScales[Array]:
    """Return what a prediction is made of at a time.

    Parameters
    ----------
    process, t, shape, like
        As in :meth:`blurcore.Process.marginal`.
    prediction
        What the network predicts.
    sigma_data
        For F: the data's standard deviation, one number or one for each node of a spectrum (:mod:`blurcore.data_spectrum`).

    Raises
    ------
    ArgumentError
        `prediction` is unknown; or `sigma_data` has several numbers, and the process no frequencies.
    """
    require(prediction in KINDS, "prediction", prediction, f"one of {KINDS}")
    found: PathScales[Array] = PathScales(*process.marginal(t, shape=shape, like=like))
    if prediction == "velocity":
        rates = process.velocity(t, shape=shape, like=like)
        return found._replace(alpha_rate=rates.alpha, sigma_rate=rates.sigma)
    if prediction == "F":
        data = deviation_on_grid(sigma_data, process.basis, shape=shape, like=found.alpha)
        times = found.alpha.ndim - len(shape)
        return found._replace(sigma_data=data[(*(None,) * times, ...)])
    return found


def path_for(
    process: Process,
    prediction: Kind,
    t: Time,
    x: Array,
    *,
    axes: tuple[int, ...] | int = (-2, -1),
    sigma_data: SigmaData = SIGMA_DATA,
) -> PathScales[Array]:
    """Return :func:`path`, laid out to broadcast over data `x`; errors as :func:`blurcore.marginal_for`."""
    check_batch(t, x)
    found = path(process, prediction, t, shape=grid_shape(x, axes), like=x, sigma_data=sigma_data)
    return found.laid_out(ndim=x.ndim, axes=axes)


class Mixture(NamedTuple, Generic[A_co]):
    """y = data x0 + noise eps, and the determinant alpha noise - sigma data by which x0 and eps follow from y and u_t."""

    data: A_co
    noise: A_co
    determinant: A_co


_DETERMINANTS = {
    "v": "alpha^2 + sigma^2",
    "velocity": "alpha sigma' - sigma alpha'",
    "F": "alpha^2 sigma_data^2 + sigma^2",
}
"""What is divided by on the way from each mixture to x0 and eps; for F a root of it."""


@quiet
def mixture(kind: Kind, path: PathScales[Array]) -> Mixture[Array]:
    """Return the weights of x0 and eps in v, velocity or F.

    Parameters
    ----------
    kind
        "v", "velocity" or "F".
    path
        What is known at that time (:func:`path`).

    Raises
    ------
    ArgumentError
        `path` lacks what the prediction is made of.
    DegenerateError
        F where neither data nor noise is left; the velocity where it is infinite (seen on NumPy arrays).
    """
    alpha, sigma, alpha_rate, sigma_rate, sigma_data = path
    if kind == "v":
        return Mixture(-sigma, alpha, alpha**2 + sigma**2)
    if kind == "velocity":
        if alpha_rate is None or sigma_rate is None:
            raise ArgumentError(
                "marginal must have alpha_rate and sigma_rate for the prediction velocity (blurcore.prediction.path)"
            )
        xp = namespace(sigma_rate=sigma_rate)
        if is_checkable(xp) and not bool(xp.all(xp.isfinite(sigma_rate))):
            raise DegenerateError("the velocity is infinite where sigma leaves 0 like the square root of t: take t > 0")
        return Mixture(alpha_rate, sigma_rate, alpha * sigma_rate - sigma * alpha_rate)
    if sigma_data is None:
        raise ArgumentError("marginal must have sigma_data for the prediction F (blurcore.prediction.path)")
    variance = (alpha * sigma_data) ** 2 + sigma**2
    _require_nonzero(_DETERMINANTS[kind], variance, "F", "data and noise")
    root = namespace(variance=variance).sqrt(variance)
    return Mixture(sigma / (sigma_data * root), -alpha * sigma_data / root, -root / sigma_data)


def _require_nonzero(name: str, value: Array, source: str, target: str) -> None:
    xp = namespace(value=value)
    if is_checkable(xp) and bool(xp.any(value == 0)):
        raise DegenerateError(f"{source} cannot be converted to {target} where {name} is 0, as it divides by {name}")


@quiet
def convert(value: A, source: Kind, target: Kind, *, z: Array, marginal: Marginal[Array] | PathScales[Array]) -> A:
    r"""Turn one prediction into another, in frequency space (SPEC 5).

    Parameters
    ----------
    value
        The prediction, per frequency.
    source, target
        Any of "x0", "eps", "v", "score", "velocity", "F".
    z
        The noisy coefficients u_t, broadcastable with `value`.
    marginal
        alpha and sigma, laid out to broadcast with `z` (:func:`blurcore.marginal_for`); for velocity and F what they are made of
        beside it (:func:`blurcore.prediction.path_for`).

    Returns
    -------
    Array
        Of the library and device of the inputs, in the compute dtype of `z`: float32 for half precision, whose range
        ends at 65504, where x0 from eps reaches 1 / alpha = 1.5e5 times the error in eps. `value` itself where source
        and target are the same.

    Raises
    ------
    ArgumentError
        An unknown name, an array that is not real floating, or a marginal alone where more is needed.
    NamespaceError
        The arrays belong to different libraries or devices.
    DegenerateError
        The formula divides by an alpha, a sigma or, from a mixture, a determinant that is zero. Seen on NumPy arrays;
        elsewhere the result is infinite or NaN, and :func:`blurcore.check_prediction` tells beforehand.
    """
    require(source in KINDS, "source", source, f"one of {KINDS}")
    require(target in KINDS, "target", target, f"one of {KINDS}")
    z, coded, *known = together(z=z, value=value, **marginal._asdict())
    if source == target:
        return as_result(value, value)
    at: PathScales[Array] = PathScales(*known)
    names = source, target
    if source == "score":
        coded, source = -at.sigma * coded, "eps"
    if target == "score":
        _require_nonzero("sigma", at.sigma, *names)
    base: Kind = "eps" if target == "score" else target
    if source == base:
        result = coded
    elif source in _DETERMINANTS:
        result = _from_mixture(coded, source, base, z, at, names)
    else:
        result = _from_part(coded, source, base, z, at, names)
    return -result / at.sigma if target == "score" else result


def _from_mixture(y: A, source: Kind, target: Kind, z: Array, at: PathScales[Array], names: tuple[str, str]) -> A:
    """Return x0, eps or another mixture from a mixture."""
    own = mixture(source, at)
    _require_nonzero(_DETERMINANTS[source], own.determinant, *names)

    def x0() -> Any:
        return (own.noise * z - at.sigma * y) / own.determinant

    def eps() -> Any:
        return (at.alpha * y - own.data * z) / own.determinant

    if target == "x0":
        return x0()
    if target == "eps":
        return eps()
    other = mixture(target, at)
    return other.data * x0() + other.noise * eps()


def _from_part(value: A, source: Kind, target: Kind, z: Array, at: PathScales[Array], names: tuple[str, str]) -> A:
    """Return the other of x0 and eps, or a mixture, from one of them; with the other one substituted."""
    name, divisor, weight = ("alpha", at.alpha, at.sigma) if source == "eps" else ("sigma", at.sigma, at.alpha)
    _require_nonzero(name, divisor, *names)
    if target not in _DETERMINANTS:
        return (z - weight * value) / divisor
    other = mixture(target, at)
    if source == "eps":
        return (other.determinant * value + other.data * z) / divisor
    return (other.noise * z - other.determinant * value) / divisor
