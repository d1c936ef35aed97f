"""examples/hackable_corruption.py: what hackable_diffusion asks of a corruption process, without the library.

It needs Python 3.12 and is not installed where this runs. Its `GaussianProcess` computes, in data space, what is written out here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blurcore as bc

jax: Any = pytest.importorskip("jax")
adapter: Any = pytest.importorskip("hackable_corruption")


def data(shape: tuple[int, ...] = (3, 6, 8, 2)) -> Any:
    return jax.numpy.asarray(np.random.default_rng(0).uniform(-1, 1, shape), dtype=jax.numpy.float32)


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1, 1)], ids=str)
def test_without_blur_it_is_their_gaussian_process(shape):
    """x_t = alpha x0 + sigma eps; targets x0, eps, -eps / sigma, alpha eps - sigma x0."""
    process = adapter.FrequencyProcess(process=bc.GaussianDiffusion())
    x0, time, key = data(), jax.numpy.asarray([0.2, 0.5, 0.8]).reshape(shape), jax.random.key(1)
    eps = process.sample_from_invariant(key, x0)
    alpha, sigma = (np.asarray(c).reshape(3, 1, 1, 1) for c in bc.CosineLogSNR().scales(time.reshape(-1)))
    xt, targets = process.corrupt(key, x0, time)
    np.testing.assert_allclose(xt, alpha * x0 + sigma * eps, atol=1e-5)
    expected = {"x0": x0, "epsilon": eps, "score": -eps / sigma, "v": alpha * eps - sigma * x0}
    assert targets.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(targets[name], value, atol=1e-5, err_msg=name)
    info = process.get_schedule_info(time)
    np.testing.assert_allclose(info["alpha"].reshape(-1), alpha.reshape(-1), atol=1e-6)
    np.testing.assert_allclose(info["logsnr"].reshape(-1), 2 * np.log(alpha / sigma).reshape(-1), atol=1e-4)
    assert info["time"].shape == info["sigma"].shape == time.shape


@pytest.mark.parametrize("source", ["x0", "epsilon", "score", "v"])
def test_with_blur_any_target_gives_all_the_others(source):
    process = adapter.FrequencyProcess()
    x0, time = data(), jax.numpy.asarray([0.05, 0.15, 0.25])
    xt, targets = jax.jit(process.corrupt)(jax.random.key(1), x0, time)
    np.testing.assert_allclose(
        xt, bc.diffuse(bc.BlurringDiffusion(), x0, time, targets["epsilon"], axes=(1, 2)), atol=1e-5
    )
    found = jax.jit(process.convert_predictions)({source: targets[source]}, xt, time)
    for name, value in targets.items():
        # float32, divided by an alpha of 4e-3 at least (lambda = 18, t = 0.25) and a sigma of 0.08.
        np.testing.assert_allclose(found[name], value, atol=2e-3, rtol=1e-4, err_msg=name)
