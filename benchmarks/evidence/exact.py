r"""Few steps with no network in the way: the exact denoiser of a finite set of real images, and what solvers make of it.

.. math:: E[u_0 | u_t] = \sum_i x_i \, \mathrm{softmax}_i \Big( -\sum_k \frac{(u_{t,k} - \alpha_k x_{ik})^2}{2 \sigma^2} \Big)

as :func:`blurcore.oracle.dataset_denoiser` has it, by two products of matrices in float64 and over the set in blocks, so that a set
of 10,000 images takes its own size and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

import blurcore as bc
from benchmarks.evidence.rows import Row, solver_for, times_for
from benchmarks.evidence.trials import process_of
from blurcore.data.values import to_data, to_samples
from blurcore.metrics import band_power, frechet_distance, get_features, spectrum_distance
from blurcore.oracle import exact_prediction

Array = np.ndarray[Any, Any]

COUNTS = {"digits": 4_500, "photos": 10_000}
BLOCK = 2_048
CALLS = (5, 10, 20, 50, 100)
LONG = 1_000
UNIT = 1e-4
"""Distances are kept as whole numbers of this."""


class ImageSet:
    """A set of images in the frequency space of the DCT, and the denoiser that knows that there are no others.

    Parameters
    ----------
    images
        uint8 (n, H, W, C).
    labels
        One for each image, or none.
    """

    def __init__(self, images: Array, labels: Array | None = None) -> None:
        self.images, self.labels, self.basis = images, labels, bc.DCT()
        pixels = np.moveaxis(to_data(images, "symmetric").astype(np.float64), -1, 1)
        self.shape = pixels.shape[1:]
        self.rows = np.asarray(self.basis.forward(pixels)).reshape(len(images), -1)
        self._penalties: dict[tuple[object, float], Array] = {}

    @cached_property
    def features(self) -> Array:
        """The features `digits` of the set."""
        return np.concatenate(
            [get_features("digits")(self.images[i : i + 256]) for i in range(0, len(self.images), 256)]
        )

    def _blocks(self) -> Iterator[slice]:
        return (slice(first, first + BLOCK) for first in range(0, len(self.rows), BLOCK))

    def _flat(self, value: Array) -> Array:
        return np.broadcast_to(value, self.shape).reshape(-1)

    def denoise(self, u: Array, process: Any, t: float) -> Array:
        """Return E[u_0 | u_t] of states (batch, C, H, W)."""
        m = process.marginal(t, shape=self.shape[1:])
        alpha, precision = self._flat(m.alpha), self._flat(1.0 / m.sigma**2)
        penalty = self._penalty(process, t, alpha**2 * precision)
        flat = u.reshape(len(u), -1)
        tilt = flat * (alpha * precision)
        highest = np.full((len(u), 1), -np.inf)
        total, mean = np.zeros((len(u), 1)), np.zeros_like(flat)
        for block in self._blocks():
            logits = tilt @ self.rows[block].T - penalty[block]
            new = np.maximum(highest, logits.max(axis=1, keepdims=True))
            weights, kept = np.exp(logits - new), np.exp(highest - new)
            total = total * kept + weights.sum(axis=1, keepdims=True)
            mean = mean * kept + weights @ self.rows[block]
            highest = new
        return (mean / total).reshape(u.shape)

    def _penalty(self, process: Any, t: float, weight: Array) -> Array:
        """Return half of the sum of alpha^2 x^2 / sigma^2 for each image: the same for all states."""
        key = (process, t)
        if key not in self._penalties:
            if len(self._penalties) >= 4096:
                self._penalties.clear()
            self._penalties[key] = np.concatenate([self.rows[block] ** 2 @ weight for block in self._blocks()]) / 2
        return self._penalties[key]

    def nearest(self, x: Array) -> tuple[Array, Array]:
        """Return root mean square distances per pixel to the nearest image, and which it is, of x (batch, C, H, W)."""
        flat = np.asarray(self.basis.forward(x)).reshape(len(x), -1)
        squares = np.concatenate(
            [-2 * flat @ self.rows[b].T + (self.rows[b] ** 2).sum(axis=1) for b in self._blocks()], axis=1
        )
        which = squares.argmin(axis=1)
        return np.sqrt(
            ((flat - self.rows[which]) ** 2).mean(axis=1)
        ), which  # the difference itself, which does not cancel

    def x0_error(self, process: Any, *, num_images: int = 256, num_times: int = 33) -> bc.X0Error:
        """Return the denoiser's own mean squared error, per time and frequency: what `blurcore calibrate` measures of networks."""
        times = bc.log_snr_times(num_times - 1, process.noise)[::-1]
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(self.rows), min(num_images, len(self.rows)), replace=False)
        x = self.rows[chosen].reshape(-1, *self.shape)
        values = []
        for t in times:
            m = process.marginal(t, shape=self.shape[1:])
            u = m.alpha * x + m.sigma * rng.standard_normal(x.shape)
            errors = np.concatenate(
                [self.denoise(u[i : i + 64], process, t) - x[i : i + 64] for i in range(0, len(x), 64)]
            )
            values.append((errors**2).mean(axis=(0, 1)))
        return bc.X0Error(times=times, values=np.stack(values))


@lru_cache(maxsize=1)
def image_set(data: str) -> ImageSet:
    """Return the set of the protocol: the training digits, or 10,000 of the training crops."""
    if data == "digits":
        digits = bc.MNIST().load()
        return ImageSet(digits[:], digits.labels())
    return ImageSet(bc.Photos().load()[: COUNTS["photos"]])


def draw(
    known: ImageSet, solver: Any, times: tuple[float, ...], *, count: int, last_noise: bool, seed: int = 0
) -> Array:
    """Return samples (count, C, H, W) in data space; the start is the same whatever the solver, and the noise of call k."""
    process = solver.process
    shape = (count, *known.shape)
    sigma = process.marginal(times[0], shape=known.shape[1:]).sigma
    state = solver.start(sigma * np.random.default_rng([seed, 0]).standard_normal(shape))
    for k, (t, s) in enumerate(solver.stages(times), start=1):
        x0 = np.concatenate([known.denoise(state.u[i : i + 64], process, t) for i in range(0, count, 64)])
        prediction = exact_prediction(x0, state.u, bc.marginal_for(process, t, state.u))
        draws = solver.uses_noise and (s > 0 or last_noise)
        noise = np.random.default_rng([seed, k]).standard_normal(shape) if draws else None
        state = solver.step(state, prediction, t, s, noise)
    return np.asarray(known.basis.inverse(state.u))


def judge(known: ImageSet, samples: Array) -> dict[str, Any]:
    """Return how far samples are from the set: one by one, in their spectrum, and in how evenly they come from all labels."""
    finite = np.isfinite(samples).all(axis=(1, 2, 3))
    found: dict[str, Any] = {"samples": len(samples), "not_finite": int((~finite).sum())}
    if not finite.all():
        return found
    distances, which = known.nearest(samples)
    pixels = to_samples(np.moveaxis(samples, 1, -1), "symmetric").images
    found |= {
        "distance": [min(round(d / UNIT), 10**7) for d in distances],
        "spectrum_db": round(spectrum_distance(band_power(pixels), band_power(known.images)), 4),
        "different": len(set(which.tolist())),
    }
    if known.labels is not None:
        hits = np.bincount(known.labels[which], minlength=10)
        share = np.bincount(known.labels, minlength=10) / len(known.labels)
        found["chi_squared"] = round(float(((hits - len(which) * share) ** 2 / (len(which) * share)).sum()), 2)
        features = get_features("digits")(pixels)
        if len(features) > features.shape[1]:
            found["frechet_digits"] = round(frechet_distance(features, known.features), 4)
    return found


def run(data: str, process_name: str, row: Row, calls: int, *, count: int, error: bc.X0Error | None) -> dict[str, Any]:
    """Draw and judge samples of one row at one number of calls."""
    known = image_set(data)
    process = process_of(process_name, known.shape[-1])
    solver = solver_for(row, process, error)
    samples = draw(known, solver, times_for(row, process, calls, error), count=count, last_noise=row.last_noise)
    return judge(known, samples)
