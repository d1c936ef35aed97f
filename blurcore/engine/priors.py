"""Where sampling starts if the process does not end in noise: blurred training data (SPEC 7).

Inverse heat dissipation starts from a training image, blurred to t = 1 (Rissanen et al. 2022, section 3.3), cold diffusion
from a Gaussian mixture that was fitted to such images (Bansal et al. 2022, section 5.2). Blurred images have few
frequencies left, so that is all that is kept, in each checkpoint: sampling needs the run folder and nothing else. What a
sample starts from follows from (seed, index), on every backend the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from blurcore.config import RunConfig
from blurcore.data import Dataset, permutation
from blurcore.data.values import to_data
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.errors import CheckpointError, ConfigError
from blurcore.processes import ColdDiffusion, HeatDissipation, Process

Array = np.ndarray[Any, Any]

_MAX_IMAGES = 10_000  # of a larger data set, a random part
_KEPT = 1e-6  # of the data's amplitude: what is left of a frequency below this is a hundredth of a grey level at most
_MAX_DIMENSIONS = 256  # of a mixture's covariances
_CHUNK = 1024


class Prior(Protocol):
    """A distribution of noise-free first states, in frequency space."""

    def draw(self, seed: int, index: int) -> Array:
        """Return one state, float32 (*grid, C)."""
        ...

    def arrays(self) -> dict[str, Array]:
        """Return what a checkpoint keeps."""
        ...


@dataclass(frozen=True, eq=False)
class Support:
    """The frequencies that a blur leaves: flat indices into a grid."""

    grid: tuple[int, ...]
    frequencies: Array

    @classmethod
    def of(cls, process: Process, grid: tuple[int, ...]) -> Support:
        """Return the frequencies of which more than a millionth is left at t = 1."""
        alpha = np.broadcast_to(process.marginal(1.0, shape=grid).alpha, grid)
        return cls(grid, np.flatnonzero(alpha.ravel() > _KEPT))

    def take(self, u: Array) -> Array:
        """Return the coefficients at the frequencies: (n, *grid, C) to (n, frequencies, C)."""
        kept: Array = u.reshape(len(u), -1, u.shape[-1])[:, self.frequencies]
        return kept

    def fill(self, values: Array) -> Array:
        """Return a state with these coefficients, (frequencies, C) to float32 (*grid, C), and zeros elsewhere."""
        state = np.zeros((int(np.prod(self.grid)), values.shape[-1]), np.float32)
        state[self.frequencies] = values
        return state.reshape(*self.grid, -1)


@dataclass(frozen=True, eq=False)
class BlurredData:
    """Blurred training images, each as likely as the others: `values` is (images, frequencies, C)."""

    support: Support
    values: Array

    def draw(self, seed: int, index: int) -> Array:
        """Return one of them; see :class:`Prior`."""
        rng = np.random.default_rng(derived_seed(seed, Stream.START, index))
        return self.support.fill(self.values[rng.integers(len(self.values))])

    def arrays(self) -> dict[str, Array]:
        """Return frequencies and values; see :class:`Prior`."""
        return {"frequencies": self.support.frequencies, "values": self.values}


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians over the blurred images' coefficients: weights (m,), means (m, d), Cholesky factors (m, d, d)."""

    support: Support
    weights: Array
    means: Array
    factors: Array

    def draw(self, seed: int, index: int) -> Array:
        """Return a point of the mixture; see :class:`Prior`."""
        rng = np.random.default_rng(derived_seed(seed, Stream.START, index))
        component = rng.choice(len(self.weights), p=self.weights / self.weights.sum())
        point = self.means[component] + self.factors[component] @ rng.standard_normal(self.means.shape[1])
        return self.support.fill(point.reshape(len(self.support.frequencies), -1))

    def arrays(self) -> dict[str, Array]:
        """Return frequencies, weights, means and factors; see :class:`Prior`."""
        return {
            "frequencies": self.support.frequencies, "weights": self.weights, "means": self.means, "factors": self.factors,
        }  # fmt: skip


def starts_from_data(process: Process) -> bool:
    """Whether a process leaves the blurred image whole, so that sampling has to start from one."""
    return isinstance(process, (HeatDissipation, ColdDiffusion))


def fit_prior(config: RunConfig, data: Dataset) -> Prior | None:
    """Return what sampling starts from: nothing but noise (None), blurred training data, or a mixture fitted to them.

    Raises
    ------
    ConfigError
        A mixture is wanted, and the blur leaves too many dimensions for one, or there are fewer images than Gaussians.
    """
    process = config.process
    if not starts_from_data(process):
        return None
    support = Support.of(process, data.image_shape[:-1])
    values = _blurred(config, data, support)
    if isinstance(process, HeatDissipation):
        return BlurredData(support, values)
    return _fit_mixture(values, support, components=config.train.prior_components, seed=config.seed)


def restore_prior(process: Process, grid: tuple[int, ...], arrays: Mapping[str, Array] | None) -> Prior | None:
    """Return the prior of a checkpoint, whose group "prior" is `arrays`.

    Raises
    ------
    CheckpointError
        The process needs one and the checkpoint has none, or one that does not fit the grid.
    """
    if not starts_from_data(process):
        return None
    names = {"frequencies", "values"} if isinstance(process, HeatDissipation) else {
        "frequencies", "weights", "means", "factors",
    }  # fmt: skip
    if arrays is None or set(arrays) != names:
        raise CheckpointError(f"the checkpoint has no blurred data to start {type(process).__name__} from")
    if not _fits(grid, arrays):
        shapes = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
        raise CheckpointError(f"the blurred data of the checkpoint do not fit the grid {grid}: {shapes}")
    support = Support(grid, arrays["frequencies"])
    if isinstance(process, HeatDissipation):
        return BlurredData(support, arrays["values"])
    return Mixture(support, arrays["weights"], arrays["means"], arrays["factors"])


def _fits(grid: tuple[int, ...], arrays: Mapping[str, Array]) -> bool:
    """Whether frequencies are places on the grid, and the other arrays numbers for them."""
    frequencies, rest = arrays["frequencies"], [v for name, v in arrays.items() if name != "frequencies"]
    if frequencies.ndim != 1 or frequencies.dtype.kind != "i" or any(v.dtype.kind != "f" for v in rest):
        return False
    count = len(frequencies)
    if count and not 0 <= int(frequencies.min()) <= int(frequencies.max()) < int(np.prod(grid)):
        return False
    if "values" in arrays:
        shape = arrays["values"].shape
        return bool(len(shape) == 3 and shape[0] > 0 and shape[1] == count)
    weights, means, factors = (arrays[name].shape for name in ("weights", "means", "factors"))
    if len(weights) != 1 or len(means) != 2 or count == 0:
        return False
    return bool(weights[0] == means[0] > 0 and means[1] % count == 0 and factors == (*means, means[1]))


def _blurred(config: RunConfig, data: Dataset, support: Support) -> Array:
    """Return the coefficients of blurred training images, float32 (images, frequencies, C)."""
    process, count = config.process, len(data)
    chosen = np.arange(count)
    if count > _MAX_IMAGES:
        chosen = permutation(count, config.seed, 0)[:_MAX_IMAGES]
    axes = tuple(range(1, 1 + len(support.grid)))
    alpha = np.broadcast_to(process.marginal(1.0, shape=support.grid).alpha, support.grid)[..., None]
    parts = []
    for first in range(0, len(chosen), _CHUNK):
        x = to_data(data[chosen[first : first + _CHUNK]], config.data.values)
        parts.append(support.take(alpha.astype(np.float32) * process.basis.forward(x, axes=axes)))
    return np.concatenate(parts).astype(np.float32)


def _fit_mixture(values: Array, support: Support, *, components: int, seed: int) -> Mixture:
    flat = values.reshape(len(values), -1).astype(np.float64)
    if flat.shape[1] > _MAX_DIMENSIONS:
        raise ConfigError(
            f"process.blur leaves {flat.shape[1]} numbers of an image at t = 1, too many for a Gaussian mixture"
            f" ({_MAX_DIMENSIONS}); blur further (sigma_blur_max)"
        )
    if len(flat) <= components:
        raise ConfigError(
            f"train.prior_components must be fewer than the {len(flat)} training images; got {components}"
        )
    from sklearn.mixture import GaussianMixture

    # Coefficients differ by orders of magnitude: the mixture is fitted to them in units of their spread.
    spread = flat.std(axis=0) + 1e-12
    fitted: Any = GaussianMixture(components, random_state=derived_seed(seed, Stream.PRIOR) % 2**31).fit(flat / spread)
    factors = np.linalg.cholesky(fitted.covariances_) * spread[:, None]
    return Mixture(support, fitted.weights_, fitted.means_ * spread, factors)
