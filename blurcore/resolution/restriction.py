r"""A process on smaller images: the first M of N frequencies of each axis, exactly (SPEC 11).

Scaled by :math:`r = \sqrt{M / N}` for each axis, the first M DCT coefficients of an image are those of a smaller one, which is the
image without its higher frequencies, read off at M points. The process acts on each frequency alone, so that it restricts to

.. math::

    q(w_t | w_0) = N(\alpha_t w_0, \; r^2 \sigma_t^2), \qquad w = r \, u_{1 .. M},

with the same :math:`\alpha_t` in the frequencies that are left: the eigenvalues are those of the N points, cut. Transitions,
posteriors and steps of solvers follow, since they are functions of marginals and differences.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, final

from blurcore._arrays import Frame, frame, namespace, normalize_axes, quiet, require_floating
from blurcore._checks import require
from blurcore._typing import A, Array, Time
from blurcore.errors import ArgumentError
from blurcore.processes import SDE, Difference, Marginal, Process, Velocity
from blurcore.transforms import Basis, check_shape, eigenvalues_by_axis


@final
@dataclass(frozen=True, kw_only=True)
class FirstFrequencies:
    """The transform of a smaller grid, with the eigenvalues that its frequencies have on the larger one.

    Parameters
    ----------
    basis
        That of the larger grid.
    whole, kept
        Sizes of the larger and of the smaller grid.
    """

    basis: Any
    whole: tuple[int, ...]
    kept: tuple[int, ...]

    def forward(self, x: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        """Return the coefficients of smaller images; see :meth:`blurcore.Basis.forward`."""
        return self.basis.forward(x, axes=axes)

    def inverse(self, u: A, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
        """Return smaller images; see :meth:`blurcore.Basis.inverse`."""
        return self.basis.inverse(u, axes=axes)

    def eigenvalues(self, shape: tuple[int, ...], *, like: Array | None = None) -> Array:
        """Return lambda of the frequencies that are left, in units of 1 / pixel^2 of the larger image.

        Raises
        ------
        ArgumentError
            `shape` is larger than that of the smaller images.
        """
        f = frame(like, on_host=True)
        return f.out_xp.asarray(f.finish(self.eigenvalues_in(shape, f)), copy=True)

    def eigenvalues_in(self, shape: tuple[int, ...], f: Frame) -> Array:
        """Return the eigenvalues in a frame's working dtype, for the processes' coefficients, who must not write to them."""
        return reduce(add, self.eigenvalues_by_axis(shape, f))

    def eigenvalues_by_axis(self, shape: tuple[int, ...], f: Frame) -> tuple[Array, ...]:
        """Return terms that broadcast over the grid and add up to lambda, one for each axis if the larger grid has them."""
        shape, ones = check_shape(shape), (1,) * len(self.kept)
        part = ones if all(n == 1 for n in shape) else shape  # DC alone, on a grid of any number of axes
        fits = len(part) == len(self.kept) and all(n <= m for n, m in zip(part, self.kept, strict=True))
        require(fits, "shape", shape, f"{self.kept}, the sizes that are left of {self.whole}, or a part of them")
        terms = tuple(  # each of size 1 on the axes on which it does not depend
            term[tuple(slice(0, min(n, size)) for n, size in zip(part, term.shape, strict=True))]
            for term in eigenvalues_by_axis(self.basis, self.whole, f)
        )
        return terms if part == shape else tuple(f.xp.reshape(term, shape) for term in terms)


@final
@dataclass(frozen=True, kw_only=True)
class RestrictedProcess:
    """A process of larger images, seen in smaller ones; :func:`restrict` makes it.

    Parameters
    ----------
    process
        That of the larger images, a dataclass with a field `basis`.
    basis
        The frequencies that are left.
    scale
        r, what smaller images multiply coefficients and noise by.
    """

    process: Process
    basis: Basis
    scale: float

    def __post_init__(self) -> None:
        inner: Any = self.process
        object.__setattr__(self, "_inner", dataclasses.replace(inner, basis=self.basis))

    @property
    def inner(self) -> Process:
        """The process in these frequencies, in the units of the larger image."""
        found: Process = self.__dict__["_inner"]
        return found

    @quiet
    def marginal(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Marginal[Array]:
        """Return alpha, and r sigma; see :meth:`blurcore.Process.marginal`."""
        m = self.inner.marginal(t, shape=shape, like=like)
        return Marginal(alpha=m.alpha, sigma=self.scale * m.sigma)

    @quiet
    def log_snr(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Array:
        """Return l_t - 2 log r; see :meth:`blurcore.Process.log_snr`."""
        return self.inner.log_snr(t, shape=shape, like=like) - 2 * math.log(self.scale)

    def difference(self, t: Time, s: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Difference[Array]:
        """Return alpha_t / alpha_s and l_t - l_s, which know no scale; see :meth:`blurcore.Process.difference`."""
        return self.inner.difference(t, s, shape=shape, like=like)

    @quiet
    def sde(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> SDE[Array]:
        """Return drift, and r^2 times the diffusion; see :meth:`blurcore.Process.sde`."""
        f = self.inner.sde(t, shape=shape, like=like)
        return SDE(drift=f.drift, diffusion=self.scale**2 * f.diffusion)

    @quiet
    def velocity(self, t: Time, *, shape: tuple[int, ...], like: Array | None = None) -> Velocity[Array]:
        """Return d alpha / dt, and r d sigma / dt; see :meth:`blurcore.Process.velocity`."""
        v = self.inner.velocity(t, shape=shape, like=like)
        return Velocity(alpha=v.alpha, sigma=self.scale * v.sigma)


@quiet
def input_scale(process: Process, t: Time, *, like: Array | None = None) -> Array:
    r"""Return what a state is divided by before a network sees it: 1 for whole images, and what keeps smaller ones of that size.

    .. math:: c_t = \sqrt{\frac{a_t^2 + r^2 \sigma_t^2}{a_t^2 + \sigma_t^2}}

    A smaller image's noise is r times as strong, so that its states shrink towards :math:`r`. Divided by c they have the size that
    those of the whole image have, where the noise preserves the variance that of the data: (a / c)^2 + (r sigma / c)^2 = 1. What a
    network says of v is that of the same units, :math:`(\alpha_t \epsilon - r \sigma_t x) / c_t`; of eps and x0 it has none.

    Parameters
    ----------
    process
        A restricted process, or another, for which it is 1.
    t
        A time, or an array of them.
    like
        As for :meth:`blurcore.Process.marginal`.

    Returns
    -------
    Array
        Of the shape of `t`.
    """
    m = process.marginal(t, shape=(1,), like=like)
    scale = process.scale if isinstance(process, RestrictedProcess) else 1.0
    xp = namespace(alpha=m.alpha)
    c = xp.sqrt((m.alpha**2 + m.sigma**2) / (m.alpha**2 + (m.sigma / scale) ** 2))
    return xp.reshape(c, c.shape[:-1])


def scale_of(small: tuple[int, ...], large: tuple[int, ...]) -> float:
    r"""Return :math:`\sqrt{M / N}`, over all axes: what a coefficient is multiplied by on the way to the smaller grid."""
    return math.sqrt(math.prod(small) / math.prod(large))


def restrict(process: Process, shape: tuple[int, ...], to: tuple[int, ...]) -> Process:
    """Return a process of images on `shape` as one of smaller images, on `to`.

    Parameters
    ----------
    process
        A process in the DCT, or in the real Fourier basis, of whose pairs of cosine and sine none may be torn apart: there the
        smaller sizes are odd. A restricted process as well.
    shape
        Sizes of its grid.
    to
        Sizes of the smaller one, each at most as large; they need not shrink alike.

    Returns
    -------
    Process
        Its coefficients are asked for with ``shape=to``. The process itself, where nothing is dropped.

    Raises
    ------
    ArgumentError
        `to` is larger than `shape`, has another number of axes, or is no size to which the basis nests: no size but its own of an
        Identity (standard diffusion, which has no dead frequencies), of a DST, whose last coefficient would be off by
        sqrt(2), or of an eigenbasis of one's own. Or the process has no field `basis`.

    References
    ----------
    SPEC 11.
    """
    shape, to = check_shape(shape), check_shape(to)
    if len(to) != len(shape) or any(m > n for m, n in zip(to, shape, strict=True)):
        raise ArgumentError(f"to must be at most shape = {shape} on each axis; got {to}")
    if to == shape:
        return process
    if isinstance(process, RestrictedProcess):
        left: Any = process.basis
        require(shape == left.kept, "shape", shape, f"{left.kept}, the grid of the restricted process")
        process, shape = process.process, left.whole
    basis: Any = process.basis
    nests = getattr(basis, "nests", None)
    wrong = [(n, m) for n, m in zip(shape, to, strict=True) if n != m and not (nests and nests(n, m))]
    if wrong:
        raise ArgumentError(
            f"to must be a size to which {type(basis).__name__} nests, which has no smaller image of {wrong[0][1]} points"
            f" for {wrong[0][0]} (SPEC 11); got {to} for {shape}"
        )
    first = FirstFrequencies(basis=basis, whole=shape, kept=to)
    try:
        return RestrictedProcess(process=process, basis=first, scale=scale_of(to, shape))
    except TypeError:  # of `replace`
        raise ArgumentError(
            f"process must be a dataclass with a field basis, to be restricted; got {process!r}"
        ) from None


@quiet
def shrink(u: A, to: tuple[int, ...], *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
    """Return the coefficients of smaller images: the first of each axis, scaled.

    Parameters
    ----------
    u
        Coefficients of images, data or states, with the grid at `axes`.
    to
        Sizes of the smaller grid.
    axes
        The axes of the grid.

    Returns
    -------
    Array
        Of the library, dtype and device of `u`.

    Raises
    ------
    ArgumentError
        `u` is not real floating, or `to` is larger than its grid.
    """
    require_floating("u", u)
    places, to = normalize_axes(axes, u.ndim), check_shape(to)
    shape = tuple(u.shape[place] for place in places)
    if len(to) != len(shape) or any(m > n for m, n in zip(to, shape, strict=True)):
        raise ArgumentError(f"to must be at most the grid of u, {shape}, on each axis; got {to}")
    cut: list[Any] = [slice(None)] * u.ndim
    for place, m in zip(places, to, strict=True):
        cut[place] = slice(0, m)
    return u[tuple(cut)] * scale_of(to, shape)
