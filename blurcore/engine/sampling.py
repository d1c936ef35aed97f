"""From settings to the parts of training and sampling: objective, solver, times, range."""

from __future__ import annotations

from typing import Any

from blurcore._arrays import namespace
from blurcore._typing import Array
from blurcore.config import DataConfig, RunConfig, SampleConfig
from blurcore.data.values import SCALES
from blurcore.diffusion import log_snr, require_noise
from blurcore.errors import ArgumentError, ConfigError, DegenerateError
from blurcore.objectives import Denoising, HeatReversal, Objective, Restoration
from blurcore.processes import ColdDiffusion, HeatDissipation, Process
from blurcore.samplers import SOLVERS, Clip, Solver, X0Error, check_times, log_snr_times, quadratic_times, uniform_times


def condition(process: Process, t: Array, embedding: str) -> Array:
    """Return what the network is shown of the time: t itself, or the log-SNR of the DC frequency; shape (batch,)."""
    if embedding == "time":
        return t
    # The DC frequency is the same on every grid; two axes of size 1 stand for any.
    return namespace(t=t).reshape(log_snr(process, t, shape=(1, 1)), t.shape)


def objective_of(config: RunConfig) -> Objective:
    """Return what a run's network is trained to say.

    Raises
    ------
    ConfigError
        The process and the prediction do not go together; the message says what does.
    """
    process, train = config.process, config.train
    name = type(process).__name__
    if isinstance(process, ColdDiffusion):
        if train.prediction != "x0":
            raise ConfigError(f"train.prediction must be x0 for {name}, which has no noise; got {train.prediction!r}")
        return Restoration(process=process, spread=train.times, levels=train.levels)
    if train.prediction != "residual":
        return Denoising(process=process, prediction=train.prediction, spread=train.times, levels=train.levels)
    if not isinstance(process, HeatDissipation):
        raise ConfigError(f"train.prediction must be eps, v or x0 for {name}; residual is for HeatDissipation alone")
    if train.levels:
        raise ConfigError(
            f"train.levels must be 0 for the residual, whose levels are those of process.blur; got {train.levels}"
        )
    try:
        return HeatReversal(process=process, spread=train.times)
    except ArgumentError as error:
        raise ConfigError(str(error)) from None


def clip_of(data: DataConfig, settings: SampleConfig) -> Clip | None:
    """Return what is done to predicted images outside the range of the data."""
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
    name, sampler = type(config.process).__name__, settings.sampler
    classes = config.model.num_classes
    if classes == 0 and (settings.label is not None or settings.guidance != 1):
        raise ConfigError(
            "sample.label and sample.guidance need a network with classes (model.num_classes); this one has none"
        )
    if settings.label is not None and settings.label >= classes:
        raise ConfigError(f"sample.label must be from 0 to {classes - 1}; got {settings.label}")
    if config.train.prediction == "residual":
        levels = HeatReversal(process=config.process).num_levels  # type: ignore[arg-type]
        if sampler != "inverse_heat" or times_of(config.process, settings) != uniform_times(levels):
            raise ConfigError(
                "a network that predicts the residual goes back level by level: sample.sampler must be inverse_heat,"
                f" sample.num_steps {levels}, sample.grid uniform; got {sampler}, {settings.num_steps}, {settings.grid}"
            )
    if isinstance(config.process, ColdDiffusion) and sampler not in ("cold_naive", "cold_improved", "inverse_heat"):
        raise ConfigError(
            f"sample.sampler must be cold_improved or cold_naive for {name}, which has no noise; got {sampler!r}"
        )
    solver = solver_of(config, settings, axes=tuple(range(-len(shape), 0)), x0_error=x0_error)
    stages = solver.stages(times_of(config.process, settings))
    try:
        for t, s in (stages[0], stages[-1]):
            solver.coefficients(t, s, shape=shape)
        if sampler == "ode":
            require_noise("the slope", config.process, 0.0, shape=shape)
    except (ArgumentError, DegenerateError) as error:
        raise ConfigError(f"sample.sampler cannot be {sampler} for {name}: {error}") from None


def solver_of(
    config: RunConfig, settings: SampleConfig, *, axes: tuple[int, ...], x0_error: X0Error | None = None
) -> Solver:
    """Return the solver that the settings name, for data whose grid is at `axes`.

    The adaptive `ode` chooses its own steps, by a library's solver; what is returned for it is Euler's, whose slope it is.

    Raises
    ------
    ConfigError
        Calibrated sampling without `x0_error`.
    """
    process = config.process
    own: dict[str, Any] = {}
    if settings.sampler == "calibrated":
        if x0_error is None:
            raise ConfigError(
                "sample.sampler calibrated needs the network's error, measured once: blurcore calibrate RUN"
            )
        own["x0_error"] = x0_error
    if settings.sampler == "ancestral":
        own["variance"] = settings.variance
    if settings.sampler == "inverse_heat":
        own["delta"] = settings.delta
        own["predicts"] = "mean" if config.train.prediction == "residual" else "data"
    if settings.sampler == "ddim":
        own["eta"] = settings.eta
    if settings.sampler in ("dpm_solver_pp", "dpm_solver_sde"):
        own["order"] = settings.order
    solver: Solver = SOLVERS["euler" if settings.sampler == "ode" else settings.sampler](
        process=process, axes=axes, **own
    )
    return solver


def times_of(process: Process, settings: SampleConfig) -> tuple[float, ...]:
    """Return the times at which the settings let the sampler stop, from 1 to 0.

    Raises
    ------
    ConfigError
        The grid "log_snr" is asked for, and the process has no noise schedule with a finite, falling log-SNR.
    """
    if settings.times is not None:
        return check_times(settings.times)
    if settings.grid == "uniform":
        return uniform_times(settings.num_steps)
    if settings.grid == "quadratic":
        return quadratic_times(settings.num_steps)
    noise = getattr(process, "noise", None)
    try:
        return log_snr_times(settings.num_steps, noise)  # type: ignore[arg-type]
    except (ArgumentError, AttributeError):
        raise ConfigError(
            f"sample.grid must be uniform or quadratic for {type(process).__name__} with {noise!r}, whose log-SNR is not"
            " finite and falling; got 'log_snr'"
        ) from None
