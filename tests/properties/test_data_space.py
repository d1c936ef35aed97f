"""Noisy data, and steps in data space, agree with full matrices over all pixels."""

import numpy as np
from blurcore_reference import oracle
from hypothesis import given
from hypothesis import strategies as st

import blurcore as bc
from blurcore.testing import strategies as bst
from blurcore.testing.assertions import EPSILON, assert_close

# What one product with a matrix over P pixels may be off by, in units of eps |x| (see test_transforms.py): 2 P + 8 for
# forward and inverse, as much again for the reference, which multiplies three such matrices first.
PASSES = 6


def pixels(x, layout):
    """Bring the grid axes, in their order, to the end and stack them: (..., P)."""
    moved = np.moveaxis(x, layout.axes, range(-len(layout.grid), 0))
    return moved.reshape(*moved.shape[: -len(layout.grid)], -1)


def unpixels(rows, layout):
    shape = [n for i, n in enumerate(layout.shape) if i not in {a % len(layout.shape) for a in layout.axes}]
    return np.moveaxis(rows.reshape(*shape, *layout.grid), range(-len(layout.grid), 0), layout.axes)


@given(st.data())
def test_diffuse_agrees_with_the_matrix_of_the_blur(xp, data):
    process, layout = data.draw(bst.processes()), data.draw(bst.layouts(max_axes=2, max_points=20))
    dtype = data.draw(st.sampled_from(("float32", "float64")))
    x, eps = data.draw(bst.data(layout.shape)), data.draw(bst.data(layout.shape))
    rank = data.draw(st.integers(0, layout.num_batch))
    shape = tuple(data.draw(st.sampled_from((1, n))) for n in layout.shape[:rank])
    t = np.array([data.draw(bst.times()) for _ in range(int(np.prod(shape)))]).reshape(shape)
    given_t = float(t) if rank == 0 and data.draw(st.booleans()) else xp.asarray(t, dtype)
    actual = bc.diffuse(process, xp.asarray(x, dtype), given_t, xp.asarray(eps, dtype), axes=layout.axes)

    settings, desired, roots = bc.to_dict(process), np.empty(layout.shape), np.empty(layout.shape)
    noise = np.empty(layout.shape)
    for index in np.ndindex(*layout.shape[:rank]):
        time = float(np.broadcast_to(t, layout.shape[:rank])[index])
        inner = bst.Layout(layout.shape[rank:], tuple(a % x.ndim - rank for a in layout.axes), layout.grid, 0)
        matrix, covariance = oracle.marginal_dense(settings, time, layout.grid)
        rows = pixels(x[index], inner) @ matrix.T + np.sqrt(covariance[0, 0]) * pixels(eps[index], inner)
        desired[index] = unpixels(rows, inner)
        noise[index] = max(1.0, np.sqrt(covariance[0, 0])) * np.abs(eps[index])
        # the oracle's variance is a difference from 1 (linear betas), of which it takes the root
        unit = 8 * EPSILON["float64"]
        roots[index] = min(unit / max(np.sqrt(covariance[0, 0]), 1e-300), np.sqrt(unit))
    length = np.sqrt(np.sum(x**2, axis=layout.axes, keepdims=True))
    points = int(np.prod(layout.grid))
    # alpha and sigma are rounded once (one unit each, at most), the sum and the product once more
    atol = EPSILON[dtype] * (PASSES * (points + 8) * length + 4 * noise) + roots * np.abs(eps)
    atol = atol + truncation(process) * (
        length + np.abs(eps) / process.noise.beta_start**0.5 if truncation(process) else 0.0
    )
    assert_close(actual, desired, like=xp.asarray(x, dtype), rtol=0.0, atol=atol)


def truncation(process):
    """Return how far linear betas may miss the product at their steps, which the oracle takes there: the next term."""
    if not isinstance(getattr(process, "noise", None), bc.LinearBeta):
        return 0.0
    noise = process.noise
    p = (noise.beta_end - noise.beta_start) / (noise.num_steps - 1) / (1 - noise.beta_end)
    return 127 / 154828800 * 720 * p**7


@given(st.data())
def test_transition_in_data_space_agrees_with_its_full_matrices(xp, data):
    process, shape = data.draw(bst.processes()), data.draw(bst.grid_shapes(max_axes=2, max_points=16))
    t, s = data.draw(bst.times()), data.draw(bst.times())
    t, s = max(t, s), min(t, s)
    matrix, covariance = oracle.transition_dense(bc.to_dict(process), t, s, shape)
    points = int(np.prod(shape))
    step = bc.transition(process, t, s, shape=shape, like=xp.asarray([0.0], "float64"))
    unit = xp.asarray(np.eye(points).reshape(points, *shape), "float64")
    axes = tuple(range(1, 1 + len(shape)))

    def in_data_space(coefficient):
        return process.basis.inverse(coefficient[None, ...] * process.basis.forward(unit, axes=axes), axes=axes)

    # unit vectors have length 1; the oracle's variance is a difference of variances, of the size of sigma_t^2; its
    # alpha_{t|s} is the exponential of a difference of logs, which late in a process are thousands each, and have the
    # condition tan(angle) <= 1 / a_t of the cosine schedule's log a_t; alpha_t of the lowest frequency is at most a_t
    late, early = (oracle.log_alpha(bc.to_dict(process), time, shape) for time in (t, s))
    logs = np.max(np.exp(late - early) * (np.abs(late) + np.abs(early) + 8 * np.exp(min(-late.max(), 20.0))))
    atol = EPSILON["float64"] * (PASSES * (points + 8) + 128 + 2 * logs) + 4 * truncation(process)
    largest = max(1.0, oracle.noise_levels(bc.to_dict(process), t)[1] ** 2)
    for got, want, scale in ((step.alpha, matrix, 1.0), (step.variance, covariance, largest)):
        rows = xp.to_numpy(in_data_space(xp.xp.broadcast_to(got, shape))).reshape(points, points)
        assert_close(rows, want.T, rtol=0.0, atol=scale * atol)
