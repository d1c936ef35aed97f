"""Start from a Gaussian mixture of blurred training images, as cold diffusion does (Bansal et al. 2022, section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from blurcore._checks import make_plain, require
from blurcore.errors import ConfigError
from blurcore.processes import Process
from blurcore.starts.start import FromTheEnd
from blurcore.starts.support import Support, misfit

if TYPE_CHECKING:
    from blurcore.data import Dataset

Array = np.ndarray[Any, Any]

_MAX_DIMENSIONS = 256  # of the covariances


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Gaussians over the blurred images' coefficients: weights (m,), means (m, d), Cholesky factors (m, d, d)."""

    support: Support
    weights: Array
    means: Array
    factors: Array
    points: None = None

    def draw(self, rng: np.random.Generator, index: int) -> Array:
        """Return a point of the mixture; see :meth:`Prior.draw`."""
        del index
        component = rng.choice(len(self.weights), p=self.weights / self.weights.sum())
        point = self.means[component] + self.factors[component] @ rng.standard_normal(self.means.shape[1])
        return self.support.fill(point.reshape(len(self.support.frequencies), -1))

    def arrays(self) -> dict[str, Array]:
        """Return frequencies, weights, means and factors; see :meth:`Prior.arrays`."""
        return {
            "frequencies": self.support.frequencies,
            "weights": self.weights,
            "means": self.means,
            "factors": self.factors,
        }


@final
@dataclass(frozen=True, kw_only=True)
class Mixture(FromTheEnd):
    """A point of a Gaussian mixture that is fitted, in training, to the images blurred to t = 1."""

    components: int = 1
    """Gaussians in the mixture."""

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.components >= 1, "components", self.components, "at least 1")

    def fit(self, process: Process, data: Dataset, values: Any, *, seed: int) -> Gaussians:
        """Return the mixture; see :meth:`Start.fit`.

        Raises
        ------
        ConfigError
            The blur leaves too many dimensions for one, or there are fewer images than Gaussians.
        """
        support = Support.of(process, data.image_shape[:-1])
        blurred = support.blurred(process, data, values, seed=seed)
        flat = blurred.reshape(len(blurred), -1).astype(np.float64)
        if flat.shape[1] > _MAX_DIMENSIONS:
            raise ConfigError(
                f"process.blur leaves {flat.shape[1]} numbers of an image at t = 1, too many for a Gaussian mixture"
                f" ({_MAX_DIMENSIONS}); blur further (sigma_blur_max), or take sample.start BlurredData"
            )
        if len(flat) <= self.components:
            raise ConfigError(
                f"sample.start.components must be fewer than the {len(flat)} training images; got {self.components}"
            )
        from sklearn.mixture import GaussianMixture

        # Coefficients differ by orders of magnitude: the mixture is fitted to them in units of their spread.
        spread = flat.std(axis=0) + 1e-12
        fitted: Any = GaussianMixture(self.components, random_state=seed % 2**31).fit(flat / spread)
        factors = np.linalg.cholesky(fitted.covariances_) * spread[:, None]
        return Gaussians(support, fitted.weights_, fitted.means_ * spread, factors)

    def restore(
        self, process: Process, image_shape: tuple[int, ...], values: Any, arrays: Mapping[str, Array] | None
    ) -> Gaussians:
        """Return the mixture of a checkpoint; see :meth:`Start.restore`."""
        del process, values
        grid = image_shape[:-1]
        names = {"frequencies", "weights", "means", "factors"}
        support = Support.restore("Mixture", names, grid, arrays)
        assert arrays is not None
        count = len(support.frequencies)
        weights, means, factors = (arrays[name].shape for name in ("weights", "means", "factors"))
        if len(weights) != 1 or len(means) != 2 or count == 0 or weights[0] == 0:
            raise misfit(grid, arrays)
        if weights[0] != means[0] or means[1] % count or factors != (*means, means[1]):
            raise misfit(grid, arrays)
        return Gaussians(support, arrays["weights"], arrays["means"], arrays["factors"])
