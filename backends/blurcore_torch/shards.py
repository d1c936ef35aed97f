"""Checkpoints in parts, by torch.distributed.checkpoint in its safetensors form: a file for each process, whose header says in
JSON where its tensors lie in the whole. The library's other form has an index that is a pickle.

Loading this module takes a second or two, so it is imported where there are parts.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor

from blurcore.errors import CheckpointError
from blurcore.runs.checkpoint import Arrays, require_same_arrays
from blurcore_torch.distributed import rank_and_size


def save_shards(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors into a new folder, each process its shards; every process must call it.

    Raises
    ------
    CheckpointError
        A process could not write; says which and why, in each of them.
    """
    if rank_and_size()[0] == 0:
        shutil.rmtree(path, ignore_errors=True)  # of a save that did not finish, perhaps by more processes
    if dist.is_initialized():
        dist.barrier()
    state = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with _failures(f"cannot write the parts of a checkpoint to {path}"):
        dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(str(path), save_distributed=True), no_dist=_alone())


def load_shards(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors, which may be sharded over the processes, from a folder of shards; every process must call it.

    Raises
    ------
    CheckpointError
        Names are missing or too many, or shapes differ; all are listed, and nothing is filled.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    found = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shard_shapes(path).items()}
    require_same_arrays(shapes, found, what="parts")
    with _failures(f"cannot read the parts of the checkpoint {path}"):
        dcp.load(dict(tensors), storage_reader=dcp.HuggingFaceStorageReader(str(path)), no_dist=_alone())


def shard_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each whole tensor in a folder of parts."""
    table = dcp.HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    return {name: tuple(entry.size) for name, entry in table.items()}


def _alone() -> bool:
    return not dist.is_initialized()


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """Convert errors of torch.distributed.checkpoint, in any process, to one sentence; silence its warning about a single process."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            yield
    except dcp.CheckpointException as error:  # not an Exception
        reasons = (f"process {rank}: {cause}" for rank, (cause, _) in error.failures.items())
        raise CheckpointError(f"{what} ({'; '.join(reasons)})") from None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{what} ({error})") from error


def read_shards(path: Path) -> dict[str, Arrays]:
    """Return the groups of a folder of parts as whole arrays; this process reads all of them.

    Raises
    ------
    CheckpointError
        The parts cannot be read.
    """
    with _failures(f"cannot read the parts of the checkpoint {path}"):
        state = {name: torch.empty(shape) for name, shape in shard_shapes(path).items()}
        dcp.load(state, storage_reader=dcp.HuggingFaceStorageReader(str(path)), no_dist=True)
    groups: dict[str, dict[str, np.ndarray]] = {"model": {}, "ema": {}, "optimizer": {}}
    for name, tensor in state.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor.numpy()
    return dict(groups)
