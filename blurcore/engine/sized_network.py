r"""A run's network asked about whole states: each on the size that is enough, the frequencies that it lacks predicted as 0 (SPEC 11).

So a chain of steps is one of whole images, of which every step has a mean for all frequencies, and its bounds stay bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore.engine.sampling import objective_of
from blurcore.objectives import path_for
from blurcore.protocols import RunNetwork
from blurcore.resolution import embed_state, input_scale, restrict, shrink

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

    def _guess_on(self, size: tuple[int, ...], u: Array, t: Array) -> Array:
        process = restrict(self.process, self.grid, size)
        objective, state = self.objective.build(process), u if size == self.grid else shrink(u, size, axes=self.axes)
        path = path_for(objective, t, state, axes=self.axes)
        if size != self.grid and objective.predicts == "data":
            c = np.asarray(input_scale(process, t)).reshape(-1, *[1] * (u.ndim - 1))
            path, state = path.over(c), state / c
        z = process.basis.inverse(state, axes=self.axes).astype(np.float32)
        output = self.network.call(z, t.astype(np.float32)).astype(np.float64)
        x0 = np.asarray(objective.predict(path, output, state, axes=self.axes).x0)
        return x0 if size == self.grid else np.asarray(embed_state(x0, np.zeros_like(u), axes=self.axes))
