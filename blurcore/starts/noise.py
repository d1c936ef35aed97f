"""Start from noise alone: every process that ends in noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from blurcore.errors import ConfigError
from blurcore.processes import Process
from blurcore.starts.start import FromTheEnd, leaves_image

if TYPE_CHECKING:
    from blurcore.data import Dataset


@final
@dataclass(frozen=True, kw_only=True)
class Noise(FromTheEnd):
    """sigma_1 times standard normal noise."""

    def fit(self, process: Process, data: Dataset, values: Any, *, seed: int) -> None:
        """Refuse a process that leaves an image at t = 1; see :meth:`Start.fit`."""
        del seed
        self.restore(process, data.image_shape, values, None)

    def restore(
        self, process: Process, image_shape: tuple[int, ...], values: Any, arrays: Mapping[str, Any] | None
    ) -> None:
        """Refuse a process that leaves an image at t = 1; see :meth:`Start.restore`.

        Raises
        ------
        ConfigError
            It does.
        """
        del values, arrays
        grid = image_shape[:-1]
        if leaves_image(process, grid):
            alpha, sigma = (np.asarray(c) for c in process.marginal(1.0, shape=grid))
            ratio = float(np.max(alpha)) / max(float(np.min(sigma)), 1e-300)
            raise ConfigError(
                f"sample.start must be BlurredData or Mixture for {type(process).__name__}, which leaves an image in its last"
                f" state (alpha_1 / sigma_1 = {ratio:.3g} at DC); got Noise"
            )
