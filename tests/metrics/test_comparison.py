"""All metrics of two sets of images in one call."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from blurcore.data import ArrayDataset
from blurcore.errors import ArgumentError
from blurcore.metrics import (
    InceptionFeatures,
    View,
    band_power,
    check_metrics,
    compare,
    frechet_distance,
    get_features,
    kid,
    observe,
    precision_recall,
    spectrum_distance,
)
from blurcore.metrics import inception as inception_module


def pictures(seed: int, count: int, shape: tuple[int, ...] = (6, 6, 1)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_comparison_has_every_metric_of_the_features_and_of_the_spectrum():
    one, other = pictures(0, 300), pictures(1, 280) // 2  # more than one batch
    found = compare(one, ArrayDataset(other), features="dct")
    x, y = map(get_features("dct"), (one, other))
    shares = precision_recall(x, y)
    expected = {
        "frechet_distance": frechet_distance(x, y),
        "kid": kid(x, y),
        "precision": shares.precision,
        "recall": shares.recall,
        "spectrum_distance": spectrum_distance(band_power(one), band_power(other)),
    }
    assert {name: estimate.value for name, estimate in found.items()} == pytest.approx(expected, rel=1e-9)
    assert all(estimate.low is estimate.high is None for estimate in found.values())


def test_comparison_of_a_set_with_itself_in_another_order_finds_nothing():
    images = pictures(0, 60, (7, 5, 3))
    found = compare(images, images[::-1])
    assert (found["precision"].value, found["recall"].value) == (1, 1)
    for name in ("frechet_distance", "kid", "spectrum_distance"):
        assert abs(found[name].value) < 1e-6


@pytest.mark.parametrize("shape", [(16, 2), (4, 5, 3, 1)])
def test_comparison_is_of_grids_with_any_number_of_axes(shape):
    dull = 85 + pictures(1, 60, shape) // 3  # a third of the contrast around the same grey
    found = compare(pictures(0, 60, shape), dull, metrics=["spectrum", "frechet"])
    assert list(found) == ["frechet_distance", "spectrum_distance"]
    assert found["spectrum_distance"].value == pytest.approx(20 * np.log10(3), abs=0.5)  # 60 images' chance


def test_intervals_hold_the_estimates_follow_from_the_seed_and_shrink_with_more_images():
    def width(count: int, seed: int = 0) -> dict[str, tuple[float, float, float]]:
        return compare(pictures(0, count), pictures(1, count) // 2, features="dct", bootstrap=40, seed=seed)

    few, again, other, many = width(60), width(60), width(60, 1), width(500)
    assert few == again
    assert few != other
    assert all(low <= value <= high for value, low, high in (*few.values(), *many.values()))
    for name in ("frechet_distance", "kid", "spectrum_distance"):
        assert many[name].high - many[name].low < 0.7 * (few[name].high - few[name].low)


def test_frechet_distance_is_called_fid_with_inceptions_own_weights_alone(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    monkeypatch.setattr(inception_module, "SHA256", hashlib.sha256(b"weights").hexdigest())
    one, other = pictures(0, 9), pictures(1, 9)
    network = InceptionFeatures(path, lambda path: lambda images: images[:, :2, 0, 0].astype(float))
    assert set(compare(one, other, features=network, metrics=["frechet"])) == {"fid"}

    class Pretender:
        name = "inception"

        def __call__(self, images):
            return images[:, :2, 0, 0]

    assert set(compare(one, other, features=Pretender(), metrics=["frechet"])) == {"frechet_distance"}


@pytest.mark.parametrize(
    ("counts", "settings", "words"),
    [
        ((36, 60), {}, r"Frechet distance needs at least 37 images.*36 dimensions.*got 36 samples and 60 references"),
        (
            (60, 3),
            {"metrics": ["precision_recall"]},
            "precision and recall needs at least 4 images.*got 60 samples and 3",
        ),
        ((1, 3), {"metrics": ["kid"]}, "KID needs at least 2 images.*got 1 samples"),
        ((0, 3), {"metrics": ["spectrum"]}, "images must hold at least one image; got none"),
        (
            (60, 60),
            {"metrics": ["kid", "fid"]},
            "metrics must be some of frechet, kid, precision_recall, spectrum; got 'kid,fid'",
        ),
        ((60, 60), {"metrics": []}, "metrics must be some of"),
        ((60, 60), {"bootstrap": 1}, "bootstrap must be 0 or at least 2; got 1"),
        ((60, 60), {"bootstrap": -2}, "bootstrap must be 0 or at least 2; got -2"),
        ((60, 60), {"seed": -1}, "seed must be 0 or more; got -1"),
        ((60, 60), {"neighbours": 60}, "at least 61 images"),
    ],
)
def test_comparison_refuses_what_it_cannot_do(counts, settings, words):
    with pytest.raises(ArgumentError, match=words):
        compare(pictures(0, counts[0]), pictures(1, counts[1]), features="dct", **settings)


def test_images_of_two_sizes_are_an_error_that_names_both():
    with pytest.raises(ArgumentError, match="must have one size; got 6 x 6 x 1 and 6 x 7 x 1"):
        compare(pictures(0, 40), pictures(1, 40, (6, 7, 1)))


def test_check_before_the_work_is_that_of_the_comparison():
    check_metrics(("frechet", "kid", "precision_recall"), (37, 37), 36)
    with pytest.raises(ArgumentError, match="at least 37 images"):
        check_metrics(("frechet",), (37, 36), 36)


def test_view_is_of_a_fixed_choice_of_images_or_of_their_grey_as_rgb():
    data = ArrayDataset(pictures(0, 50))
    few = View(data, limit=7)
    assert len(few) == len(View(data, limit=7)[:]) == 7
    np.testing.assert_array_equal(few[:], View(data[:], limit=7)[:])
    rows = {image.tobytes() for image in data[:]}
    assert len({image.tobytes() for image in few[:]} & rows) == 7
    np.testing.assert_array_equal(View(data, limit=99)[2:4], data[2:4])
    np.testing.assert_array_equal(View(data, channels=3)[:2], np.repeat(data[:2], 3, axis=-1))


def test_observation_tells_how_far_it_is():
    seen = []
    observe(pictures(0, 300), get_features("dct"), step_done=seen.append)
    assert seen == [256, 44]
