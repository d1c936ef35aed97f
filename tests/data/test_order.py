from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blurcore.data import Order, apply_flips, flips, permutation
from blurcore.data import order as order_module
from blurcore.errors import ArgumentError

sizes = st.integers(1, 40)
seeds = st.integers(0, 2**70)


@given(num_items=sizes, seed=seeds, epoch=st.integers(0, 2**40))
def test_permutation_holds_each_index_once(num_items, seed, epoch):
    found = permutation(num_items, seed, epoch)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(np.sort(found), np.arange(num_items))


@given(num_items=sizes, batch_size=sizes, seed=seeds, step=st.integers(0, 200))
def test_batch_follows_the_formula_of_its_positions(num_items, batch_size, seed, step):
    found = Order(num_items, batch_size, seed).batch(step)
    expected = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        expected.append(permutation(num_items, seed, position // num_items)[position % num_items])
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)


@given(num_items=sizes, batch_size=sizes, seed=seeds, num_epochs=st.integers(1, 4))
def test_batches_hold_each_image_once_in_each_epoch(num_items, batch_size, seed, num_epochs):
    steps = -(-num_items * num_epochs // batch_size)
    stream = np.concatenate([Order(num_items, batch_size, seed).batch(step) for step in range(steps)])
    for epoch in range(num_epochs):
        part = stream[epoch * num_items : (epoch + 1) * num_items]
        np.testing.assert_array_equal(np.sort(part), np.arange(num_items))


@given(num_items=sizes, batch_size=sizes, seed=seeds, steps=st.lists(st.integers(0, 50), max_size=12))
def test_order_does_not_depend_on_the_steps_before(num_items, batch_size, seed, steps):
    order = Order(num_items, batch_size, seed)
    for step in steps:
        np.testing.assert_array_equal(order.batch(step), Order(num_items, batch_size, seed).batch(step))


@given(seed=seeds, num_items=sizes, parts=st.integers(1, 5), step=st.integers(0, 20))
def test_order_of_images_does_not_depend_on_the_batch_size(seed, num_items, parts, step):
    whole = Order(num_items, 4 * parts, seed).batch(step)
    split = [Order(num_items, 4, seed).batch(step * parts + part) for part in range(parts)]
    np.testing.assert_array_equal(whole, np.concatenate(split))


def test_order_of_one_image_repeats_it():
    np.testing.assert_array_equal(Order(1, 5, 0).batch(3), np.zeros(5))


def test_order_computes_each_epoch_once(monkeypatch):
    calls = []
    real = order_module.permutation
    monkeypatch.setattr(order_module, "permutation", lambda *args: calls.append(args[2]) or real(*args))
    order = Order(num_items=10, batch_size=4, seed=1)
    for step in range(10):  # positions 0..39: four epochs
        order.batch(step)
    assert calls == [0, 1, 2, 3]


def test_permutation_differs_between_epochs_and_seeds():
    base = permutation(1000, 0, 0)
    for seed, epoch in [(0, 1), (1, 0), (2**32, 0), (0, 2**32)]:
        assert not np.array_equal(base, permutation(1000, seed, epoch))


def test_permutation_is_the_same_for_ever():
    """A resumed run depends on it: written down once, from PCG64's raw stream."""
    assert permutation(8, 0, 0).tolist() == [7, 2, 0, 4, 3, 5, 6, 1]
    assert permutation(8, 123, 4).tolist() == [7, 0, 3, 1, 4, 2, 5, 6]
    assert flips(7, 3, 12).astype(int).tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1]


def test_permutation_moves_each_image_to_each_place_equally_often():
    places = np.stack([permutation(5, 0, epoch) for epoch in range(4000)])
    counts = np.stack([(places == image).sum(axis=0) for image in range(5)])
    assert np.abs(counts - 800).max() < 5 * np.sqrt(4000 * 0.2 * 0.8)


def test_flips_are_fair_and_independent_of_the_batch_size():
    long = flips(3, 5, 10_000)
    assert long.dtype == np.bool_
    assert abs(int(long.sum()) - 5000) < 5 * 50
    np.testing.assert_array_equal(flips(3, 5, 64), long[:64])


def test_flips_differ_between_steps_seeds_and_the_order():
    base = flips(3, 5, 256)
    for other in (flips(3, 6, 256), flips(4, 5, 256)):
        assert 64 < int((base != other).sum()) < 192
    order_bits = order_module._raw(3, order_module._ORDER, 5, 256) >> np.uint64(63)
    assert not np.array_equal(base, order_bits.astype(bool))


def test_apply_flips_mirrors_the_chosen_images_left_to_right():
    images = np.arange(2 * 2 * 3 * 1, dtype=np.uint8).reshape(2, 2, 3, 1)
    before = images.copy()
    found = apply_flips(images, np.asarray([False, True]))
    np.testing.assert_array_equal(found[0], before[0])
    np.testing.assert_array_equal(found[1], before[1][:, ::-1])
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(apply_flips(found, np.asarray([False, True])), images)


def test_apply_flips_refuses_shapes_that_do_not_fit():
    with pytest.raises(ArgumentError, match=r"images must be of shape \(n, H, W, C\); got \(2, 2, 1\)"):
        apply_flips(np.zeros((2, 2, 1), dtype=np.uint8), np.zeros(2, dtype=bool))
    with pytest.raises(ArgumentError, match="mask must be of shape"):
        apply_flips(np.zeros((2, 2, 2, 1), dtype=np.uint8), np.zeros(3, dtype=bool))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_items": 0}, "num_items must be an integer, 1 or more; got 0"),
        ({"batch_size": 0}, "batch_size must be an integer, 1 or more; got 0"),
        ({"step": -1}, "step must be an integer, 0 or more; got -1"),
        ({"seed": -1}, "seed must be an integer, 0 or more; got -1"),
        ({"seed": 1.5}, "seed must be an integer, 0 or more; got 1.5"),
        ({"step": True}, "step must be an integer, 0 or more; got True"),
    ],
)
def test_order_refuses_what_is_no_count(changed, message):
    step, given = changed.get("step", 0), {name: value for name, value in changed.items() if name != "step"}
    with pytest.raises(ArgumentError, match=message):
        Order(**{"num_items": 4, "batch_size": 2, "seed": 0} | given).batch(step)


def test_permutation_refuses_a_negative_epoch():
    with pytest.raises(ArgumentError, match="epoch must be an integer, 0 or more; got -1"):
        permutation(4, 0, -1)


def test_flips_refuse_an_empty_batch():
    with pytest.raises(ArgumentError, match="batch_size must be an integer, 1 or more; got 0"):
        flips(0, 0, 0)
