r"""How likely a run's model makes held-out images: bounds in bits for each dimension, and the density of the ODE (SPEC 8).

The network is a function of NumPy arrays here; everything around it is float64 on the host. The density of the
probability-flow ODE at t = 0 is that of :math:`z_0`, not of pixels: with the decoder of the bounds,

.. math:: -\log P(x) \le E_{q(z_0|x)} [\log q(z_0 | x) - \log p(z_0) - \log P(x | z_0)] .
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import blurcore.diffusion as diffusion
import blurcore.likelihood as likelihood
from blurcore.config import EvaluateConfig
from blurcore.data.values import SCALES, to_data
from blurcore.engine.seeds import Stream, derived_seed
from blurcore.engine.sized_network import SizedNetwork
from blurcore.errors import ArgumentError, ConfigError
from blurcore.objectives import path_for
from blurcore.protocols import RunNetwork, Team
from blurcore.runs.progress import SamplingProgress
from blurcore.samplers import uniform_times
from blurcore.samplers.euler import slope_of
from blurcore.samplers.inverse_heat import RATIO
from blurcore.starts import Prior, leaves_image

Array = np.ndarray[Any, Any]


class Terms(NamedTuple):
    """What a bound is made of, in bits for each dimension, one number for each image."""

    prior: Array
    steps: Array
    """Of what the network sees."""
    reconstruction: Array
    dropped: Array
    """Steps of the frequencies that it does not see on smaller images, which count as predicted to be 0 (SPEC 11)."""

    @property
    def total(self) -> Array:
        """The bound."""
        total: Array = self.prior + self.steps + self.reconstruction + self.dropped
        return total


class _Model(SizedNetwork):
    """A network with its process, and what is between states and data."""

    def forward(self, x: Array) -> Array:
        coded: Array = self.process.basis.forward(x, axes=self.axes)
        return coded

    def inverse(self, u: Array) -> Array:
        data: Array = self.process.basis.inverse(u, axes=self.axes)
        return data

    def path(self, t: Any, u: Array) -> Any:
        return path_for(self.objective, t, u, axes=self.axes)

    def parts(self, u0: Array, t: Any) -> tuple[Array, Array]:
        """Return data in frequency space as what the network sees of them at times, and what it does not, with zeros between."""
        kept = self.kept(t, len(u0))
        return np.where(kept, u0, 0.0), np.where(kept, 0.0, u0)


def evaluate(
    network: RunNetwork,
    images: Array,
    settings: EvaluateConfig,
    *,
    prior: Prior | None = None,
    processes: Team | None = None,
    progress: bool = False,
) -> Terms:
    """Return the terms of a bound for each image.

    Parameters
    ----------
    network
        The network.
    images
        uint8 (n, *grid, C).
    settings
        Which bound, and how; the images have been chosen already.
    prior
        What sampling starts from, for inverse heat dissipation.
    processes
        Those that share the batches; each is given all terms. This one alone if not given.
    progress
        Show a progress bar on stderr.

    Raises
    ------
    ConfigError
        The run's process has no such likelihood.
    """
    model = _Model(network)
    if images.dtype != np.uint8:
        raise ConfigError(f"likelihoods are those of pixels, uint8; the data are {images.dtype}")
    method = _method(model, settings, prior)
    calls = {"continuous": settings.num_steps, "ode": 1}.get(settings.likelihood, settings.num_steps)
    team = processes or Team()
    mine = range(0, len(images), settings.batch_size)[team.rank :: team.size]
    terms = np.zeros((len(Terms._fields), len(images)))
    with SamplingProgress(
        sum(min(settings.batch_size, len(images) - first) for first in mine), calls, show=progress
    ) as bar:
        for first in mine:
            x = to_data(images[first : first + settings.batch_size], model.config.data.values).astype(np.float64)
            rng = np.random.default_rng(derived_seed(settings.seed, Stream.EVALUATION, first))
            terms[:, first : first + len(x)] = method(x, rng)
            bar.advance(len(x) * calls)
    dims = math.prod(images.shape[1:])
    return Terms(*(likelihood.bits_per_dim(term, dims) for term in team.total(terms)))


def _method(
    model: _Model, settings: EvaluateConfig, prior: Prior | None
) -> Callable[[Array, np.random.Generator], Terms]:
    name = type(model.process).__name__
    if settings.likelihood == "ode" and model.over_sizes:
        raise ConfigError(
            "likelihood must be discrete or continuous for a network over sizes"
            f" ({model.config.resolution.words(model.grid)}); got 'ode', whose solver chooses its own steps"
        )
    if model.objective.predicts == "mean":
        if settings.likelihood != "discrete" or prior is None or prior.points is None:
            raise ConfigError(
                f"a network that predicts the {model.objective.prediction} has the bound discrete alone; got {settings.likelihood!r}"
            )
        return lambda x, rng: _heat_bound(model, prior, x, rng)
    if leaves_image(model.process, model.grid):
        raise ConfigError(
            f"{name} with {type(model.config.train.objective).__name__} has no likelihood: its sampling starts from data"
        )
    alpha, sigma = (np.asarray(c) for c in model.process.marginal(0.0, shape=model.grid))
    if np.ptp(alpha) > 1e-6 * np.max(alpha) or np.ptp(sigma) > 0:
        raise ConfigError(f"{name} is not isotropic at t = 0, which the pixels' bins need")
    if np.all(sigma == 0) and settings.likelihood != "discrete":
        raise ConfigError(
            f"{name} has no noise at t = 0, where the likelihood {settings.likelihood} ends; its bound is discrete, with as many"
            " steps as its noise schedule"
        )
    return lambda x, rng: {"discrete": _discrete, "continuous": _continuous, "ode": _ode}[settings.likelihood](
        model, settings, x, rng
    )


def _decoded(model: _Model, x: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return z_0 in frequency space and -log P(x | z_0)."""
    scale = SCALES[model.config.data.values]
    start = model.process.marginal(0.0, shape=(1,) * len(model.grid))
    alpha, sigma = (float(np.max(np.asarray(c))) for c in start)
    z = alpha * x + sigma * rng.standard_normal(x.shape)
    return model.forward(z), likelihood.reconstruction(x, z / alpha, sigma / alpha, low=scale.low, high=scale.high)


def _discrete(model: _Model, settings: EvaluateConfig, x: Array, rng: np.random.Generator) -> Terms:
    u0, steps, dropped = model.forward(x), np.zeros(len(x)), np.zeros(len(x))
    times = uniform_times(settings.num_steps)
    clean = bool(np.all(model.process.marginal(0.0, shape=model.grid).sigma == 0))
    last = times[-2] if clean else 0.0  # z_0 is the data: the step to it is the decoder (Ho et al. 2020, section 3.3)
    for t, s in zip(times[:-1], times[1:], strict=True):
        if s < last:
            continue
        guess, (seen, unseen) = _guess_at(model, u0, t, rng, until=s), model.parts(u0, s)
        steps += likelihood.diffusion_step(model.process, seen, guess, t, s, axes=model.axes)
        dropped += likelihood.diffusion_step(model.process, unseen, 0 * unseen, t, s, axes=model.axes)
    decoded = _decoded_from(model, x, u0, last, rng) if clean else _decoded(model, x, rng)[1]
    return Terms(likelihood.prior_kl(model.process, u0, axes=model.axes), steps, decoded, dropped)


def _guess_at(model: _Model, u0: Array, t: Any, rng: np.random.Generator, *, until: Any = None) -> Array:
    """Return what the network makes of data noised to time t, a number or one for each, in a step that ends at `until`."""
    m = model.path(t, u0)
    return model.guess(m.alpha * u0 + m.sigma * rng.standard_normal(u0.shape), np.full(len(u0), t), until=until)


def _decoded_from(model: _Model, x: Array, u0: Array, t: float, rng: np.random.Generator) -> Array:
    """Return -log P(x | z_t) of the step from t to clean data, with the variance of the step forwards."""
    m = diffusion.transition(model.process, t, 0.0, shape=model.grid)
    std = math.sqrt(float(np.max(np.asarray(m.variance))))
    scale = SCALES[model.config.data.values]
    mean = model.inverse(_guess_at(model, u0, t, rng, until=0.0))
    nats: Array = likelihood.reconstruction(x, mean, std, low=scale.low, high=scale.high)
    return nats


def _continuous(model: _Model, settings: EvaluateConfig, x: Array, rng: np.random.Generator) -> Terms:
    """Look at the integrand at times that are even in the mean log-SNR, of which the integral is nearly uniform."""
    u0, total, dropped = model.forward(x), np.zeros(len(x)), np.zeros(len(x))
    knots = np.linspace(0.0, 1.0, 4097)
    mean = np.array([float(np.mean(np.asarray(model.process.log_snr(t, shape=model.grid)))) for t in knots])
    offsets = rng.random(len(x))
    for i in range(settings.num_steps):
        level = mean[0] + (mean[-1] - mean[0]) * (i + offsets) / settings.num_steps
        t = np.interp(-level, -mean, knots)
        place = np.clip(np.searchsorted(knots, t, side="right") - 1, 0, len(knots) - 2)
        density = (mean[place] - mean[place + 1]) / (knots[place + 1] - knots[place]) / (mean[0] - mean[-1])
        guess, (seen, unseen) = _guess_at(model, u0, t, rng), model.parts(u0, t)
        for found, data, said in ((total, seen, guess), (dropped, unseen, 0 * unseen)):
            found += (
                likelihood.diffusion_rate(model.process, data, said, t, axes=model.axes) / density / settings.num_steps
            )
    return Terms(likelihood.prior_kl(model.process, u0, axes=model.axes), total, _decoded(model, x, rng)[1], dropped)


def _heat_bound(model: _Model, prior: Prior, x: Array, rng: np.random.Generator) -> Terms:
    """Return the bound of inverse heat dissipation: a mixture's divergence, a step for each level, and the last mean's bins."""
    sigma, levels = (
        float(np.max(np.asarray(model.process.marginal(1.0, shape=model.grid).sigma))),
        model.objective.levels,
    )
    delta = RATIO * sigma
    u0, steps = model.forward(x), np.zeros(len(x))
    scale = SCALES[model.config.data.values]
    kept = prior.support
    last = model.path(1.0, u0).alpha * u0
    drawn = last + sigma * rng.standard_normal(u0.shape)
    there, centre = (kept.take(v).reshape(len(x), -1) for v in (drawn, last))
    assert prior.points is not None  # it was asked for
    points = prior.points.reshape(len(prior.points), -1).astype(np.float64)
    start = likelihood.mixture_kl(there, centre, points, sigma=sigma)
    for k in range(levels, 1, -1):
        u = model.path(k / levels, u0).alpha * u0 + sigma * rng.standard_normal(u0.shape)
        mean = model.guess(u, np.full(len(x), k / levels), until=(k - 1) / levels)
        steps += likelihood.heat_step(model.path((k - 1) / levels, u0).alpha * u0, mean, sigma=sigma, delta=delta)
    u = model.path(1 / levels, u0).alpha * u0 + sigma * rng.standard_normal(u0.shape)
    mean = model.inverse(model.guess(u, np.full(len(x), 1 / levels), until=0.0))
    decoded = likelihood.reconstruction(x, mean, delta, low=scale.low, high=scale.high)
    return Terms(start, steps, decoded, np.zeros(len(x)))


def _ode(model: _Model, settings: EvaluateConfig, x: Array, rng: np.random.Generator) -> Terms:
    z, decoded = _decoded(model, x, rng)
    sigma = float(np.max(np.asarray(model.process.marginal(0.0, shape=(1,) * len(model.grid)).sigma)))
    dims = math.prod(x.shape[1:])
    entropy = dims * (0.5 + 0.5 * math.log(2 * math.pi) + math.log(sigma))
    shape = (settings.probes, *x.shape)
    probes = rng.choice([-1.0, 1.0], size=shape) if settings.probes else None
    end, divergence = flow(model.network, z, probes=probes, tolerance=settings.tolerance)
    width = np.broadcast_to(model.path(1.0, z).sigma, z.shape)
    density = -0.5 * (end / width) ** 2 - 0.5 * math.log(2 * math.pi) - np.log(width)
    return Terms(-density.sum(axis=tuple(range(1, x.ndim))), -divergence - entropy, decoded, np.zeros(len(x)))


def flow(network: RunNetwork, u: Array, *, probes: Array | None, tolerance: float) -> tuple[Array, Array]:
    """Follow the probability-flow ODE from t = 0 to 1.

    Parameters
    ----------
    network
        The network, with its product with a Jacobian's transpose.
    u
        States at t = 0 in frequency space, (batch, *grid, C).
    probes
        (number, batch, *grid, C): random signs for Hutchinson's estimate of the divergence, the same for all t; None for the
        exact trace, one product for each dimension.
    tolerance
        Relative and absolute error of a step, by scipy's Runge-Kutta 4(5).

    Returns
    -------
    tuple of ndarray
        The states at t = 1, and the integral of the divergence, (batch,), by which log p falls on the way.

    Raises
    ------
    ArgumentError
        The network brings no such product.
    """
    from scipy.integrate import solve_ivp

    if network.vjp is None:
        raise ArgumentError("network must have a vjp, for the divergence; got None")
    model, vjp = _Model(network), network.vjp
    batch, size = len(u), u.size

    def cotangents() -> Iterator[Array]:
        if probes is not None:
            yield from probes
            return
        for k in range(size // batch):
            unit = np.zeros((batch, size // batch))
            unit[:, k] = 1.0
            yield unit.reshape(u.shape)

    scale = 1.0 if probes is None else 1.0 / len(probes)

    def slope(t: float, y: Array) -> Array:
        state = y[:size].reshape(u.shape)
        t = min(1.0, max(0.0, t))
        rate = slope_of(model.process, "the ODE's likelihood", t, t, shape=model.grid, like=state)
        linear, weight = (np.asarray(c)[..., None] for c in (rate.z, rate.eps))
        m, ones = model.path(t, state), np.ones_like(state)
        # eps is linear in what the network says and in the state: its two coefficients in each frequency.
        said, own = (_eps(model, m, *pair) for pair in ((ones, 0 * ones), (0 * ones, ones)))
        z, times = model.inverse(state).astype(np.float32), np.full(batch, t, np.float32)
        divergence = ((linear + weight * own) * ones).reshape(batch, -1).sum(axis=1)
        output = np.zeros_like(z)
        for probe in cotangents():
            output, product = vjp(z, times, model.inverse(weight * said * probe).astype(np.float32))
            divergence = divergence + scale * (product * model.inverse(probe)).reshape(batch, -1).sum(axis=1)
        moved = (linear + weight * own) * state + weight * said * model.forward(output.astype(np.float64))
        return np.concatenate([moved.ravel(), divergence])

    start = np.concatenate([u.ravel(), np.zeros(batch)])
    end = solve_ivp(slope, (0.0, 1.0), start, method="RK45", rtol=tolerance, atol=tolerance).y[:, -1]
    return end[:size].reshape(u.shape), end[size:]


def _eps(model: _Model, path: Any, said: Array, u: Array) -> Array:
    """Return eps where the network says `said` in frequency space at the state u."""
    from blurcore.prediction import convert

    kind: Any = model.objective.prediction
    eps: Array = convert(said, kind, "eps", z=u, marginal=path)
    return eps
