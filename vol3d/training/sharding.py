"""Parameters in shards (FSDP2: `torch.distributed.fsdp.fully_shard`): each process keeps its part of weights, gradients and optimiser state.

Accelerate shards on accelerators only; this is the same call on any device, so that what is tested on two CPU processes is what runs
on many GPUs. Everything that leaves the loop (checkpoints, averaged weights, the finished model) is whole again: a checkpoint does not
say how it was made.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Shard a model in place: each member of its module lists (residual blocks, layers of a language model) is one unit, the rest another."""
    from torch.distributed.device_mesh import init_device_mesh

    model.to(device)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for tensor in (*model.parameters(), *model.buffers()):
        # Shards are cut from rows in memory, which channels-last weights are not; and all ranks begin as rank 0 does.
        tensor.data = tensor.data.contiguous()
        dist.broadcast(tensor.data, src=0)
    units = [part for module in model.modules() if isinstance(module, nn.ModuleList) for part in module if not isinstance(part, nn.ModuleList)]
    for unit in units:
        fully_shard(unit, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def unshard(model: nn.Module) -> None:
    """Give a model that is not trained any further its whole parameters back, on every rank."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(whole(parameter.detach()), requires_grad=parameter.requires_grad))


def whole(tensor: Tensor) -> Tensor:
    """A tensor of all its shards; every rank must ask for it at the same time."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def all_whole(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Whole tensors by name, one after the other; ranks that do not `keep` them help to gather only, and get none."""
    pairs = ((name, whole(tensor.detach())) for name, tensor in tensors.items())
    return {name: tensor for name, tensor in pairs if keep}


def local(tensor: Tensor) -> Tensor:
    """This rank's part, which shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def placed_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, cut as another one is; each rank has the whole, so nothing is sent."""
    if not isinstance(like, DTensor):
        return tensor.to(like.device)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@contextmanager
def without_sync(model: FSDPModule) -> Iterator[None]:
    """Gradients stay on their rank inside; they are exchanged at the next backward pass outside."""
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def mean_of_ranks(terms: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Each term's mean over the ranks that have it.

    >>> mean_of_ranks([{"loss": 1.0}, {"loss": 2.0, "l1": 3.0}])
    {'loss': 1.5, 'l1': 3.0}
    """
    found: dict[str, list[float]] = {}
    for of_rank in terms:
        for name, value in of_rank.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}
