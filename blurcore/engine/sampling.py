"""From settings to the parts of training and sampling: objective, solver, times, range."""

from __future__ import annotations

import numpy as np

from blurcore._arrays import namespace
from blurcore._typing import Array
from blurcore.config import RunConfig, SampleConfig
from blurcore.data import Source
from blurcore.data.values import SCALES
from blurcore.diffusion import log_snr
from blurcore.errors import ArgumentError, ConfigError, DegenerateError
from blurcore.kinds import kinds_of
from blurcore.objectives import Objective
from blurcore.processes import Process
from blurcore.relay import times_from
from blurcore.samplers import Clip, Context, Solver, X0Error


def condition(process: Process, t: Array, embedding: str) -> Array:
    """Return the network's time condition: t itself, or the log-SNR of the DC frequency; shape (batch,)."""
    if embedding == "time":
        return t
    # The DC frequency is the same on every grid; two axes of size 1 stand for any.
    return namespace(t=t).reshape(log_snr(process, t, shape=(1, 1)), t.shape)


def objective_of(config: RunConfig) -> Objective:
    """Return the objective of a run, built for its process.

    Raises
    ------
    ConfigError
        The process and the objective do not go together; the message says what does.
    """
    try:
        return config.train.objective.build(config.process)
    except ArgumentError as error:
        raise ConfigError(str(error)) from None


def clip_of(data: Source, settings: SampleConfig) -> Clip | None:
    """Return the clipping of predicted images to the range of the data."""
    if settings.clip == "off":
        return None
    scale = SCALES[data.values]
    return Clip(low=scale.low, high=scale.high, quantile=settings.clip_quantile if settings.clip == "dynamic" else None)


def check_sampling(
    config: RunConfig, settings: SampleConfig, shape: tuple[int, ...], x0_error: X0Error | None = None
) -> None:
    """Refuse a sampler that a run cannot take, before any work.

    Raises
    ------
    ConfigError
        The sampler divides by what the process does not have, or does not understand what the network says.
    """
    classes = config.model.num_classes
    if classes == 0 and (settings.label is not None or settings.guidance != 1):
        raise ConfigError(
            "sample.label and sample.guidance need a network with classes (model.num_classes); this one has none"
        )
    if settings.label is not None and settings.label >= classes:
        raise ConfigError(f"sample.label must be from 0 to {classes - 1}; got {settings.label}")
    objective, solver, name = objective_of(config), settings.solver, type(config.process).__name__
    kind, times = type(solver).__name__, times_of(config.process, settings)
    only = objective.only_times
    if objective.predicts not in solver.takes or (only is not None and only.times(config.process) != times):
        able = [cls.__name__ for cls in kinds_of("solver").values() if objective.predicts in cls.takes]
        raise ConfigError(
            f"sample.solver must be {' or '.join(able)}"
            + ("" if only is None else f" and sample.times {type(only).__name__} with num_steps {only.num_steps}")
            + f" for a network that predicts the {objective.prediction}; got {kind}, {type(settings.times).__name__} with"
            f" num_steps {settings.times.num_steps}"
        )
    if solver.needs_noise and not has_noise(config.process, shape):
        able = [cls.__name__ for cls in kinds_of("solver").values() if not cls.needs_noise]
        raise ConfigError(f"sample.solver must be {' or '.join(able)} for {name}, which has no noise; got {kind}")
    built = solver_of(config, settings, axes=tuple(range(-len(shape), 0)), x0_error=x0_error)
    try:
        built.check(times, shape=shape)
    except (ArgumentError, DegenerateError) as error:
        raise ConfigError(f"sample.solver cannot be {kind} for {name}: {error}") from None


def has_noise(process: Process, shape: tuple[int, ...]) -> bool:
    """Whether the state at t = 1 holds noise."""
    return bool(np.any(process.marginal(1.0, shape=shape).sigma > 0))


def solver_of(
    config: RunConfig, settings: SampleConfig, *, axes: tuple[int, ...], x0_error: X0Error | None = None
) -> Solver:
    """Return the solver of the settings, built for a run's process and data whose grid is at `axes`.

    Raises
    ------
    ConfigError
        It needs the network's measured error, and there is none.
    """
    context = Context(x0_error=x0_error, predicts=objective_of(config).predicts)
    try:
        return settings.solver.build(config.process, axes=axes, context=context)
    except ArgumentError as error:
        raise ConfigError(str(error)) from None


def times_of(process: Process, settings: SampleConfig) -> tuple[float, ...]:
    """Return the times at which the settings let the sampler stop, from 1 to 0.

    Raises
    ------
    ConfigError
        The process has no such grid, as one evenly spaced in a log-SNR that is not finite.
    """
    try:
        return settings.times.times(process)
    except ArgumentError as error:
        raise ConfigError(
            f"sample.times cannot be {type(settings.times).__name__} for {type(process).__name__}: {error}"
        ) from None


def times_between(config: RunConfig, settings: SampleConfig, image_shape: tuple[int, ...]) -> tuple[float, ...]:
    """Return the times of the settings from that on at which their start begins, for images (*grid, C).

    Raises
    ------
    ConfigError
        As :func:`times_of`; or the start has no such time, or one that the network was not trained at.
    """
    times = times_of(config.process, settings)
    if settings.start is None:
        return times
    try:
        first = settings.start.begins_at(config.process, image_shape, config.data.values)
    except ArgumentError as error:
        raise ConfigError(f"sample.start cannot be {type(settings.start).__name__}: {error}") from None
    only = objective_of(config).only_times
    if only is not None and first not in times:
        raise ConfigError(f"sample.start must begin at a level of the process, k / {only.num_steps}; got t = {first!r}")
    return times_from(times, first)
