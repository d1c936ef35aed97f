from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blurcore.data import ArrayDataset, Dataset, dataset, levels
from blurcore.errors import ArgumentError

IMAGES = np.random.default_rng(0).integers(0, 256, size=(7, 4, 5, 3), dtype=np.uint8)


@given(st.lists(st.integers(-7, 6), max_size=12))
def test_dataset_is_indexed_as_numpy_is(indices):
    data = ArrayDataset(IMAGES)
    np.testing.assert_array_equal(data[np.asarray(indices, dtype=np.int64)], IMAGES[np.asarray(indices, dtype=int)])


@pytest.mark.parametrize("chosen", [slice(None), slice(2, 5), slice(None, None, -2), slice(9, 12), slice(-3, None)])
def test_dataset_is_sliced_as_numpy_is(chosen):
    np.testing.assert_array_equal(ArrayDataset(IMAGES)[chosen], IMAGES[chosen])


@pytest.mark.parametrize("index", [0, 6, -1, -7, np.int32(3), np.uint8(2)])
def test_dataset_gives_one_image_for_an_integer(index):
    found = ArrayDataset(IMAGES)[index]
    assert found.shape == (4, 5, 3)
    np.testing.assert_array_equal(found, IMAGES[index])


def test_dataset_gives_copies():
    data = ArrayDataset(IMAGES.copy())
    for chosen in (0, slice(None), np.asarray([0, 1])):
        data[chosen][...] = 0
    np.testing.assert_array_equal(data[:], IMAGES)


def test_dataset_is_a_sequence():
    data = ArrayDataset(IMAGES, name="mine", source="a test")
    assert isinstance(data, Dataset)
    assert (len(data), data.name, data.source) == (7, "mine", "a test")
    np.testing.assert_array_equal(np.stack(list(data)), IMAGES)


@pytest.mark.parametrize("index", [7, -8, np.asarray([0, 7]), np.asarray([-8])])
def test_dataset_refuses_indices_out_of_range(index):
    with pytest.raises(IndexError, match=r"index (7|-8) is out of range for 7 images"):
        ArrayDataset(IMAGES)[index]


@pytest.mark.parametrize(
    "index", [1.0, True, "0", None, np.asarray([True] * 7), np.asarray([0.0]), np.asarray([[0, 1]])]
)
def test_dataset_refuses_what_is_no_index(index):
    with pytest.raises(ArgumentError, match="indices must be an integer, a slice or a one-dimensional array"):
        ArrayDataset(IMAGES)[index]


@pytest.mark.parametrize(
    "images",
    [
        IMAGES.astype(np.float32),
        IMAGES[0, 0],
        IMAGES[..., :2],
        IMAGES[:0],
    ],
)
def test_dataset_refuses_what_is_no_array_of_images(images):
    with pytest.raises(ArgumentError, match=r"images must be uint8 of shape \(n, H, W, C\), not empty"):
        ArrayDataset(images)


def test_dataset_refuses_two_channels():
    with pytest.raises(ArgumentError, match=r"channels must be 1 \(grey\), 3 \(RGB\) or None; got 2"):
        ArrayDataset(IMAGES, channels=2)


@pytest.mark.parametrize("size", [(8, 6), None])
@pytest.mark.parametrize("channels", [1, None])
def test_dataset_too_large_for_memory_is_converted_on_access(size, channels, monkeypatch):
    eager = ArrayDataset(IMAGES, image_size=size, channels=channels)
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 10)
    lazy = ArrayDataset(IMAGES, image_size=size, channels=channels)
    assert lazy._images is IMAGES
    assert lazy.image_shape == eager.image_shape
    assert lazy.fingerprint == eager.fingerprint
    np.testing.assert_array_equal(lazy[:], eager[:])
    np.testing.assert_array_equal(lazy[2], eager[2])
    assert lazy[:0].shape == (0, *eager.image_shape)


def test_fingerprint_changes_with_one_pixel_the_shape_and_the_number():
    changed = IMAGES.copy()
    changed[6, 3, 4, 2] ^= 1
    sets = [IMAGES, changed, IMAGES[:6], np.ascontiguousarray(IMAGES.transpose(0, 2, 1, 3)), IMAGES.reshape(7, 5, 4, 3)]
    assert len({ArrayDataset(images).fingerprint for images in sets}) == len(sets)


def test_fingerprint_does_not_depend_on_the_memory_layout():
    fortran = np.asfortranarray(IMAGES)
    assert ArrayDataset(fortran).fingerprint == ArrayDataset(IMAGES).fingerprint


def test_fingerprint_of_a_large_array_sees_its_ends(monkeypatch):
    monkeypatch.setattr(levels, "FULL_HASH_LIMIT", 0)
    monkeypatch.setattr(levels, "SAMPLED_IMAGES", 3)
    base = ArrayDataset(IMAGES).fingerprint
    for image, seen in [(0, True), (3, True), (6, True), (1, False)]:
        changed = IMAGES.copy()
        changed[image, 0, 0, 0] ^= 1
        assert (ArrayDataset(changed).fingerprint != base) is seen
