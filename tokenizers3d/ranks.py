"""Means over the samples of all processes, as one process with the whole batch would take them.

each rank: sum and count of its own samples --one message--> sum and count of all --> mean, the same on every rank
"""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def num_ranks() -> int:
    """Processes that train together; 1 outside torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_ranks(total: Float[Tensor, "*shape"], count: int) -> Float[Tensor, "*shape"]:
    """Sum over all ranks' samples over their number; zero where no rank has any.

    Gradients reach each rank's own samples alone, scaled so that the average of the ranks' gradients (what DDP and FSDP2 take) is that
    of one process. That holds for any function of the mean, since every rank has the same mean; so nothing is sent backwards.

    Args:
        total: sum over this rank's samples.
        count: how many they are; it may differ between ranks, and be zero.

    >>> mean_over_ranks(torch.tensor([4.0, 6.0]), 2)
    tensor([2., 3.])
    """
    world = num_ranks()
    if world == 1:
        return total / max(count, 1)
    # Sum and count go in one message, in float64: float32 would round a count above 2^24.
    message = torch.cat([total.detach().flatten().double(), total.new_tensor([count], dtype=torch.float64)])
    dist.all_reduce(message)
    number = message[-1].clamp_min(1.0)
    mean = (message[:-1] / number).to(total.dtype).view(total.shape)
    own = total * (world / number).to(total.dtype)
    return own + (mean - own.detach())
