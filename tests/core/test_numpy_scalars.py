"""NumPy's scalars where numbers are asked for: settings hold Python's, and results are those of Python's numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import blurcore as bc
from blurcore import config, oracle
from blurcore.errors import ArgumentError
from blurcore.objectives import Denoising, Restoration
from blurcore.samplers import SOLVERS
from blurcore.schedules import BLUR_SCHEDULES, NOISE_SCHEDULES

MADE_OF_A_PROCESS = {name: cls for name, cls in SOLVERS.items() if not cls.needs_calibration}
PROCESS = bc.BlurringDiffusion()
SETTINGS = [
    *(cls() for kinds in (bc.PROCESSES, NOISE_SCHEDULES, BLUR_SCHEDULES) for cls in kinds.values()),
    *(cls(process=PROCESS) for cls in MADE_OF_A_PROCESS.values()),
    bc.CalibratedAncestral(process=PROCESS, x0_error=bc.X0Error(times=(0, 1), values=np.ones((2, 1, 1)))),
    bc.DDIM(process=PROCESS, eta=0.5),
    bc.InverseHeat(process=PROCESS, delta=0.5),
    bc.Clip(quantile=0.5),
    Denoising(process=PROCESS, levels=10),
    Restoration(process=bc.ColdDiffusion(), levels=10),
    bc.MNIST(),
    bc.Folder(path=".", image_size=(8, 8), bits=8),
    config.ModelConfig(),
    config.TrainConfig(),
    config.SampleConfig(times=bc.Given(values=(1.0, 0.5, 0.0))),
    config.RunConfig(process=PROCESS),
    config.EvaluateConfig(),
]


def kept_by_numpy(value, real):
    """Return a number, or a tuple of them, as NumPy's scalars; None where there are none."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return real(value)
    return tuple(kept_by_numpy(v, real) for v in value) if isinstance(value, tuple) and value else None


@pytest.mark.parametrize("real", [np.float64, np.float32, np.longdouble])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: type(s).__name__)
def test_settings_are_made_python_scalars(settings, real):
    given = {f.name: kept_by_numpy(getattr(settings, f.name), real) for f in dataclasses.fields(settings)}
    made = dataclasses.replace(settings, **{name: value for name, value in given.items() if value is not None})
    for name, value in given.items():
        found, meant = getattr(made, name), getattr(settings, name)
        assert type(found) is type(meant), name
        if value is not None:
            assert found == (type(meant)(value) if not isinstance(meant, tuple) else tuple(value))
        if isinstance(found, tuple):
            assert [type(v) for v in found] == [type(v) for v in meant]


def test_settings_of_others_are_written_as_python_scalars():
    """A class that keeps what it is given is read back by its dictionary."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Kept:
        width: float = 1.0

    assert bc.from_dict(bc.to_dict(Kept(width=np.float32(0.5))), Kept) == Kept(width=0.5)
    assert type(bc.to_dict(Kept(width=np.float64(0.5)))["width"]) is float
    assert type(bc.from_dict({"width": np.float64(0.5)}, Kept).width) is float


def test_process_of_numpy_scalars_travels():
    process = bc.BlurringDiffusion(
        noise=bc.LinearBeta(num_steps=np.int64(1000)), blur=bc.SinSquared(sigma_blur_max=np.linspace(0, 20, 3)[1])
    )
    assert bc.from_dict(bc.to_dict(process)) == process
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    from blurcore.diffusers import BlurringScheduler as scheduler

    assert scheduler.from_process(process, num_train_timesteps=np.int64(10)).process == process
    assert '"min_scale": 0.5' in scheduler(min_scale=np.float32(0.5)).to_json_string()


@pytest.mark.parametrize("grid", [bc.uniform_times, bc.quadratic_times, lambda n: bc.log_snr_times(n, PROCESS.noise)])
def test_number_of_steps(grid):
    assert grid(np.int64(3)) == grid(3)
    assert all(type(t) is float for t in grid(np.int64(3)))
    with pytest.raises(ArgumentError, match=r"num_steps must be a whole number >= 1; got 2\.5"):
        grid(np.float64(2.5))


@pytest.mark.no_type_checks
@pytest.mark.parametrize("shape", [np.int64(4), (np.int64(4),), [np.int32(4)], np.array([4]), 4])
def test_shapes_of_one_axis(xp, shape):
    like = xp.asarray(np.zeros(4), "float64")
    table = bc.X0Error(times=(0.0, 1.0), values=np.ones((2, 4)))
    solvers = [bc.CalibratedAncestral(process=PROCESS, x0_error=table)] + [
        cls(process=PROCESS) for cls in MADE_OF_A_PROCESS.values()
    ]

    def everything(shape):
        t, s = 0.5, 0.25
        yield from (PROCESS.marginal(t, shape=shape, like=like), PROCESS.sde(t, shape=shape, like=like))
        yield (PROCESS.log_snr(t, shape=shape, like=like),)
        yield PROCESS.difference(t, s, shape=shape, like=like)
        yield from (bc.transition(PROCESS, t, s, shape=shape), bc.posterior(PROCESS, t, s, shape=shape))
        yield (PROCESS.basis.eigenvalues(shape, like=like), *PROCESS.basis.matrices(shape, like=like))
        yield from (solver.coefficients(t, s, shape=shape, like=like) for solver in solvers)

    for got, want in zip(everything(shape), everything((4,)), strict=True):
        for a, b in zip(got, want, strict=True):
            assert (a is None and b is None) or np.array_equal(xp.to_numpy(a), xp.to_numpy(b))


@pytest.mark.parametrize("wrong", [4.0, np.float64(4), (4.0,), 0, np.int64(-1), (), "ab"])
def test_what_is_no_shape_is_refused(wrong):
    with pytest.raises(ArgumentError, match=r"shape must be a tuple of sizes >= 1"):
        PROCESS.marginal(0.5, shape=wrong)


@pytest.mark.no_type_checks
def test_axes_of_numpy_integers():
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    for axes in ((np.int64(-2), np.int64(-1)), np.array([-2, -1])):
        assert np.array_equal(bc.DCT().forward(x, axes=axes), bc.DCT().forward(x))
    assert np.array_equal(bc.DCT().forward(x, axes=np.int64(1)), bc.DCT().forward(x, axes=1))
    with pytest.raises(ArgumentError, match="axes must be in"):
        bc.DCT().forward(x, axes=1.0)


@pytest.mark.parametrize("number", [float, np.float64, np.float32, np.longdouble, np.int64])
def test_means_and_variances_that_are_numbers(xp, number):
    u = xp.asarray(np.ones((2, 4, 4)))
    m = bc.marginal_for(PROCESS, 0.5, u)
    got = oracle.gaussian_denoiser(u, mean=number(2), variance=number(3), marginal=m)
    want = oracle.gaussian_denoiser(u, mean=2.0, variance=3.0, marginal=m)
    assert np.array_equal(xp.to_numpy(got), xp.to_numpy(want))
    wide = oracle.gaussian_variance(variance=number(3), marginal=m)
    assert np.array_equal(xp.to_numpy(wide), xp.to_numpy(oracle.gaussian_variance(variance=3.0, marginal=m)))
    for call in (lambda v: oracle.gaussian_denoiser(u, mean=0.0, variance=v, marginal=m), None):
        with pytest.raises(ArgumentError, match=r"variance must be 0 or more; got -1"):
            call(number(-1)) if call else oracle.gaussian_variance(variance=number(-1), marginal=m)
