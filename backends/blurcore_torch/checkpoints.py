"""A trainer's state as named groups of arrays, and back (see :mod:`blurcore.runs.checkpoint`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from blurcore.runs.checkpoint import require_same_arrays
from blurcore_torch.distributed import like, rank_and_size, whole


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Gather tensors and copy them to the host; every process must call it, rank 0 alone gets the arrays."""
    arrays = {}
    for name, tensor in tensors.items():
        value = whole(tensor.detach())
        if rank_and_size()[0] == 0:
            arrays[name] = value.cpu().numpy().copy()
    return arrays


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
            tensor.copy_(like(torch.from_numpy(np.array(arrays[name])), tensor))


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Return the optimiser's state by "parameter/key", the parameters in the order of `names`."""
    state = optimizer.state_dict()["state"]
    return {f"{names[i]}/{key}": torch.as_tensor(value) for i, entry in state.items() for key, value in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], names: list[str]) -> None:
    """Restore what :func:`optimizer_tensors` returned, from whole tensors or from shards like those of the parameters.

    Their names and shapes have been checked.
    """
    own = dict(zip(names, (p for group in optimizer.param_groups for p in group["params"]), strict=True))
    index = {name: i for i, name in enumerate(names)}
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("/")
        state.setdefault(index[parameter], {})[key] = like(value, own[parameter])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
