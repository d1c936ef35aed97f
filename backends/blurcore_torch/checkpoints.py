"""A trainer's state as named groups of arrays, and back (see :mod:`blurcore.runs.checkpoint`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from blurcore.runs.checkpoint import require_same_arrays


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Copy tensors to the host."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def load_module(module: nn.Module, arrays: Mapping[str, np.ndarray], *, what: str) -> None:
    """Copy arrays into a module after checking every name and shape; nothing is half loaded.

    Raises
    ------
    CheckpointError
        Names are missing or too many, or shapes or dtypes differ; all are listed.
    """
    own = module.state_dict()
    require_same_arrays({name: tuple(tensor.shape) for name, tensor in own.items()}, arrays, what=what)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(torch.from_numpy(np.array(arrays[name])))


def optimizer_arrays(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, np.ndarray]:
    """Return the optimiser's state as "parameter/key" arrays, the parameters in the order of `names`."""
    state = optimizer.state_dict()["state"]
    return to_arrays(
        {f"{names[i]}/{key}": torch.as_tensor(value) for i, entry in state.items() for key, value in entry.items()}
    )


def load_optimizer(optimizer: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray], names: list[str]) -> None:
    """Restore what :func:`optimizer_arrays` returned, which :func:`blurcore.runs.checkpoint.require_training_state` has checked."""
    index = {name: i for i, name in enumerate(names)}
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in arrays.items():
        parameter, _, key = name.rpartition("/")
        state.setdefault(index[parameter], {})[key] = torch.from_numpy(np.array(value))
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
