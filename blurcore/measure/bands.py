r"""The loss of a run, frequency by frequency: where in the spectrum, and when, the network is right and wrong.

The basis is orthonormal, so that a mean squared error over pixels is one over frequencies,

.. math:: \frac{1}{N} | f(z_t, t) - y |^2 = \frac{1}{N} \sum_k \big( V^T f - V^T y \big)_k^2 ,

with y what the network is trained to say (:mod:`blurcore.objectives`). Beside it stands the power of y itself, which is the
loss of a network that knows nothing and says 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from blurcore._checks import require
from blurcore.data import Dataset
from blurcore.engine.sampling import objective_of
from blurcore.measure.calibration import mean_over_images
from blurcore.objectives import at_levels
from blurcore.protocols import RunNetwork
from blurcore.transforms import Basis, with_frequencies

Array = np.ndarray[Any, Any]


class SpectralLoss(NamedTuple):
    """Mean squared error of the network, and mean square of its target: (times, *grid) each, over images and channels."""

    basis: Basis
    times: Array
    loss: Array
    power: Array


class Bands(NamedTuple):
    """Radial bands of frequencies: what each is called, and which frequencies are in it, (bands, *grid)."""

    names: tuple[str, ...]
    members: Array


def measure_spectral_loss(
    network: RunNetwork,
    data: Dataset,
    *,
    num_images: int = 256,
    num_times: int = 33,
    batch_size: int = 64,
    progress: bool = False,
) -> SpectralLoss:
    """Measure the loss of a network in each frequency, at evenly spaced times (of those that it is trained at).

    Parameters
    ----------
    network
        The network.
    data
        Images that it has not been trained on, if there are any.
    num_images
        How many of them, or all there are.
    num_times
        How many times, at least 2; fewer where the process has fewer levels.
    batch_size
        Images in one call.
    progress
        Show a progress bar on stderr.

    Raises
    ------
    ArgumentError
        A number is out of its range, or the network works over sizes.
    """
    config, grid = network.config, network.image_shape[:-1]
    sizes = config.resolution.resolutions(grid).sizes
    require(
        len(sizes) == 1,
        "network",
        config.resolution.words(grid),
        "one of whole images, for its loss in all frequencies",
    )
    require(num_images >= 1, "num_images", num_images, "at least 1")
    require(num_times >= 2, "num_times", num_times, "at least 2")
    objective = objective_of(network.config)
    basis, axes = with_frequencies(network.config.process.basis), tuple(range(1, len(network.image_shape)))
    levels = getattr(objective, "num_levels", getattr(objective, "levels", 0))
    times = np.unique(np.asarray(at_levels(np.linspace(0.0, 1.0, num_times), levels)))

    def measure(x: Array, eps: Array, t: float) -> tuple[Array, Array]:
        t_batch = np.full(len(x), t)
        pair = objective.pair(x, t_batch, eps, axes=axes)
        z, target = (np.asarray(part) for part in pair)
        output = network.call(z, t_batch.astype(np.float32))
        error, target = (basis.forward(v.astype(np.float64), axes=axes) for v in (output - target, target))
        return error**2, target**2

    loss, power = mean_over_images(
        network,
        data,
        tuple(map(float, times)),
        measure,
        num_images=num_images,
        batch_size=batch_size,
        progress=progress,
    )
    return SpectralLoss(basis, times, loss, power)


def octave_bands(basis: Basis, shape: tuple[int, ...]) -> Bands:
    r"""Return bands an octave wide of the wavelength :math:`2 \pi / \sqrt{\lambda}` in pixels, the longest first.

    Bands without a frequency are left out; what does not vary at all (eigenvalue 0) is a band of its own.

    Parameters
    ----------
    basis
        Whose eigenvalues they are.
    shape
        Sizes of the grid.
    """
    eigenvalues = np.asarray(basis.eigenvalues(shape))
    octave = np.full(shape, np.inf)  # of a wavelength above 2^i and up to 2^(i + 1) pixels: i
    varies = eigenvalues > 0
    octave[varies] = np.ceil(np.log2(2 * np.pi / np.sqrt(eigenvalues[varies])) - 1e-9) - 1
    found = np.unique(octave)[::-1]
    names = ["mean" if i == np.inf else f"{2.0**i:g} to {2.0 ** (i + 1):g} px" for i in found]
    return Bands(tuple(names), np.stack([octave == i for i in found]))
