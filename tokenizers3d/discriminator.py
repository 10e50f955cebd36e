"""Discriminators of slices and of volumes, after StyleGAN's residual ones; any size is accepted."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tokenizers3d.errors import ShapeError

_SLOPE = 0.2


def _blur_down(x: Tensor) -> Tensor:
    """Halve every axis after a binomial blur, so that what is too fine does not fold back; an axis of one voxel stays."""
    num_axes = x.dim() - 2
    kernel = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    conv = F.conv2d if num_axes == 2 else F.conv3d
    for axis in range(num_axes):
        if x.shape[2 + axis] > 1:
            shape, stride, padding = [1] * num_axes, [1] * num_axes, [0] * num_axes
            shape[axis], stride[axis], padding[axis] = 3, 2, 1
            weight = kernel.view(1, 1, *shape).expand(x.shape[1], 1, *shape)
            x = conv(x, weight, stride=stride, padding=padding, groups=x.shape[1])
    return x


class _Down(nn.Module):
    """Residual block that halves every axis."""

    def __init__(self, conv: type[nn.Conv2d] | type[nn.Conv3d], in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.before = conv(in_channels, in_channels, 3, padding=1)
        self.after = conv(in_channels, out_channels, 3, padding=1)
        self.shortcut = conv(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.leaky_relu(self.after(_blur_down(F.leaky_relu(self.before(x), _SLOPE))), _SLOPE)
        return (inner + self.shortcut(_blur_down(x))) / math.sqrt(2)


class Discriminator(nn.Module):
    """One logit a sample: positive where it looks real.

    Args:
        num_axes: 3 for volumes `b 1 z y x`; 2 for slices: of a volume it judges each slice for itself and gives `b * z` logits.
        filters, channel_multipliers: widths.

    >>> Discriminator(2, filters=4)(torch.zeros(2, 1, 3, 16, 16)).shape
    torch.Size([6])
    """

    def __init__(self, num_axes: int, *, filters: int = 8, channel_multipliers: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        if num_axes not in (2, 3):
            raise ShapeError("a discriminator judges slices or volumes", expected="2 or 3 axes", found=num_axes)
        conv = nn.Conv2d if num_axes == 2 else nn.Conv3d
        widths = [filters, *(filters * m for m in channel_multipliers)]
        self.num_axes = num_axes
        self.stem = conv(1, filters, 3, padding=1)
        self.blocks = nn.Sequential(*(_Down(conv, a, b) for a, b in pairwise(widths)))
        self.last = conv(widths[-1], widths[-1], 3, padding=1)
        self.head = nn.Sequential(nn.Linear(widths[-1], widths[-1]), nn.LeakyReLU(_SLOPE), nn.Linear(widths[-1], 1))

    def forward(self, x: Float[Tensor, "b 1 z y x"]) -> Float[Tensor, " n"]:
        """Logits."""
        if self.num_axes == 2:
            x = x.transpose(1, 2).flatten(0, 1)
        x = self.blocks(F.leaky_relu(self.stem(x), _SLOPE))
        x = F.leaky_relu(self.last(x), _SLOPE).flatten(2).mean(-1)
        return self.head(x).squeeze(-1)
