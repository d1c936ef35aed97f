r"""What a network may predict, and how one follows from another, per frequency (SPEC 5).

.. math::

    u_t = \alpha x_0 + \sigma \epsilon, \qquad v = \alpha \epsilon - \sigma x_0, \qquad \mathrm{score} = -\epsilon / \sigma,

    x_0 = \frac{\alpha u_t - \sigma v}{\alpha^2 + \sigma^2}, \qquad \epsilon = \frac{\sigma u_t + \alpha v}{\alpha^2 + \sigma^2} .

Here :math:`\alpha^2 + \sigma^2 < 1` in general: the usual shortcuts for variance-preserving noise would be wrong.
"""

from __future__ import annotations

from typing import Literal, get_args

from blurcore._arrays import as_result, is_checkable, namespace, quiet, together
from blurcore._checks import require
from blurcore._typing import Array
from blurcore.errors import DegenerateError
from blurcore.processes import Marginal

Kind = Literal["x0", "eps", "v", "score"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The names of the parametrisations."""


def _require_nonzero(name: str, value: Array, source: str, target: str) -> None:
    xp = namespace(value=value)
    if is_checkable(xp) and bool(xp.any(value == 0)):
        raise DegenerateError(f"{source} cannot be converted to {target} where {name} is 0, as it divides by {name}")


def _eps_to_x0(eps: Array, z: Array, m: Marginal[Array]) -> Array:
    return (z - m.sigma * eps) / m.alpha


def _eps_to_v(eps: Array, z: Array, m: Marginal[Array]) -> Array:
    return ((m.alpha**2 + m.sigma**2) * eps - m.sigma * z) / m.alpha


def _x0_to_eps(x0: Array, z: Array, m: Marginal[Array]) -> Array:
    return (z - m.alpha * x0) / m.sigma


def _x0_to_v(x0: Array, z: Array, m: Marginal[Array]) -> Array:
    return (m.alpha * z - (m.alpha**2 + m.sigma**2) * x0) / m.sigma


def _v_to_x0(v: Array, z: Array, m: Marginal[Array]) -> Array:
    return (m.alpha * z - m.sigma * v) / (m.alpha**2 + m.sigma**2)


def _v_to_eps(v: Array, z: Array, m: Marginal[Array]) -> Array:
    return (m.sigma * z + m.alpha * v) / (m.alpha**2 + m.sigma**2)


_DIRECT = {
    ("eps", "x0"): _eps_to_x0, ("eps", "v"): _eps_to_v, ("x0", "eps"): _x0_to_eps,
    ("x0", "v"): _x0_to_v, ("v", "x0"): _v_to_x0, ("v", "eps"): _v_to_eps,
}  # fmt: skip


@quiet
def convert(value: Array, source: Kind, target: Kind, *, z: Array, marginal: Marginal[Array]) -> Array:
    r"""Turn one prediction into another, in frequency space (SPEC 5).

    Parameters
    ----------
    value
        The prediction, per frequency.
    source, target
        Any of "x0", "eps", "v", "score".
    z
        The noisy coefficients u_t, broadcastable with `value`.
    marginal
        alpha and sigma, laid out to broadcast with `z` (:func:`blurcore.marginal_for`).

    Returns
    -------
    Array
        Of the library and device of the inputs, in the compute dtype of `z`: float32 for half precision, whose range
        ends at 65504, where x0 from eps reaches 1 / alpha = 1.5e5 times the error in eps. `value` itself where source
        and target are the same.

    Raises
    ------
    ArgumentError
        An unknown name, or an array that is not real floating.
    NamespaceError
        The arrays belong to different libraries or devices.
    DegenerateError
        The formula divides by an alpha, a sigma or, from v, an alpha^2 + sigma^2 that is zero. Seen on NumPy arrays;
        elsewhere the result is infinite or NaN, and :func:`blurcore.check_prediction` tells beforehand.
    """
    require(source in KINDS, "source", source, f"one of {KINDS}")
    require(target in KINDS, "target", target, f"one of {KINDS}")
    z, coded, alpha, sigma = together(z=z, value=value, alpha=marginal.alpha, sigma=marginal.sigma)
    if source == target:
        return as_result(value, value)
    value, marginal = coded, Marginal(alpha, sigma)
    if _divides_by_alpha(source, target):
        _require_nonzero("alpha", marginal.alpha, source, target)
    if _divides_by_sigma(source, target):
        _require_nonzero("sigma", marginal.sigma, source, target)
    if source == "v":
        _require_nonzero("alpha^2 + sigma^2", marginal.alpha**2 + marginal.sigma**2, source, target)
    if source == "score":
        value, source = -marginal.sigma * value, "eps"
    base = "eps" if target == "score" else target
    result = value if source == base else _DIRECT[source, base](value, z, marginal)
    return -result / marginal.sigma if target == "score" else result


def _divides_by_alpha(source: str, target: str) -> bool:
    return source in ("eps", "score") and target in ("x0", "v")


def _divides_by_sigma(source: str, target: str) -> bool:
    return target == "score" or (source == "x0" and target in ("eps", "v"))
