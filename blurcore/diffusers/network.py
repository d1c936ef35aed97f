"""The network of a run as a model of diffusers: `network(sample, timestep).sample`.

For those that are no `UNet2DModel` (:mod:`blurcore.diffusers.conversion`), which knows neither patches, nor an embedding of the
log-SNR, nor signals and volumes, nor steps in another number than a thousand.
"""

from __future__ import annotations

from typing import Any

import torch
from blurcore_torch.model import UNet
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput

from blurcore.config import ModelConfig
from blurcore.diffusers.class_labels import as_class_labels
from blurcore.engine import condition
from blurcore.processes import Process
from blurcore.serial import from_dict


class RunUNet(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """The U-Net of this package behind diffusers' signature.

    Parameters
    ----------
    sample_size
        Sizes of the grid.
    in_channels, out_channels
        Channels.
    model
        The dictionary of a :class:`blurcore.ModelConfig`.
    num_train_timesteps
        N: step k of diffusers is the time (k + 1) / N.
    process
        The dictionary of the process, of which an embedding of the log-SNR is told.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: list[int],
        in_channels: int,
        out_channels: int,
        model: dict[str, Any],
        num_train_timesteps: int,
        process: dict[str, Any],
    ) -> None:
        super().__init__()
        self._config: ModelConfig = from_dict(dict(model), ModelConfig, name="model")
        self._process: Process = from_dict(dict(process), name="process")
        self.network = UNet(
            self._config, in_channels=in_channels, out_channels=out_channels, image_size=tuple(sample_size)
        )

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float | int,
        class_labels: Any = None,
        return_dict: bool = True,
    ) -> UNet2DOutput | tuple[torch.Tensor]:
        """Return the prediction.

        Parameters
        ----------
        sample
            ``(B, in_channels, *grid)``.
        timestep
            A step from 0 to N - 1, or (B,) of them.
        class_labels
            (B,), a tensor, an array or a list, or one number for all, for a network with classes; None: the unconditional network.
        return_dict
            Return a tuple where False.

        Raises
        ------
        ArgumentError
            `class_labels` are not one of the network's classes for each sample.
        """
        labels = as_class_labels(class_labels, len(sample), num_classes=self._config.num_classes, device=sample.device)
        steps = torch.as_tensor(timestep, device=sample.device).float().flatten()
        t = (steps.expand(len(sample)) + 1) / self.config.num_train_timesteps
        output = self.network(sample, condition(self._process, t, self._config.embedding), labels)
        return UNet2DOutput(sample=output) if return_dict else (output,)
