r"""A run's network asked about whole states: each on the size that is enough, the frequencies that it lacks predicted as 0 (SPEC 11).

So a chain of steps is one of whole images, of which every step has a mean for all frequencies, and its bounds stay bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from blurcore.engine.sampling import objective_of
from blurcore.errors import ConfigError
from blurcore.objectives import path_for
from blurcore.protocols import RunNetwork
from blurcore.resolution import embed_state, input_scale, restrict, shrink
from blurcore.restoration import Guess
from blurcore.transforms import Basis

Array = np.ndarray[Any, Any]


class SizedNetwork:
    """What a network makes of states, in frequency space, for data ``(batch, *grid, C)``.

    Parameters
    ----------
    network
        The network, whose configuration has the run's sizes.
    """

    def __init__(self, network: RunNetwork) -> None:
        self.network, self.config, self.process = network, network.config, network.config.process
        self.objective = objective_of(network.config)
        self.grid = network.image_shape[:-1]
        self.axes = tuple(range(1, len(network.image_shape)))
        self.resolutions = network.config.resolution.resolutions(self.grid)
        self.over_sizes = len(self.resolutions.sizes) > 1

    def kept(self, t: Any, count: int) -> Array:
        """Return which frequencies the network sees of states at times, a number or one for each: bool, ``(count, *grid, 1)``."""
        found = np.zeros((count, *self.grid, 1), bool)
        for i, place in enumerate(self._places(t, count)):
            cut: Any = (i, *(slice(0, m) for m in self.resolutions.sizes[place]))
            found[cut] = True
        return found

    def guess(self, u: Array, t: Array, *, until: Any = None) -> Array:
        """Return x0 (for the residual: the next state's mean) from states at times (batch,).

        Parameters
        ----------
        u
            Whole states.
        t
            Their times.
        until
            Where the step from there ends, a number or one for each: what is alive there is seen. `t` where not given.
        """
        places = self._places(t if until is None else until, len(u))
        result = np.zeros_like(u)
        for place in np.unique(places):
            rows = places == place
            result[rows] = self._guess_on(self.resolutions.sizes[place], u[rows], t[rows])
        return result

    def _places(self, t: Any, count: int) -> Array:
        """Return which of the sizes is enough at times."""
        times = np.broadcast_to(np.asarray(t, np.float64), (count,))
        return np.searchsorted(np.array(self.resolutions.since), times, side="right") - 1

    def ask(self, u: Array, t: float) -> Guess[Array]:
        """Return x0 of states at one time, and the product with the transpose of its Jacobian.

        Raises
        ------
        ConfigError
            By the product: the backend gives no gradient of a network.
        """
        (place,) = self._places(t, 1)
        size = self.resolutions.sizes[place]
        part = self._part(size, u, np.full(len(u), t))

        def pull(v: Array) -> Array:
            """x0 = a F(V z) + b z in each frequency of the size: a and b are its answers to units."""
            if self.network.vjp is None:
                raise ConfigError("this method needs the gradient of the network, which its backend does not give")
            none, ones = np.zeros_like(part.state[:1]), np.ones_like(part.state[:1])
            a, b = part.data_of(part.basis.inverse(ones, axes=self.axes), none), part.data_of(none, ones)
            moved = v[self._cut(size)]  # the factors of a smaller image, in and out, are each other's inverse
            _, back = self.network.vjp(part.z, part.t, np.asarray(part.basis.inverse(a * moved, axes=self.axes)))
            product = b * moved + np.asarray(part.basis.forward(back.astype(np.float64), axes=self.axes))
            result = np.zeros_like(u)
            result[self._cut(size)] = product / part.scale
            return result

        return Guess(self._x0(part, u), pull)

    def _cut(self, size: tuple[int, ...]) -> Any:
        """Return the place of a size's frequencies in a whole state."""
        return (slice(None), *(slice(0, m) for m in size))

    def _guess_on(self, size: tuple[int, ...], u: Array, t: Array) -> Array:
        return self._x0(self._part(size, u, t), u)

    def _x0(self, part: _Part, u: Array) -> Array:
        """Return x0 of whole states, 0 in the frequencies that the network does not see."""
        x0 = part.data_of(self.network.call(part.z, part.t).astype(np.float64), part.state)
        return x0 if x0.shape == u.shape else np.asarray(embed_state(x0, np.zeros_like(u), axes=self.axes))

    def _part(self, size: tuple[int, ...], u: Array, t: Array) -> _Part:
        """Return what the network is shown of whole states on one size."""
        process = restrict(self.process, self.grid, size)
        objective, state = self.objective.build(process), u if size == self.grid else shrink(u, size, axes=self.axes)
        path, scale = path_for(objective, t, state, axes=self.axes), np.ones((1,) * u.ndim)
        if size != self.grid and objective.predicts == "data":
            scale = np.asarray(input_scale(process, t)).reshape(-1, *[1] * (u.ndim - 1))
            path, state = path.over(scale), state / scale

        def data_of(output: Array, state: Array) -> Array:
            return np.asarray(objective.predict(path, output, state, axes=self.axes).x0)

        z = np.asarray(process.basis.inverse(state, axes=self.axes), np.float32)
        return _Part(process.basis, state, z, t.astype(np.float32), scale, data_of)


class _Part(NamedTuple):
    """What the network is shown of whole states on one size, and how its output becomes x0."""

    basis: Basis
    state: Array
    """Frequencies of the input."""
    z: Array
    """The input, float32."""
    t: Array
    """Times (batch,), float32."""
    scale: Array
    """What the state was divided by."""
    data_of: Callable[[Array, Array], Array]
