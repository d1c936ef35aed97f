"""Class labels as users give them: a tensor, an array, a list of numbers, or one number for all."""

from __future__ import annotations

from typing import Any

import torch

from blurcore.errors import ArgumentError


def as_class_labels(given: Any, batch_size: int, *, num_classes: int | None, device: Any) -> torch.Tensor | None:
    """Return labels as a tensor of int64 on a device.

    Parameters
    ----------
    given
        Whole numbers, one for each sample or one for all; None for the unconditional network.
    batch_size
        How many samples there are.
    num_classes
        How many classes the network has; None: not known. Its own number stands for no class.
    device
        Where the labels are wanted.

    Returns
    -------
    torch.Tensor
        (batch_size,); None for None.

    Raises
    ------
    ArgumentError
        They are no whole numbers, not as many as samples, or of no class; the last is not looked at on an accelerator,
        which would have to be waited for.
    """
    if given is None:
        return None
    if num_classes == 0:
        raise ArgumentError(f"class_labels must be None for a network without classes; got {given!r:.80}")
    try:
        labels = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        raise ArgumentError(f"class_labels must be whole numbers, one for each sample; got {given!r:.80}") from None
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ArgumentError(f"class_labels must be whole numbers; got {given!r:.80}")
    if labels.ndim == 0:
        labels = labels.expand(batch_size)
    if tuple(labels.shape) != (batch_size,):
        raise ArgumentError(
            f"class_labels must be {batch_size}, one for each sample, or one number for all; got the shape {tuple(labels.shape)}"
        )
    if labels.device.type == "cpu" and num_classes is not None:
        for label in labels.tolist():
            if not 0 <= label <= num_classes:
                raise ArgumentError(
                    f"class_labels must be from 0 to {num_classes - 1}, or {num_classes} for no class; got {label}"
                )
    return labels.to(device, torch.int64)
