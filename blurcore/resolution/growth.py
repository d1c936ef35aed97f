r"""A state on a larger grid: what it has, in the new units, and the noise that its dead frequencies are (SPEC 11).

.. math:: u'_k = \sqrt{M' / M} \, u_k \;\; (k \le M), \qquad u'_k = \sigma'_t \epsilon \;\; (M < k \le M'),

for each axis; :math:`\sigma'_t` is the noise of the process on the larger grid, which is :math:`\sqrt{M' / N} \sigma_t` in the units of
the whole image's.
"""

from __future__ import annotations

from blurcore._arrays import align, namespace, normalize_axes, quiet, together
from blurcore._typing import A, Array, Time
from blurcore.diffusion import marginal_for
from blurcore.errors import ArgumentError
from blurcore.processes import Process
from blurcore.resolution.restriction import scale_of
from blurcore.samplers import SamplerState


def embed_state(u: A, new: Array, *, axes: tuple[int, ...] | int = (-2, -1)) -> A:
    r"""Return coefficients on a larger grid: those of `u`, times :math:`\sqrt{M' / M}` for each axis, and above them those of `new`.

    Parameters
    ----------
    u
        Coefficients of smaller images.
    new
        Of the shape of larger ones; its first frequencies are not looked at.
    axes
        The axes of the grid.

    Returns
    -------
    Array
        Of the shape of `new`.

    Raises
    ------
    ArgumentError
        The grid of `new` is smaller than that of `u`, or their other axes differ.
    """
    places = normalize_axes(axes, u.ndim)
    wanted = tuple(new.shape[i] if i in places and i < new.ndim else n for i, n in enumerate(u.shape))
    if tuple(new.shape) != wanted or any(n < m for n, m in zip(wanted, u.shape, strict=True)):
        raise ArgumentError(f"new must have the shape of u, {tuple(u.shape)}, on a larger grid; got {tuple(new.shape)}")
    small, large = (tuple(a.shape[place] for place in places) for a in (u, new))
    return _below(u * scale_of(large, small), new, places)


def _below(u: A, new: Array, places: tuple[int, ...]) -> A:
    """Return `new` with `u` in its first frequencies."""
    xp = namespace(u=u, new=new)
    for place in places:
        above = [slice(0, n) for n in u.shape]
        above[place] = slice(u.shape[place], new.shape[place])
        u = xp.concat([u, new[tuple(above)]], axis=place)
    return u


@quiet
def grow(
    state: SamplerState[Array],
    noise: Array,
    *,
    process: Process,
    t: Time,
    axes: tuple[int, ...] = (-2, -1),
    deviation: Array | None = None,
) -> SamplerState[Array]:
    r"""Return a sampler's state at time t on a larger grid, with what the solver remembers.

    Parameters
    ----------
    state
        On the smaller grid.
    noise
        Standard normal, in frequency space, of the shape of the larger state; what is below the new frequencies is not looked at.
    process
        On the larger grid: a restricted process, or that of the whole image.
    t
        The time of the state.
    axes
        The axes of the grid.
    deviation
        Standard deviation of the new frequencies, in the larger image's units, ``(*grid,)`` or 1 for a grid axis, of the library of
        `noise` (:class:`Rung` has it); sigma of `process` at t where not given.

    Returns
    -------
    SamplerState
        Of the structure of `state`. What is remembered of earlier steps is 0 in the new frequencies, the lengths of these steps too,
        so that a solver's next step there is of first order.

    Raises
    ------
    ArgumentError
        `noise` has not the shape of `state` on a larger grid.

    References
    ----------
    SPEC 11.
    """
    u, noise = together(u=state.u, noise=noise)
    if deviation is None:
        sigma = marginal_for(process, t, noise, axes=axes).sigma
    else:
        sigma = align(deviation, ndim=noise.ndim, axes=axes)
    zero = namespace(noise=noise).zeros_like(noise)
    places, scaled = normalize_axes(axes, u.ndim), ("last_x0", "last_u", "last_slope", "older_x0")
    kept = {name: value for name, value in state._asdict().items() if value is not None and name != "u"}
    grown = {  # the lengths of steps have no units of the image
        name: embed_state(value, zero, axes=axes) if name in scaled else _below(value, zero, places)
        for name, value in kept.items()
    }
    return SamplerState(u=embed_state(u, sigma * noise, axes=axes), **grown)
