"""From noise to images: diffusers' `DDPMPipeline`, for data in any range and processes that end in noise of any colour."""

# No annotations from the future: diffusers reads those of a pipeline's constructor as they stand.

import logging
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor

from blurcore._checks import require
from blurcore.data.values import SCALES
from blurcore.diffusers.class_labels import as_class_labels
from blurcore.errors import ArgumentError

_log = logging.getLogger(__name__)


class BlurringPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Sampling without conditions, or of classes.

    Parameters
    ----------
    unet
        A network with the signature of `UNet2DModel`.
    scheduler
        A :class:`blurcore.diffusers.BlurringScheduler`.
    data_range
        Range of the data that the network was trained on: "symmetric", [-1, 1], or "unit", [0, 1].
    num_steps
        Calls of the network where a call of the pipeline does not say; 0: one for each step of training.
    """

    model_cpu_offload_seq = "unet"

    def __init__(self, unet: Any, scheduler: Any, data_range: str = "symmetric", num_steps: int = 0) -> None:
        super().__init__()
        require(data_range in SCALES, "data_range", data_range, " or ".join(map(repr, SCALES)))
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(data_range=data_range, num_steps=num_steps)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __call__(
        self,
        batch_size: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        num_inference_steps: int | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        latents: torch.Tensor | None = None,
        class_labels: Any = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Draw images.

        Parameters
        ----------
        batch_size
            How many.
        generator
            Where all randomness comes from.
        num_inference_steps
            Calls of the network.
        output_type
            "pil", "np", (B, H, W, C) in [0, 1], or "pt", ``(B, C, *grid)`` in [0, 1].
        return_dict
            Return a tuple where False.
        latents
            The state to start from, ``(batch_size, C, *grid)`` in data space, in the place of a drawn one.
        class_labels
            (batch_size,), a tensor, an array or a list of whole numbers, or one for all, for a network with classes.

        Returns
        -------
        ImagePipelineOutput
            With the field `images`; what is not finite is NaN there, black in pictures, and said by a warning.

        Raises
        ------
        ArgumentError
            `output_type` is unknown, or "pil" or "np" for what is no image; `latents` has another shape;
            `class_labels` are not one of the network's classes for each image.
        """
        size = self.unet.config.sample_size
        shape = (batch_size, self.unet.config.in_channels, *([size, size] if isinstance(size, int) else size))
        require(output_type in ("pil", "np", "pt"), "output_type", output_type, "'pil', 'np' or 'pt'")
        if output_type != "pt" and len(shape) != 4:
            raise ArgumentError(f"output_type must be 'pt' for data on a grid {shape[2:]}, which are no images")
        labels = as_class_labels(
            class_labels, batch_size, num_classes=self._num_classes(), device=self._execution_device
        )
        if num_inference_steps is None:
            num_inference_steps = self.config.num_steps or self.scheduler.config.num_train_timesteps
        self.scheduler.set_timesteps(num_inference_steps)
        x = self._start(shape, generator) if latents is None else latents.to(self._execution_device, self.unet.dtype)
        require(tuple(x.shape) == shape, "latents", tuple(x.shape), f"of shape {shape}")
        more = {} if labels is None else {"class_labels": labels}
        for t in self.progress_bar(self.scheduler.timesteps):
            x = self.scheduler.step(self.unet(x, t, **more).sample, t, x, generator=generator).prev_sample
        self.maybe_free_model_hooks()
        images = self._shown(x, output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _num_classes(self) -> int | None:
        """Return how many classes the network has, None where its configuration does not say."""
        model = self.unet.config.get("model", {})
        count: int | None = model.get("num_classes", self.unet.config.get("num_class_embeds"))
        return count

    def _start(self, shape: tuple[int, ...], generator: Any) -> torch.Tensor:
        noise = randn_tensor(shape, generator=generator, device=self._execution_device, dtype=self.unet.dtype)
        start: torch.Tensor = self.scheduler.init_noise(noise)
        return start

    def _shown(self, x: torch.Tensor, output_type: str) -> Any:
        scale = SCALES[self.config.data_range]
        finite = x.isfinite()
        shown = ((x.float() - scale.low) / (scale.high - scale.low)).clamp(0, 1).where(finite, torch.nan)
        if not finite.all():
            lost = int((~finite).flatten(1).any(dim=1).sum())
            _log.warning(
                "%d of %d images are not finite%s", lost, len(x), ", and black there" if output_type == "pil" else ""
            )
        if output_type == "pt":
            return shown
        images = shown.cpu().permute(0, 2, 3, 1).numpy()
        return self.numpy_to_pil(np.nan_to_num(images)) if output_type == "pil" else images
