"""Several processes on one run, started by `torchrun`: DDP and FSDP2, which are PyTorch's own, and what they need of us.

A batch is split over the processes in the order of their ranks, and every random number of a step is the one that the whole
batch would have: N processes take the step of one process that accumulates over N parts.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from blurcore.errors import ArgumentError, BlurcoreError, RunStoppedError
from blurcore.protocols import Team
from blurcore_torch.devices import pick_device
from blurcore_torch.model import Attention, ResidualBlock, UNet

_PATIENCE = timedelta(minutes=10)  # with a process that does not answer: reading a batch, writing a checkpoint


def rank_and_size() -> tuple[int, int]:
    """Return this process's number and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def _is_one_of_several() -> bool:
    return dist.is_torchelastic_launched() and os.environ["WORLD_SIZE"] != "1"


def own_device(name: str) -> torch.device:
    """Return the device of this process; where torchrun has started several, "auto" and "cuda" are the GPU of LOCAL_RANK.

    Raises
    ------
    ArgumentError
        As :func:`blurcore_torch.devices.pick_device`; a single GPU is named for several processes.
    """
    if not _is_one_of_several():
        return pick_device(name)
    if name not in ("auto", "cpu", "cuda"):
        raise ArgumentError(
            f"device must be auto, cpu or cuda where torchrun has started several processes; got {name!r}"
        )
    if name == "cpu" or not torch.cuda.is_available():
        return pick_device(name)
    return pick_device(f"cuda:{os.environ['LOCAL_RANK']}")


@contextmanager
def processes(device: str = "auto") -> Iterator[Team]:
    """Join the processes that torchrun has started, for the time of a `with` statement; within another one, nothing happens.

    Raises
    ------
    ArgumentError
        As :func:`own_device`.
    RunStoppedError
        Another process has gone.
    """
    if dist.is_initialized() or not _is_one_of_several():
        yield joined()
        return
    where = own_device(device)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo", timeout=_PATIENCE)
        yield joined()
        dist.barrier()
    except RunStoppedError:  # in all of them, after the same step
        with suppress(RuntimeError):
            dist.barrier()  # rank 0 has written the checkpoint
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it to the others as soon as one has left
        raise
    except RuntimeError as error:
        if isinstance(error, BlurcoreError) or not _is_of_a_peer(error):
            raise
        reason = str(error).splitlines()[0]
        raise RunStoppedError(f"another process of this run has gone ({reason})", exit_code=1) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _is_of_a_peer(error: RuntimeError) -> bool:
    """Whether an error was raised by a collective operation; gloo has no type for it."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def joined() -> Team:
    """Return the processes that have been joined; this one alone where there are none."""
    rank, count = rank_and_size()
    return Team(rank, count, total) if count > 1 else Team()


def total(array: np.ndarray) -> np.ndarray:
    """Return the sum of an array over all processes, in each of them."""
    tensor = torch.from_numpy(np.array(array))
    dist.all_reduce(tensor)
    return tensor.numpy()


def agree(number: int) -> int:
    """Return the maximum of a number over all processes; every process must call it."""
    if not dist.is_initialized():
        return number
    tensor = torch.tensor(number)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return int(tensor)


def mean(value: Tensor) -> Tensor:
    """Return the mean of a number over all processes; every process must call it."""
    dist.all_reduce(value)
    return value / dist.get_world_size()


def rows_of(batch_size: int, accumulate: int) -> slice:
    """Return the rows of each batch that belong to this process.

    Raises
    ------
    ArgumentError
        The batch cannot be split over processes and accumulation parts.
    """
    rank, count = rank_and_size()
    if batch_size % (count * accumulate):
        raise ArgumentError(
            f"train.batch_size must be a multiple of {count * accumulate}, for {count} processes that accumulate over"
            f" {accumulate} parts; got {batch_size}"
        )
    share = batch_size // count
    return slice(rank * share, (rank + 1) * share)


def shard(model: UNet, device: torch.device) -> UNet:
    """Spread the weights of a network over all processes (FSDP2), block by block."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for module in model.modules():
        if isinstance(module, (ResidualBlock, Attention)):
            fully_shard(module, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def replicate(model: UNet, device: torch.device) -> nn.Module:
    """Return a network that averages its gradients over all processes (DDP)."""
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def gradients(network: nn.Module, *, shared: bool) -> AbstractContextManager[None]:
    """Return the context of a part's backward pass; DDP averages the gradients of all parts after the last one."""
    plain = getattr(network, "_orig_mod", network)  # torch.compile's wrapper hides it
    return nullcontext() if shared or not isinstance(plain, DistributedDataParallel) else plain.no_sync()


def whole(tensor: Tensor) -> Tensor:
    """Gather a tensor that may be sharded over the processes; every process must call it."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor that may be spread."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def like(value: Tensor, other: Tensor) -> Tensor:
    """Return a whole tensor on the device of another one, sharded like it if the shapes agree."""
    value = value.to(other.device)
    if not hasattr(other, "placements") or value.shape != other.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, other.device_mesh, other.placements, src_data_rank=None)


class DropoutSkipper:
    """Moves the global generator past the dropout masks of the images of lower ranks, which their processes draw.

    Parameters
    ----------
    model
        The network.
    shapes
        Of the images of one accumulation part that the network sees together, (n, C, *grid), one for each size.
    """

    def __init__(self, model: UNet, shapes: Sequence[tuple[int, ...]]) -> None:
        self.rate = model.config.dropout
        self.shapes: list[tuple[int, ...]] = []
        if self.rate == 0 or rank_and_size()[0] == 0:
            return
        blocks = [block for block in model.modules() if isinstance(block, ResidualBlock)]
        hooks = [block.conv2.register_forward_pre_hook(self._note) for block in blocks]  # its input has been masked
        some = next(model.parameters())
        with torch.no_grad():
            model.eval()
            for count, *shape in shapes:
                before = len(self.shapes)
                model(some.new_zeros(1, *shape), some.new_zeros(1))
                self.shapes[before:] = [(count, *masked[1:]) for masked in self.shapes[before:]]
        for hook in hooks:
            hook.remove()

    def _note(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        del module
        self.shapes.append(tuple(given[0].shape))

    def skip(self, parts: int, device: torch.device) -> None:
        """Move past the masks of a number of parts."""
        if not self.shapes:
            return
        if device.type == "cuda":  # its generator counts, so that the masks of one part tell how far all of them reach
            generator = torch.cuda.default_generators[device.index]
            before = generator.get_offset()
            self._draw(device)
            generator.set_offset(before + parts * (generator.get_offset() - before))
            return
        for _ in range(parts):
            self._draw(device)

    def _draw(self, device: torch.device) -> None:
        for shape in self.shapes:
            F.dropout(torch.empty(shape, device=device), self.rate)
