"""Class labels and classifier-free guidance on every backend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.engine import sample_labels
from blurcore.errors import ArgumentError, ConfigError, DataError
from blurcore.runs import newest_checkpoint


@pytest.fixture
def labelled(config: bc.RunConfig) -> bc.RunConfig:
    return replace(config, model=replace(config.model, num_classes=10))


@pytest.mark.parametrize("kind", [bc.Digits, bc.MNIST])
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_belong_to_their_images(kind: Any, split: Any) -> None:
    """The mean image of a class, of the other split, recognises the images of the class far better than chance."""
    source = kind(split=split)
    data, other = source.load(), source.part("train" if split == "test" else "test").load()
    images, others = (part[:].reshape(len(part), -1).astype(float) for part in (data, other))
    labels, classes = data.labels(), other.labels()
    assert len(labels) == len(images)
    means = np.stack([others[classes == c].mean(axis=0) for c in range(10)])
    nearest = ((images[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.7


def test_labels_of_a_file_stand_beside_its_images(tmp_path: Path) -> None:
    images = np.zeros((3, 4, 4, 1), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([2, 0, 1]))
    np.savez(tmp_path / "b.npz", images=images)
    np.savez(tmp_path / "c.npz", images=images, labels=np.array([0.5, 1.0, 2.0]))
    load_from = lambda name: bc.ArrayFile(path=str(tmp_path / name)).load().labels()  # noqa: E731
    np.testing.assert_array_equal(load_from("a.npz"), [2, 0, 1])
    assert load_from("b.npz") is None
    with pytest.raises(DataError, match="must be whole numbers"):
        load_from("c.npz")
    assert bc.Photos().load().labels() is None


def test_samples_have_the_classes_that_are_asked_for(labelled: bc.RunConfig) -> None:
    settings = labelled.sample
    np.testing.assert_array_equal(sample_labels(labelled, settings, range(8, 12)), [8, 9, 0, 1])
    np.testing.assert_array_equal(sample_labels(labelled, replace(settings, label=3), range(2)), [3, 3])
    np.testing.assert_array_equal(sample_labels(labelled, replace(settings, label=3, guidance=0.0), range(2)), [10, 10])


def _with_labels_that_matter(machine: Any, config: bc.RunConfig, folder: Path) -> None:
    """Train a few steps at a rate that gives the labels, which start at zero, some weight."""
    machine.train(replace(config, train=replace(config.train, learning_rate=2e-2, steps=20)), folder)


def test_labels_are_learnt_and_the_last_one_means_none(machine: Any, labelled: bc.RunConfig, tmp_path: Path) -> None:
    config = replace(labelled, train=replace(labelled.train, label_dropout=0.0))
    _with_labels_that_matter(machine, config, tmp_path / "run")
    table = newest_checkpoint(tmp_path / "run").groups["model"]["labels.weight"]
    assert table.shape == (11, 32)
    assert np.abs(table[:10]).max(axis=1).min() > 0  # 20 batches of 8 have seen every digit
    np.testing.assert_array_equal(table[10], 0.0)  # never dropped, never moved
    machine.train(replace(labelled, train=replace(labelled.train, label_dropout=1.0, steps=6)), tmp_path / "dropped")
    table = newest_checkpoint(tmp_path / "dropped").groups["model"]["labels.weight"]
    np.testing.assert_array_equal(table[:10], 0.0)
    assert np.abs(table[10]).max() > 0


def test_guidance_is_the_formula_in_a_plain_loop(machine: Any, labelled: bc.RunConfig, tmp_path: Path) -> None:
    """w = 2, by a NumPy loop around the run's network, called with and without label."""
    _with_labels_that_matter(machine, labelled, tmp_path / "run")
    process, axes, network = labelled.process, (1, 2), machine.network(tmp_path / "run")
    settings = replace(labelled.sample, solver=bc.DDIM(), times=bc.Uniform(num_steps=4), guidance=2.0)
    noise, labels = np.random.default_rng(0).standard_normal((5, 2, 8, 8, 1)), np.array([3, 7])
    solver = bc.DDIM(process=process, axes=axes)
    state = bc.SamplerState(bc.align(process.marginal(1.0, shape=(8, 8)).sigma, ndim=4, axes=axes) * noise[0])
    for t, s in solver.stages(bc.uniform_times(4)):
        z = process.basis.inverse(state.u, axes=axes)
        with_label, without = (
            network(z, np.full(2, t), label).astype(np.float64) for label in (labels, np.array([10, 10]))
        )
        v = without + 2.0 * (with_label - without)
        state = solver.step(state, bc.predict(process, v, "v", state.u, t, axes=axes), t, s)
    expected = process.basis.inverse(state.u, axes=axes)
    got = machine.sample_from(tmp_path / "run", settings, noise, labels=labels)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    plain = machine.sample_from(tmp_path / "run", replace(settings, guidance=1.0), noise, labels=labels)
    assert np.abs(plain - expected).max() > 1e-3


def test_labelled_run_crosses_frameworks_and_resumes(
    both: tuple[Any, Any], labelled: bc.RunConfig, tmp_path: Path
) -> None:
    first, second = both
    first.train(replace(labelled, train=replace(labelled.train, steps=4)), tmp_path / "run")
    second.train(labelled, tmp_path / "run", resume=True)
    settings = replace(labelled.sample, solver=bc.DDIM(), label=3, guidance=1.5)
    noise, labels = np.random.default_rng(0).standard_normal((4, 2, 8, 8, 1)), np.array([3, 3])
    ours, theirs = (m.sample_from(tmp_path / "run", settings, noise, labels=labels) for m in both)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert first.sample(tmp_path / "run", settings).shape == (4, 8, 8, 1)
    assert second.sample(tmp_path / "run", replace(settings, guidance=0.0)).shape == (4, 8, 8, 1)


def test_labels_that_cannot_be_are_refused(
    machine: Any, config: bc.RunConfig, labelled: bc.RunConfig, tmp_path: Path
) -> None:
    few = replace(labelled, model=replace(labelled.model, num_classes=9))
    with pytest.raises(ConfigError, match=r"model\.num_classes must be at least 10, for the labels of the data; got 9"):
        machine.train(few, tmp_path / "run")
    with pytest.raises(DataError, match=r"Photos has no labels, which model\.num_classes = 10 asks for"):
        machine.train(replace(labelled, data=bc.Photos()), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"sample\.label must be from 0 to 9; got 10"):
        machine.train(replace(labelled, sample=replace(labelled.sample, label=10)), tmp_path / "run")
    with pytest.raises(ConfigError, match="need a network with classes"):
        machine.train(replace(config, sample=replace(config.sample, guidance=2.0)), tmp_path / "run")
    with pytest.raises(ArgumentError, match="guidance must be 0 or more"):
        bc.SampleConfig(guidance=-1.0)
