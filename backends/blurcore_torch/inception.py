"""The Inception network of FID, by torch-fidelity: the one place that computes its features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from blurcore._typing import StrPath
from blurcore.errors import BackendError
from blurcore_torch.devices import pick_device

_BATCH = 32  # images of 299 x 299 in the network at once


def inception(weights: StrPath, *, device: str = "auto") -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from uint8 (n, H, W, 3) to the pooled features (n, 2048).

    Parameters
    ----------
    weights
        The file that FID is defined by, whose hash has been checked: the library unpickles it.
    device
        "auto" or a PyTorch device.

    Raises
    ------
    BackendError
        torch-fidelity, or torchvision, which it imports, cannot be imported.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:  # a torchvision of another build is a RuntimeError
        raise BackendError(
            f"FID needs torch-fidelity, which cannot be imported ({error}); try: pip install 'blurcore[fid]'"
        ) from error
    where = pick_device(device)
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights))
    network = network.to(where).eval()

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).split(_BATCH)
        return torch.cat([network(part.contiguous().to(where))[0].cpu() for part in parts]).numpy()

    return features
