"""What networks are trained to say, held to dense matrices, and what clipping does."""

from __future__ import annotations

from typing import Any

import blurcore_reference.oracle as oracle
import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError
from blurcore.objectives import path_for
from blurcore.testing.assertions import assert_close, tolerance

SHAPE = (6, 5)
LEVELS = 7
HEAT = bc.HeatDissipation(blur=bc.LogLinear(sigma_blur_max=4.0, num_levels=LEVELS))
COLD = bc.ColdDiffusion(blur=bc.LogLinear(sigma_blur_max=4.0, num_levels=LEVELS))
RNG = np.random.default_rng(4)


def _blurred(process: bc.Process, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Blur images (batch, 1, H, W) by dense matrices."""
    settings = bc.to_dict(process)
    rows = [
        oracle.marginal_dense(settings, float(time), SHAPE)[0] @ image.ravel() for time, image in zip(t, x, strict=True)
    ]
    return np.stack(rows).reshape(x.shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_heat_reversal_asks_for_the_way_back_by_one_level(xp: Any, dtype: str) -> None:
    objective = bc.HeatReversal(process=HEAT)
    x, noise = RNG.uniform(-1, 1, (LEVELS, 1, *SHAPE)), RNG.standard_normal((LEVELS, 1, *SHAPE))
    k = np.arange(1, LEVELS + 1)
    pair = objective.pair(xp.asarray(x, dtype), xp.asarray(k / LEVELS, dtype), xp.asarray(noise, dtype), axes=(-2, -1))
    seen = _blurred(HEAT, x, k / LEVELS) + HEAT.sigma * noise
    # t = k / K is rounded; the blur's exponent, up to 37 here where anything is left, multiplies that
    atol = tolerance(dtype, roundings=64, condition=10.0)
    assert_close(pair.z, seen, like=xp.asarray(x, dtype), rtol=0.0, atol=atol)
    assert_close(
        pair.target, _blurred(HEAT, x, (k - 1) / LEVELS) - seen, like=xp.asarray(x, dtype), rtol=0.0, atol=atol
    )


def test_heat_reversal_is_summed_over_dimensions_and_restoration_is_a_mean_of_absolutes(xp: Any) -> None:
    said, wanted = (RNG.standard_normal((3, 1, *SHAPE)) for _ in range(2))
    arrays = xp.asarray(said, "float64"), xp.asarray(wanted, "float64")
    rtol = tolerance("float64", roundings=64)
    squares = ((said - wanted) ** 2).sum(axis=(1, 2, 3))
    assert_close(bc.HeatReversal(process=HEAT).loss(*arrays), squares, like=arrays[0], rtol=rtol)
    assert_close(
        bc.Restoration(process=COLD).loss(*arrays),
        np.abs(said - wanted).mean(axis=(1, 2, 3)),
        like=arrays[0],
        rtol=rtol,
    )


def test_restoration_shows_blurred_data_and_wants_the_data(xp: Any) -> None:
    x, t = RNG.uniform(-1, 1, (3, 1, *SHAPE)), np.array([0.2, 0.5, 1.0])
    data = xp.asarray(x, "float64")
    pair = bc.Restoration(process=COLD).pair(data, xp.asarray(t, "float64"), 0 * data + 9.0, axes=(-2, -1))
    assert_close(
        pair.z, _blurred(COLD, x, t), like=data, rtol=0.0, atol=tolerance("float64", roundings=64, condition=10.0)
    )
    assert pair.target is data


@pytest.mark.parametrize(
    "objective",
    [
        bc.HeatReversal(process=HEAT),
        bc.Restoration(process=COLD, levels=LEVELS),
        bc.Denoising(process=HEAT, levels=LEVELS),
    ],
)
def test_every_level_from_1_to_the_last_is_trained_as_often(xp: Any, objective: Any) -> None:
    """Their code never trains level K, at which sampling starts, and has no use for level 0."""
    uniform = (np.arange(20 * LEVELS) + 0.5) / (20 * LEVELS)
    times = xp.to_numpy(objective.times(xp.asarray(uniform, "float64")))
    levels, counts = np.unique(np.round(times * LEVELS).astype(int), return_counts=True)
    np.testing.assert_array_equal(levels, np.arange(1, LEVELS + 1))
    np.testing.assert_array_equal(counts, 20)
    edge = xp.to_numpy(
        bc.Denoising(process=HEAT, levels=LEVELS, spread="uniform").times(xp.asarray([0.0, 1 - 2.0**-24]))
    )
    np.testing.assert_allclose(edge, [1 / LEVELS, 1.0], rtol=1e-7)


def test_step_back_with_a_perfect_network_is_a_level_less_blurred(xp: Any) -> None:
    objective, solver = bc.HeatReversal(process=HEAT), bc.InverseHeat(process=HEAT, predicts="mean")
    x = RNG.uniform(-1, 1, (1, 1, *SHAPE))
    t, s = 3 / LEVELS, 2 / LEVELS
    data, zero = xp.asarray(x, "float64"), xp.asarray(0 * x, "float64")
    pair = objective.pair(data, xp.asarray([t], "float64"), zero, axes=(-2, -1))
    u = HEAT.basis.forward(pair.z)
    said = objective.predict(path_for(objective, t, u, axes=(-2, -1)), pair.target, u, axes=(-2, -1))
    after = HEAT.basis.inverse(solver.step(bc.SamplerState(u), said, t, s).u)
    assert_close(
        after,
        _blurred(HEAT, x, np.array([s])),
        like=data,
        rtol=0.0,
        atol=tolerance("float64", roundings=64, condition=10.0),
    )


def test_heat_reversal_needs_levels() -> None:
    with pytest.raises(ArgumentError, match=r"process\.blur must have num_levels"):
        bc.HeatReversal(process=bc.HeatDissipation(blur=bc.SinSquared()))


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_dynamic_thresholding_divides_by_a_quantile_where_it_is_above_1(xp: Any, low: float) -> None:
    """Against NumPy's own quantile; the second sample stays inside and is left alone."""
    x = RNG.standard_normal((2, 1, *SHAPE)) * np.array([2.0, 0.1]).reshape(2, 1, 1, 1)
    half, middle = (1 - low) / 2, (1 + low) / 2
    data = xp.asarray(middle + half * x, "float64")
    limit = max(1.0, np.quantile(np.abs(x[0]), 0.9))
    expected = np.stack([np.clip(x[0], -limit, limit) / limit, x[1]])
    clip = bc.Clip(low=low, quantile=0.9)
    rtol = tolerance("float64", roundings=16)
    assert_close(clip.data(data), middle + half * expected, like=data, rtol=0.0, atol=rtol)
    assert limit > 1.2
    assert_close(bc.Clip(low=low).data(data), np.clip(middle + half * x, low, 1.0), like=data, rtol=0.0, atol=rtol)


def test_clip_refuses_ranges_and_quantiles_that_are_none() -> None:
    with pytest.raises(ArgumentError, match="low must be below high"):
        bc.Clip(low=1.0, high=1.0)
    with pytest.raises(ArgumentError, match="quantile must be None, or in"):
        bc.Clip(quantile=0.0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("spread", ["uniform", "low_discrepancy"])
def test_every_level_is_drawn_in_half_precision(torch: Any, dtype: str, spread: Any) -> None:
    heat = bc.HeatReversal(process=bc.HeatDissipation(), spread=spread)
    uniform = (torch.arange(256, dtype=torch.float32) / 256).to(
        getattr(torch, dtype)
    )  # all of bfloat16's that `rand` draws
    batches = [uniform[i].reshape(1).expand(200) for i in range(256)] if spread == "low_discrepancy" else [uniform]
    for objective, levels in (
        (heat, 200),
        (bc.Denoising(process=bc.BlurringDiffusion(), spread=spread, levels=100), 100),
    ):
        drawn = torch.cat([objective.times(batch) for batch in batches])
        counts = np.bincount(np.round(drawn.double().numpy() * levels).astype(int), minlength=levels + 1)
        assert counts[0] == 0
        assert counts[1:].min() > 0
