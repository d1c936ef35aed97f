"""Signals and volumes through the same trainer and samplers as images, on every backend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.data import as_images
from blurcore.errors import ArgumentError
from blurcore.runs import newest_checkpoint

SETS = {bc.Membrane(): (64, 1), bc.Brain(): (8, 16, 16, 1)}
NETWORK = bc.ModelConfig(
    base_channels=8, channel_multipliers=(1,), num_res_blocks=1, attention_levels=(), dropout=0.0, norm_groups=4
)


@pytest.fixture(params=list(SETS))
def signal(request: pytest.FixtureRequest, config: bc.RunConfig) -> bc.RunConfig:
    return replace(config, data=request.param, model=NETWORK, sample=replace(config.sample, solver=bc.DDIM()))


def test_signals_and_volumes_train_sample_resume_and_cross_frameworks(
    both: tuple[Any, Any], signal: bc.RunConfig, tmp_path: Path
) -> None:
    """One framework trains, the other goes on, both give the same samples from the same noise."""
    first, second = both
    shape = SETS[signal.data]
    signal = replace(signal, train=replace(signal.train, learning_rate=1e-2, sample_every=4))
    first.train(replace(signal, train=replace(signal.train, steps=4)), tmp_path / "run")
    second.train(signal, tmp_path / "run", resume=True)
    assert tuple(newest_checkpoint(tmp_path / "run").state["image_shape"]) == shape
    noise = np.random.default_rng(0).standard_normal((4, 2, *shape))
    ours, theirs = (machine.sample_from(tmp_path / "run", signal.sample, noise) for machine in both)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    for machine in both:
        images = machine.sample(tmp_path / "run", signal.sample)
        assert images.shape == (4, *shape)
        assert images.dtype == np.uint8
    assert (tmp_path / "run" / "samples" / "step-00000004.png").exists()


@pytest.mark.parametrize(("dims", "shape"), [(1, (12, 3)), (3, (4, 4, 8, 2))])
def test_network_agrees_between_frameworks_with_patches_and_any_number_of_channels(
    both: tuple[Any, Any], config: bc.RunConfig, tmp_path: Path, dims: Any, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "own.npy", rng.integers(0, 256, (16, *shape), dtype=np.uint8))
    own = replace(
        config,
        data=bc.ArrayFile(path=str(tmp_path / "own.npy"), dims=dims),
        model=replace(NETWORK, patch_size=2, channel_multipliers=(1, 2), attention_levels=(1,), num_heads=2),
        train=replace(config.train, steps=4, learning_rate=2e-2),
    )
    both[0].train(own, tmp_path / "run")
    z, t = rng.standard_normal((3, *shape)), np.array([0.0, 0.4, 1.0])
    ours, theirs = (machine.network(tmp_path / "run")(z, t) for machine in both)
    assert ours.shape == z.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_grid_that_does_not_halve_is_refused_with_one_that_does(
    machine: Any, signal: bc.RunConfig, tmp_path: Path
) -> None:
    deep = replace(signal, model=replace(NETWORK, channel_multipliers=(1,) * 8, attention_levels=()))
    with pytest.raises(ArgumentError, match=r"must be multiples of 128"):
        machine.train(deep, tmp_path / "run")


def test_signals_are_drawn_as_curves_and_volumes_as_rows_of_slices(tmp_path: Path) -> None:
    signals = np.zeros((2, 8, 1), np.uint8)
    signals[1] = 255
    images, columns = as_images(signals)
    assert (images.shape, columns) == ((2, 64, 16, 1), None)
    assert [np.flatnonzero(image[..., 0].min(axis=1) == 0).tolist() for image in images] == [[63], [0]]
    volumes = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4, 1), dtype=np.uint8)
    images, columns = as_images(volumes)
    assert columns == 3
    np.testing.assert_array_equal(images, volumes.reshape(6, 5, 4, 1))
    bc.data.save_samples(volumes, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (3 * 4 + 4 * 2, 2 * 5 + 3 * 2)


def test_embedded_sets_of_signals_and_volumes_have_their_shapes() -> None:
    assert {source: source.load().image_shape for source in SETS} == SETS
